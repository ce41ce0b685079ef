"""``/v3/policies`` and ``OS-ENDPOINT-POLICY``."""

from __future__ import annotations

from collections.abc import Callable
from typing import TYPE_CHECKING, Any

from stackling.api.call import Call
from stackling.api.identity.catalog import show_endpoint_of
from stackling.api.identity.operation import operation
from stackling.api.identity.schema import member
from stackling.api.identity.view import collection, listing, merged, own_id, root, split, with_links
from stackling.api.route import Route
from stackling.core.ids import new_hex
from stackling.identity import catalog, policies
from stackling.identity.policies import StoredPolicy, Target

if TYPE_CHECKING:
    from stackling.store.transaction import Tx

_POLICY = {"blob": {"type": "string"}, "type": {"type": "string", "maxLength": 255}}


def _show(call: Call, policy: StoredPolicy) -> dict[str, Any]:
    return with_links(call, "policies", {**policy.extra, "id": policy.id, "type": policy.type, "blob": policy.blob})


def _policy(tx: Tx, call: Call) -> StoredPolicy:
    return policies.get_policy(tx, call.params["policy_id"])


def list_policies(tx: Tx, call: Call) -> Any:
    page = listing(call, ("type",))
    return collection(call, "policies", [_show(call, one) for one in policies.list_policies(tx, page)], page)


def show_policy(tx: Tx, call: Call) -> Any:
    return {"policy": _show(call, _policy(tx, call))}


def create_policy(tx: Tx, call: Call) -> Any:
    values, extra = split(call.body["policy"], _POLICY)
    return {"policy": _show(call, policies.create_policy(tx, new_hex(), {**values, "extra": extra}))}


def update_policy(tx: Tx, call: Call) -> Any:
    policy = _policy(tx, call)
    own_id(call.body["policy"], policy.id, "policy")
    values, extra = split(call.body["policy"], _POLICY)
    return {"policy": _show(call, policies.update_policy(tx, policy, merged(values, extra, policy.extra)))}


def delete_policy(tx: Tx, call: Call) -> None:
    policies.delete_policy(tx, _policy(tx, call))


def policy_endpoints(tx: Tx, call: Call) -> Any:
    found = policies.endpoints_of(tx, _policy(tx, call))
    return collection(call, "endpoints", [show_endpoint_of(call, one) for one in found])


def endpoint_policy(tx: Tx, call: Call) -> Any:
    endpoint = catalog.get_endpoint(tx, call.params["endpoint_id"])
    shown = _show(call, policies.policy_for(tx, endpoint))
    shown["links"] = {"self": f"{root(call)}/endpoints/{endpoint.id}/OS-ENDPOINT-POLICY/policy"}
    return {"policy": shown}


def _target(tx: Tx, call: Call) -> Target:
    """What the path names besides the policy; all of it must be there."""
    given = call.params
    endpoint = catalog.get_endpoint(tx, given["endpoint_id"]).id if "endpoint_id" in given else None
    service = catalog.get_service(tx, given["service_id"]).id if "service_id" in given else None
    region = catalog.get_region(tx, given["region_id"]).id if "region_id" in given else None
    return Target(endpoint, service, region)


def _on_association(act: Callable[[Tx, StoredPolicy, Target], None]) -> Callable[[Tx, Call], None]:
    def handle(tx: Tx, call: Call) -> None:
        act(tx, _policy(tx, call), _target(tx, call))

    return handle


_P = "/policies/{policy_id}"
_A = f"{_P}/OS-ENDPOINT-POLICY"


def _association(path: str, kind: str) -> tuple[Route, ...]:
    rule = f"policy_association_for_{kind}"
    return (
        operation("GET", path, _on_association(policies.check_association), f"check_{rule}", status=204),
        operation("PUT", path, _on_association(policies.associate), f"create_{rule}", status=204),
        operation("DELETE", path, _on_association(policies.dissociate), f"delete_{rule}", status=204),
    )


ROUTES = (
    operation("GET", "/policies", list_policies, "list_policies"),
    operation("POST", "/policies", create_policy, "create_policy", status=201,
              body=member("policy", _POLICY, ("blob", "type"))),
    operation("GET", _P, show_policy, "get_policy"),
    operation("PATCH", _P, update_policy, "update_policy", body=member("policy", _POLICY, at_least=1)),
    operation("DELETE", _P, delete_policy, "delete_policy", status=204),
    operation("GET", f"{_A}/endpoints", policy_endpoints, "list_endpoints_for_policy"),
    operation("GET", "/endpoints/{endpoint_id}/OS-ENDPOINT-POLICY/policy", endpoint_policy,
              "get_policy_for_endpoint"),
    *_association(f"{_A}/endpoints/{{endpoint_id}}", "endpoint"),
    *_association(f"{_A}/services/{{service_id}}", "service"),
    *_association(f"{_A}/services/{{service_id}}/regions/{{region_id}}", "region_and_service"),
)
