"""The image service: what people boot from, who may see it, and where its data lies."""
