"""``/flavors``: flavors, their extra specs, and who may use those that aren't public."""

from __future__ import annotations

from collections.abc import Callable, Iterable
from typing import TYPE_CHECKING, Any

from stackling.api.call import Call, Reply
from stackling.api.compute.parts import (
    BOOLEAN,
    COUNT,
    MAX_LIMIT,
    NAME,
    TEXT,
    Json,
    is_true,
    limit_of,
    link_base,
    links,
    next_links,
    number,
    obj,
    only,
    query,
    route,
)
from stackling.api.schema import Schemas, always
from stackling.compute import flavors
from stackling.compute.model import Flavor
from stackling.core.errors import Invalid, NotFound

if TYPE_CHECKING:
    from stackling.store.transaction import Tx

_DESCRIPTION = {"type": ["string", "null"], "format": "printable", "minLength": 0, "maxLength": 65535}
_SORT_KEYS = ["created_at", "description", "disabled", "ephemeral_gb", "flavorid", "id", "is_public", "memory_mb",
              "name", "root_gb", "rxtx_factor", "swap", "updated_at", "vcpu_weight", "vcpus"]


def show(call: Call, flavor: Flavor, *, specs: bool | None = None) -> Json:
    """A flavor in full."""
    version = call.version
    shown: Json = {
        "id": flavor.id, "name": flavor.name, "ram": flavor.memory_mib, "disk": flavor.root_gib, "vcpus": flavor.vcpus,
        "swap": flavor.swap_mib if version >= (2, 75) or flavor.swap_mib else "",
        "OS-FLV-EXT-DATA:ephemeral": flavor.ephemeral_gib, "OS-FLV-DISABLED:disabled": flavor.disabled,
        "os-flavor-access:is_public": flavor.is_public, "links": links(call, "flavors", flavor.id)}
    if version < (2, 102):
        shown["rxtx_factor"] = flavor.rxtx_factor
    if version >= (2, 55):
        shown["description"] = flavor.description
    if version >= (2, 61) and (_may_see_specs(call) if specs is None else specs):
        shown["extra_specs"] = flavor.extra_specs
    return shown


def _may_see_specs(call: Call) -> bool:
    return call.allowed("os_compute_api:os-flavor-extra-specs:index")


def _public(call: Call) -> bool | None:
    text = call.query.last("is_public")
    if not call.ctx.is_admin or text is None:
        return True
    if text.strip().lower() == "none":
        return None
    if text.strip().lower() not in ("1", "t", "true", "on", "y", "yes", "0", "f", "false", "off", "n", "no"):
        raise Invalid(f"Invalid is_public filter [{text}]")
    return is_true(text)


def _least(call: Call, name: str) -> int:
    text = call.query.last(name)
    if text is None:
        return 0
    try:
        return int(text)
    except ValueError:
        raise Invalid(f"Invalid {name} filter [{text}]") from None


def list_flavors(detail: bool) -> Callable[[Tx, Call], Reply]:
    """GET /flavors and /flavors/detail."""
    def handler(tx: Tx, call: Call) -> Reply:
        if not call.query and not detail:
            return Reply({"flavors": _all_basic(call, flavors.list_names(tx, call.ctx, MAX_LIMIT))})
        limit = limit_of(call.query)
        key = call.query.last("sort_key", "flavorid") or "flavorid"
        found = flavors.list_flavors(
            tx, call.ctx, is_public=_public(call), min_memory=_least(call, "minRam"), min_disk=_least(call, "minDisk"),
            name=call.query.last("name") if call.version >= (2, 102) else None,
            sort=(key, call.query.last("sort_dir", "asc") != "desc"), limit=limit, marker=call.query.last("marker"))
        if detail:
            specs = _may_see_specs(call)
            shown = [show(call, flavor, specs=specs) for flavor in found]
        else:
            shown = [_basic(call, flavor) for flavor in found]
        body: Json = {"flavors": shown}
        if more := next_links(call, "flavors/detail" if detail else "flavors", shown, limit, lambda: found[-1].id):
            body["flavors_links"] = more
        return Reply(body)

    return handler


def _basic(call: Call, flavor: Flavor) -> Json:
    return _all_basic(call, [flavor])[0]


def _all_basic(call: Call, found: Iterable[Any]) -> list[Json]:
    base, described = link_base(call), call.version >= (2, 55)
    shown: list[Json] = []
    for flavor in found:
        id = flavor.id
        one: Json = {"id": id, "name": flavor.name, "links": [
            {"rel": "self", "href": f"{base}/v2.1/flavors/{id}"}, {"rel": "bookmark", "href": f"{base}/flavors/{id}"}]}
        if described:
            one["description"] = flavor.description
        shown.append(one)
    return shown


def show_flavor(tx: Tx, call: Call) -> Reply:
    """GET /flavors/{id}."""
    return Reply({"flavor": show(call, flavors.get_flavor(tx, call.ctx, call.params["flavor"]))})


def create_flavor(tx: Tx, call: Call) -> Reply:
    """POST /flavors."""
    given: Json = call.body["flavor"]
    id = given.get("id")
    flavor = Flavor(
        id="" if id is None else str(id), name=given["name"], vcpus=int(given["vcpus"]), memory_mib=int(given["ram"]),
        root_gib=int(given["disk"]), ephemeral_gib=int(given.get("OS-FLV-EXT-DATA:ephemeral", 0)),
        swap_mib=int(given.get("swap", 0)), rxtx_factor=float(given.get("rxtx_factor", 1.0)),
        is_public=is_true(given.get("os-flavor-access:is_public", True)), description=given.get("description"))
    return Reply({"flavor": show(call, flavors.create_flavor(tx, flavor))})


def update_flavor(tx: Tx, call: Call) -> Reply:
    """PUT /flavors/{id}: its description."""
    flavor = flavors.describe_flavor(tx, call.ctx, call.params["flavor"], call.body["flavor"]["description"])
    return Reply({"flavor": show(call, flavor)})


def delete_flavor(tx: Tx, call: Call) -> Reply:
    """DELETE /flavors/{id}."""
    flavors.delete_flavor(tx, call.ctx, call.params["flavor"])
    return Reply(status=202)


# -- extra specs

def list_specs(tx: Tx, call: Call) -> Reply:
    """GET …/os-extra_specs."""
    return Reply({"extra_specs": flavors.get_flavor(tx, call.ctx, call.params["flavor"]).extra_specs})


def add_specs(tx: Tx, call: Call) -> Reply:
    """POST …/os-extra_specs."""
    specs = _texts(call.body["extra_specs"])
    return Reply({"extra_specs": flavors.set_extra_specs(tx, call.ctx, call.params["flavor"], specs)})


def show_spec(tx: Tx, call: Call) -> Reply:
    """GET …/os-extra_specs/{key}."""
    id, key = call.params["flavor"], call.params["key"]
    specs = flavors.get_flavor(tx, call.ctx, id).extra_specs
    if key not in specs:
        raise NotFound(f"Flavor {id} has no extra specs with key {key}.")
    return Reply({key: specs[key]})


def set_spec(tx: Tx, call: Call) -> Reply:
    """PUT …/os-extra_specs/{key}."""
    if call.params["key"] not in call.body:
        raise Invalid("Request body and URI mismatch")
    return Reply(flavors.set_extra_specs(tx, call.ctx, call.params["flavor"], _texts(call.body)))


def delete_spec(tx: Tx, call: Call) -> Reply:
    """DELETE …/os-extra_specs/{key}."""
    flavors.delete_extra_spec(tx, call.ctx, call.params["flavor"], call.params["key"])
    return Reply()


def _texts(specs: dict[str, Any]) -> dict[str, str]:
    return {key: str(value) for key, value in specs.items()}


# -- access

def _access(id: str, projects: list[str]) -> Reply:
    return Reply({"flavor_access": [{"flavor_id": id, "tenant_id": project} for project in projects]})


def list_access(tx: Tx, call: Call) -> Reply:
    """GET …/os-flavor-access."""
    id = call.params["flavor"]
    return _access(id, flavors.list_access(tx, call.ctx, id))


def flavor_action(tx: Tx, call: Call) -> Reply:
    """POST …/action: addTenantAccess, removeTenantAccess."""
    id = call.params["flavor"]
    for action, rule, do in (("addTenantAccess", "add_tenant_access", flavors.add_access),
                             ("removeTenantAccess", "remove_tenant_access", flavors.remove_access)):
        if isinstance(call.body, dict) and action in call.body:
            call.authorize(None, f"os_compute_api:os-flavor-access:{rule}")
            _ACCESS[action].check(call.body, call.version)
            return _access(id, do(tx, call.ctx, id, call.body[action]["tenant"]))
    raise Invalid("There is no such action.")


_TENANT = {"type": "string", "minLength": 1, "maxLength": 255}
_ACCESS = {action: always(only(action, only("tenant", _TENANT)))
           for action in ("addTenantAccess", "removeTenantAccess")}
_SPECS: Json = {"type": "object", "additionalProperties": False, "patternProperties": {
    "^[a-zA-Z0-9-_:. ]{1,255}$": {"type": ["string", "number"], "maxLength": 255}}}


def _create(described: bool, rxtx: bool) -> Json:
    flavor: Json = {
        "name": NAME, "id": {"type": ["string", "number", "null"], "minLength": 1, "maxLength": 255,
                             "pattern": "^(?! )[a-zA-Z0-9. _-]+(?<! )$"},
        "ram": number(1), "vcpus": number(1), "disk": number(0), "OS-FLV-EXT-DATA:ephemeral": number(0),
        "swap": number(0), "os-flavor-access:is_public": BOOLEAN}
    if rxtx:
        flavor["rxtx_factor"] = {"type": ["number", "string"], "pattern": r"^[0-9]+(\.[0-9]+)?$", "exclusiveMinimum": 0,
                                 "maximum": 3.40282e+38}
    if described:
        flavor["description"] = _DESCRIPTION
    return only("flavor", obj(flavor, "name", "ram", "vcpus", "disk"))


def _query(rxtx: bool = True, name: bool = False, more: bool = True) -> Json:
    keys = [key for key in _SORT_KEYS if rxtx or key != "rxtx_factor"]
    found: Json = {"limit": COUNT, "marker": TEXT, "is_public": TEXT, "minRam": TEXT, "minDisk": TEXT,
                   "sort_key": {"type": "string", "enum": keys},
                   "sort_dir": {"type": "string", "enum": ["asc", "desc"]}}
    return query({**found, **({"name": TEXT} if name else {})}, more=more)


_LIST = Schemas({(2, 0): _query(), (2, 75): _query(more=False), (2, 102): _query(False, True, False)})
_CREATE = Schemas({(2, 0): _create(False, True), (2, 55): _create(True, True), (2, 102): _create(True, False)})
_F = "/flavors/{flavor}"
ROUTES = [
    route("GET", "/flavors", list_flavors(False), "flavors", query=_LIST),
    route("POST", "/flavors", create_flavor, "os-flavor-manage:create", body=_CREATE),
    route("GET", "/flavors/detail", list_flavors(True), "flavors", query=_LIST),
    route("GET", _F, show_flavor, "flavors"),
    route("PUT", _F, update_flavor, "os-flavor-manage:update", min=(2, 55),
          body=always(only("flavor", only("description", _DESCRIPTION)))),
    route("DELETE", _F, delete_flavor, "os-flavor-manage:delete", status=202),
    route("POST", f"{_F}/action", flavor_action, "servers:action"),
    route("GET", f"{_F}/os-flavor-access", list_access, "os-flavor-access"),
    route("GET", f"{_F}/os-extra_specs", list_specs, "os-flavor-extra-specs:index"),
    route("POST", f"{_F}/os-extra_specs", add_specs, "os-flavor-extra-specs:create",
          body=always(only("extra_specs", _SPECS))),
    route("GET", f"{_F}/os-extra_specs/{{key}}", show_spec, "os-flavor-extra-specs:show"),
    route("PUT", f"{_F}/os-extra_specs/{{key}}", set_spec, "os-flavor-extra-specs:update",
          body=always({**_SPECS, "minProperties": 1, "maxProperties": 1})),
    route("DELETE", f"{_F}/os-extra_specs/{{key}}", delete_spec, "os-flavor-extra-specs:delete"),
]
