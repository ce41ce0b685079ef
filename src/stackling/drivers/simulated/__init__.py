"""Drivers without a backend: product code that passes the real drivers' contract tests, and can fail on demand."""
