"""Ids, clock, errors and the request context. Imports nothing of ours."""
