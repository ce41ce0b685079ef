"""OpenStack's own test suite, tempest, against a simulated cloud. See ``run.py``."""
