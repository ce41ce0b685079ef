"""Resource providers, what they have, and who takes it (https://docs.openstack.org/api-ref/placement/).

Hosts are providers without a row here: what they report, and what their servers take, Compute keeps and tells. Rows add
to a host what an administrator says of it: more classes of resources, traits, aggregates.
"""
