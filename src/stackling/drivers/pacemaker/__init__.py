"""Pacemaker as the cluster's membership and its fencer, asked through its own programs."""
