"""openstack.cloud 2.5.0 reads ``openstack.version``, which openstacksdk 4.22 doesn't import by itself any more."""

import contextlib

with contextlib.suppress(ImportError):
    import openstack.version  # noqa: F401
