"""Protocols of the outside world and the frozen values that cross them."""
