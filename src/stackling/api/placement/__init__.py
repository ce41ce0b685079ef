"""The Placement API (https://docs.openstack.org/api-ref/placement/)."""
