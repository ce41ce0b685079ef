"""What agents ask of control: documents, images, reports. Never on the public port."""
