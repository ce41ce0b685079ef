"""Operator and friendly commands."""
