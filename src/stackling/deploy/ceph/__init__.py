"""Putting images and servers' disks on a Ceph cluster: pools, users, keys, and the proof that it works."""
