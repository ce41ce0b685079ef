"""Load the cloud's APIs in a closed loop and say what an operation costs: ``python -m bench --help``."""
