"""``/v3/OS-OAUTH2/token``: OAuth 2.0's client credentials grant (RFC 6749, 4.4) with an application credential."""

from __future__ import annotations

import base64
import binascii
from urllib.parse import parse_qs

from stackling.api.call import Call, Reply
from stackling.api.identity.tokens import Tokens
from stackling.api.route import Route
from stackling.core.errors import StacklingError, TooLarge
from stackling.identity.service import Identity

_MOST = 16 << 10
_TOO_LARGE = f"The body is larger than {_MOST} bytes."
_FORM = "application/x-www-form-urlencoded"
_ERRORS = {400: "invalid_request", 401: "invalid_client"}
_FAILED = "Client authentication failed."


class OAuth2:
    """The handler; it authenticates as ``POST /v3/auth/tokens`` does."""

    def __init__(self, identity: Identity) -> None:
        self._identity, self._tokens = identity, Tokens(identity)

    async def token(self, call: Call) -> Reply:
        form = await _form(call)
        if form is None or "grant_type" not in form:
            return _error(call, 400, "invalid_request", "The parameter grant_type is required.")
        if form["grant_type"] != "client_credentials":
            return _error(call, 400, "unsupported_grant_type",
                          f"The parameter grant_type {form['grant_type'][:100]} is not supported.")
        client, secret = _basic(call.header("Authorization")) or (form.get("client_id"), form.get("client_secret"))
        if not client or not secret:
            return _error(call, 401, "invalid_client", _FAILED)
        auth = {"identity": {"methods": ["application_credential"],
                             "application_credential": {"id": client, "secret": secret}}}
        try:
            session = await self._tokens.session(call, auth)
        except StacklingError as error:
            return _error(call, error.status, _ERRORS.get(error.status, "other_error"), error.message)
        life = self._identity.config.token_expiration
        return Reply({"access_token": session.text, "token_type": "Bearer", "expires_in": life},
                     headers={"Cache-Control": "no-store"})


async def _form(call: Call) -> dict[str, str] | None:
    """The form's fields; None where the body isn't a form. Raises ``TooLarge``."""
    media = (call.request.content_type or "").split(";")[0].strip().lower()
    data = bytearray()
    if (call.request.content_length or 0) > _MOST:
        raise TooLarge(_TOO_LARGE)
    async for chunk in call.request.stream:
        data += chunk
        if len(data) > _MOST:
            raise TooLarge(_TOO_LARGE)
    if media != _FORM:
        return None
    try:
        return {name: values[-1] for name, values in parse_qs(data.decode(), max_num_fields=20).items()}
    except ValueError:
        return None


def _basic(header: str | None) -> tuple[str, str] | None:
    """User and password of HTTP Basic; None where there is none."""
    kind, _, rest = (header or "").partition(" ")
    if kind.lower() != "basic":
        return None
    try:
        user, _, password = base64.b64decode(rest, validate=True).decode().partition(":")
    except (binascii.Error, UnicodeDecodeError):
        return "", ""
    return user, password


def _error(call: Call, status: int, error: str, description: str) -> Reply:
    headers = {"WWW-Authenticate": f'Keystone uri="{call.base}{call.service.prefix}"'} if status == 401 else {}
    return Reply({"error": error, "error_description": description}, status, headers)


def routes(identity: Identity) -> list[Route]:
    return [Route("POST", "/v3/OS-OAUTH2/token", OAuth2(identity).token, None, "stream", limit=_MOST)]
