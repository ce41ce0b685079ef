"""High availability: who is alive, proofs of fencing, evacuation, and host identities that move."""
