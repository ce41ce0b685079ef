"""Pacemaker: its configuration out of the cluster's description, how that is applied, and its resource agents."""
