"""The stores of images that a deployment names, and what the API tells of them."""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING

from stackling.deploy import image_stores
from stackling.deploy.ceph.files import CephFiles
from stackling.deploy.ceph.rights import IMAGES_USER
from stackling.drivers.local.image_store import LocalImageStore
from stackling.drivers.several import Several
from stackling.image.settings import StoreFacts
from stackling.main import tls
from stackling.main.deployment import Deployment, ImagePool, LocalImages, MoreImages, RbdImages
from stackling.main.tls import Tls
from stackling.ports.images import ImageStore

if TYPE_CHECKING:
    from stackling.drivers.ceph.image_store import RbdImageStore
    from stackling.drivers.local.spread import SpreadImageStore

LOCAL, CEPH = "local", "ceph"
FILE_CHUNK, RBD_CHUNK = 1 << 20, 4 << 20
"""Bytes that are written at once, and of an RBD image's objects."""


def more(tables: image_stores.Tables, own: str, ceph: CephFiles) -> tuple[MoreImages, ...]:
    """What the configuration's tables say; *ceph* is where the cloud's own Ceph cluster is described."""
    def place(table: image_stores.StoreTable) -> Path | ImagePool | None:
        if table.type == "file":
            return Path(table.path)
        if table.type == "rbd":
            if table.conf:
                return ImagePool(Path(table.conf), table.user, Path(table.keyring), table.pool)
            return ImagePool(ceph.conf, IMAGES_USER, ceph.images_keyring, table.pool)
        return None

    return tuple(MoreImages(table.name, place(table), table.description, table.weight, table.default)
                 for table in image_stores.settings(tables, own))


def store(deployment: Deployment) -> LocalImageStore | SpreadImageStore | Several:
    """The cloud's own store; with others beside it, or a former one, all of them as one."""
    images, own = deployment.images, deployment.agents
    if isinstance(images, LocalImages) and not several(deployment):
        return _local(images, own)
    members: dict[str, ImageStore] = {}
    if isinstance(images, RbdImages):
        members[CEPH] = _rbd(ImagePool(images.conf, images.user, images.keyring, images.pool), CEPH)
    members[LOCAL] = _local(images if isinstance(images, LocalImages) else images.before, own)
    for one in deployment.more_images:
        if isinstance(one.place, Path):
            members[one.name] = LocalImageStore(one.place, name=one.name, prefix=f"{one.name}:", foreign=True)
        elif one.place is not None:
            members[one.name] = _rbd(one.place, one.name)
    return Several(default(deployment), members, {one.name: one.weight for one in deployment.more_images})


def several(deployment: Deployment) -> bool:
    """Whether there is more than one, a former one counted."""
    return isinstance(deployment.images, RbdImages) or any(one.place is not None for one in deployment.more_images)


def default(deployment: Deployment) -> str:
    """The store that takes what names none."""
    own = LOCAL if isinstance(deployment.images, LocalImages) else CEPH
    return next((one.name for one in deployment.more_images if one.default), own)


def facts(deployment: Deployment) -> tuple[StoreFacts, ...]:
    """The stores that take images: the cloud's own one first."""
    images, described = deployment.images, {one.name: one for one in deployment.more_images}
    if isinstance(images, LocalImages):
        found = [_facts(described.pop(LOCAL, MoreImages(LOCAL)), images.directory)]
    else:
        pool = ImagePool(images.conf, images.user, images.keyring, images.pool)
        found = [_facts(described.pop(CEPH, MoreImages(CEPH)), pool)]
        if LOCAL in described:
            found.append(_facts(described.pop(LOCAL), images.before.directory))
    return (*found, *(_facts(one, one.place) for one in described.values() if one.place is not None))


def _facts(one: MoreImages, place: Path | ImagePool) -> StoreFacts:
    if isinstance(place, Path):
        return StoreFacts(one.name, "file", one.description, one.weight,
                          {"data_dir": str(place), "chunk_size": FILE_CHUNK, "thin_provisioning": False})
    return StoreFacts(one.name, "rbd", one.description, one.weight,
                      {"chunk_size": RBD_CHUNK, "pool": place.pool, "thin_provisioning": False, "fsid": None})


def _rbd(pool: ImagePool, name: str) -> RbdImageStore:
    from stackling.drivers.ceph.client import CephAccess
    from stackling.drivers.ceph.image_store import RbdImageStore

    return RbdImageStore(CephAccess(pool.conf, pool.user, pool.keyring), pool.pool, name=name)


def _local(images: LocalImages, own: Tls | None) -> LocalImageStore | SpreadImageStore:
    here = LocalImageStore(images.directory)
    if not images.others or own is None:
        return here
    from stackling.drivers.local.spread import Peer, SpreadImageStore

    context = tls.client(own)
    return SpreadImageStore(here, [Peer(address, port, context) for address, port in images.others])
