"""``/v3/OS-FEDERATION``: identity providers, protocols, mappings, service providers."""

from __future__ import annotations

import re
from typing import TYPE_CHECKING, Any

from stackling.api.call import Call
from stackling.api.identity.mapping_schema import MappingBody
from stackling.api.identity.operation import operation
from stackling.api.identity.schema import BOOLEAN, DESCRIPTION, ID, URL, Body, member, nullable
from stackling.api.identity.tokens import Tokens
from stackling.api.identity.view import collection, listing, root
from stackling.api.route import Route
from stackling.core.errors import Invalid
from stackling.identity import federation
from stackling.identity.federation import FederationMapping, IdentityProvider, Protocol, ServiceProvider
from stackling.identity.service import Identity

if TYPE_CHECKING:
    from stackling.store.transaction import Tx

_SAFE_ID = re.compile(r"[A-Za-z0-9._~@:-]{1,64}\Z")
_MAPPING_ID = {"type": "string", "minLength": 1, "maxLength": 64, "pattern": _SAFE_ID.pattern.replace(r"\Z", "$")}
_PROVIDER = {
    "enabled": BOOLEAN, "description": DESCRIPTION, "authorization_ttl": {"type": ["integer", "null"], "minimum": 0},
    "remote_ids": {"type": ["array", "null"], "items": {"type": "string", "maxLength": 64}, "uniqueItems": True}}
_PROTOCOL = {"mapping_id": _MAPPING_ID, "remote_id_attribute": {"type": ["string", "null"], "maxLength": 64}}
_SERVICE = {"auth_url": URL, "sp_url": URL, "description": DESCRIPTION, "enabled": BOOLEAN,
            "relay_state_prefix": {"type": ["string", "null"], "maxLength": 255}}
_MAPPING = MappingBody()


def _new_id(call: Call, name: str) -> str:
    """The id in the path, which the client chose. Raises ``Invalid``."""
    found = call.params[name]
    if not _SAFE_ID.match(found):
        raise Invalid(f"Invalid input for field 'id': {found[:80]!r} isn't 1 to 64 letters, digits and . _ ~ @ : -")
    return found


def _base(call: Call) -> str:
    return f"{root(call)}/OS-FEDERATION"


# -- identity providers


def _show_provider(call: Call, one: IdentityProvider) -> dict[str, Any]:
    link = f"{_base(call)}/identity_providers/{one.id}"
    return {"id": one.id, "domain_id": one.domain_id, "enabled": one.enabled, "description": one.description,
            "authorization_ttl": one.authorization_ttl, "remote_ids": list(one.remote_ids),
            "links": {"self": link, "protocols": f"{link}/protocols"}}


def list_providers(tx: Tx, call: Call) -> Any:
    page = listing(call, ("id",), ("enabled",))
    found = federation.list_providers(tx, page)
    return collection(call, "identity_providers", [_show_provider(call, one) for one in found], page)


def show_provider(tx: Tx, call: Call) -> Any:
    return {"identity_provider": _show_provider(call, federation.get_provider(tx, call.params["idp_id"]))}


def create_provider(tx: Tx, call: Call) -> Any:
    values = call.body.get("identity_provider", {})
    return {"identity_provider": _show_provider(call, federation.create_provider(
        tx, _new_id(call, "idp_id"), values))}


def update_provider(tx: Tx, call: Call) -> Any:
    old = federation.get_provider(tx, call.params["idp_id"])
    changed = federation.update_provider(tx, old, call.body["identity_provider"])
    return {"identity_provider": _show_provider(call, changed)}


def delete_provider(tx: Tx, call: Call) -> None:
    federation.delete_provider(tx, federation.get_provider(tx, call.params["idp_id"]))


# -- protocols


def _show_protocol(call: Call, one: Protocol) -> dict[str, Any]:
    provider = f"{_base(call)}/identity_providers/{one.idp_id}"
    shown = {"id": one.id, "mapping_id": one.mapping_id,
             "links": {"self": f"{provider}/protocols/{one.id}", "identity_provider": provider}}
    return shown if one.remote_id_attribute is None else {**shown, "remote_id_attribute": one.remote_id_attribute}


def _protocol(tx: Tx, call: Call) -> Protocol:
    return federation.get_protocol(tx, call.params["idp_id"], call.params["protocol_id"])


def list_protocols(tx: Tx, call: Call) -> Any:
    found = federation.list_protocols(tx, call.params["idp_id"])
    return collection(call, "protocols", [_show_protocol(call, one) for one in found])


def show_protocol(tx: Tx, call: Call) -> Any:
    return {"protocol": _show_protocol(call, _protocol(tx, call))}


def create_protocol(tx: Tx, call: Call) -> Any:
    made = federation.create_protocol(tx, call.params["idp_id"], _new_id(call, "protocol_id"), call.body["protocol"])
    return {"protocol": _show_protocol(call, made)}


def update_protocol(tx: Tx, call: Call) -> Any:
    changed = federation.update_protocol(tx, _protocol(tx, call), call.body["protocol"])
    return {"protocol": _show_protocol(call, changed)}


def delete_protocol(tx: Tx, call: Call) -> None:
    federation.delete_protocol(tx, _protocol(tx, call))


# -- mappings


def _show_mapping(call: Call, one: FederationMapping) -> dict[str, Any]:
    return {"id": one.id, "rules": one.rules, "schema_version": one.schema_version,
            "links": {"self": f"{_base(call)}/mappings/{one.id}"}}


def _mapping_values(call: Call) -> dict[str, Any]:
    body = call.body["mapping"]
    return {"rules": body["rules"], "schema_version": body.get("schema_version") or "1.0"}


def list_mappings(tx: Tx, call: Call) -> Any:
    page = listing(call, ())
    found = federation.list_mappings(tx, page)
    return collection(call, "mappings", [_show_mapping(call, one) for one in found], page)


def show_mapping(tx: Tx, call: Call) -> Any:
    return {"mapping": _show_mapping(call, federation.get_mapping(tx, call.params["mapping_id"]))}


def create_mapping(tx: Tx, call: Call) -> Any:
    made = federation.create_mapping(tx, _new_id(call, "mapping_id"), _mapping_values(call))
    return {"mapping": _show_mapping(call, made)}


def update_mapping(tx: Tx, call: Call) -> Any:
    old = federation.get_mapping(tx, call.params["mapping_id"])
    return {"mapping": _show_mapping(call, federation.update_mapping(tx, old, _mapping_values(call)))}


def delete_mapping(tx: Tx, call: Call) -> None:
    federation.delete_mapping(tx, federation.get_mapping(tx, call.params["mapping_id"]))


# -- service providers


def _show_service(call: Call, one: ServiceProvider) -> dict[str, Any]:
    return {"id": one.id, "enabled": one.enabled, "description": one.description, "auth_url": one.auth_url,
            "sp_url": one.sp_url, "relay_state_prefix": one.relay_state_prefix,
            "links": {"self": f"{_base(call)}/service_providers/{one.id}"}}


def list_services(tx: Tx, call: Call) -> Any:
    page = listing(call, ("id",), ("enabled",))
    found = federation.list_service_providers(tx, page)
    return collection(call, "service_providers", [_show_service(call, one) for one in found], page)


def show_service(tx: Tx, call: Call) -> Any:
    return {"service_provider": _show_service(call, federation.get_service_provider(tx, call.params["sp_id"]))}


def create_service(tx: Tx, call: Call) -> Any:
    made = federation.create_service_provider(tx, _new_id(call, "sp_id"), call.body["service_provider"])
    return {"service_provider": _show_service(call, made)}


def update_service(tx: Tx, call: Call) -> Any:
    old = federation.get_service_provider(tx, call.params["sp_id"])
    changed = federation.update_service_provider(tx, old, call.body["service_provider"])
    return {"service_provider": _show_service(call, changed)}


def delete_service(tx: Tx, call: Call) -> None:
    federation.delete_service_provider(tx, federation.get_service_provider(tx, call.params["sp_id"]))


_F = "/OS-FEDERATION"
_I, _M, _S = f"{_F}/identity_providers", f"{_F}/mappings", f"{_F}/service_providers"
_P = f"{_I}/{{idp_id}}/protocols"
_NEW_PROVIDER = Body({"type": "object", "additionalProperties": False, "properties": {"identity_provider": {
    "type": "object", "properties": {**_PROVIDER, "domain_id": nullable(ID)}, "additionalProperties": False}}})
_ROUTES = (
    operation("GET", _I, list_providers, "list_identity_providers"),
    operation("GET", f"{_I}/{{idp_id}}", show_provider, "get_identity_provider"),
    operation("PUT", f"{_I}/{{idp_id}}", create_provider, "create_identity_provider", status=201, body=_NEW_PROVIDER),
    operation("PATCH", f"{_I}/{{idp_id}}", update_provider, "update_identity_provider",
              body=member("identity_provider", _PROVIDER, open_=False, at_least=1)),
    operation("DELETE", f"{_I}/{{idp_id}}", delete_provider, "delete_identity_provider", status=204),
    operation("GET", _P, list_protocols, "list_protocols"),
    operation("GET", f"{_P}/{{protocol_id}}", show_protocol, "get_protocol"),
    operation("PUT", f"{_P}/{{protocol_id}}", create_protocol, "create_protocol", status=201,
              body=member("protocol", _PROTOCOL, ("mapping_id",), open_=False)),
    operation("PATCH", f"{_P}/{{protocol_id}}", update_protocol, "update_protocol",
              body=member("protocol", _PROTOCOL, open_=False, at_least=1)),
    operation("DELETE", f"{_P}/{{protocol_id}}", delete_protocol, "delete_protocol", status=204),
    operation("GET", _M, list_mappings, "list_mappings"),
    operation("GET", f"{_M}/{{mapping_id}}", show_mapping, "get_mapping"),
    operation("PUT", f"{_M}/{{mapping_id}}", create_mapping, "create_mapping", status=201, body=_MAPPING),
    operation("PATCH", f"{_M}/{{mapping_id}}", update_mapping, "update_mapping", body=_MAPPING),
    operation("DELETE", f"{_M}/{{mapping_id}}", delete_mapping, "delete_mapping", status=204),
    operation("GET", _S, list_services, "list_service_providers"),
    operation("GET", f"{_S}/{{sp_id}}", show_service, "get_service_provider"),
    operation("PUT", f"{_S}/{{sp_id}}", create_service, "create_service_provider", status=201,
              body=member("service_provider", _SERVICE, ("auth_url", "sp_url"), open_=False)),
    operation("PATCH", f"{_S}/{{sp_id}}", update_service, "update_service_provider",
              body=member("service_provider", _SERVICE, open_=False, at_least=1)),
    operation("DELETE", f"{_S}/{{sp_id}}", delete_service, "delete_service_provider", status=204),
)


def routes(identity: Identity) -> list[Route]:
    """With the older paths of ``/v3/auth/projects`` and ``/v3/auth/domains``."""
    tokens = Tokens(identity)
    return [*_ROUTES, operation("GET", f"{_F}/projects", tokens.projects, "get_auth_projects"),
            operation("GET", f"{_F}/domains", tokens.domains, "get_auth_domains")]
