"""Load balancers: use-cases, one transaction each."""

from __future__ import annotations

import ipaddress
from collections.abc import Mapping
from typing import Any

from stackling.core.context import Context
from stackling.core.errors import Conflict, Invalid, NotFound, QuotaExceeded
from stackling.loadbalancer import changes, listeners, pools, quotas, rules, sources
from stackling.loadbalancer.errors import (
    PROVIDER,
    invalid_state,
    no_subresource,
    not_enabled,
    over_quota,
    unsupported,
    validation,
)
from stackling.loadbalancer.model import DEADLINE, KIND, Provisioning
from stackling.loadbalancer.rows import BALANCERS, CHILDREN, LISTENERS, POOLS, Record
from stackling.network.facade import balancing
from stackling.store.transaction import Tx

Spec = Mapping[str, Any]


def create(tx: Tx, ctx: Context, spec: Spec) -> Record:
    """Make a load balancer, with its address and all that the request has below it."""
    if not any(spec.get(name) for name in ("vip_port_id", "vip_network_id", "vip_subnet_id")):
        raise Invalid("Validation failure: VIP must contain one of: vip_port_id, vip_network_id, vip_subnet_id.")
    _check_options(spec)
    quotas.reserve(tx, spec["project_id"], "load_balancer")
    vip = _address(tx, ctx, spec)
    others = _other_addresses(tx, ctx, spec, vip)
    record: Record = {
        **changes.fresh(tx, spec["id"], spec["project_id"], spec), "generation": 1, "observed_generation": 0,
        "deleting": False, "last_error": None, "provider": PROVIDER, **vip, "additional_vips": others}
    BALANCERS.insert(tx, record)
    _add_below(tx, ctx, record, spec)
    tx.event(ctx, KIND, record["id"], "create", record["vip_address"], project_id=record["project_id"])
    tx.nudge(KIND, record["id"], deadline=DEADLINE)
    return record


def _check_options(spec: Spec) -> None:
    provider = spec.get("provider")
    if spec.get("flavor_id"):
        raise validation("Invalid flavor_id.")          # the provider has no flavors, so there are none
    if spec.get("availability_zone"):
        raise validation("Invalid availability zone.")
    if provider is not None and provider != PROVIDER:
        raise not_enabled(provider)
    if spec.get("vip_qos_policy_id"):
        raise validation("VIP QoS policy is not allowed in this deployment.")
    if spec.get("vip_sg_ids"):
        raise unsupported("OVN provider does not support security groups of the VIP")


# -- the address

def _address(tx: Tx, ctx: Context, spec: Spec) -> Record:
    """The columns of the VIP, with its port made or taken."""
    wanted: str | None = spec.get("vip_address")
    if spec.get("vip_port_id"):
        return _of_port(tx, ctx, spec, wanted)
    subnet = _subnet(tx, ctx, spec, wanted)
    port = _make(tx, ctx, spec, subnet, f"ovn-lb-vip-{spec['id']}", wanted)
    return {"vip_address": port.fixed_ips[0][1], "vip_port_id": port.id, "vip_subnet_id": subnet.id,
            "vip_network_id": subnet.network_id}


def _of_port(tx: Tx, ctx: Context, spec: Spec, wanted: str | None) -> Record:
    port = balancing.port(tx, ctx, spec["vip_port_id"])
    if port is None:
        raise no_subresource("Port", spec["vip_port_id"])
    if port.device_id:
        raise validation(f"Port {port.id} is already used by device {port.device_id} ")
    fixed = list(port.fixed_ips)
    if spec.get("vip_subnet_id"):
        if balancing.subnet(tx, ctx, spec["vip_subnet_id"]) is None:
            raise no_subresource("Subnet", spec["vip_subnet_id"])
        fixed = [one for one in fixed if one[0] == spec["vip_subnet_id"]]
        if not fixed:
            raise validation("No VIP address found on the specified VIP port within the specified subnet.")
    elif wanted:
        fixed = [one for one in fixed if ipaddress.ip_address(one[1]) == ipaddress.ip_address(wanted)]
        if not fixed:
            raise validation("Specified VIP address not found on the specified VIP port.")
    elif len(fixed) != 1:
        raise validation("VIP port's subnet could not be determined. Please specify either a VIP subnet or address.")
    if len(port.fixed_ips) != 1:
        raise unsupported("OVN provider does not support a VIP port with several addresses")
    balancing.take_port(tx, port.id, spec["id"])
    return {"vip_address": fixed[0][1], "vip_port_id": port.id, "vip_subnet_id": fixed[0][0],
            "vip_network_id": port.network_id}


def _subnet(tx: Tx, ctx: Context, spec: Spec, wanted: str | None) -> balancing.BalancedSubnet:
    """The subnet of the address: the one that is named, or one of the network's, preferring IPv4."""
    if not spec.get("vip_network_id"):
        subnet = balancing.subnet(tx, ctx, spec["vip_subnet_id"])
        if subnet is None:
            raise no_subresource("Subnet", spec["vip_subnet_id"])
        return subnet
    network = balancing.network(tx, ctx, spec["vip_network_id"])
    if network is None:
        raise no_subresource("Network", spec["vip_network_id"])
    if spec.get("vip_subnet_id"):
        found = [one for one in network.subnets if one.id == spec["vip_subnet_id"]]
        if not found:
            raise no_subresource("Subnet", spec["vip_subnet_id"])
    elif wanted:
        found = [one for one in network.subnets if rules.is_inside(wanted, one.cidr)]
        if not found:
            raise validation("Supplied network does not contain a subnet for VIP address specified.")
    else:
        found = sorted(network.subnets, key=lambda one: one.ip_version)
        if not found:
            raise validation("Supplied network does not contain a subnet.")
    return found[0]


def _other_addresses(tx: Tx, ctx: Context, spec: Spec, vip: Record) -> list[dict[str, str]]:
    used = {vip["vip_subnet_id"]}
    made: list[dict[str, str]] = []
    for number, one in enumerate(spec.get("additional_vips") or (), 1):
        if one["subnet_id"] in used:
            raise validation("Duplicate VIP subnet(s) specified. Only one IP can be bound per subnet.")
        used.add(one["subnet_id"])
        subnet = balancing.subnet(tx, ctx, one["subnet_id"])
        if subnet is None:
            raise validation(f"Subnet {one['subnet_id']} not found")
        if subnet.network_id != vip["vip_network_id"]:
            raise validation("All VIP subnets must belong to the same network.")
        port = _make(tx, ctx, spec, subnet, f"ovn-lb-vip-additional-{number}-{spec['id']}", one.get("ip_address"))
        made.append({"subnet_id": subnet.id, "ip_address": port.fixed_ips[0][1], "port_id": port.id})
    return made


def _make(tx: Tx, ctx: Context, spec: Spec, subnet: balancing.BalancedSubnet, name: str,
          address: str | None) -> balancing.BalancedPort:
    """A port for an address; what Network refuses, in Octavia's words."""
    try:
        return balancing.make_port(tx, ctx, spec["project_id"], spec["id"], subnet.id, name, address)
    except QuotaExceeded:
        raise over_quota("Port") from None
    except Conflict as error:
        if error.type == "IpAddressAlreadyAllocated":
            raise Conflict(f"The VIP IP address is already in use: {error.message}") from None
        raise validation("Subnet(s) in the supplied network do not contain enough available IPs.") from None
    except (Invalid, NotFound) as error:
        raise validation(error.message) from None


# -- all at once

def _add_below(tx: Tx, ctx: Context, record: Record, spec: Spec) -> None:
    """The pools and listeners of a request that makes everything at once; they refer to pools by name."""
    given: list[Spec] = list(spec.get("listeners") or ())
    full: list[Spec] = list(spec.get("pools") or ())
    referred: list[str] = []
    for listener in given:
        pool = listener.get("default_pool")
        if not pool:
            continue
        if not pool.get("name"):
            raise validation("Pools must be named when creating a fully populated loadbalancer.")
        if pool.get("protocol") or pool.get("lb_algorithm") or pool.get("members"):
            full.append(pool)
        else:
            referred.append(pool["name"])
    names: list[str | None] = [pool.get("name") for pool in full]
    if len(set(names)) != len(names):
        raise validation("Pool names must be unique when creating a fully populated loadbalancer.")
    for name in referred:
        if name not in names:
            raise validation(f"Pool '{name}' was referenced but no full definition was found.")
    quotas.reserve(tx, record["project_id"], "pool", len(full))
    ids: dict[str, Record] = {}
    for pool in full:
        for name in ("protocol", "lb_algorithm"):
            if not pool.get(name):
                raise validation(f"Pool definition for '{pool.get('name')}' missing required attribute: {name}")
        ids[pool.get("name") or pool["id"]] = pools.add(tx, ctx, record, pool)
    quotas.reserve(tx, record["project_id"], "listener", len(given))
    for listener in given:
        chosen = ids[listener["default_pool"]["name"]] if listener.get("default_pool") else None
        if chosen is not None:
            rules.check_pair(listener["protocol"], chosen["protocol"])
        listeners.add(tx, record, {**listener, "default_pool_id": chosen["id"] if chosen else None})
    if full:
        sources.follow(tx, ctx, record)


# -- later

def update(tx: Tx, ctx: Context, record: Record, given: Spec) -> Record:
    """Change a load balancer; its address stays."""
    if given.get("vip_qos_policy_id"):
        raise validation("VIP QoS policy is not allowed in this deployment.")
    if given.get("vip_sg_ids"):
        raise unsupported("OVN provider does not support security groups of the VIP")
    changes.begin(tx, ctx, record, "load balancer changed", of_itself=True)
    values = {**changes.named(given), "updated_at": tx.now}
    BALANCERS.update(tx, record["id"], values)
    return {**record, **values, "provisioning_status": Provisioning.PENDING_UPDATE.value}


def delete(tx: Tx, ctx: Context, record: Record, *, cascade: bool) -> None:
    """Delete a load balancer; with *cascade* all that is below it."""
    if not cascade and (LISTENERS.of(tx, [record["id"]]) or POOLS.of(tx, [record["id"]])):
        raise validation(f"Cannot delete Load Balancer {record['id']} - it has children")
    changes.begin_deletion(tx, ctx, record)
    for rows in CHILDREN:
        for one in rows.of(tx, [record["id"]]):
            rows.update(tx, one["id"], {"provisioning_status": Provisioning.PENDING_DELETE.value})
    balancing.drop_ports(tx, record["id"])


def fail_over(record: Record) -> None:
    """There is nothing to fail over to: every machine balances. Refused as the provider does."""
    if record["provisioning_status"] not in (Provisioning.ACTIVE, Provisioning.ERROR):
        raise invalid_state(record["provisioning_status"], record["id"])
    raise unsupported("OVN provider does not support loadbalancer failover")
