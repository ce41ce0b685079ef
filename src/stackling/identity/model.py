"""Configuration of the service and the values that its use-cases pass around."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Any

Extra = Mapping[str, Any]


@dataclass(frozen=True, slots=True)
class SecurityCompliance:
    """Password rules and lock-out; names, units and defaults are Keystone's ``[security_compliance]``.

    None and 0 switch a rule off, which is the default of each.
    """

    lockout_failure_attempts: int | None = None
    lockout_duration: int = 1800                        # seconds
    disable_user_account_days_inactive: int | None = None
    password_expires_days: int | None = None
    unique_last_password_count: int = 0                 # the present one and those before it
    minimum_password_age: int = 0                       # days
    password_regex: str | None = None
    password_regex_description: str | None = None
    change_password_upon_first_use: bool = False


@dataclass(frozen=True, slots=True)
class IdentityConfig:
    """What an administrator may choose. Durations are seconds."""

    token_expiration: int = 3600
    allow_expired_window: int = 172_800
    fernet_keys: int = 3
    """How many Fernet keys are kept: one staged, one primary, the rest secondary."""
    max_password_length: int = 4096
    max_list: int = 10_000
    """The most entries of one page, whatever ``limit`` asks for."""
    password_cache_seconds: int = 300
    security: SecurityCompliance = field(default_factory=SecurityCompliance)


@dataclass(frozen=True, slots=True)
class Listing:
    """What a list asks for: exact values, inexact text comparisons, and a page.

    ``like`` holds ``(attribute, comparison, text)`` with Keystone's comparisons ``contains``, ``startswith`` …
    """

    equal: Mapping[str, Any] = field(default_factory=dict[str, Any])
    like: tuple[tuple[str, str, str], ...] = ()
    limit: int | None = None
    marker: str | None = None


@dataclass(frozen=True, slots=True)
class Project:
    """A project, or a domain (``is_domain``; then ``domain_id`` is empty)."""

    id: str
    name: str
    domain_id: str
    parent_id: str | None
    is_domain: bool
    enabled: bool
    description: str
    options: Extra
    extra: Extra
    tags: tuple[str, ...] = ()


@dataclass(frozen=True, slots=True)
class User:
    """A user, without anything that the API must not show."""

    id: str
    name: str
    domain_id: str
    enabled: bool
    default_project_id: str | None
    options: Extra
    extra: Extra
    password_expires_at: str | None


@dataclass(frozen=True, slots=True)
class Group:
    id: str
    name: str
    domain_id: str
    description: str
    extra: Extra


@dataclass(frozen=True, slots=True)
class Role:
    """A role; ``domain_id`` is empty for a role of the whole cloud."""

    id: str
    name: str
    domain_id: str
    description: str | None
    options: Extra
    extra: Extra


@dataclass(frozen=True, slots=True)
class Region:
    id: str
    description: str
    parent_region_id: str | None
    extra: Extra


@dataclass(frozen=True, slots=True)
class CatalogService:
    """A service in the catalog."""

    id: str
    type: str
    name: str | None
    description: str | None
    enabled: bool
    extra: Extra


@dataclass(frozen=True, slots=True)
class Endpoint:
    """Where a service answers; ``url`` may hold ``$(public_url)s`` and ``$(project_id)s``."""

    id: str
    service_id: str
    region_id: str | None
    interface: str
    url: str
    enabled: bool
    extra: Extra
