"""Values in requests: converters that give the canonical value or raise ``ValueError`` with Neutron's reason.

They follow neutron-lib's ``validators`` and ``converters`` in what they accept.
"""

from __future__ import annotations

import ipaddress
import re
from collections.abc import Callable, Iterable, Mapping, Sequence
from typing import Any

from stackling.core.ids import is_id
from stackling.network.rules import MAC, PROTOCOLS

Converter = Callable[[Any], Any]
_LABEL = re.compile(r"(?!-)[a-zA-Z0-9-]{1,63}(?<!-)\Z")


def text(most: int, least: int = 0) -> Converter:
    """A string of bounded length."""
    def convert(value: Any) -> str:
        if not isinstance(value, str):
            raise ValueError(f"'{value}' is not a valid string")
        if len(value) > most:
            raise ValueError(f"'{value[:most]}' exceeds maximum length of {most}")
        if len(value.strip()) < least:
            raise ValueError(f"'{value}' Blank strings are not permitted" if least == 1 else "too short")
        if "\x00" in value:
            raise ValueError("a NUL character is not permitted")
        return value
    return convert


NAME, TEXT, NOT_EMPTY = text(255), text(255), text(255, 1)


def description(value: Any) -> str:
    """A description: null means empty."""
    return "" if value is None else text(255)(value)


def boolean(value: Any) -> bool:
    """True or false, as a boolean, a number or a word."""
    if isinstance(value, bool):
        return value
    if isinstance(value, int) and value in (0, 1):
        return bool(value)
    if isinstance(value, str) and value.lower() in ("true", "1"):
        return True
    if isinstance(value, str) and value.lower() in ("false", "0"):
        return False
    raise ValueError(f"'{value}' cannot be converted to boolean")


def integer(value: Any) -> int:
    """A whole number, also as a string."""
    if not isinstance(value, bool):
        try:
            if not isinstance(value, float):
                return int(value)
        except (ValueError, TypeError):
            pass
    raise ValueError(f"'{value}' is not an integer")


def non_negative(value: Any) -> int:
    """A whole number of at least zero."""
    number = integer(value)
    if number < 0:
        raise ValueError(f"'{value}' should be non-negative")
    if number > 2**31 - 1:
        raise ValueError(f"'{value}' is too large - must be no larger than '{2**31 - 1}'")
    return number


def one_of(*allowed: Any) -> Converter:
    """One of these values."""
    def convert(value: Any) -> Any:
        if value not in allowed:
            raise ValueError(f"'{value}' is not in {list(allowed)}")
        return value
    return convert


def nullable(convert: Converter) -> Converter:
    """Or null."""
    return lambda value: None if value is None else convert(value)


def uuid(value: Any) -> str:
    """A UUID."""
    if not is_id(value) or len(value) != 36:
        raise ValueError(f"'{value}' is not a valid UUID")
    return value


def uuids(value: Any) -> list[str]:
    """A list of UUIDs, without repetition."""
    if not isinstance(value, list):
        raise ValueError(f"'{value}' is not a list")
    found = [uuid(one) for one in _items(value)]
    if len(set(found)) != len(found):
        raise ValueError(f"Duplicate items in the list: '{', '.join(found)}'")
    return found


def project(value: Any) -> str:
    """A project's id."""
    return text(255, 1)(value)


def mac(value: Any) -> str:
    """A MAC address that isn't zero or everybody's; any common spelling."""
    plain = value.strip().lower().replace("-", ":") if isinstance(value, str) else ""
    if not MAC.match(plain) or plain in ("00:00:00:00:00:00", "ff:ff:ff:ff:ff:ff"):
        raise ValueError(f"'{value}' is not a valid MAC address")
    return plain


def ip(value: Any) -> str:
    """An IP address in its canonical form."""
    if isinstance(value, str):
        try:
            return str(ipaddress.ip_address(value))
        except ValueError:
            pass
    raise ValueError(f"'{value}' is not a valid IP address")


def cidr(value: Any) -> str:
    """A CIDR; its host bits are cleared."""
    if isinstance(value, str) and "/" in value:
        try:
            return str(ipaddress.ip_network(value, strict=False))
        except ValueError:
            pass
    raise ValueError(f"'{value}' is not a valid IP subnet")


def ip_or_cidr(value: Any) -> str:
    """An address or a CIDR."""
    return ip(value) if isinstance(value, str) and "/" not in value else cidr(value)


def prefix(value: Any) -> str | None:
    """A rule's remote prefix: a bare address is a host."""
    if value is None or value == "":
        return None
    if isinstance(value, str) and "/" not in value:
        try:
            host = ipaddress.ip_address(value)
        except ValueError:
            raise ValueError(f"'{value}' is not a valid IP subnet") from None
        return f"{host}/{host.max_prefixlen}"
    cidr(value)
    return str(value)


def _items(value: Any) -> list[Any]:
    if value is None:
        return []
    if not isinstance(value, list):
        raise ValueError(f"'{value}' is not a list")
    if len(value) > 1000:
        raise ValueError("too many items")
    return value    # pyright: ignore[reportUnknownVariableType]


def _object(value: Any, allowed: Sequence[str], required: Sequence[str]) -> dict[str, Any]:
    if not isinstance(value, dict):
        raise ValueError(f"'{value}' is not a dictionary")
    found: dict[str, Any] = value    # pyright: ignore[reportUnknownVariableType]
    unknown = [key for key in found if key not in allowed]
    missing = [key for key in required if key not in found]
    if missing or (unknown and set(allowed) == set(required)):
        raise ValueError(f"Validation of dictionary's keys failed. Expected keys: {_braced(required)} Provided keys: "
                         f"{_braced(found)}")
    if unknown:
        raise ValueError(f"Unexpected keys supplied: {', '.join(unknown)}")
    return found


def _braced(names: Iterable[str]) -> str:
    return f"{{{', '.join(repr(name) for name in sorted(names))}}}"


def pools(value: Any) -> list[dict[str, str]]:
    """Allocation pools."""
    return [{key: ip(one[key]) for key in ("start", "end")}
            for one in (_object(item, ("start", "end"), ("start", "end")) for item in _items(value))]


def nameservers(value: Any) -> list[str]:
    """DNS servers, without repetition."""
    found = [ip(one) for one in _items(value)]
    if len(set(found)) != len(found):
        raise ValueError(f"Duplicate nameserver '{next(one for one in found if found.count(one) > 1)}'")
    return found


def routes(value: Any) -> list[dict[str, str]]:
    """Host or extra routes, without repetition."""
    found: list[dict[str, str]] = []
    for item in _items(value):
        one = _object(item, ("destination", "nexthop"), ("destination", "nexthop"))
        route = {"destination": cidr(one["destination"]), "nexthop": ip(one["nexthop"])}
        if route in found:
            raise ValueError(f"Duplicate hostroute '{route}'")
        found.append(route)
    return found


def ranges(value: Any) -> list[str]:
    """As ``subnets``; a bare address is a host."""
    return subnets([f"{one}/{ipaddress.ip_address(one).max_prefixlen}" if _is_address(one) else one
                    for one in _items(value)])


def _is_address(value: Any) -> bool:
    try:
        return isinstance(value, str) and bool(ipaddress.ip_address(value).version)
    except ValueError:
        return False


def subnets(value: Any) -> list[str]:
    """A list of CIDRs; one text is a list of one, as older clients send it."""
    found = [cidr(one) for one in ([value] if isinstance(value, str) else _items(value))]
    if len(set(found)) != len(found):
        raise ValueError(f"Duplicate items in the list: '{', '.join(found)}'")
    return found


def fixed_ips(value: Any) -> list[dict[str, str]]:
    """A port's addresses as asked for."""
    found: list[dict[str, str]] = []
    for item in _items(value):
        one = _object(item, ("subnet_id", "ip_address"), ())
        fixed = {key: convert(one[key]) for key, convert in (("subnet_id", uuid), ("ip_address", ip))
                 if one.get(key) is not None}
        if "ip_address" in fixed and any(other.get("ip_address") == fixed["ip_address"] for other in found):
            raise ValueError(f"Duplicate IP address '{fixed['ip_address']}'")
        found.append(fixed)
    return found


def address_pairs(value: Any) -> list[dict[str, str]]:
    """Allowed address pairs."""
    found: list[dict[str, str]] = []
    for item in _items(value):
        if isinstance(item, dict) and "ip_address" not in item:
            raise ValueError("AllowedAddressPair must contain ip_address")
        one = _object(item, ("mac_address", "ip_address"), ("ip_address",))
        address = ip_or_cidr(one["ip_address"])
        if "/" in address and ipaddress.ip_network(address).prefixlen == 0:
            raise ValueError(f"'{address}' is not a valid allowed address: the prefix can't be empty")
        pair = {"ip_address": address}
        if one.get("mac_address"):
            pair["mac_address"] = mac(one["mac_address"])
            if int(pair["mac_address"][:2], 16) & 1:
                raise ValueError(f"MAC address {one['mac_address']} is a multicast address, which is not supported.")
        found.append(pair)
    return found


def dhcp_options(value: Any) -> list[dict[str, Any]]:
    """Extra DHCP options; a null value takes one away."""
    found: list[dict[str, Any]] = []
    for item in _items(value):
        one = _object(item, ("opt_name", "opt_value", "ip_version"), ("opt_name", "opt_value"))
        name, option = text(64, 1)(one["opt_name"]), nullable(text(255))(one["opt_value"])
        if option == "" and name not in ("router", "classless-static-route"):
            raise ValueError(f"'{option}' Blank strings are not permitted")
        if "\n" in name or (option and "\n" in option):
            raise ValueError("multiple lines are not permitted")
        found.append({"opt_name": name, "opt_value": option,
                      "ip_version": one_of(4, 6)(integer(one.get("ip_version", 4)))})
    return found


def gateway_info(value: Any) -> dict[str, Any] | None:
    """A router's external gateway; null or empty takes it away."""
    if not value:
        return None
    one = _object(value, ("network_id", "external_fixed_ips", "enable_snat", "qos_policy_id"), ("network_id",))
    info: dict[str, Any] = {"network_id": uuid(one["network_id"])}
    if one.get("external_fixed_ips") is not None:
        info["external_fixed_ips"] = fixed_ips(one["external_fixed_ips"])
    if one.get("enable_snat") is not None:
        info["enable_snat"] = boolean(one["enable_snat"])
    if "qos_policy_id" in one:
        info["qos_policy_id"] = nullable(uuid)(one["qos_policy_id"])
    return info


def gateways(value: Any) -> list[dict[str, Any]]:
    """A router's external gateways."""
    found: list[dict[str, Any]] = []
    for item in _items(value):
        one = gateway_info(_object(item, ("network_id", "external_fixed_ips", "enable_snat", "qos_policy_id"), (
            "network_id",)))
        if one is not None:
            found.append(one)
    return found


def mapping(value: Any) -> Mapping[str, Any]:
    """A dictionary; null is an empty one."""
    if value is None:
        return {}
    if not isinstance(value, dict):
        raise ValueError(f"'{value}' is not a dictionary")
    return value    # pyright: ignore[reportUnknownVariableType]


def zones(value: Any) -> list[str]:
    """Availability zone hints."""
    return [text(255, 1)(one) for one in _items(value)]


def service_types(value: Any) -> list[str]:
    """Device owners that a subnet serves."""
    found = [text(255, 1)(one) for one in _items(value)]
    for one in found:
        # Upstream's check takes the letters of "compute:" for prefixes as well; what passes there passes here.
        if not one.startswith(("network:", "baremetal:", "container:", *"compute:")):
            raise ValueError(f"'{one}' is not a valid subnet service type")
    if len(set(found)) != len(found):
        raise ValueError("Service types should be unique")
    return found


def host_name(value: Any) -> str:
    """A DNS label or name; empty for none."""
    name = text(255)(value).lower()
    if name and not all(_LABEL.match(label) for label in name.removesuffix(".").split(".")):
        raise ValueError(f"'{value}' not a valid PQDN or FQDN. Reason: Name '{value}' must be 1-63 characters long, "
                         "each of which can only be alphanumeric or a hyphen.")
    return name


def domain(value: Any) -> str:
    """A DNS domain, which ends with a dot; empty for none."""
    name = host_name(value)
    if name and not name.endswith("."):
        raise ValueError(f"'{value}' is not a FQDN")
    return name


def protocol(value: Any) -> str | None:
    """A rule's protocol: a known name or a number."""
    if value is None or (isinstance(value, str) and value.lower() in ("any", "")):
        return None
    plain = str(value).lower() if isinstance(value, (str, int)) and not isinstance(value, bool) else ""
    if plain in PROTOCOLS:
        return plain
    if plain.isascii() and plain.isdigit() and int(plain) <= 255:
        return str(int(plain))
    raise UnknownProtocol(f"Security group rule protocol {value} not supported. Only protocol values "
                          f"{sorted(PROTOCOLS)} and integer representations [0 to 255] are supported.")


class UnknownProtocol(ValueError):
    """Neutron has an exception of its own for it."""


def port_number(value: Any) -> int | None:
    """An end of a port range."""
    if value is None:
        return None
    try:
        number = integer(value)
    except ValueError:
        raise InvalidPort(f"Invalid value for port {value}") from None
    if not 0 <= number <= 65535:
        raise InvalidPort(f"Invalid value for port {value}")
    return number


class InvalidPort(ValueError):
    """Neutron has an exception of its own for it."""


def ethertype(value: Any) -> str:
    """IPv4 or IPv6, in any case."""
    for name in ("IPv4", "IPv6"):
        if isinstance(value, str) and value.lower() == name.lower():
            return name
    raise UnknownEthertype(f"Security group rule for ethertype '{value}' not supported. Allowed values are "
                           "['IPv4', 'IPv6'].")


class UnknownEthertype(ValueError):
    """Neutron has an exception of its own for it."""


def tag(value: Any) -> str:
    """A tag."""
    return text(255, 1)(value)


def tags(value: Any) -> list[str]:
    """A list of tags."""
    found = [tag(one) for one in _items(value)]
    if len(set(found)) != len(found):
        raise ValueError("Duplicate items in the list")
    if len(found) > 50:
        raise ValueError("The number of tags exceeds the maximum 50")
    return found


def subports(value: Any) -> list[dict[str, Any]]:
    """A trunk's subports."""
    found: list[dict[str, Any]] = []
    for item in _items(value):
        one = _object(item, ("port_id", "segmentation_type", "segmentation_id"), ("port_id",))
        subport: dict[str, Any] = {"port_id": uuid(one["port_id"])}
        if one.get("segmentation_type") is not None:
            subport["segmentation_type"] = text(32)(one["segmentation_type"])
        if one.get("segmentation_id") is not None:
            subport["segmentation_id"] = non_negative(one["segmentation_id"])
        if any(other["port_id"] == subport["port_id"] for other in found):
            raise ValueError(f"Duplicate items in the list: '{subport['port_id']}'")
        kind, tag = subport.get("segmentation_type"), subport.get("segmentation_id")
        if kind != "inherit" and (kind is None) != (not tag):
            raise ValueError(f"Invalid subport details '{one}': missing segmentation information. Must specify both "
                             "segmentation_id and segmentation_type")
        if tag and any((other.get("segmentation_type"), other.get("segmentation_id")) == (kind, tag)
                       for other in found):
            raise ValueError(f"Segmentation ID '{tag}' for '{one}' is not unique")
        found.append(subport)
    return found


def segments(value: Any) -> list[dict[str, Any]] | None:
    """A network's segments, each with all of its three attributes; None: none are named."""
    if value is None:
        return None
    names = ("provider:network_type", "provider:physical_network", "provider:segmentation_id")
    found: list[dict[str, Any]] = []
    for item in _items(value):
        if not isinstance(item, dict):
            raise ValueError(f"'{item}' is not a dictionary")
        one: dict[str, Any] = item    # pyright: ignore[reportUnknownVariableType]
        if unknown := sorted(set(one) - set(names)):
            raise ValueError(f"Unrecognized attribute(s) '{', '.join(unknown)}'")
        kind, physical, number = (one.get(name) for name in names)
        found.append({names[0]: None if kind is None else text(32)(kind),
                      names[1]: None if physical is None else text(64)(physical),
                      names[2]: None if number is None else integer(number)})
    return found
