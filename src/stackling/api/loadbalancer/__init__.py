"""Load Balancer API v2 (Octavia) for the provider ``ovn``."""
