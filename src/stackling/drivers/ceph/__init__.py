"""Images, disks, volumes and fencing on a Ceph cluster, reached through worker processes that can be killed."""
