"""``GET /servers/{id}/diagnostics``: what a running server uses, as its host's agent tells it.

Until 2.47 it is a free form of libvirt's names; from 2.48 on one that is the same everywhere. Both hold what Nova's
libvirt driver puts there.
"""

from __future__ import annotations

from collections.abc import Callable
from datetime import datetime
from typing import TYPE_CHECKING

import msgspec

from stackling.api.call import Call, Reply
from stackling.api.compute import agents
from stackling.api.compute.parts import Json, route
from stackling.compute import hosts, servers
from stackling.compute.model import ServerRow
from stackling.core.errors import Conflict, Unavailable
from stackling.ports.diagnostics import Diagnostics, NicUse, Traffic

if TYPE_CHECKING:
    from stackling.store.transaction import Tx

RUNNING = 1
_STATES = {0: "pending", 1: "running", 3: "paused", 4: "shutdown", 6: "crashed", 7: "suspended"}


def diagnostics(tx: Tx, call: Call) -> Reply:
    """GET …/diagnostics."""
    return reading(tx, call, lambda found: found, old=call.version < (2, 48))


def reading(tx: Tx, call: Call, show: Callable[[Json], Json], *, old: bool = False) -> Reply:
    """What *show* makes of the figures of the server ``id``. Of a server that isn't running nothing can be told."""
    server = servers.get_server(tx, call.ctx, call.params["id"])
    if server["host_id"] is None:
        raise Conflict(f"Instance {server['id']} is not ready")
    if server["power_state"] != RUNNING:
        raise Conflict(f"Cannot 'get_diagnostics' instance {server['id']} while it is in power state "
                       f"{_STATES.get(server['power_state'], 'pending')}")
    host = hosts.get_host(tx, server["host_id"])
    uptime = _seconds(server["launched_at"], tx.now)

    async def ask() -> Reply:
        found = await _ask(call, host["address"], server["id"])
        return Reply(show(_old(found) if old else _shown(
            found, server, str(host["hypervisor_type"]).lower(), uptime)))

    return Reply(then=ask)


async def _ask(call: Call, address: str | None, id: str) -> Diagnostics:
    status, answer = await agents.ask(
        call, address, "GET", f"/servers/{id}/diagnostics",
        not_here=Conflict(f"Instance {id} is not ready: the guest isn't on its host."),
        no_agent="Unable to get diagnostics, functionality not implemented")
    if status != 200:
        raise Unavailable(f"Unable to get diagnostics: {answer.get('error')}")
    return msgspec.convert(answer, Diagnostics)


def _seconds(since: str | None, now: str) -> int | None:
    if since is None:
        return None
    return int((datetime.fromisoformat(now) - datetime.fromisoformat(since)).total_seconds())


def _old(found: Diagnostics) -> Json:
    shown: Json = {f"cpu{cpu.id}_time": cpu.time for cpu in found.cpus if cpu.time is not None}
    for disk in found.disks:
        shown |= {f"{disk.device}_read_req": disk.read_requests, f"{disk.device}_read": disk.read_bytes,
                  f"{disk.device}_write_req": disk.write_requests, f"{disk.device}_write": disk.write_bytes,
                  f"{disk.device}_errors": disk.errors}
    for nic in found.nics:
        if (traffic := nic.traffic) is not None:
            shown |= {f"{nic.name}_{name}": value for name, value in _counters(traffic).items()}
    shown["memory"] = found.memory_most
    return shown | {f"memory-{name}": value for name, value in found.memory.items()}


def _counters(traffic: Traffic) -> dict[str, int]:
    return {"rx": traffic.rx_octets, "rx_packets": traffic.rx_packets, "rx_errors": traffic.rx_errors,
            "rx_drop": traffic.rx_drop, "tx": traffic.tx_octets, "tx_packets": traffic.tx_packets,
            "tx_errors": traffic.tx_errors, "tx_drop": traffic.tx_drop}


def _shown(found: Diagnostics, server: ServerRow, hypervisor: str, uptime: int | None) -> Json:
    return {
        "state": "running", "driver": "libvirt", "hypervisor": hypervisor, "hypervisor_os": "linux", "uptime": uptime,
        "config_drive": bool(server["config_drive"]), "num_cpus": len(found.cpus), "num_nics": len(found.nics),
        "num_disks": len(found.disks),
        "memory_details": {"maximum": found.memory_most // 1024, "used": found.memory_used // 1024},
        "cpu_details": [{"id": cpu.id, "time": cpu.time, "utilisation": None} for cpu in found.cpus],
        "disk_details": [{"read_bytes": disk.read_bytes, "read_requests": disk.read_requests,
                          "write_bytes": disk.write_bytes, "write_requests": disk.write_requests,
                          "errors_count": disk.errors} for disk in found.disks],
        "nic_details": [_nic(nic) for nic in found.nics]}


def _nic(nic: NicUse) -> Json:
    """Rates stay unknown, as upstream."""
    known: Json = dict.fromkeys(Traffic.__struct_fields__)
    if nic.traffic is not None:
        known = msgspec.structs.asdict(nic.traffic)
    return {"mac_address": nic.mac, **known, "rx_rate": None, "tx_rate": None}


ROUTES = [route("GET", "/servers/{id}/diagnostics", diagnostics, "os-server-diagnostics")]
