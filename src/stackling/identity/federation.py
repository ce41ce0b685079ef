"""Identity providers, their protocols, mappings and service providers: what federation is configured with."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any

from sqlalchemy import bindparam, delete, insert, select, update

from stackling.core import clock
from stackling.core.errors import Conflict, Invalid, NotFound
from stackling.core.ids import new_hex
from stackling.identity import projects, state
from stackling.identity.listing import select_page
from stackling.identity.model import Listing
from stackling.identity.refusals import not_found, taken
from stackling.store.tables.identity import (
    expiring_memberships,
    federated_users,
    identity_providers,
    mappings,
    protocols,
    remote_ids,
    service_providers,
)
from stackling.store.transaction import Tx

_i, _m, _p, _s, _r = identity_providers.c, mappings.c, protocols.c, service_providers.c, remote_ids.c
_PROVIDER = (_i.id, _i.domain_id, _i.enabled, _i.description, _i.authorization_ttl)
_ONE_PROVIDER = select(*_PROVIDER).where(_i.id == bindparam("id"))
_REMOTE_IDS = select(_r.idp_id, _r.remote_id).where(_r.idp_id.in_(bindparam("ids", expanding=True))).order_by(
    _r.position)
_MAPPING = (_m.id, _m.rules, _m.schema_version)
_ONE_MAPPING = select(*_MAPPING).where(_m.id == bindparam("id"))
_PROTOCOL = (_p.idp_id, _p.id, _p.mapping_id, _p.remote_id_attribute)
_PROTOCOLS = select(*_PROTOCOL).where(_p.idp_id == bindparam("idp_id")).order_by(_p.id)
_ONE_PROTOCOL = select(*_PROTOCOL).where(_p.idp_id == bindparam("idp_id"), _p.id == bindparam("id"))
_SERVICE = (_s.id, _s.enabled, _s.description, _s.auth_url, _s.sp_url, _s.relay_state_prefix)
_ONE_SERVICE = select(*_SERVICE).where(_s.id == bindparam("id"))
_ENABLED_SERVICES = select(_s.id, _s.auth_url, _s.sp_url).where(_s.enabled.is_(True)).order_by(_s.id)
_ENABLED_WITH = select(_i.id).select_from(identity_providers.join(protocols, _p.idp_id == _i.id)).where(
    _p.id == bindparam("protocol_id"), _i.enabled.is_(True)).order_by(_i.id)
_e = expiring_memberships.c
RELAY_STATE_PREFIX = "ss:mem:"


@dataclass(frozen=True, slots=True)
class IdentityProvider:
    """``authorization_ttl`` is minutes."""

    id: str
    domain_id: str
    enabled: bool
    description: str | None
    authorization_ttl: int | None
    remote_ids: Sequence[str] = ()


@dataclass(frozen=True, slots=True)
class FederationMapping:
    """Rules by which a provider's attributes become a user and groups."""

    id: str
    rules: Sequence[Any]
    schema_version: str


@dataclass(frozen=True, slots=True)
class Protocol:
    idp_id: str
    id: str
    mapping_id: str
    remote_id_attribute: str | None


@dataclass(frozen=True, slots=True)
class ServiceProvider:
    id: str
    enabled: bool
    description: str | None
    auth_url: str
    sp_url: str
    relay_state_prefix: str | None


# -- identity providers


def _with_remote_ids(tx: Tx, rows: Sequence[Any]) -> list[IdentityProvider]:
    own: dict[str, list[str]] = {}
    for row in tx.all(_REMOTE_IDS, ids=[row.id for row in rows]) if rows else ():
        own.setdefault(row.idp_id, []).append(row.remote_id)
    return [IdentityProvider(*row, remote_ids=tuple(own.get(row.id, ()))) for row in rows]


def get_provider(tx: Tx, id_: str) -> IdentityProvider:
    """Raises ``NotFound``."""
    row = tx.one(_ONE_PROVIDER, id=id_)
    if row is None:
        raise not_found("Identity Provider", id_)
    return _with_remote_ids(tx, [row])[0]


def list_providers(tx: Tx, listing: Listing) -> list[IdentityProvider]:
    return _with_remote_ids(tx, tx.execute(select_page(select(*_PROVIDER), identity_providers, listing)).all())


def create_provider(tx: Tx, id_: str, values: Mapping[str, Any]) -> IdentityProvider:
    """Without a ``domain_id`` a domain is made for the provider's users. Raises ``Conflict``, ``NotFound``."""
    state.bump(tx)
    if tx.one(_ONE_PROVIDER, id=id_) is not None:
        raise taken("identity_provider", "ID", id_)
    row: dict[str, Any] = {"enabled": False, "description": None, "authorization_ttl": None, **values, "id": id_}
    remote = row.pop("remote_ids", None) or ()
    if row.get("domain_id"):
        projects.get_domain(tx, row["domain_id"])
    else:
        domain_id = new_hex()
        row["domain_id"] = projects.create_project(tx, domain_id, {
            "name": domain_id, "domain_id": "", "is_domain": True, "enabled": True,
            "description": f"Auto generated federated domain for Identity Provider: {id_}"}).id
    tx.execute(insert(identity_providers), row)
    _set_remote_ids(tx, id_, remote)
    return get_provider(tx, id_)


def update_provider(tx: Tx, provider: IdentityProvider, values: Mapping[str, Any]) -> IdentityProvider:
    """Raises ``Conflict`` for a remote id that another provider has."""
    state.bump(tx)
    row = dict(values)
    remote = row.pop("remote_ids", provider.remote_ids)
    if "authorization_ttl" in row:
        _change_ttl(tx, provider.id, row["authorization_ttl"])
    if row:
        tx.execute(update(identity_providers).where(_i.id == provider.id).values(row))
    if "remote_ids" in values:
        _set_remote_ids(tx, provider.id, remote or ())
    return get_provider(tx, provider.id)


def membership_expiry(verified_at: str, ttl: int | None) -> str:
    """When a membership ends that a provider vouched for; *ttl* in minutes. Without one it is over at once: only the
    tokens that came with it, which have it in them, rest on it."""
    return clock.later(verified_at, (ttl or 0) * 60)


def _change_ttl(tx: Tx, idp_id: str, ttl: int | None) -> None:
    """What a provider's ``authorization_ttl`` means for memberships that there are."""
    moments = tx.execute(select(_e.verified_at).where(_e.idp_id == idp_id).distinct()).scalars().all()
    for moment in moments:
        tx.execute(update(expiring_memberships).where(_e.idp_id == idp_id, _e.verified_at == moment).values(
            expires_at=membership_expiry(moment, ttl)))


def _set_remote_ids(tx: Tx, idp_id: str, remote: Sequence[str]) -> None:
    tx.execute(delete(remote_ids).where(_r.idp_id == idp_id))
    if not remote:
        return
    other = tx.scalar(select(_r.remote_id).where(_r.remote_id.in_(list(remote))).limit(1))
    if other is not None:
        raise Conflict(f"Conflict occurred attempting to store identity_provider - Duplicate remote ID: {other}.")
    tx.execute(insert(remote_ids), [{"remote_id": one, "idp_id": idp_id, "position": position}
                                    for position, one in enumerate(remote)])


def delete_provider(tx: Tx, provider: IdentityProvider) -> None:
    """A provider with its protocols; its domain stays, with the users in it. Tokens that it vouched for end."""
    state.bump(tx)
    tx.execute(delete(federated_users).where(federated_users.c.idp_id == provider.id))
    tx.execute(delete(expiring_memberships).where(expiring_memberships.c.idp_id == provider.id))
    tx.execute(delete(remote_ids).where(_r.idp_id == provider.id))
    tx.execute(delete(protocols).where(_p.idp_id == provider.id))
    tx.execute(delete(identity_providers).where(_i.id == provider.id))


# -- protocols


def get_protocol(tx: Tx, idp_id: str, id_: str) -> Protocol:
    """Raises ``NotFound``."""
    row = tx.one(_ONE_PROTOCOL, idp_id=idp_id, id=id_)
    if row is None:
        raise NotFound(f"Could not find federated protocol {id_} for Identity Provider: {idp_id}.")
    return Protocol(*row)


def list_protocols(tx: Tx, idp_id: str) -> list[Protocol]:
    get_provider(tx, idp_id)
    return [Protocol(*row) for row in tx.all(_PROTOCOLS, idp_id=idp_id)]


def create_protocol(tx: Tx, idp_id: str, id_: str, values: Mapping[str, Any]) -> Protocol:
    """Raises ``Conflict``, ``NotFound``, ``Invalid``."""
    state.bump(tx)
    get_provider(tx, idp_id)
    if tx.one(_ONE_PROTOCOL, idp_id=idp_id, id=id_) is not None:
        raise taken("federation_protocol", "ID", id_)
    _check_mapping(tx, values["mapping_id"])
    tx.execute(insert(protocols), {"remote_id_attribute": None, **values, "idp_id": idp_id, "id": id_})
    return get_protocol(tx, idp_id, id_)


def _check_mapping(tx: Tx, mapping_id: str) -> None:
    if tx.one(_ONE_MAPPING, id=mapping_id) is None:
        raise Invalid(f"Invalid mapping id: {mapping_id}")


def enabled_providers_with(tx: Tx, protocol_id: str) -> list[str]:
    """Ids of the enabled providers that have this protocol."""
    return [row.id for row in tx.all(_ENABLED_WITH, protocol_id=protocol_id)]


def enabled_service_providers(tx: Tx) -> list[dict[str, str]]:
    """As tokens show them."""
    return [{"id": row.id, "auth_url": row.auth_url, "sp_url": row.sp_url} for row in tx.all(_ENABLED_SERVICES)]


def update_protocol(tx: Tx, protocol: Protocol, values: Mapping[str, Any]) -> Protocol:
    state.bump(tx)
    if "mapping_id" in values:
        _check_mapping(tx, values["mapping_id"])
    tx.execute(update(protocols).where(_p.idp_id == protocol.idp_id, _p.id == protocol.id).values(dict(values)))
    return get_protocol(tx, protocol.idp_id, protocol.id)


def delete_protocol(tx: Tx, protocol: Protocol) -> None:
    """Users that came by it stay; a provider knows them no more."""
    state.bump(tx)
    tx.execute(delete(federated_users).where(
        federated_users.c.idp_id == protocol.idp_id, federated_users.c.protocol_id == protocol.id))
    tx.execute(delete(protocols).where(_p.idp_id == protocol.idp_id, _p.id == protocol.id))


# -- mappings


def get_mapping(tx: Tx, id_: str) -> FederationMapping:
    """Raises ``NotFound``."""
    row = tx.one(_ONE_MAPPING, id=id_)
    if row is None:
        raise not_found("mapping", id_)
    return FederationMapping(*row)


def list_mappings(tx: Tx, listing: Listing) -> list[FederationMapping]:
    return [FederationMapping(*row) for row in tx.execute(select_page(select(*_MAPPING), mappings, listing))]


def create_mapping(tx: Tx, id_: str, values: Mapping[str, Any]) -> FederationMapping:
    """Raises ``Conflict``."""
    state.bump(tx)
    if tx.one(_ONE_MAPPING, id=id_) is not None:
        raise taken("mapping", "ID", id_)
    tx.execute(insert(mappings), {**values, "id": id_})
    return get_mapping(tx, id_)


def update_mapping(tx: Tx, mapping: FederationMapping, values: Mapping[str, Any]) -> FederationMapping:
    state.bump(tx)
    tx.execute(update(mappings).where(_m.id == mapping.id).values(dict(values)))
    return get_mapping(tx, mapping.id)


def delete_mapping(tx: Tx, mapping: FederationMapping) -> None:
    state.bump(tx)
    tx.execute(delete(mappings).where(_m.id == mapping.id))


# -- service providers


def get_service_provider(tx: Tx, id_: str) -> ServiceProvider:
    """Raises ``NotFound``."""
    row = tx.one(_ONE_SERVICE, id=id_)
    if row is None:
        raise not_found("Service Provider", id_)
    return ServiceProvider(*row)


def list_service_providers(tx: Tx, listing: Listing) -> list[ServiceProvider]:
    return [ServiceProvider(*row) for row in tx.execute(select_page(select(*_SERVICE), service_providers, listing))]


def create_service_provider(tx: Tx, id_: str, values: Mapping[str, Any]) -> ServiceProvider:
    """Raises ``Conflict``."""
    state.bump(tx)
    if tx.one(_ONE_SERVICE, id=id_) is not None:
        raise taken("service_provider", "ID", id_)
    tx.execute(insert(service_providers), {"enabled": False, "description": None,
                                           "relay_state_prefix": RELAY_STATE_PREFIX, **values, "id": id_})
    return get_service_provider(tx, id_)


def update_service_provider(tx: Tx, provider: ServiceProvider, values: Mapping[str, Any]) -> ServiceProvider:
    state.bump(tx)
    tx.execute(update(service_providers).where(_s.id == provider.id).values(dict(values)))
    return get_service_provider(tx, provider.id)


def delete_service_provider(tx: Tx, provider: ServiceProvider) -> None:
    state.bump(tx)
    tx.execute(delete(service_providers).where(_s.id == provider.id))
