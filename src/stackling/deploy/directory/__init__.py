"""Putting servers' disks into a directory that all machines have mounted, and the proof that they share it."""
