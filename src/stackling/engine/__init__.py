"""Convergence: claim, load, observe, plan, apply, observe again, settle. Knows no service and no SQL."""
