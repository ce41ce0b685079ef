"""What the metadata service and the config drive show of a server, and what the API shows of its network. Pure.

Shapes are Nova's: https://docs.openstack.org/nova/latest/user/metadata.html and the ``network_data.json`` schema
there; the EC2 form is that of version 2009-04-04.
"""

from __future__ import annotations

import ipaddress
from collections.abc import Mapping, Sequence
from typing import Any

import msgspec

from stackling.network.facade import PortSubnet, ServerPort
from stackling.ports.document import InjectedFile, MetadataDocument, Nic

DOMAIN = "novalocal"
"""What follows a server's name in its metadata: the default of Nova's ``dhcp_domain``."""
_UNTOLD = {"bus": "none", "address": "none"}
"""Where a device is plugged in, in Nova's words for not knowing."""
encode = msgspec.json.Encoder().encode


def text(value: Any) -> str:
    """*value* as JSON text."""
    return encode(value).decode()


def addresses(ports: Sequence[ServerPort]) -> dict[str, list[dict[str, Any]]]:
    """The server's ``addresses``: by network name, each fixed address followed by its floating ones."""
    result: dict[str, list[dict[str, Any]]] = {}
    for port in ports:
        shown = result.setdefault(port.network_name, [])
        for _subnet, address, version in port.fixed_ips:
            shown.append(_address(address, version, "fixed", port.mac))
            shown += [_address(floating, 4, "floating", port.mac)
                      for fixed, floating in port.floating if fixed == address]
    return result


def _address(address: str, version: int, kind: str, mac: str) -> dict[str, Any]:
    return {"version": version, "addr": address, "OS-EXT-IPS:type": kind, "OS-EXT-IPS-MAC:mac_addr": mac}


def security_groups(ports: Sequence[ServerPort]) -> list[dict[str, str]]:
    """The server's ``security_groups``: names, each group once."""
    groups = {id: name for port in ports for id, name in port.security_groups}
    return [{"name": name} for name in sorted(groups.values())]


def nics(ports: Sequence[ServerPort]) -> list[Nic]:
    """The interfaces of the guest."""
    return [Nic(port_id=p.port_id, mac=p.mac, network_id=p.network_id, mtu=p.mtu, tag=p.tag) for p in ports]


def document(server: Mapping[str, Any], ports: Sequence[ServerPort]) -> MetadataDocument:
    """All that a guest may learn of itself."""
    return MetadataDocument(meta_data=_meta_data(server, ports), network_data=network_data(ports),
                            ec2=_ec2(server, ports), user_data=server["user_data"],
                            files=tuple(InjectedFile(path=path, contents=contents)
                                        for path, contents in server["injected_files"] or ()))


def _meta_data(server: Mapping[str, Any], ports: Sequence[ServerPort]) -> dict[str, Any]:
    keypair: Mapping[str, str] | None = server["keypair"]
    shown: dict[str, Any] = {
        "uuid": server["id"],
        "name": server["name"],
        "hostname": _hostname(server),
        "launch_index": server["launch_index"],
        "availability_zone": server["availability_zone"],
        "project_id": server["project_id"],
        "devices": [*({"type": "nic", "mac": p.mac, **_UNTOLD, "tags": [p.tag]} for p in ports if p.tag),
                    *_tagged_volumes(server)],
        "dedicated_cpus": [],
    }
    if server["metadata"]:
        shown["meta"] = dict(server["metadata"])
    if keypair:
        shown["public_keys"] = {keypair["name"]: keypair["public_key"]}
        shown["keys"] = [{"name": keypair["name"], "type": keypair["type"], "data": keypair["public_key"]}]
    return shown


def _hostname(server: Mapping[str, Any]) -> str:
    return f"{server['hostname']}.{DOMAIN}"


def _tagged_volumes(server: Mapping[str, Any]) -> list[dict[str, Any]]:
    """The volumes that have a tag, but those that are leaving; their serial number says in the guest which is which."""
    if '"tag":' not in server["volumes"]:
        return []
    return [{"type": "disk", **_UNTOLD, "serial": one["disk"]["volume_id"], "path": one["disk"]["device"],
             "tags": [one["tag"]]}
            for one in msgspec.json.decode(server["volumes"]) if one.get("tag") and not one.get("detaching")]


def _ec2(server: Mapping[str, Any], ports: Sequence[ServerPort]) -> dict[str, Any]:
    fixed = [address for port in ports for _, address, version in port.fixed_ips if version == 4]
    floating = [address for port in ports for _, address in port.floating]
    number = int(str(server["id"]).replace("-", "")[:8], 16)
    keypair: Mapping[str, str] | None = server["keypair"]
    shown: dict[str, Any] = {
        "ami-id": f"ami-{str(server['image_id'] or 0).replace('-', '')[:8]:0>8}",
        "ami-launch-index": server["launch_index"],
        "ami-manifest-path": "FIXME",
        "instance-id": f"i-{number:08x}",
        "hostname": _hostname(server),
        "local-hostname": _hostname(server),
        "public-hostname": _hostname(server),
        "local-ipv4": fixed[0] if fixed else "",
        "public-ipv4": floating[0] if floating else "",
        "reservation-id": server["reservation_id"],
        "security-groups": [group["name"] for group in security_groups(ports)],
        "instance-type": server["flavor"]["name"],
        "instance-action": "none",
        "placement": {"availability-zone": server["availability_zone"]},
        "block-device-mapping": {"ami": "vda", "root": "/dev/vda"},
    }
    if keypair:
        shown["public-keys"] = {"0": {"_name": f"0={keypair['name']}", "openssh-key": keypair["public_key"]}}
    return shown


def network_data(ports: Sequence[ServerPort]) -> dict[str, Any]:
    """``network_data.json``: links, their networks, and name servers."""
    links: list[dict[str, Any]] = []
    networks: list[dict[str, Any]] = []
    services: list[dict[str, Any]] = []
    for port in ports:
        link = f"tap{port.port_id[:11]}"
        links.append({"id": link, "vif_id": port.port_id, "type": "ovs", "mtu": port.mtu,
                      "ethernet_mac_address": port.mac})
        for subnet, (_, address, _version) in zip(port.subnets, port.fixed_ips, strict=False):
            networks.append(_network(port, subnet, address, len(networks), link))
            services += [dns for dns in _dns(subnet) if dns not in services]
    return {"links": links, "networks": networks, "services": services}


def _network(port: ServerPort, subnet: PortSubnet, address: str, number: int, link: str) -> dict[str, Any]:
    shown: dict[str, Any] = {"id": f"network{number}", "link": link, "network_id": port.network_id}
    if subnet.ip_version == 4 and subnet.enable_dhcp:
        return {**shown, "type": "ipv4_dhcp"}
    if subnet.ipv6_address_mode:
        shown["type"] = f"ipv6_{subnet.ipv6_address_mode}"
    elif subnet.enable_dhcp:
        return {**shown, "type": f"ipv{subnet.ip_version}_dhcp"}
    else:
        shown["type"] = f"ipv{subnet.ip_version}"
    everything = "0.0.0.0" if subnet.ip_version == 4 else "::"
    routes = [] if subnet.gateway_ip is None else [
        {"network": everything, "netmask": everything, "gateway": subnet.gateway_ip}]
    for destination, hop in subnet.host_routes:
        net = ipaddress.ip_network(destination)
        routes.append({"network": str(net.network_address), "netmask": str(net.netmask), "gateway": hop})
    return {**shown, "ip_address": address, "netmask": str(ipaddress.ip_network(subnet.cidr).netmask),
            "routes": routes, "services": _dns(subnet)}


def _dns(subnet: PortSubnet) -> list[dict[str, str]]:
    return [{"type": "dns", "address": address} for address in subnet.dns_nameservers]
