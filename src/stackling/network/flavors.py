"""Flavors of services (routers have them) and the service profiles that say what drives a flavor.

There is one provider of routers, so a flavor with its profile makes a router as any other. Neither flavors nor profiles
are a project's (``project_id`` is empty here).
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any

from sqlalchemy import bindparam, delete, insert, or_, select

from stackling.core.context import Context
from stackling.core.errors import Invalid, NotFound, Unavailable
from stackling.network.errors import conflict, not_found
from stackling.network.resources import FLAVORS, SERVICE_PROFILES
from stackling.network.rows import Record, many
from stackling.network.timeline import announce
from stackling.store.tables.network import network_flavor_profiles, routers
from stackling.store.transaction import Tx

PROVIDER = {"service_type": "L3_ROUTER_NAT", "name": "ovn", "default": True}
DRIVER = "neutron.services.ovn_l3.service_providers.ovn.OvnDriver"
"""The driver's name by which profiles of Neutron's OVN deployments name it."""
SERVICE_TYPES = ("L3_ROUTER_NAT", "FLAVORS", "QOS", "PORTFORWARDING", "CORE", "trunk", "auto_allocated_topology",
                 "network_ip_availability", "revision_plugin", "timestamp")
_b = network_flavor_profiles
_OF = select(_b).where(or_(_b.c.flavor_id.in_(bindparam("ids", expanding=True)),
                           _b.c.profile_id.in_(bindparam("ids", expanding=True)))).order_by(_b.c.created_at)
_BIND = insert(_b)
_UNBIND = delete(_b).where(_b.c.flavor_id == bindparam("flavor"), _b.c.profile_id == bindparam("profile"))
_FORGET = delete(_b).where(_b.c.flavor_id == bindparam("flavor"))
_USED = select(routers.c.id).where(
    routers.c.flavor_id == bindparam("flavor"), routers.c.deleting.is_(False)).limit(1)


def bound(tx: Tx, ids: Sequence[str]) -> dict[str, list[str]]:
    """The profiles of each of these flavors, and the flavors of each of these profiles."""
    found: dict[str, list[str]] = {id: [] for id in ids}
    for row in many(tx, _OF, ids=list(ids)) if ids else ():
        for one, other in ((row["flavor_id"], row["profile_id"]), (row["profile_id"], row["flavor_id"])):
            if one in found:
                found[one].append(other)
    return found


# -- flavors

def create(tx: Tx, ctx: Context, specs: Sequence[Mapping[str, Any]]) -> list[Record]:
    """Make flavors. Raises ``Invalid`` for a type of service that there isn't."""
    records: list[Record] = []
    for spec in specs:
        if spec["service_type"] not in SERVICE_TYPES:
            raise Invalid(f"Invalid service type: {spec['service_type']}.", type="InvalidServiceType")
        record: Record = {"id": spec["id"], "project_id": "", "created_at": tx.now, **{
            name: spec[name] for name in ("name", "description", "service_type", "enabled")}}
        FLAVORS.insert(tx, [record])
        announce(tx, ctx, "network_flavor", record, "create")
        records.append(record)
    return records


def update(tx: Tx, ctx: Context, record: Record, changes: Mapping[str, Any]) -> Record:
    """Change its name, its description, or whether it may be used."""
    values = {name: changes[name] for name in ("name", "description", "enabled") if name in changes}
    if values:
        FLAVORS.update(tx, record["id"], values)
        announce(tx, ctx, "network_flavor", record, "update", ", ".join(sorted(values)))
    return {**record, **values}


def delete_flavor(tx: Tx, ctx: Context, record: Record) -> None:
    """Raises ``Conflict`` while a router has it."""
    if tx.scalar(_USED, flavor=record["id"]) is not None:
        raise conflict("FlavorInUse", f"Flavor {record['id']} is used by some service instance.")
    tx.execute(_FORGET, {"flavor": record["id"]})
    FLAVORS.delete(tx, record["id"])
    announce(tx, ctx, "network_flavor", record, "delete")


def next_provider(tx: Tx, flavor_id: str) -> Record:
    """The provider by the flavor's first profile. Raises ``NotFound``, ``Unavailable``."""
    if FLAVORS.get(tx, flavor_id) is None:
        raise not_found("flavor", flavor_id)
    profiles = bound(tx, [flavor_id])[flavor_id]
    if not profiles:
        raise _not_bound("", flavor_id)
    profile = profile_of(tx, profiles[0])
    if not profile["enabled"]:
        raise Unavailable("Service Profile is not enabled.", type="ServiceProfileDisabled")
    _check_driver(profile["driver"])
    return {"driver": profile["driver"], "provider": PROVIDER["name"]}


def check_for_router(tx: Tx, flavor_id: str) -> None:
    """Whether a router may be made of it. Raises ``NotFound``, ``Invalid``, ``Unavailable``."""
    flavor = FLAVORS.get(tx, flavor_id)
    if flavor is None:
        raise not_found("flavor", flavor_id)
    if flavor["service_type"] != PROVIDER["service_type"]:
        raise Invalid(f"Invalid service type: {flavor['service_type']}.", type="InvalidServiceType")
    if not flavor["enabled"]:
        raise Unavailable("Flavor is not enabled.", type="FlavorDisabled")
    next_provider(tx, flavor_id)


# -- service profiles

def profile_of(tx: Tx, id: str) -> Record:
    """Raises ``NotFound``."""
    record = SERVICE_PROFILES.get(tx, id)
    if record is None:
        raise not_found("service_profile", id)
    return record


def _check_driver(driver: str) -> None:
    if driver != DRIVER:
        raise NotFound(f"Service Profile driver {driver} could not be found.", type="ServiceProfileDriverNotFound")


def create_profiles(tx: Tx, ctx: Context, specs: Sequence[Mapping[str, Any]]) -> list[Record]:
    """Make profiles. Raises ``NotFound`` for a driver that there isn't, ``Invalid`` for an empty one."""
    records: list[Record] = []
    for spec in specs:
        if spec["driver"]:
            _check_driver(spec["driver"])
        elif not spec["metainfo"]:
            raise Invalid("Service Profile needs either a driver or metainfo.", type="ServiceProfileEmpty")
        record: Record = {"id": spec["id"], "project_id": "", "created_at": tx.now, **{
            name: spec[name] for name in ("description", "driver", "metainfo", "enabled")}}
        SERVICE_PROFILES.insert(tx, [record])
        announce(tx, ctx, "service_profile", record, "create")
        records.append(record)
    return records


def _check_unbound(tx: Tx, record: Record) -> None:
    if bound(tx, [record["id"]])[record["id"]]:
        raise conflict("ServiceProfileInUse", f"Service Profile {record['id']} is used by some service instance.")


def update_profile(tx: Tx, ctx: Context, record: Record, changes: Mapping[str, Any]) -> Record:
    """Raises ``Conflict`` while a flavor has it."""
    if changes.get("driver"):
        _check_driver(changes["driver"])
    _check_unbound(tx, record)
    values = {name: changes[name] for name in ("description", "driver", "metainfo", "enabled") if name in changes}
    if values:
        SERVICE_PROFILES.update(tx, record["id"], values)
        announce(tx, ctx, "service_profile", record, "update", ", ".join(sorted(values)))
    return {**record, **values}


def delete_profile(tx: Tx, ctx: Context, record: Record) -> None:
    """Raises ``Conflict`` while a flavor has it."""
    _check_unbound(tx, record)
    SERVICE_PROFILES.delete(tx, record["id"])
    announce(tx, ctx, "service_profile", record, "delete")


# -- which profiles a flavor has

def _not_bound(profile_id: str, flavor_id: str) -> NotFound:
    return NotFound(f"Service Profile {profile_id} is not associated with flavor {flavor_id}.",
                    type="FlavorServiceProfileBindingNotFound")


def check_bound(tx: Tx, flavor_id: str, profile_id: str) -> None:
    """Raises ``NotFound``."""
    if profile_id not in bound(tx, [flavor_id])[flavor_id]:
        raise _not_bound(profile_id, flavor_id)


def bind(tx: Tx, ctx: Context, flavor: Record, profile_id: str) -> None:
    """Raises ``NotFound`` for a profile that there isn't, ``Conflict`` for one that the flavor has."""
    tx.guard(f"network_flavor:{flavor['id']}")
    profile_of(tx, profile_id)
    if profile_id in bound(tx, [flavor["id"]])[flavor["id"]]:
        raise conflict("FlavorServiceProfileBindingExists", f"Service Profile {profile_id} is already associated with "
                       f"flavor {flavor['id']}.")
    tx.execute(_BIND, {"flavor_id": flavor["id"], "profile_id": profile_id, "created_at": tx.now})
    announce(tx, ctx, "network_flavor", flavor, "update", "service_profiles")


def unbind(tx: Tx, ctx: Context, flavor: Record, profile_id: str) -> None:
    """Raises ``NotFound``."""
    check_bound(tx, flavor["id"], profile_id)
    tx.execute(_UNBIND, {"flavor": flavor["id"], "profile": profile_id})
    announce(tx, ctx, "network_flavor", flavor, "update", "service_profiles")
