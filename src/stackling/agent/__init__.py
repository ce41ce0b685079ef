"""The machine agent."""
