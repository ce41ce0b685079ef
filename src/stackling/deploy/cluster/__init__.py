"""A cloud of several machines: its description, its engines' configuration, its units."""
