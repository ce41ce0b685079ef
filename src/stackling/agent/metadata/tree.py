"""What the metadata service answers, as a function of the document and the path. Pure.

OpenStack's form with its dated versions and EC2's form, with listings at each level, as Nova's ``nova.api.metadata``
serves them (https://docs.openstack.org/nova/latest/user/metadata.html).
"""

from __future__ import annotations

import base64
import posixpath
from collections.abc import Callable
from dataclasses import dataclass
from typing import Any

import msgspec

from stackling.ports.document import MetadataDocument

OPENSTACK_VERSIONS = ("2012-08-10", "2013-04-04", "2013-10-17", "2015-10-15", "2016-06-30", "2016-10-06", "2017-02-22",
                      "2018-08-27", "2020-10-14")
EC2_VERSIONS = ("1.0", "2007-01-19", "2007-03-01", "2007-08-29", "2007-10-10", "2007-12-15", "2008-02-01", "2008-09-01",
                "2009-04-04")
LATEST = "latest"
JSON, TEXT, BINARY = "application/json", "text/plain; charset=utf-8", "application/octet-stream"
_SINCE = {"password": "2013-04-04", "vendor_data.json": "2013-10-17", "network_data.json": "2015-10-15",
          "vendor_data2.json": "2016-10-06"}
_KEY_SINCE = {"random_seed": "2013-04-04", "project_id": "2015-10-15", "devices": "2016-06-30",
              "dedicated_cpus": "2020-10-14"}


@dataclass(frozen=True, slots=True)
class Content:
    """What is found at a path."""

    body: bytes
    type: str = TEXT


def lookup(document: MetadataDocument, path: str, seed: Callable[[], str]) -> Content | None:
    """The content at *path* (without a query), or None. *seed* gives the random seed of ``meta_data.json``."""
    parts = [part for part in posixpath.normpath("/" + path).split("/") if part]
    if not parts:
        return _lines([*EC2_VERSIONS, LATEST])
    if parts[0] == "openstack":
        return _openstack(document, parts[1:], seed)
    if parts[0] in EC2_VERSIONS or parts[0] == LATEST:
        return _ec2(document, parts[1:])
    return None


def _lines(names: list[str]) -> Content:
    return Content("\n".join(names).encode())


# -- OpenStack's form

def _openstack(document: MetadataDocument, parts: list[str], seed: Callable[[], str]) -> Content | None:
    if not parts:
        return _lines([*OPENSTACK_VERSIONS, LATEST])
    version, rest = parts[0], parts[1:]
    if version not in OPENSTACK_VERSIONS and version != LATEST:
        return None
    names = [name for name in ("meta_data.json", "user_data", "password", "vendor_data.json", "network_data.json",
                               "vendor_data2.json")
             if _offered(version, _SINCE.get(name)) and (name != "user_data" or document.user_data is not None)]
    if not rest:
        return _lines(names)
    if len(rest) > 1 or rest[0] not in names:
        return None
    return _openstack_file(document, version, rest[0], seed)


def _openstack_file(document: MetadataDocument, version: str, name: str, seed: Callable[[], str]) -> Content:
    match name:
        case "meta_data.json":
            shown = {key: value for key, value in document.meta_data.items() if _offered(version, _KEY_SINCE.get(key))}
            if "random_seed" not in shown and _offered(version, _KEY_SINCE["random_seed"]):
                shown["random_seed"] = seed()
            return _json(shown)
        case "user_data":
            return Content(_user_data(document), BINARY)
        case "password":
            return Content(b"")
        case "vendor_data.json":
            return _json(document.vendor_data)
        case "vendor_data2.json":
            return _json({"static": document.vendor_data})
        case _:
            return _json(document.network_data)


def _offered(version: str, since: str | None) -> bool:
    return since is None or version == LATEST or version >= since


def _json(value: Any) -> Content:
    return Content(msgspec.json.encode(value), JSON)


def _user_data(document: MetadataDocument) -> bytes:
    try:
        return base64.b64decode(document.user_data or "", validate=True)
    except ValueError:
        return (document.user_data or "").encode()


# -- EC2's form

def _ec2(document: MetadataDocument, parts: list[str]) -> Content | None:
    if not parts:
        return _lines(["meta-data/", *(["user-data"] if document.user_data is not None else [])])
    if parts[0] == "user-data":
        return Content(_user_data(document), BINARY) if len(parts) == 1 and document.user_data is not None else None
    if parts[0] != "meta-data":
        return None
    found: Any = document.ec2
    for part in parts[1:]:
        if not isinstance(found, dict) or part not in found or part == "_name":
            return None
        found = found[part]
    return _lines(_listing(found)) if isinstance(found, dict) else _value(found)


def _listing(branch: dict[str, Any]) -> list[str]:
    names: list[str] = []
    for key in sorted(branch):
        value = branch[key]
        if key != "_name":
            names.append((str(value["_name"]) if "_name" in value else f"{key}/") if isinstance(value, dict) else key)
    return names


def _value(value: Any) -> Content:
    return _lines([str(each) for each in value]) if isinstance(value, list | tuple) else Content(str(value).encode())
