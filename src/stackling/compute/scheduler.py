"""Which host gets a server: filters and weights. Pure.

A host that can't take it says why; the reasons of all hosts become the fault's text, so that nobody has to read logs.
Weights are Nova's defaults: the host with the most free memory, processors and disk, relative to the others, wins.
"""

from __future__ import annotations

import random
from collections import Counter
from collections.abc import Iterable, Sequence
from dataclasses import dataclass

from stackling.compute.model import Host, Need


@dataclass(frozen=True, slots=True)
class Refusal:
    """Why one host can't take the server."""

    host: str
    reason: str


def reason_against(host: Host, need: Need) -> str | None:
    """Why *host* can't take it; None when it can. Pairs with the SQL in ``hosts.candidates``."""
    if need.host is not None and host.name != need.host:
        return "another host was asked for"
    if need.availability_zone is not None and host.availability_zone != need.availability_zone:
        return f"outside of availability zone {need.availability_zone}"
    if need.storage is not None and host.storage != need.storage:
        return "without access to the server's disks"
    if need.only is not None and host.id not in need.only:
        return need.only_reason
    if host.id in need.avoid:
        return need.avoid_reason
    if host.id in need.unfit:
        return need.unfit_reason
    if host.fenced:
        return "fenced"
    if host.disabled:
        return "disabled"
    if not host.up:
        return "down"
    return lack(host, need)


def lack(host: Host, need: Need) -> str | None:
    """What *host* has too little of, with how much is missing; None when there is room."""
    missing = [f"{short} {word}" for short, word in (
        (_short(need.memory_mib, host.memory_mib, host.memory_ratio, host.memory_mib_used), "MiB of memory"),
        (_short(need.vcpus, host.vcpus, host.cpu_ratio, host.vcpus_used), "vCPUs"),
        (_short(need.disk_gib, host.disk_gib, host.disk_ratio, host.disk_gib_used), "GiB of disk"),
    ) if short > 0]
    return "lacks " + " and ".join(missing) if missing else None


def _short(wanted: int, total: int, ratio: float, used: int) -> int:
    return wanted - (int(total * ratio) - used)


def fits(hosts: Iterable[Host], need: Need) -> list[Host]:
    """Those that can take it."""
    return [host for host in hosts if reason_against(host, need) is None]


def best(hosts: Sequence[Host], need: Need | None = None, *, tie: random.Random | None = None) -> Host | None:
    """The host to choose among those that fit; equals are drawn by lot, so that two schedulers rarely collide.

    What *need* says of a soft server group weighs as much as each of the others, and is more where more members are.
    """
    if not hosts:
        return None
    free = [(
        int(h.memory_mib * h.memory_ratio) - h.memory_mib_used,
        h.vcpus * h.cpu_ratio - h.vcpus_used,
        h.disk_gib * h.disk_ratio - h.disk_gib_used,
    ) for h in hosts]
    most = [max(column) or 1 for column in zip(*free, strict=True)]
    scores = [sum(value / top for value, top in zip(values, most, strict=True)) for values in free]
    if need is not None and need.near:
        count, sign = dict(need.near), -1 if need.apart else 1
        members = [count.get(host.id, 0) for host in hosts]
        scores = [score + sign * here / (max(members) or 1) for score, here in zip(scores, members, strict=True)]
    top = max(scores)
    equal = [host for host, score in zip(hosts, scores, strict=True) if score >= top - 1e-9]
    return equal[0] if len(equal) == 1 else (tie or random).choice(equal)


def explain(hosts: Sequence[Host], need: Need) -> tuple[str, list[Refusal]]:
    """("0 of 3 hosts: 2 lack 4096 MiB of memory, 1 is disabled", the refusals by host)."""
    refusals = [Refusal(host.name, reason_against(host, need) or "taken meanwhile") for host in hosts]
    if not refusals:
        return "0 of 0 hosts: no host has registered", refusals
    counts = Counter(refusal.reason for refusal in refusals)
    parts = [f"{count} {_verb(reason, count)}" for reason, count in counts.most_common(8)]
    return f"0 of {len(refusals)} host{'s' if len(refusals) != 1 else ''}: {', '.join(parts)}", refusals


def _verb(reason: str, count: int) -> str:
    if reason.startswith("lacks "):
        return reason if count == 1 else "lack " + reason.removeprefix("lacks ")
    if reason in ("disabled", "down", "fenced") or reason.startswith(("outside", "taken", "without")):
        return f"{'is' if count == 1 else 'are'} {reason}"
    return f"refused ({reason})"
