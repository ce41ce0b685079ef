"""Putting images, disks and volumes on a Ceph cluster: pools, users, keys, and the proof that it works."""
