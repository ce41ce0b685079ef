"""Who people are, as OpenID Connect providers say it.

What comes out is an assertion as ``mod_auth_openidc`` would hand it to Keystone: each claim by the names ``OIDC-claim``
and ``HTTP_OIDC_CLAIM``, and the subject as ``REMOTE_USER``; a claim with several values is a list.
"""

from __future__ import annotations

import json
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from ipaddress import ip_address
from typing import Any, Protocol, cast
from urllib.parse import urlsplit

Assertion = Mapping[str, Sequence[str]]


class TokenRefused(Exception):
    """What was shown isn't good. The message says why, and holds nothing of it."""


class ProviderDown(Exception):
    """The provider can't be asked, or what it answers is no use. The message is for the administrator and the user."""


@dataclass(frozen=True, slots=True)
class ProviderSettings:
    """What an administrator says of a provider; the keys are those of ``stackling.toml``.

    ``issuer`` is the URL that stands in its tokens. A token is for us when its audience is ``client_id`` or one of
    ``audiences``. The client's secret is in a file (None: a public client, which can't have tokens introspected).
    ``introspect``: whether the provider is asked about every access token, also where its signature tells enough.
    ``hosts``: further hosts (``name`` or ``name:port``) that its endpoints may be on; ``ca_file``: whom its certificate
    is checked against.
    """

    id: str
    issuer: str
    client_id: str
    client_secret_file: str | None = None
    audiences: tuple[str, ...] = ()
    scopes: tuple[str, ...] = ("openid", "profile", "email")
    introspect: bool = False
    hosts: tuple[str, ...] = ()
    ca_file: str | None = None


@dataclass(frozen=True, slots=True)
class SignIn:
    """One sign-in through a browser: what has to come back, and what proves that it is ours.

    ``nonce`` must stand in the ID token; ``verifier`` is PKCE's (RFC 7636), which only we know.
    """

    state: str
    nonce: str = field(repr=False)
    verifier: str = field(repr=False)
    redirect_uri: str = ""


class OidcProviders(Protocol):
    """The providers that the administrator has configured, by the id of Identity's identity provider."""

    def configured(self, idp_id: str) -> bool:
        """Whether this one is."""
        ...

    async def verify(self, idp_id: str, token: str) -> Assertion:
        """Who shows this bearer token, an access token or an ID token. Raises ``TokenRefused``, ``ProviderDown``."""
        ...

    async def sign_in_url(self, idp_id: str, sign_in: SignIn) -> str:
        """Where the browser goes to log in. Raises ``ProviderDown``."""
        ...

    async def redeem(self, idp_id: str, sign_in: SignIn, code: str) -> Assertion:
        """Who has logged in, by the code that the browser came back with. Raises ``TokenRefused``,
        ``ProviderDown``."""
        ...


def assertion(claims: Mapping[str, Any]) -> Assertion:
    """Claims under their names."""
    def text(value: Any) -> str:
        if isinstance(value, bool):
            return "1" if value else "0"
        return value if isinstance(value, str) else json.dumps(value, ensure_ascii=False)

    found: dict[str, Sequence[str]] = {}
    for name, value in claims.items():
        if value is None:
            continue
        values = [text(one) for one in cast(list[Any], value)] if isinstance(value, list) else [text(value)]
        found[f"OIDC-{name}"] = values
        found["HTTP_OIDC_" + "".join(c if c.isalnum() else "_" for c in name).upper()] = values
    if isinstance(claims.get("sub"), str):
        found["REMOTE_USER"] = [claims["sub"]]
    return found


def is_loopback(host: str) -> bool:
    """Whether *host* is this machine, so that plain HTTP to it is no risk."""
    try:
        return ip_address(host).is_loopback
    except ValueError:
        return host == "localhost"


def host_of(url: str) -> str:
    """``name:port`` of a URL of http or https. Raises ``ValueError`` where it isn't one that we ask."""
    parts = urlsplit(url)
    if parts.scheme not in ("http", "https") or not parts.hostname or "@" in parts.netloc or parts.fragment:
        raise ValueError("it isn't a URL of https")
    if parts.scheme == "http" and not is_loopback(parts.hostname):
        raise ValueError("plain http is possible on the loopback interface only")
    return f"{parts.hostname.lower()}:{parts.port or (443 if parts.scheme == 'https' else 80)}"
