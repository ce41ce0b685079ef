"""Images, servers' disks and fencing on a Ceph cluster, reached through worker processes that can be killed."""
