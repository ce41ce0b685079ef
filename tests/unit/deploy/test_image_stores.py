"""Tables of image stores in the configuration."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import pytest

from stackling.deploy import image_stores
from stackling.deploy.ceph.files import CephFiles
from stackling.deploy.embedded.configuration import Configuration, ConfigurationError, read, write
from stackling.main import images
from stackling.main.deployment import ImagePool

FILE = {"type": "file", "path": "/srv/images"}
RBD = {"type": "rbd", "pool": "images-2"}


@pytest.mark.parametrize(("tables", "why"), [
    ({"a": {}}, "image_stores.a.type"), ({"a": {"type": "swift"}}, "image_stores.a.type"), ({"A": FILE}, "lower-case"),
    ({"os_glance_staging_store": FILE}, "lower-case"), ({"a": {**FILE, "colour": "red"}}, "unknown key 'colour'"),
    ({"a": {"type": "file", "path": "images"}}, "absolute"), ({"a": {**FILE, "pool": "x"}}, "no pool"),
    ({"a": {"type": "rbd"}}, "has a pool"), ({"a": {**RBD, "conf": "/etc/ceph/ceph.conf"}}, "go together"),
    ({"a": {**FILE, "weight": "10"}}, "weight must be a int"), ({"a": {**FILE, "weight": True}}, "weight"),
    ({"a": FILE, "b": FILE}, "the same path"), ({"a": RBD, "b": RBD}, "the same pool"),
    ({"a": {**FILE, "default": True}, "local": {"default": True}}, "only one"), ({"local": FILE}, "own store"),
    ({"a": 1}, "tables")])
def test_what_makes_no_sense_is_refused(tables: Any, why: str) -> None:
    with pytest.raises(ValueError, match=why):
        image_stores.settings(tables, "local")
    with pytest.raises(ConfigurationError, match=why):
        Configuration("x", "/run/x", image_stores=tables)


def test_they_survive_being_written(tmp_path: Path) -> None:
    tables = {"local": {"weight": 20}, "archive": {**FILE, "description": 'the "old" one', "default": True}}
    write(tmp_path / "stackling.toml", Configuration("x", "/run/x", image_stores=tables))
    assert read(tmp_path / "stackling.toml").image_stores == tables


def test_a_pool_is_of_the_clouds_own_cluster_unless_another_is_named() -> None:
    ceph = CephFiles(Path("/ceph"))
    other = {"conf": "/b/ceph.conf", "user": "glance", "keyring": "/b/keyring"}
    own, there = images.more({"a": RBD, "b": {**RBD, "pool": "p", **other}}, "local", ceph)
    assert own.place == ImagePool(ceph.conf, "stackling-images", ceph.images_keyring, "images-2")
    assert there.place == ImagePool(Path("/b/ceph.conf"), "glance", Path("/b/keyring"), "p")
