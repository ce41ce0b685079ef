"""What Stackling offers beyond the OpenStack APIs."""
