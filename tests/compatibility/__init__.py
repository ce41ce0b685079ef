"""What there is of OpenStack's APIs: the operations of its API reference (2026.2) against our routes."""
