"""Small extensions: ``ec2tokens``, ``s3tokens``, ``OS-REVOKE``, ``OS-SIMPLE-CERT`` and the JSON home document."""

from __future__ import annotations

import re
from collections.abc import Iterable, Mapping
from datetime import UTC, datetime
from typing import TYPE_CHECKING, Any

from stackling.api.call import Call, Reply
from stackling.api.identity.operation import operation
from stackling.api.identity.schema import Body
from stackling.api.identity.view import root
from stackling.api.route import Route
from stackling.core import clock
from stackling.core.errors import Gone, Invalid
from stackling.identity import ec2, tokens
from stackling.identity.service import Identity

if TYPE_CHECKING:
    from stackling.store.transaction import Tx

_ANY = Body({"type": "object", "minProperties": 1})
_RELATIONS = "https://docs.openstack.org/api/openstack-identity/3"
_PARAMETER = re.compile(r"\{(\w+)\}")
_EXTENSION = re.compile(r"OS-[A-Z0-9-]+")


class SignedTokens:
    """Tokens for signed requests; the handlers need the process's keys."""

    def __init__(self, identity: Identity) -> None:
        self.identity = identity

    def ec2(self, tx: Tx, call: Call) -> Reply:
        session = ec2.authenticate(tx, self.identity, _asked(call), ec2.signed_by_ec2, "Invalid EC2 signature.")
        return Reply(session.body(call.cloud.public_url, True), 200, {"X-Subject-Token": session.text})

    def s3(self, tx: Tx, call: Call) -> Reply:
        session = ec2.authenticate(tx, self.identity, _asked(call), ec2.signed_by_s3, "Credential signature mismatch")
        return Reply(session.body(call.cloud.public_url, True), 200)


def _asked(call: Call) -> Mapping[str, Any]:
    """The credentials, under any of the names that upstream takes."""
    for name in ("credentials", "credential", "ec2Credentials"):
        found = call.body.get(name)
        if isinstance(found, dict) and found:
            return found    # pyright: ignore[reportUnknownVariableType]
    return {}


def events(tx: Tx, call: Call) -> Any:
    """GET /v3/OS-REVOKE/events."""
    since, text = None, call.query.last("since")
    if text is not None:
        try:
            moment = datetime.fromisoformat(text)
        except ValueError:
            raise Invalid(f"invalidate date format {text[:60]}") from None
        since = (moment if moment.tzinfo is None else moment.astimezone(UTC)).strftime(clock.FORMAT)
    found = [{"audit_chain_id" if one.chain else "audit_id": one.audit_id, "issued_before": f"{one.revoked_at}Z"}
             for one in tokens.revocations_since(tx, since)]
    return {"events": found, "links": {"next": None, "self": f"{root(call)}/OS-REVOKE/events", "previous": None}}


def gone(tx: Tx, call: Call) -> None:
    """GET /v3/OS-SIMPLE-CERT/…"""
    raise Gone("This API is no longer available due to the removal of support for PKI tokens.")


# -- JSON home


def home(routes: Iterable[Route]) -> dict[str, Any]:
    """Every path by its relation (https://datatracker.ietf.org/doc/html/draft-nottingham-json-home-03)."""
    resources: dict[str, Any] = {}
    for path in sorted({route.path for route in routes if route.path.startswith("/v3/")}):
        href = path.removeprefix("/v3")
        names = _PARAMETER.findall(href)
        relation = f"{_base(href)}/rel/{_relation(href)}"
        if names:
            resources[relation] = {"href-template": href, "href-vars": {
                name: f"{_RELATIONS}/param/{name}" for name in names}}
        else:
            resources.setdefault(relation, {"href": href})
    return {"resources": resources}


def _base(href: str) -> str:
    extension = _EXTENSION.search(href)
    return f"{_RELATIONS}/ext/{extension.group()}/1.0" if extension else _RELATIONS


def _relation(href: str) -> str:
    """``/users/{user_id}/projects`` → ``user_projects``; ``/users/{user_id}`` → ``user``."""
    parts = [part for part in href.split("/") if part and not part.startswith("OS-")]
    words: list[str] = []
    for part, following in zip(parts, [*parts[1:], ""], strict=True):
        if part.startswith("{"):
            continue
        words.append(_singular(part) if following.startswith("{") else part.replace("-", "_"))
    return "_".join(words)


def _singular(word: str) -> str:
    if word.endswith("ies"):
        return word[:-3] + "y"
    return word[:-1] if word.endswith("s") else word


def routes(identity: Identity) -> list[Route]:
    signed = SignedTokens(identity)
    return [
        operation("POST", "/ec2tokens", signed.ec2, "ec2tokens_validate", mode="read", body=_ANY),
        operation("POST", "/s3tokens", signed.s3, "s3tokens_validate", mode="read", body=_ANY),
        operation("GET", "/OS-REVOKE/events", events, "list_revoke_events"),
        Route("GET", "/v3/OS-SIMPLE-CERT/ca", gone, None),
        Route("GET", "/v3/OS-SIMPLE-CERT/certificates", gone, None),
    ]
