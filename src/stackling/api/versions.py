"""Microversion negotiation, as https://specs.openstack.org/openstack/api-sig/guidelines/microversion_specification.html."""

from __future__ import annotations

import re
from collections.abc import Callable

from stackling.api.call import Version
from stackling.api.route import Microversions
from stackling.core.errors import Invalid, NotAcceptable

_VERSION = re.compile(r"([1-9]\d{0,3})\.(0|[1-9]\d{0,4})\Z")


def negotiate(range_: Microversions, header: Callable[[str], str | None]) -> Version:
    """The version asked for; raises ``Invalid`` (malformed) or ``NotAcceptable`` (out of range)."""
    asked = _asked(range_, header)
    if asked is None:
        return range_.default
    if asked == "latest":
        return range_.highest
    match = _VERSION.match(asked)
    if match is None:
        raise Invalid(f"API Version String {asked} is of invalid format. Must be of format MajorNum.MinorNum.",
                      type="InvalidAPIVersionString")
    version = (int(match.group(1)), int(match.group(2)))
    if not range_.lowest <= version <= range_.highest:
        raise NotAcceptable(f"Version {asked} is not supported by the API. Minimum is {text(range_.lowest)} "
                            f"and maximum is {text(range_.highest)}.", type="InvalidGlobalAPIVersion",
                            min_version=text(range_.lowest), max_version=text(range_.highest))
    return version


def _asked(range_: Microversions, header: Callable[[str], str | None]) -> str | None:
    value = header("OpenStack-API-Version")
    if value:
        for item in value.split(","):
            service, _, version = item.strip().partition(" ")
            if service.lower() == range_.service_type:
                return version.strip()
    return header(range_.legacy_header) if range_.legacy_header else None


def text(version: Version) -> str:
    """``2.104``."""
    return f"{version[0]}.{version[1]}"


def headers(range_: Microversions, version: Version) -> dict[str, str]:
    """What the response says of the version."""
    names = ["OpenStack-API-Version"]
    result = {"OpenStack-API-Version": f"{range_.service_type} {text(version)}"}
    if range_.legacy_header:
        names.append(range_.legacy_header)
        result[range_.legacy_header] = text(version)
    result["Vary"] = ", ".join(names)
    return result
