"""Upstream's dashboard, Horizon, unmodified in a browser (``make test-horizon``)."""
