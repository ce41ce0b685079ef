"""A small OpenID Connect provider on the loopback interface, and tokens that it, or an attacker, would write.

It has keys of both common kinds, changes them when it is told to, and speaks what clients need: discovery, JWKS,
the grants ``password``, ``client_credentials`` and ``authorization_code`` (PKCE), introspection and user info.
"""

from __future__ import annotations

import base64
import hashlib
import hmac
import json
import threading
import time
import uuid
from collections.abc import Iterator
from contextlib import contextmanager
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from typing import Any
from urllib.parse import parse_qs, unquote, urlencode, urlsplit

from joserfc import jwt
from joserfc.jwk import ECKey, RSAKey
from joserfc.jws import JWSRegistry

CLIENT, SECRET, PASSWORD = "stackling", "s3cret/with:odd chars", "opensesame"
REDIRECT = "/identity/v3/auth/OS-FEDERATION/oidc/callback"


def _encoded(data: bytes) -> str:
    return base64.urlsafe_b64encode(data).rstrip(b"=").decode()


class OidcProvider:
    """The provider's state. ``claims`` are what it says of people by their user name."""

    def __init__(self, port: int) -> None:
        self.issuer = f"http://127.0.0.1:{port}/realms/test"
        self.keys: list[RSAKey | ECKey] = []
        self.claims: dict[str, dict[str, Any]] = {}
        self.opaque: dict[str, dict[str, Any]] = {}
        self.codes: dict[str, dict[str, Any]] = {}
        self.asked: list[str] = []
        self.down = False
        self.document: dict[str, Any] = {}
        """What its discovery document says differently."""
        self.id_token: dict[str, Any] = {}
        """What the next ID tokens say differently."""
        self.rotate()

    def rotate(self) -> None:
        """New keys; the old ones are good no more."""
        self.keys = [RSAKey.generate_key(2048, {"kid": uuid.uuid4().hex, "use": "sig", "alg": "RS256"}, private=True),
                     ECKey.generate_key("P-256", {"kid": uuid.uuid4().hex, "use": "sig"}, private=True)]

    def person(self, name: str, **claims: Any) -> None:
        """Somebody who can log in."""
        self.claims[name] = {
            "sub": f"id-of-{name}", "preferred_username": name, "email": f"{name}@example.org", **claims}

    def token(self, name: str, *, alg: str = "RS256", key: Any = None, header: dict[str, Any] | None = None,
              **changes: Any) -> str:
        """An access token, with *changes* to its claims (None: without that claim)."""
        now = int(time.time())
        claims = {"iss": self.issuer, "aud": CLIENT, "iat": now, "exp": now + 300, "jti": uuid.uuid4().hex,
                  **self.claims[name], **changes}
        key = key or next(one for one in self.keys if one.key_type == ("EC" if alg.startswith("ES") else "RSA"))
        return jwt.encode({"alg": alg, "typ": "JWT", "kid": key.kid, **(header or {})},
                          {k: v for k, v in claims.items() if v is not None}, key, algorithms=[alg],
                          registry=JWSRegistry(algorithms=[alg], strict_check_header=False))

    def unsigned(self, name: str) -> str:
        """A token with the algorithm "none"."""
        _, payload, _ = self.token(name).split(".")
        return f"{_encoded(json.dumps({'alg': 'none', 'typ': 'JWT'}).encode())}.{payload}."

    def signed_with_public_key(self, name: str) -> str:
        """A token whose shared secret is the provider's public key."""
        rsa = self.keys[0]
        _, payload, _ = self.token(name).split(".")
        text = f"{_encoded(json.dumps({'alg': 'HS256', 'typ': 'JWT', 'kid': rsa.kid}).encode())}.{payload}"
        return f"{text}.{_encoded(hmac.digest(rsa.as_pem(private=False), text.encode(), 'sha256'))}"

    def opaque_token(self, name: str, **changes: Any) -> str:
        """A token that only introspection tells of."""
        text = f"opaque-{uuid.uuid4().hex}"
        self.opaque[text] = {"active": True, "client_id": CLIENT, "exp": int(time.time()) + 300, **self.claims[name],
                             **changes}
        return text

    # -- its pages

    def discovery(self) -> dict[str, Any]:
        base = self.issuer
        return {"issuer": base, "jwks_uri": f"{base}/keys", "token_endpoint": f"{base}/token",
                "authorization_endpoint": f"{base}/authorize", "introspection_endpoint": f"{base}/introspect",
                "userinfo_endpoint": f"{base}/userinfo", **self.document}

    def authorize(self, url: str, name: str) -> str:
        """What a browser does in which *name* logs in: the URL that it is sent back to."""
        query = {key: values[0] for key, values in parse_qs(urlsplit(url).query).items()}
        assert query["response_type"] == "code"
        assert query["client_id"] == CLIENT
        code = uuid.uuid4().hex
        self.codes[code] = {**query, "name": name}
        return f"{query['redirect_uri']}?{urlencode({'code': code, 'state': query['state']})}"

    def grant(self, form: dict[str, str], client: str) -> tuple[int, dict[str, Any]]:
        kind = form.get("grant_type")
        if kind == "password" and form.get("password") == PASSWORD:
            return 200, self._tokens(form["username"], None)
        if kind == "client_credentials":
            return 200, self._tokens(client, None)
        found = self.codes.pop(form.get("code", ""), None)
        if kind == "authorization_code" and found is not None and found["redirect_uri"] == form.get("redirect_uri"):
            proof = hashlib.sha256(form.get("code_verifier", "").encode()).digest()
            if found.get("code_challenge") in (None, _encoded(proof)):
                return 200, self._tokens(found["name"], found.get("nonce"))
        return 400, {"error": "invalid_grant"}

    def _tokens(self, name: str, nonce: str | None) -> dict[str, Any]:
        id_token = self.token(name, **{"nonce": nonce, **self.id_token})
        return {"access_token": self.token(name), "id_token": id_token, "token_type": "Bearer", "expires_in": 300}


@contextmanager
def running() -> Iterator[OidcProvider]:
    """A provider that answers until the end."""
    server = ThreadingHTTPServer(("127.0.0.1", 0), _Handler)
    server.daemon_threads = True
    provider = OidcProvider(server.server_address[1])
    server.provider = provider    # type: ignore[attr-defined]
    thread = threading.Thread(target=server.serve_forever, kwargs={"poll_interval": 0.02})
    thread.start()
    try:
        yield provider
    finally:
        server.shutdown()
        thread.join()
        server.server_close()


class _Handler(BaseHTTPRequestHandler):
    protocol_version = "HTTP/1.1"

    @property
    def provider(self) -> OidcProvider:
        return self.server.provider    # type: ignore[attr-defined]

    def do_GET(self) -> None:
        path = self._path()
        if path == ".well-known/openid-configuration":
            self._answer(200, self.provider.discovery())
        elif path == "keys":
            self._answer(200, {"keys": [key.as_dict(private=False) for key in self.provider.keys]})
        elif path == "userinfo":
            token = self.headers["Authorization"].removeprefix("Bearer ")
            claims = jwt.decode(token, self.provider.keys[0], ["RS256"]).claims
            self._answer(200, {"sub": claims["sub"], "department": "weaving"})
        else:
            self._answer(404, {})

    def do_POST(self) -> None:
        form = {key: values[0] for key, values in
                parse_qs(self.rfile.read(int(self.headers["Content-Length"])).decode()).items()}
        path, client = self._path(), self._client(form)
        if client is None:
            self._answer(401, {"error": "invalid_client"})
        elif path == "token":
            self._answer(*self.provider.grant(form, client))
        elif path == "introspect":
            self._answer(200, self.provider.opaque.get(form["token"], {"active": False}))
        else:
            self._answer(404, {})

    def _client(self, form: dict[str, str]) -> str | None:
        """Who asks, with either form of the client's credentials."""
        kind, _, rest = (self.headers.get("Authorization") or "").partition(" ")
        if kind == "Basic":
            user, _, secret = base64.b64decode(rest).decode().partition(":")
            known = secret == SECRET or unquote(secret) == SECRET
            return unquote(user) if known else None
        return form.get("client_id") if form.get("client_secret") == SECRET else None

    def _path(self) -> str:
        self.provider.asked.append(urlsplit(self.path).path.removeprefix("/realms/test/"))
        return self.provider.asked[-1]

    def _answer(self, status: int, body: Any) -> None:
        data = json.dumps(body).encode()
        self.send_response(503 if self.provider.down else status)
        self.send_header("Content-Type", "application/json")
        self.send_header("Content-Length", str(len(data)))
        self.end_headers()
        self.wfile.write(data)

    def log_message(self, format: str, *args: Any) -> None:
        pass
