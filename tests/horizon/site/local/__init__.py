"""What Horizon imports its settings from."""
