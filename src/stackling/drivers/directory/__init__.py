"""Servers' disks in a directory that several machines have mounted (CephFS, NFS …)."""
