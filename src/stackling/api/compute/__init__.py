"""The Compute API v2.1 (https://docs.openstack.org/api-ref/compute/), microversions 2.1 to 2.104."""
