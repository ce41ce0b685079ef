"""One provider: what its discovery document says, its keys, and whether a token is its own and meant for us.

Theory of operation. Keys are fetched when they are first needed, and again when they are an hour old or a token names
one that isn't among them, so that a provider may change its keys at any time; for tokens that name no known key that
happens at most every few seconds, whoever sends them. A provider that can't be reached for a while doesn't lock
everybody out: its last keys are used for some hours more. Only signatures with private keys count: with a shared
secret as key, whoever knows the public key could sign.
"""

from __future__ import annotations

import asyncio
import base64
import hashlib
import hmac
import re
from collections.abc import Mapping
from pathlib import Path
from typing import Any, cast
from urllib.parse import quote, urlencode

from joserfc import jwt
from joserfc.errors import JoseError
from joserfc.jwk import JWKRegistry, Key
from joserfc.jws import JWSRegistry, extract_compact

from stackling.core import clock
from stackling.drivers.oidc.http import Asking
from stackling.ports.oidc import (
    Assertion,
    ProviderDown,
    ProviderSettings,
    SignIn,
    TokenRefused,
    assertion,
    host_of,
)

ALGORITHMS: Mapping[str, str] = {
    "RS256": "RSA", "RS384": "RSA", "RS512": "RSA", "PS256": "RSA", "PS384": "RSA", "PS512": "RSA",
    "ES256": "EC", "ES384": "EC", "ES512": "EC", "EdDSA": "OKP", "Ed25519": "OKP"}
"""By name: the type of key."""
TYPES = (None, "jwt", "at+jwt", "application/at+jwt")
KEYS_FRESH, KEYS_USABLE, KEYS_PAUSE = 3600.0, 6 * 3600.0, 5.0
"""Seconds: after which keys are fetched again; for which they are used if that fails; between two fetches for keys
that aren't known."""
LEEWAY = 30
"""Seconds by which the provider's clock and ours may differ."""
LONGEST, MOST_KEYS, SMALLEST_RSA = 16_384, 100, 2048
_JWT = re.compile(r"[\w-]+\.[\w-]+\.[\w-]*\Z", re.ASCII)
_REGISTRY = JWSRegistry(algorithms=list(ALGORITHMS), strict_check_header=False)


class Provider:
    """What ``OidcProviders`` promises, of one provider."""

    def __init__(self, settings: ProviderSettings) -> None:
        self._settings = settings
        hosts = frozenset({host_of(settings.issuer), *(one if ":" in one else f"{one}:443" for one in settings.hosts)})
        self._asking = Asking(settings.id, hosts, settings.ca_file)
        self._lock = asyncio.Lock()
        self._document: dict[str, Any] = {}
        self._keys: list[Key] = []
        self._fetched = self._tried = -KEYS_USABLE
        self._down = ""

    # -- bearer tokens

    async def verify(self, token: str) -> Assertion:
        """Raises ``TokenRefused``, ``ProviderDown``."""
        if not token.isascii() or len(token) > LONGEST:
            raise TokenRefused("it is longer than any token that is looked at")
        if not _JWT.match(token):
            return assertion(await self._introspected(token))
        claims = await self._signed(token)
        self._check_claims(claims, {self._settings.client_id, *self._settings.audiences})
        if "cnf" in claims:
            raise TokenRefused("it is bound to a key of its holder, which can't be checked here")
        if self._settings.introspect:
            claims = {**claims, **await self._introspected(token)}
        return assertion(claims)

    async def _signed(self, token: str) -> dict[str, Any]:
        """The claims of a token with a good signature."""
        try:
            header = cast(dict[str, Any], extract_compact(token.encode(), registry=_REGISTRY).headers())
        except (JoseError, ValueError, RecursionError):
            raise TokenRefused("it is malformed") from None
        algorithm, kind = header.get("alg"), header.get("typ")
        if not isinstance(algorithm, str) or algorithm not in ALGORITHMS:
            raise TokenRefused(f"its algorithm {str(algorithm)[:20]!r} isn't accepted; {', '.join(ALGORITHMS)} are")
        if (kind.lower() if isinstance(kind, str) else kind) not in TYPES:
            raise TokenRefused("it is neither an access token nor an ID token")
        key = await self._key(algorithm, header.get("kid"))
        try:
            return jwt.decode(token, key, algorithms=[algorithm], registry=_REGISTRY).claims
        except (JoseError, ValueError, RecursionError):
            raise TokenRefused("its signature isn't the identity provider's") from None

    def _check_claims(self, claims: Mapping[str, Any], audiences: set[str]) -> None:
        if claims.get("iss") != self._settings.issuer:
            raise TokenRefused("it was issued by somebody else")
        if not isinstance(claims.get("sub"), str) or not claims["sub"]:
            raise TokenRefused("it says of nobody (it has no subject)")
        if not audiences & set(_audience(claims)):
            raise TokenRefused("it isn't meant for this cloud (its audience is another)")
        _check_times(claims, required=True)

    # -- opaque tokens

    async def _introspected(self, token: str) -> dict[str, Any]:
        """RFC 7662."""
        document = await self._discovered()
        if self._settings.client_secret_file is None or "introspection_endpoint" not in document:
            raise TokenRefused("it isn't a JWT, and the identity provider can't be asked about it")
        url = self._asking.check(document["introspection_endpoint"], "introspection endpoint")
        claims = await self._asking.json("POST", url, form={"token": token, "token_type_hint": "access_token"},
                                         headers=self._credentials())
        if claims.get("active") is not True:
            raise TokenRefused("the identity provider says that it isn't valid")
        if claims.get("iss", self._settings.issuer) != self._settings.issuer:
            raise TokenRefused("it was issued by somebody else")
        ours = {self._settings.client_id, *self._settings.audiences}
        if not ours & set(_audience(claims) or [claims.get("client_id")]):
            raise TokenRefused("it isn't meant for this cloud (its audience is another)")
        if claims.get("token_type") == "refresh_token":
            raise TokenRefused("it is neither an access token nor an ID token")
        _check_times(claims, required=False)
        return {"iss": self._settings.issuer, **claims}

    def _credentials(self) -> dict[str, str]:
        """The client's, as RFC 6749 (2.3.1) writes them."""
        path = self._settings.client_secret_file
        if path is None:
            return {}
        try:
            secret = Path(path).read_text().strip()
        except OSError as error:
            raise ProviderDown(f"Identity provider {self._settings.id}: the client's secret can't be read: "
                               f"{error.strerror}.") from None
        pair = f"{quote(self._settings.client_id, safe='')}:{quote(secret, safe='')}"
        return {"Authorization": f"Basic {base64.b64encode(pair.encode()).decode()}"}

    # -- sign-ins

    async def sign_in_url(self, sign_in: SignIn) -> str:
        """Raises ``ProviderDown``."""
        document = await self._discovered()
        url = self._asking.check(document.get("authorization_endpoint"), "authorization endpoint")
        challenge = base64.urlsafe_b64encode(hashlib.sha256(sign_in.verifier.encode()).digest()).rstrip(b"=").decode()
        query = urlencode({
            "response_type": "code", "client_id": self._settings.client_id, "redirect_uri": sign_in.redirect_uri,
            "scope": " ".join(self._settings.scopes), "state": sign_in.state, "nonce": sign_in.nonce,
            "code_challenge": challenge, "code_challenge_method": "S256"})
        return f"{url}{'&' if '?' in url else '?'}{query}"

    async def redeem(self, sign_in: SignIn, code: str) -> Assertion:
        """Raises ``TokenRefused``, ``ProviderDown``."""
        document = await self._discovered()
        url = self._asking.check(document.get("token_endpoint"), "token endpoint")
        form = {"grant_type": "authorization_code", "code": code, "redirect_uri": sign_in.redirect_uri,
                "code_verifier": sign_in.verifier, "client_id": self._settings.client_id}
        answer = await self._asking.json("POST", url, form=form, headers=self._credentials(), statuses=(200, 400, 401))
        token = answer.get("id_token")
        if not isinstance(token, str) or not _JWT.match(token) or len(token) > LONGEST:
            raise TokenRefused("the identity provider gave no ID token for this sign-in")
        claims = await self._signed(token)
        self._check_claims(claims, {self._settings.client_id})
        nonce = claims.get("nonce")
        if not isinstance(nonce, str) or not hmac.compare_digest(nonce.encode(), sign_in.nonce.encode()):
            raise TokenRefused("the ID token belongs to another sign-in (its nonce is another)")
        if claims.get("azp", self._settings.client_id) != self._settings.client_id:
            raise TokenRefused("the ID token was given to another client")
        return assertion({**await self._user_info(document, answer.get("access_token"), claims["sub"]), **claims})

    async def _user_info(self, document: Mapping[str, Any], token: Any, subject: str) -> dict[str, Any]:
        """Further claims; those of the ID token win."""
        if "userinfo_endpoint" not in document or not isinstance(token, str):
            return {}
        url = self._asking.check(document["userinfo_endpoint"], "userinfo endpoint")
        claims = await self._asking.json("GET", url, headers={"Authorization": f"Bearer {token}"})
        if claims.get("sub") != subject:
            raise TokenRefused("the identity provider tells of another person than the ID token")
        return claims

    # -- discovery and keys

    async def _discovered(self) -> dict[str, Any]:
        """Its discovery document (OpenID Connect Discovery 1.0, 4), as old as the keys at most."""
        await self._all_keys()
        return self._document

    async def _key(self, algorithm: str, kid: Any) -> Key:
        await self._all_keys()
        found = self._pick(algorithm, kid)
        if found is None and clock.monotonic() - self._tried >= KEYS_PAUSE:
            await self._all_keys(anew=True)
            found = self._pick(algorithm, kid)
        if found is None:
            raise TokenRefused("the identity provider has no such key")
        return found

    def _pick(self, algorithm: str, kid: Any) -> Key | None:
        fitting = [key for key in self._keys if key.key_type == ALGORITHMS[algorithm]
                   and (key.alg is None or key.alg == algorithm)]
        if kid is None:
            return fitting[0] if len(fitting) == 1 else None
        return next((key for key in fitting if key.kid == kid), None)

    async def _all_keys(self, *, anew: bool = False) -> None:
        """See that there are keys and a document that may be used. Raises ``ProviderDown``."""
        if not anew and clock.monotonic() - self._fetched < KEYS_FRESH:
            return
        asked = clock.monotonic()
        async with self._lock:
            usable = clock.monotonic() - self._fetched < KEYS_USABLE
            # Somebody else may have tried meanwhile, and one that doesn't answer isn't asked all the time.
            if self._tried < asked and clock.monotonic() - self._tried >= KEYS_PAUSE:
                try:
                    await self._fetch()
                    usable = True
                except ProviderDown as error:
                    self._down = str(error)
                finally:
                    self._tried = clock.monotonic()
            if not usable:
                raise ProviderDown(self._down)

    async def _fetch(self) -> None:
        issuer = self._settings.issuer
        document = await self._asking.json("GET", issuer.rstrip("/") + "/.well-known/openid-configuration")
        if document.get("issuer") != issuer:
            raise ProviderDown(f"Identity provider {self._settings.id}: its discovery document is of another issuer.")
        answer = await self._asking.json("GET", self._asking.check(document.get("jwks_uri"), "jwks_uri"))
        keys = answer.get("keys")
        if not isinstance(keys, list):
            raise ProviderDown(f"Identity provider {self._settings.id}: its keys aren't a JSON Web Key Set.")
        found = [_imported(one) for one in cast(list[Any], keys)[:MOST_KEYS]]
        self._document, self._keys = document, [key for key in found if key is not None]
        self._fetched = clock.monotonic()


def _imported(value: Any) -> Key | None:
    """A public key for signatures; None for any other."""
    if not isinstance(value, dict):
        return None
    data = cast(dict[str, Any], value)
    if data.get("kty") not in set(ALGORITHMS.values()) or data.get("use", "sig") != "sig":
        return None
    try:
        key = JWKRegistry.import_key(data)
        if data["kty"] == "RSA" and cast(Any, key.get_op_key("verify")).key_size < SMALLEST_RSA:
            return None
    except (JoseError, ValueError, TypeError, KeyError):
        return None
    return key


def _audience(claims: Mapping[str, Any]) -> list[Any]:
    found = claims.get("aud")
    values = cast(list[Any], found) if isinstance(found, list) else [found]
    return [one for one in values if isinstance(one, str)]


def _check_times(claims: Mapping[str, Any], *, required: bool) -> None:
    now = clock.wall()
    times = {name: claims[name] for name in ("exp", "nbf", "iat") if name in claims}
    if any(isinstance(at, bool) or not isinstance(at, (int, float)) for at in times.values()):
        raise TokenRefused("its times aren't numbers")
    if required and "exp" not in times:
        raise TokenRefused("it doesn't say when it ends")
    if "exp" in times and times["exp"] <= now - LEEWAY:
        raise TokenRefused("it has expired")
    if times.get("nbf", 0) > now + LEEWAY or times.get("iat", 0) > now + LEEWAY:
        raise TokenRefused("it isn't valid yet")
