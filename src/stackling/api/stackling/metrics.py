"""``GET /servers/{id}/metrics``: what a running server uses, for who may read it.

Compute's own figures (``diagnostics``) are an administrator's by upstream's policy, and say what it runs on. These are
the server's counters alone, in the same form.
"""

from __future__ import annotations

from typing import Any

from stackling.api.call import Call, Reply
from stackling.api.compute import diagnostics
from stackling.api.route import Route

SHOWN = ("uptime", "num_cpus", "cpu_details", "memory_details", "disk_details", "nic_details")


def metrics(tx: Any, call: Call) -> Reply:
    """GET /servers/{id}/metrics. A server of another project is as unknown as one that never was."""
    return diagnostics.reading(tx, call, lambda found: {"metrics": {name: found[name] for name in SHOWN}})


ROUTES = [Route("GET", "/servers/{id}/metrics", metrics, "stackling:metrics")]
