"""Signatures of requests: OAuth 1 (RFC 5849), EC2 (AWS versions 0, 1, 2 and 4) and S3. Pure."""

from __future__ import annotations

import base64
import hashlib
import hmac
import re
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any
from urllib.parse import quote, unquote, urlsplit

_OAUTH_PARAMETER = re.compile(r'\s*([^=\s]+)="([^"]*)"\s*')
_OAUTH_HASHES = {"HMAC-SHA1": hashlib.sha1, "HMAC-SHA256": hashlib.sha256, "HMAC-SHA512": hashlib.sha512}
_V4 = "AWS4-HMAC-SHA256"
_S3_SERVICES = ("s3", "iam", "sts")
CLOCK_SKEW = 600
"""Seconds by which the time in a signed OAuth request may differ from ours."""


def _quoted(text: str) -> str:
    return quote(text, safe="~-._")


def same(given: object, expected: str) -> bool:
    """Comparison that takes as long whatever differs."""
    return isinstance(given, str) and hmac.compare_digest(given.encode(), expected.encode())


# -- OAuth 1


@dataclass(frozen=True, slots=True)
class SignedRequest:
    """A request as OAuth signs it. ``parameters`` are those of the query; ``oauth`` those of the header."""

    method: str
    url: str
    parameters: Sequence[tuple[str, str]]
    oauth: Mapping[str, str]

    @classmethod
    def of(cls, method: str, url: str, parameters: Sequence[tuple[str, str]], header: str | None
           ) -> SignedRequest | None:
        """From the ``Authorization`` header; None where that isn't OAuth's."""
        kind, _, rest = (header or "").strip().partition(" ")
        if kind.lower() != "oauth":
            return None
        matches = [match for part in rest.split(",") if (match := _OAUTH_PARAMETER.fullmatch(part))]
        return cls(method, url, parameters, {unquote(match[1]): unquote(match[2]) for match in matches})

    def base_string(self) -> str:
        """RFC 5849, 3.4.1."""
        url = urlsplit(self.url)
        host = (url.hostname or "").lower()
        if url.port not in (None, 80 if url.scheme == "http" else 443):
            host = f"{host}:{url.port}"
        pairs = [*self.parameters, *((name, value) for name, value in self.oauth.items()
                                     if name not in ("realm", "oauth_signature"))]
        normal = "&".join(f"{name}={value}" for name, value in sorted((_quoted(n), _quoted(v)) for n, v in pairs))
        return "&".join((self.method.upper(), _quoted(f"{url.scheme.lower()}://{host}{url.path or '/'}"),
                         _quoted(normal)))

    def signed_with(self, consumer_secret: str, token_secret: str, now: float) -> bool:
        """Whether who sent it knows both secrets, and signed it about now."""
        method = self.oauth.get("oauth_signature_method", "")
        algorithm = _OAUTH_HASHES.get(method)
        stamp = self.oauth.get("oauth_timestamp", "")
        if algorithm is None and method != "PLAINTEXT":
            return False
        if not stamp.isascii() or not stamp.isdigit() or not self.oauth.get("oauth_nonce"):
            return False
        if abs(now - int(stamp[:15])) > CLOCK_SKEW:
            return False
        key = f"{_quoted(consumer_secret)}&{_quoted(token_secret)}"
        if algorithm is None:               # as with Keystone, whatever carries it (RFC 5849, 3.4.4)
            return same(self.oauth.get("oauth_signature"), key)
        digest = hmac.new(key.encode(), self.base_string().encode(), algorithm).digest()
        return same(self.oauth.get("oauth_signature"), base64.b64encode(digest).decode())


# -- EC2


def ec2(credentials: Mapping[str, Any], secret: str) -> str | None:
    """The signature that EC2's *credentials* (``verb``, ``host``, ``path``, ``params`` …) ought to have.

    None where it can't be told which version is meant, or what it needs is missing.
    """
    params = {str(k): str(v) for k, v in _mapping(credentials.get("params")).items()}
    version = params.get("SignatureVersion")
    if version == "0":
        return _base64(secret, params.get("Action", "") + params.get("Timestamp", ""), "sha1")
    if version == "1":
        text = "".join(key + params[key] for key in sorted(params, key=str.lower))
        return _base64(secret, text, "sha1")
    if version == "2":
        return _ec2_v2(credentials, params, secret)
    return _ec2_v4(credentials, params, secret)


def _mapping(value: object) -> Mapping[Any, Any]:
    return value if isinstance(value, Mapping) else {}     # pyright: ignore[reportUnknownVariableType]


def _base64(secret: str, text: str, algorithm: str) -> str:
    return base64.b64encode(hmac.new(secret.encode(), text.encode(), algorithm).digest()).decode()


def _query(params: Mapping[str, str]) -> str:
    return "&".join(f"{_quoted(key)}={_quoted(params[key])}" for key in sorted(params))


def _ec2_v2(credentials: Mapping[str, Any], params: Mapping[str, str], secret: str) -> str:
    text = "\n".join((str(credentials.get("verb", "")), str(credentials.get("host", "")),
                      str(credentials.get("path", "")), _query({**params, "SignatureMethod": "HmacSHA256"})))
    return _base64(secret, text, "sha256")


def _ec2_v4(credentials: Mapping[str, Any], params: Mapping[str, str], secret: str) -> str | None:
    """https://docs.aws.amazon.com/IAM/latest/UserGuide/reference_sigv-create-signed-request.html."""
    headers = {str(k).lower().strip(): str(v).strip() for k, v in _mapping(credentials.get("headers")).items()}
    signed = _v4_parameters(headers, params)
    scope = signed.get("Credential", "").split("/")
    stamp = params.get("X-Amz-Date") or headers.get("x-amz-date") or headers.get("date") or ""
    if len(scope) != 5 or scope[1] != stamp[:8]:
        return None
    verb, names = str(credentials.get("verb", "")).upper(), signed.get("SignedHeaders", "")
    query = "" if verb == "POST" else _query({k: v for k, v in params.items() if k != "X-Amz-Signature"})
    lines = "".join(f"{name}:{headers[name]}\n" for name in names.split(";") if name in headers)
    request = "\n".join((verb, str(credentials.get("path", "")), query, lines, names,
                         str(credentials.get("body_hash", ""))))
    text = "\n".join((_V4, stamp, "/".join(scope[1:]), hashlib.sha256(request.encode()).hexdigest()))
    return hmac.new(_v4_key(secret, scope[1:]), text.encode(), "sha256").hexdigest()


def _v4_parameters(headers: Mapping[str, str], params: Mapping[str, str]) -> dict[str, str]:
    kind, _, rest = headers.get("authorization", "").partition(" ")
    if kind == _V4:
        return dict(part.strip().split("=", 1) for part in rest.split(",") if "=" in part)
    if params.get("X-Amz-Algorithm") == _V4:
        return {name: params.get(f"X-Amz-{name}", "") for name in ("Credential", "SignedHeaders")}
    return {}


def _v4_key(secret: str, scope: Sequence[str]) -> bytes:
    key = f"AWS4{secret}".encode()
    for part in scope:
        key = hmac.new(key, part.encode(), "sha256").digest()
    return key


# -- S3


def s3(token: str, secret: str) -> str | None:
    """The signature of *token*, the text to sign in URL-safe base64; None where it isn't one."""
    try:
        text = base64.urlsafe_b64decode(token)
        lines = text.decode().split("\n") if text.startswith(b"AWS4") else None
    except ValueError:
        return None
    if lines is None:
        return base64.b64encode(hmac.new(secret.encode(), text, "sha1").digest()).decode()
    scope = lines[2].split("/") if len(lines) == 4 and lines[0] == _V4 else []
    if len(scope) != 4 or scope[3] != "aws4_request" or scope[2] not in _S3_SERVICES:
        return None
    return hmac.new(_v4_key(secret, scope), text, "sha256").hexdigest()
