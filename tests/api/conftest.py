"""The HTTP API in this process: one application over a fresh SQLite with every service that exists.

``admin``, ``member``, ``reader`` are clients of the project ``admin`` resp. ``demo``; ``other`` is a member of another
project, ``anonymous`` has no token. ``cloud`` gives the rest: the database, ids, and clients for new users.
"""

from __future__ import annotations

import asyncio
import importlib
import os
import uuid
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import httpx
import pytest

from stackling.api.app import build_app
from stackling.api.cloud import Cloud
from stackling.api.route import Service
from stackling.identity import facade as identity_facade
from stackling.identity.facade import Identity, IdentityConfig
from stackling.store.database import Database
from stackling.store.sealing import Seal
from stackling.store.tables import metadata

PUBLIC_URL = "http://cloud.test"
ADMIN_PASSWORD = "correct horse battery staple"
SERVICES = ("identity", "image", "network", "compute", "placement", "loadbalancer")


class Client:
    """One user's session: ``client.get("/compute/v2.1/servers")`` gives the ``httpx.Response``."""

    def __init__(self, cloud: CloudUnderTest, token: str | None = None) -> None:
        self._cloud = cloud
        self.token = token
        self.body: dict[str, Any] = {}
        self.headers: dict[str, str] = {}

    @property
    def project_id(self) -> str:
        return self.body["project"]["id"]

    @property
    def user_id(self) -> str:
        return self.body["user"]["id"]

    def request(self, method: str, path: str, **kwargs: Any) -> httpx.Response:
        headers = {**self.headers, **(kwargs.pop("headers", None) or {})}
        if self.token is not None:
            headers.setdefault("X-Auth-Token", self.token)
        return self._cloud.send(method, path, headers=headers, **kwargs)

    def get(self, path: str, **kwargs: Any) -> httpx.Response:
        return self.request("GET", path, **kwargs)

    def head(self, path: str, **kwargs: Any) -> httpx.Response:
        return self.request("HEAD", path, **kwargs)

    def post(self, path: str, json: Any = None, **kwargs: Any) -> httpx.Response:
        return self.request("POST", path, **({"json": json} if json is not None else {}), **kwargs)

    def put(self, path: str, json: Any = None, **kwargs: Any) -> httpx.Response:
        return self.request("PUT", path, **({"json": json} if json is not None else {}), **kwargs)

    def patch(self, path: str, json: Any = None, **kwargs: Any) -> httpx.Response:
        return self.request("PATCH", path, **({"json": json} if json is not None else {}), **kwargs)

    def delete(self, path: str, **kwargs: Any) -> httpx.Response:
        return self.request("DELETE", path, **kwargs)

    def login(self, user: str, password: str, *, project: str | None = None, domain: str = "Default",
              scope: Any = None, project_id: str | None = None) -> Client:
        """Authenticate by password; raises where that fails."""
        if project is not None:
            scope = {"project": {"name": project, "domain": {"name": domain}}}
        elif project_id is not None:
            scope = {"project": {"id": project_id}}
        auth: dict[str, Any] = {"identity": {"methods": ["password"], "password": {"user": {
            "name": user, "password": password, "domain": {"name": domain}}}}}
        if scope is not None:
            auth["scope"] = scope
        answer = self._cloud.send("POST", "/identity/v3/auth/tokens", json={"auth": auth})
        assert answer.status_code == 201, answer.text
        self.token, self.body = answer.headers["X-Subject-Token"], answer.json()["token"]
        return self


class CloudUnderTest:
    """The application with its database."""

    def __init__(self, directory: Path, config: IdentityConfig | None = None,
                 keyword: Callable[[str], dict[str, Any]] | None = None) -> None:
        self.database = Database(f"sqlite:///{directory / 'stackling.db'}", durable=False)
        metadata.create_all(self.database.engine)
        self.database.seal = Seal(os.urandom(32), "volume keys")
        self.identity = Identity(os.urandom(32), config)
        self.database.write(identity_facade.bootstrap, self.identity, identity_facade.hash_password(ADMIN_PASSWORD))
        self.cloud = Cloud(self.database, self.identity.authenticate, public_url=PUBLIC_URL)
        self.directory = directory
        self._keyword = keyword
        self._loop = asyncio.new_event_loop()
        self._app: Any = None
        self._http: httpx.AsyncClient | None = None

    def start(self, services: list[Service] | None = None) -> None:
        """Build the application, from every service that can be imported unless *services* are given."""
        self._app = build_app(self.cloud, services if services is not None else self._services())
        self._http = httpx.AsyncClient(transport=httpx.ASGITransport(self._app), base_url=PUBLIC_URL, timeout=60)

    def _services(self) -> list[Service]:
        found: list[Service] = []
        for name in SERVICES:
            module = f"stackling.api.{name}.service"
            try:
                service = importlib.import_module(module).service
            except ModuleNotFoundError as error:
                if error.name is None or not module.startswith(error.name):
                    raise
                continue
            arguments = {"identity": self.identity} if name == "identity" else {}
            found.append(service(**arguments, **(self._keyword(name) if self._keyword else {})))
        return found

    def send(self, method: str, path: str, **kwargs: Any) -> httpx.Response:
        """One request."""
        assert self._http is not None
        return self._loop.run_until_complete(self._http.request(method, path, **kwargs))

    def run(self, awaitable: Any) -> Any:
        """Run a coroutine in the application's loop (several requests at once, background tasks)."""
        return self._loop.run_until_complete(awaitable)

    @property
    def http(self) -> httpx.AsyncClient:
        """For concurrent requests inside ``run``."""
        assert self._http is not None
        return self._http

    def client(self, token: str | None = None) -> Client:
        return Client(self, token)

    def close(self) -> None:
        if self._http is not None:
            self._loop.run_until_complete(self._http.aclose())
        self._loop.run_until_complete(self._loop.shutdown_default_executor())
        self._loop.close()
        self.cloud.close()
        self.database.close()

    # -- actors

    def admin(self) -> Client:
        return self.client().login("admin", ADMIN_PASSWORD, project="admin")

    def project(self, name: str) -> str:
        """The id of the project of that name in the default domain, made where it is missing."""
        admin = self.admin()
        found = admin.get("/identity/v3/projects", params={"name": name, "domain_id": "default"}).json()["projects"]
        if found:
            return found[0]["id"]
        return admin.post("/identity/v3/projects", {"project": {"name": name}}).json()["project"]["id"]

    def actor(self, project: str, role: str, name: str | None = None) -> Client:
        """A client of a new user who has *role* on *project*."""
        admin, project_id = self.admin(), self.project(project)
        name, password = name or f"{role}-{uuid.uuid4().hex[:8]}", uuid.uuid4().hex
        user = admin.post("/identity/v3/users", {"user": {
            "name": name, "password": password, "default_project_id": project_id}}).json()["user"]
        role_id = admin.get("/identity/v3/roles", params={"name": role}).json()["roles"][0]["id"]
        done = admin.put(f"/identity/v3/projects/{project_id}/users/{user['id']}/roles/{role_id}")
        assert done.status_code == 204, done.text
        return self.client().login(name, password, project_id=project_id)


@pytest.fixture
def service_arguments() -> Callable[[str], dict[str, Any]]:
    """What ``service(…)`` of a service needs; override it in a module whose service takes arguments."""
    return lambda name: {}


@pytest.fixture
def identity_config() -> IdentityConfig:
    """Override it to test with other rules."""
    return IdentityConfig()


@pytest.fixture
def cloud(tmp_path: Path, identity_config: IdentityConfig, service_arguments: Callable[[str], dict[str, Any]]
          ) -> Iterator[CloudUnderTest]:
    found = CloudUnderTest(tmp_path, identity_config, service_arguments)
    found.start()
    yield found
    found.close()


@pytest.fixture
def anonymous(cloud: CloudUnderTest) -> Client:
    return cloud.client()


@pytest.fixture
def admin(cloud: CloudUnderTest) -> Client:
    return cloud.admin()


@pytest.fixture
def member(cloud: CloudUnderTest) -> Client:
    return cloud.actor("demo", "member")


@pytest.fixture
def reader(cloud: CloudUnderTest) -> Client:
    return cloud.actor("demo", "reader")


@pytest.fixture
def other(cloud: CloudUnderTest) -> Client:
    return cloud.actor("elsewhere", "member")
