"""Seams to the world: Protocols, and the frozen values that cross them. Imports core only."""
