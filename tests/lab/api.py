"""A client of the cluster's APIs over TLS, from a namespace; each call is one attempt, errors are told."""

from __future__ import annotations

import copy
import ssl
import time
from typing import Any

import httpx
import yaml

from tests.lab.inside import Inside

ANSWER_WITHIN = 5.0     # seconds that a client of ours waits


class Api:
    """As the administrator of ``clouds.yaml`` (its text), at *host* instead of the address in it when given."""

    def __init__(self, inside: Inside, clouds: str, ca: str, host: str | None = None) -> None:
        auth = yaml.safe_load(clouds)["clouds"]["stackling"]["auth"]
        self._inside, self._auth = inside, auth
        self._origin = httpx.URL(auth["auth_url"]).copy_with(path="/", **({"host": host} if host else {}))
        self._context = ssl.create_default_context(cadata=ca)
        self._client = self._open()
        self._token = ""

    def _open(self) -> httpx.Client:
        return httpx.Client(base_url=self._origin, verify=self._context, timeout=ANSWER_WITHIN, trust_env=False)

    def another(self) -> Api:
        """The same client with connections of its own."""
        other = copy.copy(self)
        other._client = self._open()
        return other

    def close(self) -> None:
        """Let go of its connections."""
        self._client.close()

    @property
    def origin(self) -> str:
        """Without a slash at its end."""
        return str(self._origin).rstrip("/")

    def token(self) -> str:
        """A valid one."""
        self.get("/identity/v3/auth/projects")
        return self._token

    def call(self, method: str, path: str, body: Any = None, *, fresh: bool = False) -> httpx.Response:
        """One attempt; *fresh*: over a new connection. Raises ``httpx.HTTPError``."""
        return self._inside.call(self._call, method, path, body, fresh)

    def _call(self, method: str, path: str, body: Any, fresh: bool) -> httpx.Response:
        if fresh:
            self._client.close()
            self._client = self._open()
        for _ in range(2):
            if not self._token:
                self._token = self._sign_in()
            headers = {"X-Auth-Token": self._token, "OpenStack-API-Version": "compute 2.96"}
            answer = self._client.request(method, path, json=body, headers=headers)
            if answer.status_code != 401:
                break
            self._token = ""
        return answer

    def _sign_in(self) -> str:
        auth = self._auth
        user = {"name": auth["username"], "domain": {"name": "Default"}, "password": auth["password"]}
        answer = self._client.post("/identity/v3/auth/tokens", json={"auth": {
            "identity": {"methods": ["password"], "password": {"user": user}},
            "scope": {"project": {"name": auth["project_name"], "domain": {"name": "Default"}}}}})
        answer.raise_for_status()
        return answer.headers["X-Subject-Token"]

    def get(self, path: str, within: float = 60) -> Any:
        """The decoded answer, tried again while the API is away."""
        return self.must("GET", path, within=within)

    def must(self, method: str, path: str, body: Any = None, *, within: float = 60, gone: bool = False) -> Any:
        """The decoded answer of a call that is tried again while the API is away or out of order. *gone*: what is to be
        deleted may be gone already."""
        deadline, again = time.monotonic() + within, False
        while True:
            try:
                answer = self.call(method, path, body)
                if method == "DELETE" and answer.status_code == 404 and (again or gone):
                    return None         # the try that got no answer did it, or another's
                if answer.status_code < 500:
                    assert answer.is_success, f"{method} {path}: {answer.status_code} {answer.text}"
                    return answer.json() if answer.content else None
                why = f"{answer.status_code} {answer.text[:200]}"
            except httpx.HTTPError as error:
                why = repr(error)
            assert time.monotonic() < deadline, f"{method} {path} for {within:g} s: {why}"
            again = True
            time.sleep(0.2)
