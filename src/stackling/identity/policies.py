"""Policies that Identity keeps for others (a deprecated API), and which endpoints each is for.

A policy is associated with an endpoint, with a service in a region and those below it, or with a service; the most
particular association decides.
"""

from __future__ import annotations

import hashlib
from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

from sqlalchemy import bindparam, delete, insert, select, update

from stackling.core.errors import NotFound
from stackling.identity import catalog, state
from stackling.identity.listing import select_page
from stackling.identity.model import Endpoint, Extra, Listing, Region
from stackling.identity.refusals import not_found
from stackling.store.tables.identity import policies, policy_associations
from stackling.store.transaction import Tx

_p, _a = policies.c, policy_associations.c
_POLICY = (_p.id, _p.type, _p.blob, _p.extra)
_ONE = select(*_POLICY).where(_p.id == bindparam("id"))
_OF = select(_a.endpoint_id, _a.service_id, _a.region_id).where(_a.policy_id == bindparam("policy_id"))
_FOR = select(_a.policy_id).where(_a.id == bindparam("id"))


@dataclass(frozen=True, slots=True)
class StoredPolicy:
    """``blob`` is the policy, whatever its ``type`` means."""

    id: str
    type: str
    blob: str
    extra: Extra


@dataclass(frozen=True, slots=True)
class Target:
    """What a policy is associated with: an endpoint, or a service, perhaps in one region."""

    endpoint_id: str | None = None
    service_id: str | None = None
    region_id: str | None = None

    @property
    def id(self) -> str:
        """One for each target, so that it has one policy."""
        return hashlib.sha256(repr((self.endpoint_id, self.service_id, self.region_id)).encode()).hexdigest()


def get_policy(tx: Tx, id_: str) -> StoredPolicy:
    """Raises ``NotFound``."""
    row = tx.one(_ONE, id=id_)
    if row is None:
        raise not_found("policy", id_)
    return StoredPolicy(*row)


def list_policies(tx: Tx, listing: Listing) -> list[StoredPolicy]:
    return [StoredPolicy(*row) for row in tx.execute(select_page(select(*_POLICY), policies, listing))]


def create_policy(tx: Tx, id_: str, values: Mapping[str, Any]) -> StoredPolicy:
    """*values*: ``type``, ``blob``, ``extra``."""
    state.bump(tx)
    tx.execute(insert(policies), {"extra": {}, **values, "id": id_})
    return get_policy(tx, id_)


def update_policy(tx: Tx, policy: StoredPolicy, values: Mapping[str, Any]) -> StoredPolicy:
    state.bump(tx)
    if values:
        tx.execute(update(policies).where(_p.id == policy.id).values(dict(values)))
    return get_policy(tx, policy.id)


def delete_policy(tx: Tx, policy: StoredPolicy) -> None:
    """A policy with its associations."""
    state.bump(tx)
    tx.execute(delete(policy_associations).where(_a.policy_id == policy.id))
    tx.execute(delete(policies).where(_p.id == policy.id))


# -- associations


def associate(tx: Tx, policy: StoredPolicy, target: Target) -> None:
    """Make *policy* the one of *target*, in place of another."""
    state.bump(tx)
    tx.execute(delete(policy_associations).where(_a.id == target.id))
    tx.execute(insert(policy_associations), {
        "id": target.id, "policy_id": policy.id, "endpoint_id": target.endpoint_id, "service_id": target.service_id,
        "region_id": target.region_id})


def check_association(tx: Tx, policy: StoredPolicy, target: Target) -> None:
    """Raises ``NotFound`` where *policy* isn't the one of *target*."""
    if tx.scalar(_FOR, id=target.id) != policy.id:
        raise NotFound("Could not find policy association.")


def dissociate(tx: Tx, policy: StoredPolicy, target: Target) -> None:
    """Nothing happens where there is no such association."""
    state.bump(tx)
    tx.execute(delete(policy_associations).where(_a.id == target.id, _a.policy_id == policy.id))


def endpoints_of(tx: Tx, policy: StoredPolicy) -> list[Endpoint]:
    """Every endpoint that an association of the policy covers, each once."""
    every = catalog.list_endpoints(tx, Listing())
    regions = catalog.list_regions(tx, Listing())
    found: dict[str, Endpoint] = {}
    for row in tx.all(_OF, policy_id=policy.id):
        target = Target(row.endpoint_id, row.service_id, row.region_id)
        below = _below(target.region_id, regions) if target.region_id is not None else None
        for one in every:
            if one.id == target.endpoint_id or (target.endpoint_id is None and one.service_id == target.service_id and (
                    below is None or one.region_id in below)):
                found[one.id] = one
    return list(found.values())


def _below(region_id: str, regions: list[Region]) -> set[str]:
    """The region and all those below it."""
    found, level = {region_id}, {region_id}
    while level:
        level = {one.id for one in regions if one.parent_region_id in level} - found
        found |= level
    return found


def policy_for(tx: Tx, endpoint: Endpoint) -> StoredPolicy:
    """The endpoint's own policy, else its service's in its region or one above, else its service's.

    Raises ``NotFound``.
    """
    targets = [Target(endpoint_id=endpoint.id)]
    above = {one.id: one.parent_region_id for one in catalog.list_regions(tx, Listing())}
    region, seen = endpoint.region_id, set[str]()
    while region is not None and region not in seen:
        seen.add(region)
        targets.append(Target(service_id=endpoint.service_id, region_id=region))
        region = above.get(region)
    targets.append(Target(service_id=endpoint.service_id))
    for target in targets:
        policy_id = tx.scalar(_FOR, id=target.id)
        if policy_id is not None:
            return get_policy(tx, policy_id)
    raise NotFound(f"No policy is associated with endpoint {endpoint.id}.")
