"""Drivers behind the ports: real ones and simulated ones."""
