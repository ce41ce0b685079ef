"""Tokens for requests that were signed with an EC2 credential (``/v3/ec2tokens``, ``/v3/s3tokens``).

Services that speak EC2 or S3 ask on behalf of their clients; what the credential was made with (a trust, an
application credential, an OAuth access token) bounds the token that it gets.
"""

from __future__ import annotations

import hashlib
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from datetime import UTC, datetime
from typing import Any
from urllib.parse import urlsplit

import msgspec

from stackling.core import clock
from stackling.core.errors import NotFound, StacklingError, Unauthorized
from stackling.identity import application_credentials, credentials, oauth, payload, signatures, trusts
from stackling.identity.payload import Payload
from stackling.identity.service import Identity
from stackling.identity.tokens import Session
from stackling.store.transaction import Tx

LIFE = 900.0
"""Seconds that a signature with a time in it is good for (upstream's ``auth_ttl``)."""
Signer = Callable[[Mapping[str, Any], str], bool]


@dataclass(frozen=True, slots=True)
class _Secret:
    """An EC2 credential, opened."""

    user_id: str
    project_id: str
    secret: str
    trust_id: str | None
    app_cred_id: str | None
    access_token_id: str | None


def signed_by_ec2(asked: Mapping[str, Any], secret: str) -> bool:
    """Whether EC2's signature is right, with the port in the host's name or without. Raises ``Unauthorized``."""
    given = asked.get("signature")
    if not given:
        raise Unauthorized("EC2 signature not supplied.")
    hosts = [str(asked.get("host", ""))]
    if ":" in hosts[0]:
        hosts.append(urlsplit("//" + hosts[0]).hostname or "")
    expected = (signatures.ec2({**asked, "host": host}, secret) for host in hosts)
    return any(one is not None and signatures.same(given, one) for one in expected)


def signed_by_s3(asked: Mapping[str, Any], secret: str) -> bool:
    """Whether the signature of S3's ``token`` is right."""
    expected = signatures.s3(str(asked.get("token", "")), secret)
    return expected is not None and signatures.same(asked.get("signature"), expected)


def authenticate(tx: Tx, identity: Identity, asked: Mapping[str, Any], signed: Signer, refusal: str) -> Session:
    """A token for who signed *asked*. Raises ``Unauthorized`` (with *refusal*), ``NotFound`` for an unknown key."""
    if not isinstance(asked.get("access"), str):
        raise Unauthorized("EC2 Signature not supplied")
    found = _find(tx, identity, asked["access"])
    try:
        right = signed(asked, found.secret)
    except ValueError:
        right = False
    if not right:
        raise Unauthorized(refusal)
    _check_time(asked, tx.time)
    now = round(tx.time * 1e6)
    content = _bounded(tx, found, Payload(
        payload.compact(found.user_id), payload.methods_bits(["ec2credential"]), "p",
        payload.compact(found.project_id), now, now + identity.config.token_expiration * 1_000_000,
        (payload.new_audit_id(),)))
    try:
        return identity.issue(tx, content)
    except StacklingError:
        raise Unauthorized("User not valid for project.") from None


def _find(tx: Tx, identity: Identity, access: str) -> _Secret:
    try:
        found = credentials.get(tx, identity.box, hashlib.sha256(access.encode()).hexdigest())
        blob = msgspec.json.decode(found.blob)
    except (NotFound, msgspec.DecodeError):
        raise NotFound("EC2 access key not found.") from None
    if found.type != "ec2" or not isinstance(blob, dict) or found.project_id is None:
        raise NotFound("EC2 access key not found.")
    known: dict[str, Any] = blob    # pyright: ignore[reportUnknownVariableType]
    return _Secret(found.user_id, found.project_id, str(known.get("secret") or ""), known.get("trust_id"),
                   known.get("app_cred_id"), known.get("access_token_id"))


def _bounded(tx: Tx, found: _Secret, content: Payload) -> Payload:
    """*content* with whatever the credential was made with. Raises ``Unauthorized``."""
    if found.trust_id:
        trust = trusts.get_trust(tx, found.trust_id)
        if trust is None:
            raise Unauthorized("User not valid for project.")
        user = trust.trustee_user_id if trust.impersonation else found.user_id
        content = msgspec.structs.replace(content, user=payload.compact(user), scope="t",
                                          trust=payload.compact(trust.id))
        return _until(content, trust.expires_at)
    if found.app_cred_id:
        own = application_credentials.find(tx, found.app_cred_id)
        if own is None or own.project_id != found.project_id:
            raise Unauthorized("EC2 credential project does not match the application credential project.")
        content = msgspec.structs.replace(content, application_credential=payload.compact(own.id))
        return _until(content, own.expires_at)
    if found.access_token_id:
        access = oauth.find_access(tx, found.access_token_id)
        if access is None or access.project_id != found.project_id:
            raise Unauthorized("EC2 credential project does not match the OAuth1 access token project.")
        content = msgspec.structs.replace(content, access_token=payload.compact(access.id))
        return _until(content, access.expires_at)
    return content


def _until(content: Payload, instant: str | None) -> Payload:
    if instant is None:
        return content
    return msgspec.structs.replace(content, expires=min(content.expires, round(clock.epoch(instant) * 1e6)))


def _check_time(asked: Mapping[str, Any], now: float) -> None:
    """A signed time must not be older than ``LIFE``; what has no time in it is always good. Raises ``Unauthorized``."""
    params, headers = (value if isinstance(value, Mapping) else {} for value in (    # pyright: ignore
        asked.get("params"), asked.get("headers")))
    text: Any = params.get("Timestamp") or headers.get("X-Amz-Date") or params.get("X-Amz-Date")    # pyright: ignore
    if not text:
        return
    try:
        moment = datetime.fromisoformat(str(text))      # pyright: ignore[reportUnknownArgumentType]
    except ValueError:
        raise Unauthorized("Credential timestamp is invalid") from None
    if (moment if moment.tzinfo else moment.replace(tzinfo=UTC)).timestamp() + LIFE < now:
        raise Unauthorized("Credential is expired")
