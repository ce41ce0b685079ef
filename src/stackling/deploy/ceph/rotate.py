"""``stackling storage rotate-keys``: another key for each of our users, while everything goes on.

Theory of operation. A Ceph user has one key, and a client that lost its monitor can't come back by the former one: so
a key isn't replaced but gets a successor, a user with the same rights and a number in its name
(``drivers.ceph.keyring``). Both are let in until every machine has its new keyring and nobody is connected as a former
user any more, which the monitors know best: control's and the agents' processes connect anew by themselves, and agents
have their guests' QEMU do so (``drivers.libvirt.rekey``). Only then the former users are removed. Who is stopped in
between can do it again: users of two numbers say that a rotation is under way, and to which number.
"""

from __future__ import annotations

import json
import time
from collections.abc import Callable, Iterable, Mapping, Sequence
from contextlib import suppress
from dataclasses import dataclass

from stackling.deploy.ceph import rights
from stackling.deploy.ceph.admin import Admin, CephRefused, Step
from stackling.deploy.ceph.files import CephFiles
from stackling.deploy.ceph.rights import User
from stackling.drivers.ceph import keyring

ASK_AGAIN = 2.0
PATIENCE = 15.0                 # seconds that all monitors have to say who is connected


@dataclass(frozen=True, slots=True)
class Rotation:
    """*users*: who counts afterwards, by the name of whom it succeeds. *former*: names that go, without ``client.``."""

    users: dict[str, User]
    former: tuple[str, ...]


def plan(users: Sequence[User], known: Iterable[str]) -> Rotation:
    """The rotation that is under way, or a new one; *known* are the names of all users in the cluster. Pure."""
    numbers = {user.name: sorted(filter(None, (keyring.number(name, user.name) for name in known))) for user in users}
    newest = max((found[-1] for found in numbers.values() if found), default=0)
    if not newest:
        raise CephRefused("none of this cloud's users is in the cluster: run `stackling storage add ceph` first")
    wanted = newest if any(len(found) > 1 for found in numbers.values()) else newest + 1
    former = tuple(keyring.successor(name, number) for name, found in numbers.items() for number in found
                   if number != wanted)
    return Rotation({user.name: rights.successor(user, wanted) for user in users}, former)


def made(rotation: Rotation) -> list[Step]:
    """What makes the new users. Pure."""
    return [step for user in rotation.users.values() for step in (
        Step(f"user {user.entity}", ("ceph", "auth", "get-or-create", user.entity, *user.caps)),
        Step(f"rights of {user.entity}", ("ceph", "auth", "caps", user.entity, *user.caps)))]


def formers(rotation: Rotation, files: CephFiles, users: Iterable[str]) -> list[keyring.Login]:
    """Whom this machine's keyrings have been for, with their keys."""
    found: list[keyring.Login] = []
    for user in users:
        with suppress(OSError):
            login = keyring.current(files.keyring(user), user)
            if login is not None and login.user in rotation.former:
                found.append(login)
    return found


def removed(rotation: Rotation) -> list[Step]:
    """What makes the former ones and their keys worthless. Pure."""
    return [Step(f"client.{name} goes", ("ceph", "auth", "rm", f"client.{name}")) for name in rotation.former]


def connected(admin: Admin, names: Iterable[str]) -> dict[str, list[str]]:
    """From where somebody is connected as any of *names*, by name. Raises ``CephRefused``."""
    wanted, found = {f"client.{name}": name for name in names}, dict[str, list[str]]()
    for monitor in json.loads(admin.run("mon", "dump", "-f", "json"))["mons"]:
        sessions = json.loads(admin.run("tell", f"mon.{monitor['name']}", "sessions", timeout=PATIENCE))
        for session in sessions:
            if (name := wanted.get(str(session.get("entity_name")))) is not None:
                found.setdefault(name, []).append(_address(session))
    return found


def await_nobody(admin: Admin, names: Sequence[str], seconds: float,
                 say: Callable[[str], None]) -> Mapping[str, list[str]]:
    """Wait until nobody is connected as any of *names*; who still is after *seconds*, and from where."""
    deadline = time.monotonic() + seconds
    while left := connected(admin, names):
        if time.monotonic() > deadline:
            break
        say(", ".join(sorted(left)))
        time.sleep(ASK_AGAIN)
    return left


def _address(session: Mapping[str, object]) -> str:
    found = session.get("addrs") or {}
    vector = found.get("addrvec") if isinstance(found, dict) else None
    first = vector[0] if isinstance(vector, list) and vector else {}
    return str(first.get("addr", "")).rpartition(":")[0] if isinstance(first, dict) else ""
