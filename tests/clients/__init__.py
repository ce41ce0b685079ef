"""Other people's clients, unmodified, from an environment of their own, each walking the main path."""
