"""Composition roots: read configuration, choose drivers, wire."""
