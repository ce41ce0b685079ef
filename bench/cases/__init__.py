"""What is measured, one file a service."""
