"""A small client of our own APIs: one connection, one remembered token, errors that say what to do.

It speaks to whatever cloud ``OS_AUTH_URL`` and its like name, else to the one in the state directory.
"""

from __future__ import annotations

import http.client
import json
import os
import re
import time
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any, TypeVar
from urllib.parse import quote, urlencode, urlsplit

from stackling.cli.problem import FAILED, NOT_FOUND, NOT_UP, TIMED_OUT, Problem
from stackling.deploy.embedded.configuration import replace_file
from stackling.deploy.embedded.directory import StateDirectory

T = TypeVar("T")
COMPUTE_VERSION = "2.96"
TIMEOUT = 30.0


@dataclass(frozen=True, slots=True)
class Login:
    """Who asks, and where."""

    auth_url: str
    username: str
    password: str
    project: str
    user_domain: str = "Default"
    project_domain: str = "Default"
    ca: str | None = None
    """The file with the authority's certificate; None: those that the machine trusts."""

    def __repr__(self) -> str:
        return f"Login({self.username} at {self.auth_url})"


class Refused(Problem):
    """The API said no; ``status`` is its HTTP status."""

    def __init__(self, status: int, message: str) -> None:
        super().__init__(message, NOT_FOUND if status == 404 else FAILED)
        self.status = status


class Client:
    """Calls by service type (``compute``, ``network`` …) and path below the service's version."""

    def __init__(self, login: Login, cache: Any = None) -> None:
        self._login, self._cache = login, cache
        self._connections: dict[str, http.client.HTTPConnection] = {}
        self._token: dict[str, Any] | None = None

    @property
    def project_id(self) -> str:
        """The project that the token is for."""
        return self._session()["project_id"]

    def get(self, service: str, path: str, **query: Any) -> Any:
        """GET; the decoded body."""
        text = urlencode({name: value for name, value in query.items() if value is not None})
        return self.call("GET", service, f"{path}?{text}" if text else path)

    def post(self, service: str, path: str, body: Any, version: str = COMPUTE_VERSION) -> Any:
        """POST a JSON body."""
        return self.call("POST", service, path, body, version=version)

    def put(self, service: str, path: str, body: Any) -> Any:
        """PUT a JSON body."""
        return self.call("PUT", service, path, body)

    def delete(self, service: str, path: str) -> None:
        """DELETE."""
        self.call("DELETE", service, path)

    def call(self, method: str, service: str, path: str, body: Any = None, *, version: str = COMPUTE_VERSION,
             content: str = "application/json") -> Any:
        """Any call; *body* is JSON, or a file that is streamed. Raises ``Refused`` and ``Problem``."""
        for fresh in (False, True):
            session = self._session(fresh=fresh)
            base = session["catalog"].get(service)
            if base is None:
                raise Problem(f"this cloud has no {service} service")
            headers = {"X-Auth-Token": session["token"], "OpenStack-API-Version": f"compute {version}"}
            status, data, _ = self._send(method, base + path, headers, body, content)
            if status != 401:
                break
        if status >= 400:
            raise Refused(status, _message(status, data))
        return json.loads(data) if data and data[:1] in b"[{" else None

    # -- how

    def _session(self, *, fresh: bool = False) -> dict[str, Any]:
        if not fresh and self._token is None:
            self._token = _remembered(self._cache, self._login)
        if fresh or self._token is None:
            self._token = self._sign_in()
            if self._cache is not None:
                replace_file(self._cache, json.dumps(self._token), 0o600)
        return self._token

    def _sign_in(self) -> dict[str, Any]:
        login = self._login
        user = {"name": login.username, "domain": {"name": login.user_domain}, "password": login.password}
        project = {"name": login.project, "domain": {"name": login.project_domain}}
        status, data, headers = self._send("POST", f"{login.auth_url}/auth/tokens", {}, {"auth": {
            "identity": {"methods": ["password"], "password": {"user": user}}, "scope": {"project": project}}})
        if status == 401:
            raise Problem(f"user {login.username} can't sign in at {login.auth_url}: the password is another one now")
        if status >= 400:
            raise Problem(_message(status, data), NOT_UP)
        token = json.loads(data)["token"]
        urls = {one["type"]: endpoint["url"] for one in token["catalog"] for endpoint in one["endpoints"]
                if endpoint["interface"] == "public"}
        suffix = {"network": "/v2.0", "image": "/v2", "load-balancer": "/v2/lbaas"}
        origin = login.auth_url.removesuffix("/v3").removesuffix("/identity")
        catalog = {type_: url.rstrip("/") + suffix.get(type_, "") for type_, url in urls.items()}
        return {"token": headers["X-Subject-Token"], "expires": token["expires_at"], "for": repr(login),
                "project_id": token["project"]["id"], "catalog": {**catalog, "stackling": f"{origin}/stackling/v1"}}

    def _send(self, method: str, url: str, headers: Mapping[str, str], body: Any,
              content: str = "application/json") -> tuple[int, bytes, http.client.HTTPMessage]:
        parts = urlsplit(url)
        target = parts.path + (f"?{parts.query}" if parts.query else "")
        data = None if body is None else body if hasattr(body, "read") else json.dumps(body).encode()
        sent = {"Accept": "application/json", **headers, **({"Content-Type": content} if data is not None else {})}
        for again in (True, False):
            connection = self._connection(parts.scheme, parts.netloc)
            try:
                connection.request(method, target, data, sent)
                response = connection.getresponse()
                return response.status, response.read(), response.headers
            except (http.client.HTTPException, ConnectionResetError, BrokenPipeError) as error:
                self._connections.pop(parts.netloc).close()
                if not again or method == "POST":
                    raise Problem(f"{parts.netloc} broke off: {error or type(error).__name__}", NOT_UP) from None
            except OSError as error:
                why = "doesn't answer in time" if isinstance(error, TimeoutError) else error.strerror or str(error)
                raise Problem(f"no cloud answers at {parts.netloc} ({why}); is it up? See `stackling status`",
                              NOT_UP) from None
        raise AssertionError

    def _connection(self, scheme: str, netloc: str) -> http.client.HTTPConnection:
        found = self._connections.get(netloc)
        if found is None:
            found = self._connections[netloc] = self._connect(scheme, netloc)
        return found

    def _connect(self, scheme: str, netloc: str) -> http.client.HTTPConnection:
        if scheme != "https":
            return http.client.HTTPConnection(netloc, timeout=TIMEOUT)
        import ssl

        try:
            context = ssl.create_default_context(cafile=self._login.ca)
        except OSError as error:
            raise Problem(f"{self._login.ca}, the certificate of the cloud's authority: {error.strerror}") from None
        return http.client.HTTPSConnection(netloc, timeout=TIMEOUT, context=context)


def _remembered(cache: Any, login: Login) -> dict[str, Any] | None:
    try:
        found = json.loads(cache.read_text())
        left = time.time() + 60 < _epoch(found["expires"])
        return found if left and found["for"] == repr(login) else None
    except (AttributeError, OSError, ValueError, KeyError, TypeError):
        return None


def _epoch(text: str) -> float:
    from datetime import datetime

    return datetime.fromisoformat(text).timestamp()


def _message(status: int, data: bytes) -> str:
    """What the service said, whichever shape it has."""
    try:
        body = json.loads(data)
    except ValueError:
        return re.sub(r"<[^>]+>|\s+", " ", data.decode(errors="replace")).strip()[:300] or f"HTTP status {status}"
    for value in body.values() if isinstance(body, dict) else ():
        if isinstance(value, dict) and "message" in value:
            return str(value["message"])
    return str(body.get("message", body))[:300] if isinstance(body, dict) else str(body)[:300]


def connect(directory: StateDirectory) -> Client:
    """A client for the cloud that the environment names, else for the cluster that this machine is one of, else for the
    one in *directory*."""
    if url := os.environ.get("OS_AUTH_URL"):
        env = os.environ.get
        return Client(Login(
            url.rstrip("/"), env("OS_USERNAME", ""), env("OS_PASSWORD", ""), env("OS_PROJECT_NAME", ""),
            env("OS_USER_DOMAIN_NAME", "Default"), env("OS_PROJECT_DOMAIN_NAME", "Default"), env("OS_CACERT")))
    of_cluster = Path("/etc/stackling/clouds.yaml")
    file = of_cluster if of_cluster.exists() and not directory.clouds_yaml.exists() else directory.clouds_yaml
    try:
        text = file.read_text()
    except FileNotFoundError:
        raise Problem(f"there is no cloud in {directory.root}; `stackling up` makes one", NOT_UP) from None
    except PermissionError:
        raise Problem(f"{file} can't be read; it belongs to who started the cloud") from None
    found = re.search(r"auth_url: (\S+)", text)
    password = re.search(r'^\s*password: "([^"]*)"$', text, re.MULTILINE)
    if not password or not found:
        raise Problem(f"{file} lacks the address or the password of cloud stackling")
    ca = re.search(r"cacert: (\S+)", text)
    return Client(Login(found.group(1), "admin", password.group(1), "admin", ca=ca.group(1) if ca else None),
                  directory.root / "cli-token.json")


def wait(look: Callable[[], T | None], timeout: float, what: str, every: float = 0.3) -> T:
    """Look again and again until there is something; a problem with *what* after *timeout* seconds."""
    end = time.monotonic() + timeout
    while True:
        if (found := look()) is not None:
            return found
        if time.monotonic() > end:
            raise Problem(f"{what} within {timeout:.0f} s", TIMED_OUT)
        time.sleep(every)


def escaped(text: str) -> str:
    """*text* as one part of a path."""
    return quote(text, safe="")
