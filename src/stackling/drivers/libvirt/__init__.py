"""Guests on libvirt and QEMU, reached through a worker process that can be killed."""
