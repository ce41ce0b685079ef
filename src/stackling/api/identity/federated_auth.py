"""Logging in through an identity provider: with a bearer token, or in a browser for a dashboard (WebSSO).

Keystone leaves OpenID Connect to a module of its web server; here the same paths do both. A sign-in in a browser keeps
its state in a cookie that only we can read, for a few minutes, and comes back exactly once.
"""

from __future__ import annotations

import base64
import hashlib
import hmac
import html
import secrets
from http.cookies import CookieError, SimpleCookie
from urllib.parse import quote, urlsplit

import msgspec

from stackling.api.call import Call, Reply
from stackling.api.route import Route
from stackling.core import clock
from stackling.core.errors import Invalid, Unauthorized, Unavailable
from stackling.identity import authentication, federated, federation
from stackling.identity.service import Identity
from stackling.identity.tokens import Session
from stackling.ports.oidc import Assertion, OidcProviders, ProviderDown, SignIn, TokenRefused

COOKIE, LIFE = "stackling_sign_in", 600
"""A sign-in in a browser may take that many seconds."""
_MOST_BODY = 16 << 10
_SSO = "/v3/auth/OS-FEDERATION"
BACK = f"{_SSO}/oidc/callback"
"""Where providers send browsers back to; has to be registered there, with the public URL and the service's prefix."""
_SCRIPT = "document.forms[0].submit()"
_SCRIPT_HASH = base64.b64encode(hashlib.sha256(_SCRIPT.encode()).digest()).decode()
_PAGE = """<!DOCTYPE html>
<html lang="en">
  <head><meta charset="utf-8"><title>{title}</title></head>
  <body>{body}</body>
</html>
"""
_FORM = """
    <form id="sso" name="sso" action="{host}" method="post">
      Please wait...<br>
      <input type="hidden" name="token" id="token" value="{token}">
      <noscript><input type="submit" name="submit_no_javascript" id="submit_no_javascript"
        value="If your JavaScript is disabled, please click to continue"></noscript>
    </form>
    <script>{script}</script>
  """


class _State(msgspec.Struct, frozen=True):
    """What a browser keeps for us, sealed."""

    idp_id: str
    protocol_id: str
    origin: str
    state: str
    nonce: str
    verifier: str
    ends: float


class FederatedAuth:
    """The handlers. Without *providers* there are none configured, and every login is refused."""

    def __init__(self, identity: Identity, providers: OidcProviders | None, dashboards: tuple[str, ...]) -> None:
        self._identity, self._providers = identity, providers
        self._dashboards = frozenset(_lower_host(one) for one in dashboards)

    # -- with a bearer token

    async def auth(self, call: Call) -> Reply:
        """GET and POST …/identity_providers/{idp_id}/protocols/{protocol_id}/auth."""
        idp_id, protocol_id = call.params["idp_id"], call.params["protocol_id"]
        await call.cloud.read(federated.door, idp_id, protocol_id)
        kind, _, token = (call.header("Authorization") or "").strip().partition(" ")
        if kind.lower() != "bearer" or not token.strip():
            raise Unauthorized("Send an access token or an ID token of the identity provider: Authorization: Bearer …")
        session = await self._enter(call, idp_id, protocol_id, await self._verified(idp_id, token.strip()))
        return Reply(session.body(call.cloud.public_url, True), 201,
                     {"X-Subject-Token": session.text, "Vary": "X-Auth-Token"})

    async def _verified(self, idp_id: str, token: str) -> Assertion:
        try:
            return await self._provider(idp_id).verify(idp_id, token)
        except TokenRefused as refusal:
            raise Unauthorized(f"The token isn't accepted: {refusal}.") from None
        except ProviderDown as down:
            raise Unavailable(str(down)) from None

    def _provider(self, idp_id: str) -> OidcProviders:
        if self._providers is None or not self._providers.configured(idp_id):
            raise Unauthorized(f"Nobody can log in through identity provider {idp_id}: it isn't configured "
                               "(identity_providers in stackling.toml).")
        return self._providers

    async def _enter(self, call: Call, idp_id: str, protocol_id: str, assertion: Assertion) -> Session:
        entrance = await call.cloud.transact(federated.enter, idp_id, protocol_id, assertion)
        return await call.cloud.read(authentication.admit, self._identity, entrance)

    # -- in a browser

    async def any_provider(self, call: Call) -> Reply:
        """GET and POST /v3/auth/OS-FEDERATION/websso/{protocol_id}: with several providers, a choice."""
        origin, protocol_id = self._origin(call), call.params["protocol_id"]
        known = await call.cloud.read(federation.enabled_providers_with, protocol_id)
        usable = [id_ for id_ in known if self._providers is not None and self._providers.configured(id_)]
        if not usable:
            raise Unauthorized("Missing entity ID from environment")
        if len(usable) == 1:
            return await self._send_away(call, usable[0], protocol_id, origin)
        links = [(html.escape(_sso_path(call, id_, protocol_id, origin)), html.escape(id_)) for id_ in usable]
        entries = "".join(f'\n      <li><a href="{path}">{name}</a></li>' for path, name in links)
        return _page("Choose an identity provider", f"\n    <ul>{entries}\n    </ul>\n  ", "")

    async def one_provider(self, call: Call) -> Reply:
        """GET and POST …/identity_providers/{idp_id}/protocols/{protocol_id}/websso."""
        origin, idp_id, protocol_id = self._origin(call), call.params["idp_id"], call.params["protocol_id"]
        await call.cloud.read(federated.door, idp_id, protocol_id)
        return await self._send_away(call, idp_id, protocol_id, origin)

    def _origin(self, call: Call) -> str:
        """The dashboard that wants the token. Raises ``Invalid``, ``Unauthorized``."""
        origin = call.query.first("origin")
        if not origin:
            raise Invalid("Request must have an origin query parameter")
        if origin not in self._dashboards:
            raise Unauthorized(f"{origin[:200]} is not a trusted dashboard host")
        return origin

    async def _send_away(self, call: Call, idp_id: str, protocol_id: str, origin: str) -> Reply:
        kept = _State(idp_id, protocol_id, origin, secrets.token_urlsafe(24), secrets.token_urlsafe(24),
                      secrets.token_urlsafe(48), clock.wall() + LIFE)
        try:
            url = await self._provider(idp_id).sign_in_url(idp_id, _sign_in(call, kept))
        except ProviderDown as down:
            raise Unavailable(str(down)) from None
        sealed = self._identity.box.seal(msgspec.json.encode(kept)).decode()
        return Reply(None, 302, {
            "Location": url, "Set-Cookie": _cookie(call, sealed, LIFE), "Cache-Control": "no-store"})

    async def back(self, call: Call) -> Reply:
        """GET …/oidc/callback: the browser is back from the provider."""
        kept = self._kept(call)
        if (error := call.query.first("error")) is not None:
            raise Unauthorized(f"The identity provider refused the login: {error[:100]}")
        code = call.query.first("code")
        if not code:
            raise Invalid("The identity provider sent no code.")
        if not await call.cloud.transact(federated.use_sign_in, kept.state, clock.instant(kept.ends)):
            raise Unauthorized("This sign-in has been used already; begin again at the dashboard.")
        try:
            assertion = await self._provider(kept.idp_id).redeem(kept.idp_id, _sign_in(call, kept), code)
        except TokenRefused as refusal:
            raise Unauthorized(f"The login isn't accepted: {refusal}.") from None
        except ProviderDown as down:
            raise Unavailable(str(down)) from None
        session = await self._enter(call, kept.idp_id, kept.protocol_id, assertion)
        form = _FORM.format(host=html.escape(kept.origin), token=html.escape(session.text), script=_SCRIPT)
        reply = _page("Keystone WebSSO redirect", form, f"script-src 'sha256-{_SCRIPT_HASH}'; ")
        reply.headers["Set-Cookie"] = _cookie(call, "", 0)
        return reply

    def _kept(self, call: Call) -> _State:
        """What this browser keeps for us. Raises ``Unauthorized``."""
        try:
            morsel = SimpleCookie(call.header("Cookie") or "").get(COOKIE)
        except CookieError:
            morsel = None
        content = None if morsel is None else self._identity.box.unseal(morsel.value.encode())
        try:
            kept = None if content is None else msgspec.json.decode(content, type=_State)
        except msgspec.DecodeError:
            kept = None
        given = call.query.first("state") or ""
        if kept is None or not hmac.compare_digest(kept.state.encode(), given.encode()) or kept.ends < clock.wall():
            raise Unauthorized("This browser hasn't begun this sign-in, or too long ago; begin again at the dashboard.")
        return kept


def _sign_in(call: Call, kept: _State) -> SignIn:
    return SignIn(kept.state, kept.nonce, kept.verifier, f"{call.cloud.public_url}{call.service.prefix}{BACK}")


def _sso_path(call: Call, idp_id: str, protocol_id: str, origin: str) -> str:
    return (f"{call.service.prefix}{_SSO}/identity_providers/{quote(idp_id)}/protocols/{quote(protocol_id)}/websso"
            f"?origin={quote(origin, safe='')}")


def _cookie(call: Call, value: str, life: int) -> str:
    secure = "; Secure" if call.cloud.public_url.startswith("https:") else ""
    return (f"{COOKIE}={value}; Max-Age={life}; Path={call.service.prefix}{_SSO}; HttpOnly; SameSite=Lax{secure}")


def _page(title: str, body: str, policy: str) -> Reply:
    """A page that nobody keeps, frames or adds to."""
    headers = {"Cache-Control": "no-store", "Referrer-Policy": "no-referrer", "X-Frame-Options": "DENY",
               "X-Content-Type-Options": "nosniff",
               "Content-Security-Policy": f"default-src 'none'; {policy}base-uri 'none'; frame-ancestors 'none'"}
    return Reply(_PAGE.format(title=title, body=body).encode(), 200, headers, content_type="text/html; charset=utf-8")


def _lower_host(url: str) -> str:
    """*url* with its host in lower case, as browsers write it."""
    parts = urlsplit(url)
    return parts._replace(netloc=parts.netloc.lower()).geturl()


def routes(identity: Identity, providers: OidcProviders | None, dashboards: tuple[str, ...]) -> list[Route]:
    handlers = FederatedAuth(identity, providers, dashboards)
    of_provider = "identity_providers/{idp_id}/protocols/{protocol_id}"
    found = [Route("GET", BACK, handlers.back, None, "stream")]
    for method in ("GET", "POST"):
        found += [
            Route(method, f"/v3/OS-FEDERATION/{of_provider}/auth", handlers.auth, None, "stream", status=201,
                  limit=_MOST_BODY),
            Route(method, f"{_SSO}/websso/{{protocol_id}}", handlers.any_provider, None, "stream", limit=_MOST_BODY),
            Route(method, f"{_SSO}/{of_provider}/websso", handlers.one_provider, None, "stream", limit=_MOST_BODY)]
    return found
