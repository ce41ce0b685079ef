"""``stackling storage add ceph``: from a ``ceph.conf`` and a key to a cloud whose data is in Ceph."""

from __future__ import annotations

import re
from collections.abc import Callable, Sequence
from contextlib import suppress
from dataclasses import dataclass
from pathlib import Path

from stackling.deploy.ceph import admin as admins
from stackling.deploy.ceph import install, rights
from stackling.deploy.ceph.admin import Admin, CephRefused, NoRights, Size, Step
from stackling.deploy.ceph.files import CephFiles
from stackling.deploy.ceph.rights import Pools, User

_KEY = re.compile(r"^\s*\[client\.([^\]\s]+)\][^\[]*?^\s*key\s*=\s*(\S+)", re.MULTILINE | re.DOTALL)


@dataclass(frozen=True, slots=True)
class Prepared:
    """What there is after the cluster's part: the text of ``ceph.conf``, and each user's key."""

    conf: str
    keys: dict[str, str]


def users(pools: Pools, machines: Sequence[str]) -> list[User]:
    """Everybody whom the cloud is in the cluster."""
    return [rights.images_user(pools), rights.volumes_user(pools),
            *(rights.machine_user(machine, pools) for machine in machines)]


def plan(admin: Admin | None, pools: Pools, machines: Sequence[str]) -> list[Step]:
    """The commands; for a cluster of three hosts where it can't be asked."""
    size = Size(3, 3)
    if admin is not None:
        with suppress(NoRights):
            size = admin.size()
    return admins.steps(pools, users(pools, machines), size)


def prepare(admin: Admin, pools: Pools, machines: Sequence[str], done: Callable[[Step], None]) -> Prepared:
    """Make pools and users, or take the users' keys from a keyring that holds all of them.

    Raises ``NoRights`` when neither is possible, ``CephRefused``.
    """
    wanted = users(pools, machines)
    given = dict(_KEY.findall(admin.keyring.read_text()))
    if missing := [user.name for user in wanted if user.name not in given]:
        if "admin" not in admin.users and len(missing) < len(wanted):
            raise CephRefused(f"{admin.keyring} lacks the keys of {', '.join(missing)}")
        for step in plan(admin, pools, machines):
            admin.do(step)
            done(step)
        keys = {user.name: admin.key(user) for user in wanted}
    else:
        keys = {user.name: given[user.name] for user in wanted}
    return Prepared(admin.conf.read_text(), keys)


def write(prepared: Prepared, files: CephFiles, names: Sequence[str]) -> list[Path]:
    """This machine's files: only the keys of the users *names*."""
    return install.write(files, prepared.conf, {name: prepared.keys[name] for name in names})


def by_hand(steps: Sequence[Step], machines: Sequence[str], keyring: Path) -> list[str]:
    """What somebody with the rights types, to give us *keyring* at the end."""
    users = [*rights.CONTROL_USERS, *map(rights.machine_user_name, machines)]
    return [*(step.text for step in steps), "umask 077",
            *(f"ceph auth get client.{user} >> {keyring}" for user in users)]
