"""``stackling storage add ceph``: from a ``ceph.conf`` and a key to a cloud whose data is in Ceph."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Mapping, Sequence
from contextlib import suppress
from dataclasses import dataclass
from pathlib import Path

from stackling.deploy.ceph import admin as admins
from stackling.deploy.ceph import install, rights
from stackling.deploy.ceph.admin import Admin, CephRefused, NoRights, Size, Step
from stackling.deploy.ceph.files import CephFiles
from stackling.deploy.ceph.rights import Pools, User
from stackling.drivers.ceph import keyring


@dataclass(frozen=True, slots=True)
class Prepared:
    """What there is after the cluster's part: the text of ``ceph.conf``, and each user's key, or that of who has
    succeeded it, by *names* (``drivers.ceph.keyring``)."""

    conf: str
    keys: dict[str, str]
    names: dict[str, str]


def users(pools: Pools, machines: Sequence[str]) -> list[User]:
    """Everybody whom the cloud is in the cluster."""
    return [rights.images_user(pools), rights.volumes_user(pools),
            *(rights.machine_user(machine, pools) for machine in machines)]


def plan(admin: Admin | None, pools: Pools, machines: Sequence[str]) -> list[Step]:
    """The commands; for a cluster of three hosts where it can't be asked."""
    size, wanted = Size(3, 3), users(pools, machines)
    if admin is not None:
        with suppress(NoRights):
            size, wanted = admin.size(), _newest(wanted, admin.known())
    return admins.steps(pools, wanted, size)


def _newest(users: Sequence[User], known: Iterable[str]) -> list[User]:
    """Who counts for each of *users*, which are those themselves where nobody is there yet."""
    found = list(known)
    return [rights.successor(user, max((keyring.number(name, user.name) or 1 for name in found), default=1))
            for user in users]


def prepare(admin: Admin, pools: Pools, machines: Sequence[str], done: Callable[[Step], None]) -> Prepared:
    """Make pools and users, or take the users' keys from a keyring that holds all of them.

    Raises ``NoRights`` when neither is possible, ``CephRefused``.
    """
    wanted = users(pools, machines)
    given = {login.user: login.key for login in keyring.logins(admin.keyring.read_text())}
    counting = _newest(wanted, given)
    if missing := [user.name for user in counting if user.name not in given]:
        if "admin" not in admin.users and len(missing) < len(wanted):
            raise CephRefused(f"{admin.keyring} lacks the keys of {', '.join(missing)}")
        counting = _newest(wanted, admin.known())
        for step in plan(admin, pools, machines):
            admin.do(step)
            done(step)
        given = {user.name: admin.key(user) for user in counting}
    return prepared(admin, {user.name: one for user, one in zip(wanted, counting, strict=True)}, given)


def prepared(admin: Admin, counting: Mapping[str, User], keys: Mapping[str, str]) -> Prepared:
    """*counting* says who counts for each user, *keys* are by those names."""
    return Prepared(admin.conf.read_text(), {name: keys[user.name] for name, user in counting.items()},
                    {name: user.name for name, user in counting.items() if user.name != name})


def write(prepared: Prepared, files: CephFiles, names: Sequence[str]) -> list[Path]:
    """This machine's files: only the keys of the users *names*."""
    return install.write(files, prepared.conf, {name: prepared.keys[name] for name in names}, prepared.names)


def by_hand(steps: Sequence[Step], machines: Sequence[str], given: Path) -> list[str]:
    """What somebody with the rights types, to give us the keyring *given* at the end."""
    users = [*rights.CONTROL_USERS, *map(rights.machine_user_name, machines)]
    return [*(step.text for step in steps), "umask 077",
            *(f"ceph auth get client.{user} >> {given}" for user in users)]
