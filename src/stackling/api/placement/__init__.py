"""The Placement API, read only: what hosts have and what is used of it (https://docs.openstack.org/api-ref/placement/)."""
