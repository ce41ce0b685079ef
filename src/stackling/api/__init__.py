"""HTTP APIs of all services."""
