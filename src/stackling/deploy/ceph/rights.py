"""Pools and users that Stackling has in a Ceph cluster, and what each user may do. Pure.

Who writes images can't write servers' disks or volumes, and no machine can write images. Whoever may use a pool may
read every disk in it: a machine's key is as good as all disks of that pool, and can be taken away alone. Machines write
what is in volumes, and their guests' QEMU takes snapshots and grows them when control asks for it; but no machine
makes, names or removes a volume.
"""

from __future__ import annotations

from dataclasses import dataclass

from stackling.drivers.ceph import keyring

IMAGES_USER, VOLUMES_USER = "stackling-images", "stackling-volumes"
CONTROL_USERS = IMAGES_USER, VOLUMES_USER       # whom control machines have the keys of
_USED = ("rbd_data.", "rbd_header.", "rbd_object_map.")         # objects that using an image writes
_PG_EACH, _PG_LEAST, _PG_MOST = 32, 8, 256


@dataclass(frozen=True, slots=True)
class Pools:
    """The names of the pools."""

    images: str = "stackling-images"
    disks: str = "stackling-disks"
    volumes: str = "stackling-volumes"
    backups: str = "stackling-backups"

    @property
    def all(self) -> tuple[str, ...]:
        """Every one of them."""
        return self.images, self.disks, self.volumes, self.backups


@dataclass(frozen=True, slots=True)
class User:
    """A CephX user, without ``client.``, and its capabilities."""

    name: str
    mon: str
    osd: str
    mgr: str

    @property
    def entity(self) -> str:
        """Its full name."""
        return f"client.{self.name}"

    @property
    def caps(self) -> tuple[str, ...]:
        """As the command ``ceph auth`` takes them."""
        return ("mon", self.mon, "osd", self.osd, "mgr", self.mgr)


def images_user(pools: Pools) -> User:
    """Control's: writes images, reads disks (to make images of them), and shuts machines out."""
    return User(IMAGES_USER, 'profile rbd, allow command "osd blocklist"',
                f"profile rbd pool={pools.images}, profile rbd-read-only pool={pools.disks}",
                f"profile rbd pool={pools.images}")


def volumes_user(pools: Pools) -> User:
    """Control's for volumes: makes and removes them, clones images, and keeps backups."""
    own = f"profile rbd pool={pools.volumes}, profile rbd pool={pools.backups}"
    return User(VOLUMES_USER, "profile rbd", f"{own}, profile rbd-read-only pool={pools.images}", own)


def machine_user_name(machine: str) -> str:
    """The name of a machine's user, without ``client.``."""
    return f"stackling-{machine}"


def machine_user(machine: str, pools: Pools) -> User:
    """A machine's: writes disks, clones images, and uses the volumes that there are."""
    used = ", ".join(f"allow rwx pool={pools.volumes} object_prefix {prefix}" for prefix in _USED)
    return User(machine_user_name(machine), "profile rbd",
                f"profile rbd pool={pools.disks}, profile rbd-read-only pool={pools.images}, "
                f"profile rbd-read-only pool={pools.volumes}, {used}",
                f"profile rbd pool={pools.disks}")


def successor(user: User, number: int) -> User:
    """Somebody with the same rights, to whom a key is given that replaces *user*'s."""
    return User(keyring.successor(user.name, number), user.mon, user.osd, user.mgr)


def placement_groups(osds: int) -> int:
    """How many a pool begins with: a power of two (where Ceph scales by itself, it goes on from there)."""
    wanted, found = max(_PG_LEAST, min(_PG_MOST, osds * _PG_EACH // 2)), _PG_LEAST
    while found * 2 <= wanted:
        found *= 2
    return found


def copies(osd_hosts: int) -> tuple[int, int]:
    """(size, min_size) of a pool: three copies and two to go on, as far as there are hosts to hold them."""
    size = max(1, min(3, osd_hosts))
    return size, max(1, size - 1)
