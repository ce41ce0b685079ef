"""What the tests of hostile requests share: a cloud with one of everything, raw requests, and what an answer may be.

The victim is a member of the project ``demo`` whose resources carry ``MARK`` in their names; the attacker is a member
of another project. Requests go to the ASGI application itself, so that they may be as malformed as bytes can be.
"""

from __future__ import annotations

import asyncio
import json
import logging
import os
import re
import sqlite3
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from dataclasses import dataclass, field
from pathlib import Path
from types import MappingProxyType
from typing import Any
from urllib.parse import quote, unquote

from stackling.api.app import build_app
from stackling.api.cloud import Cloud
from stackling.api.compute.service import service as compute_service
from stackling.api.identity.service import service as identity_service
from stackling.api.image.service import service as image_service
from stackling.api.internal.service import Wakeups
from stackling.api.internal.service import service as internal_service
from stackling.api.loadbalancer.service import service as load_balancer_service
from stackling.api.network.service import service as network_service
from stackling.api.placement.service import service as placement_service
from stackling.api.route import Route, Service
from stackling.api.stackling.feed import Feed
from stackling.api.stackling.service import service as stackling_service
from stackling.api.volume.service import service as volume_service
from stackling.drivers.local.image_store import LocalImageStore
from stackling.identity import facade as identity_facade
from stackling.identity.facade import Identity
from stackling.store import audit, changes, in_hand, timeline
from stackling.store.database import Database
from stackling.volume import facade as volume_facade
from tests.api import hostile_belongings
from tests.api.compute_world import World
from tests.api.conftest import ADMIN_PASSWORD, PUBLIC_URL, Client, CloudUnderTest

MARK = "kept-secret-of-demo"
NOBODY = "00000000-dead-4bad-8bad-000000000000"
LEAKS = re.compile(
    r"Traceback|sqlalchemy|sqlite|IntegrityError|OperationalError|\bSELECT\b|\bINSERT\b|site-packages"
    r'|File "|\.py\b|/stackling\.db|object at 0x|msgspec|NoneType|TypeError|KeyError'
)
PLACE = re.compile(r"\{(\w+)\}")
SERVICES = ("identity", "compute", "network", "image", "placement", "load-balancer", "volumev3", "stackling")


@dataclass(frozen=True)
class Answer:
    """What came back. ``error`` is the exception that escaped from the application, or was logged behind a 500."""

    status: int
    headers: Mapping[str, str]
    content: bytes
    error: str | None = None

    @property
    def text(self) -> str:
        return self.content.decode(errors="replace")

    def json(self) -> Any:
        return json.loads(self.content)


class _Catcher(logging.Handler):
    def __init__(self) -> None:
        super().__init__(logging.ERROR)
        self.last: str | None = None

    def emit(self, record: logging.LogRecord) -> None:
        self.last = logging.Formatter().format(record)


class HostileWorld(World):
    """A world with one of everything that is the victim's, and requests that aren't friendly."""

    def __init__(self, cloud: CloudUnderTest, store: LocalImageStore) -> None:
        super().__init__(cloud, store)
        wakeups = Wakeups()
        self.services: list[Service] = [
            identity_service(cloud.identity),
            image_service(),
            network_service(),
            compute_service(),
            placement_service(),
            load_balancer_service(),
            volume_service(),
            stackling_service(timeline.explain, timeline.owner, feed=Feed(changes, longest=0.0), lines=audit.find,
                              in_hand=in_hand.find),
            internal_service(wakeups),
        ]
        cloud.start(self.services)
        cloud.database.write(volume_facade.bootstrap)
        self.by_name = {service.name: service for service in self.services}
        self._app = build_app(cloud.cloud, self.services)
        path = cloud.database.url.removeprefix("sqlite:///") if cloud.database.is_sqlite else ":memory:"
        self._watch = sqlite3.connect(path)
        self._caught = _Catcher()
        logging.getLogger("stackling.api.app").addHandler(self._caught)
        self.add_host("h1")
        self.victim = cloud.actor("demo", "member", "victim")
        self.reader = cloud.actor("demo", "reader", "reader")
        self.attacker = cloud.actor("elsewhere", "member", "attacker")
        self.ids_so_far: dict[str, str] = {}
        self.ids = Belongings(self).ids
        for client in (self.victim, self.reader, self.attacker, self.admin):
            client.get("/network/v2.0/security-groups")  # makes each project's default group

    def close(self) -> None:
        logging.getLogger("stackling.api.app").removeHandler(self._caught)
        self._watch.close()

    # -- requests

    def ask(
        self,
        method: str,
        path: str,
        *,
        token: str | None = None,
        body: Any = None,
        query: str | bytes = b"",
        headers: Mapping[str, str] | None = None,
        media: str | None = "application/json",
        raw_headers: list[tuple[bytes, bytes]] | None = None,
    ) -> Answer:
        """One request. *body* is bytes, or JSON-able, or None."""
        data = body if isinstance(body, bytes) else b"" if body is None else json.dumps(body).encode()
        fields = [(b"host", b"cloud.test"), *(raw_headers or ())]
        fields += [(name.lower().encode(), value.encode("latin-1")) for name, value in (headers or {}).items()]
        if data:
            fields.append((b"content-length", str(len(data)).encode()))
            if media:
                fields.append((b"content-type", media.encode()))
        if token is not None:
            fields.append((b"x-auth-token", token.encode("latin-1", "replace")))
        scope = {
            "type": "http",
            "asgi": {"version": "3.0", "spec_version": "2.3"},
            "http_version": "1.1",
            "method": method,
            "scheme": "http",
            "path": unquote(path),
            "raw_path": path.encode(),
            "root_path": "",
            "query_string": query.encode() if isinstance(query, str) else query,
            "headers": fields,
            "client": ("127.0.0.1", 1),
            "server": ("cloud.test", 80),
        }
        return self.cloud.run(self._ask(scope, data))

    async def _ask(self, scope: dict[str, Any], data: bytes) -> Answer:
        sent: list[dict[str, Any]] = []
        given = [{"type": "http.request", "body": data, "more_body": False}]
        never = asyncio.Event()

        async def receive() -> Any:
            if given:
                return given.pop()
            await never.wait()
            return {"type": "http.disconnect"}

        async def send(event: Any) -> None:
            sent.append(event)

        self._caught.last = None
        try:
            await asyncio.wait_for(self._app(scope, receive, send), 20)
        except Exception as error:
            return Answer(599, {}, b"", repr(error))
        headers = {name.decode().lower(): value.decode("latin-1") for name, value in sent[0]["headers"]}
        content = b"".join(event.get("body", b"") for event in sent[1:])
        return Answer(sent[0]["status"], headers, content, self._caught.last)

    # -- what must not change

    @property
    def data_version(self) -> int:
        """Another number as soon as any transaction has changed the database (SQLite's)."""
        return self._watch.execute("PRAGMA data_version").fetchone()[0]

    @contextmanager
    def unchanged(self, what: object = "") -> Iterator[None]:
        """Fails where the database changes within."""
        before = self.data_version
        yield
        assert self.data_version == before, f"{what} changed the database"

    @contextmanager
    def undone(self) -> Iterator[None]:
        """Nothing is committed within: every transaction does its work, answers, and is rolled back."""
        database, write = self.cloud.database, self.cloud.database.write

        def tried(use_case: Any, *args: Any, **kwargs: Any) -> Any:
            def fails(tx: Any) -> None:
                raise _Undo(use_case(tx, *args, **kwargs))

            try:
                return write(fails)
            except _Undo as undo:
                return undo.result

        database.write = tried  # type: ignore[method-assign]
        try:
            yield
        finally:
            del database.write  # type: ignore[attr-defined]

    # -- routes

    def each(self, service: str, *methods: str) -> Iterator[tuple[Route, str]]:
        """Every route of a service (with one of *methods*, where there are any) and its path with the victim's ids."""
        for route in self.by_name[service].routes:
            if not methods or route.method in methods:
                yield route, self.path(service, route)

    def path(self, service: str, route: Route, values: Mapping[str, str] = MappingProxyType({})) -> str:
        """The route's path with the victim's ids in it, and *values* instead where they are given."""
        prefix = self.by_name[service].prefix
        where = f"{service} {route.path}"

        def fill(match: re.Match[str]) -> str:
            name = match.group(1)
            return quote(values.get(name) or self.ids.get(f"{where} {name}") or self._by_context(where, name), safe="")

        return prefix + PLACE.sub(fill, route.path)

    def _by_context(self, where: str, name: str) -> str:
        before = where.split(f"/{{{name}}}")[0].rsplit("/", 1)[-1]
        return self.ids.get(f"{where.split()[0]}:{before}") or self.ids.get(name) or NOBODY


class _Undo(Exception):
    def __init__(self, result: Any) -> None:
        super().__init__("undone")
        self.result = result


@dataclass
class Belongings:
    """Makes one of everything. ``ids``: by ``service:collection`` (the path's part before the id), or by parameter."""

    world: HostileWorld
    ids: dict[str, str] = field(default_factory=dict[str, str])

    def __post_init__(self) -> None:
        self._identity()
        self._network()
        self._image()
        self._compute()
        self.world.ids_so_far = self.ids
        self.ids |= hostile_belongings.add(self.world, self.make, MARK)

    def make(self, client: Client, path: str, body: Any, *, status: tuple[int, ...] = (200, 201, 202)) -> Any:
        answer = client.post(path, body, headers={"OpenStack-API-Version": "compute 2.37"})
        assert answer.status_code in status, f"{path}: {answer.status_code} {answer.text}"
        found = answer.json()
        return next(iter(found.values())) if len(found) == 1 else found

    def _identity(self) -> None:
        world, admin, victim = self.world, self.world.admin, self.world.victim
        v3 = "/identity/v3"
        roles = {role["name"]: role["id"] for role in admin.get(f"{v3}/roles").json()["roles"]}
        group = self.make(admin, f"{v3}/groups", {"group": {"name": f"group {MARK}"}})
        own = f"{v3}/users/{victim.user_id}"
        app = self.make(
            victim,
            f"{own}/application_credentials",
            {
                "application_credential": {
                    "name": f"app {MARK}",
                    "access_rules": [{"service": "compute", "method": "GET", "path": "/v2.1/servers"}],
                }
            },
        )
        credential = self.make(
            victim, f"{v3}/credentials", {"credential": {"type": "totp", "blob": MARK, "user_id": victim.user_id}}
        )
        ec2 = self.make(victim, f"{own}/credentials/OS-EC2", {"tenant_id": victim.project_id})
        trust = self.make(
            victim,
            f"{v3}/OS-TRUST/trusts",
            {
                "trust": {
                    "trustor_user_id": victim.user_id,
                    "trustee_user_id": world.reader.user_id,
                    "impersonation": True,
                    "project_id": victim.project_id,
                    "roles": [{"name": "member"}],
                }
            },
        )
        region = self.make(admin, f"{v3}/regions", {"region": {"id": "hostile"}})
        service = self.make(admin, f"{v3}/services", {"service": {"type": "hostile", "name": "hostile"}})
        endpoint = self.make(
            admin,
            f"{v3}/endpoints",
            {"endpoint": {"service_id": service["id"], "interface": "public", "url": "http://cloud.test/x"}},
        )
        registered = self.make(
            admin,
            f"{v3}/registered_limits",
            {"registered_limits": [{"service_id": service["id"], "resource_name": "thing", "default_limit": 5}]},
        )[0]
        limit = self.make(
            admin,
            f"{v3}/limits",
            {
                "limits": [
                    {
                        "service_id": service["id"],
                        "resource_name": "thing",
                        "resource_limit": 7,
                        "project_id": victim.project_id,
                    }
                ]
            },
        )[0]
        self.ids |= {
            "identity:projects": victim.project_id,
            "identity:users": victim.user_id,
            "identity:groups": group["id"],
            "identity:roles": roles["member"],
            "identity:implies": roles["reader"],
            "identity:domains": "default",
            "identity:application_credentials": app["id"],
            "identity:access_rules": app["access_rules"][0]["id"],
            "identity:credentials": credential["id"],
            "identity:OS-EC2": ec2["access"],
            "identity:trusts": trust["id"],
            "identity:regions": region["id"],
            "identity:services": service["id"],
            "identity:endpoints": endpoint["id"],
            "identity:registered_limits": registered["id"],
            "identity:limits": limit["id"],
            "tag": "blue",
        }

    def _network(self) -> None:
        n, victim, admin = "/network/v2.0", self.world.victim, self.world.admin
        external = next(one["id"] for one in admin.get(f"{n}/networks").json()["networks"] if one["router:external"])
        network = self.make(victim, f"{n}/networks", {"network": {"name": f"net {MARK}"}})
        subnet = self.make(
            victim,
            f"{n}/subnets",
            {"subnet": {"name": f"sub {MARK}", "network_id": network["id"], "ip_version": 4, "cidr": "10.9.0.0/24"}},
        )
        group = self.make(victim, f"{n}/security-groups", {"security_group": {"name": f"sg {MARK}"}})
        rule = self.make(
            victim,
            f"{n}/security-group-rules",
            {"security_group_rule": {"security_group_id": group["id"], "direction": "ingress", "protocol": "tcp"}},
        )
        port = self.make(
            victim,
            f"{n}/ports",
            {"port": {"name": f"port {MARK}", "network_id": network["id"], "security_groups": [group["id"]]}},
        )
        router = self.make(
            victim,
            f"{n}/routers",
            {"router": {"name": f"router {MARK}", "external_gateway_info": {"network_id": external}}},
        )
        done = victim.put(f"{n}/routers/{router['id']}/add_router_interface", {"subnet_id": subnet["id"]})
        assert done.status_code == 200, done.text
        floating = self.make(
            victim,
            f"{n}/floatingips",
            {"floatingip": {"floating_network_id": external, "port_id": port["id"], "description": MARK}},
        )
        pool = self.make(
            victim, f"{n}/subnetpools", {"subnetpool": {"name": f"pool {MARK}", "prefixes": ["10.128.0.0/16"]}}
        )
        self.ids |= {
            "network:networks": network["id"],
            "network:subnets": subnet["id"],
            "network:ports": port["id"],
            "network:routers": router["id"],
            "network:floatingips": floating["id"],
            "network:external": external,
            "network:security-groups": group["id"],
            "network:security-group-rules": rule["id"],
            "network:subnetpools": pool["id"],
            "network:quotas": victim.project_id,
            "network:tags": "blue",
            "network:auto-allocated-topology": victim.project_id,
            "network:network-ip-availabilities": network["id"],
            "network:extensions": "router",
            "floating address": floating["floating_ip_address"],
        }

    def _image(self) -> None:
        victim = self.world.victim
        made = victim.post(
            "/image/v2/images",
            {
                "name": f"image {MARK}",
                "disk_format": "raw",
                "container_format": "bare",
                "secret": MARK,
                "visibility": "shared",
            },
        ).json()
        done = victim.put(
            f"/image/v2/images/{made['id']}/file",
            content=MARK.encode() * 100,
            headers={"Content-Type": "application/octet-stream"},
        )
        assert done.status_code == 204, done.text
        self.ids |= {
            "image:images": made["id"],
            "image:tags": "blue",
            "image:schemas": "image",
            "image_id": made["id"],
        }

    def _compute(self) -> None:
        world, victim, v = self.world, self.world.victim, "/compute/v2.1"
        key = self.make(victim, f"{v}/os-keypairs", {"keypair": {"name": f"key-{MARK}"}})
        group = self.make(
            victim, f"{v}/os-server-groups", {"server_group": {"name": f"group-{MARK}", "policies": ["affinity"]}}
        )
        server = world.active(
            victim,
            name=f"vm-{MARK}",
            metadata={"color": MARK},
            networks=[{"uuid": self.ids["network:networks"]}],
            key_name=key["name"],
        )
        admin = world.admin
        request = victim.get(f"{v}/servers/{server['id']}/os-instance-actions").json()["instanceActions"][0][
            "request_id"
        ]
        plugged = victim.get(f"{v}/servers/{server['id']}/os-interface").json()["interfaceAttachments"][0]["port_id"]
        service = admin.get(f"{v}/os-services", headers={"OpenStack-API-Version": "compute 2.53"}).json()["services"][0]
        machine = admin.get(f"{v}/os-hypervisors", headers={"OpenStack-API-Version": "compute 2.53"}).json()
        aggregate = self.make(world.admin, f"{v}/os-aggregates", {"aggregate": {"name": "racks"}})
        self.ids |= {
            "compute:servers": server["id"],
            "compute:os-keypairs": key["name"],
            "compute:os-server-groups": group["id"],
            "compute:flavors": "42",
            "compute:metadata": "color",
            "compute:os-aggregates": str(aggregate["id"]),
            "compute:os-quota-sets": victim.project_id,
            "compute:os-simple-tenant-usage": victim.project_id,
            "compute:os-networks": self.ids["network:networks"],
            "compute:os-hosts": "h1",
            "compute:os-tenant-networks": self.ids["network:networks"],
            "compute:os-security-groups": self.ids["network:security-groups"],
            "compute:os-security-group-rules": self.ids["network:security-group-rules"],
            "compute:os-floating-ips": self.ids["network:floatingips"],
            "compute:os-quota-class-sets": "default",
            "compute:versions": "v2.1",
            "compute:extensions": "os-keypairs",
            "compute:os-instance-actions": request,
            "compute:os-interface": plugged,
            "compute:ips": f"net {MARK}",
            "compute:os-services": service["id"],
            "compute:os-hypervisors": machine["hypervisors"][0]["id"],
            "kind": "server",
            "stackling:{kind}": server["id"],
        }


def world_in(directory: Path) -> tuple[HostileWorld, CloudUnderTest, LocalImageStore]:
    """A world in *directory*; the caller closes all three."""
    cloud = CloudUnderTest(directory)
    store = LocalImageStore(directory / "glance", reserve=0)
    return HostileWorld(cloud, store), cloud, store


def sample(schema: Any) -> Any:
    """Something that fulfils a JSON schema more or less: used where nobody wrote a valid body."""
    for key in ("const", "default"):
        if key in schema:
            return schema[key]
    for key in ("enum", "oneOf", "anyOf", "allOf"):
        if schema.get(key):
            return schema[key][0] if key == "enum" else sample(schema[key][0])
    kinds = schema.get("type", "object")
    kind = kinds[0] if isinstance(kinds, list) else kinds
    if kind == "object":
        return {
            name: sample(inner)
            for name, inner in schema.get("properties", {"a": {"type": "string"}}).items()
            if isinstance(inner, dict)
        }
    if kind == "array":
        return [sample(schema.get("items") or {"type": "string"})]
    simple: dict[str, Any] = {"integer": schema.get("minimum", 1), "number": 1.5, "boolean": True, "null": None}
    return simple[kind] if kind in simple else FORMATS.get(schema.get("format", ""), "a" * schema.get("minLength", 1))


FORMATS = {
    "uuid": NOBODY,
    "ipv4": "10.0.0.9",
    "ipv6": "fd00::9",
    "ip": "10.0.0.9",
    "cidr": "10.0.0.0/24",
    "base64": "YQ==",
    "date-time": "2099-01-01T00:00:00Z",
}


# -- what an answer may be


def check_refusal(service: str, answer: Answer, what: object) -> str:
    """The message of a refusal in the service's own shape that tells nothing of our insides."""
    body = answer.json()
    if service == "network" and answer.status != 401:
        assert set(body) == {"NeutronError"}, (what, body)
        assert set(body["NeutronError"]) == {"type", "message", "detail"}, (what, body)
        message = body["NeutronError"]["message"]
    elif service in ("compute", "volumev3") and answer.status != 401:
        (error,) = body.values()
        assert error["code"] == answer.status, (what, body)
        message = error["message"]
    elif service == "placement":
        (error,) = body["errors"]
        assert error["status"] == answer.status, (what, body)
        message = error["detail"]
    elif service == "load-balancer" and answer.status != 401:
        assert set(body) == {"faultcode", "faultstring", "debuginfo"}, (what, body)
        message = body["faultstring"]
    elif isinstance(body["error"], str):  # OAuth 2's own shape (RFC 6749, 5.2)
        assert set(body) == {"error", "error_description"}, (what, body)
        message = body["error_description"]
    else:
        assert body["error"]["code"] == answer.status, (what, body)
        message = body["error"]["message"]
    assert isinstance(message, str), (what, body)
    assert len(message) > 3, (what, body)
    return message


class CloudOn(CloudUnderTest):
    """The application over a database that is there already."""

    def __init__(self, directory: Path, database: Database) -> None:
        self.database = database
        self.identity = Identity(os.urandom(32), None)
        database.write(identity_facade.bootstrap, self.identity, identity_facade.hash_password(ADMIN_PASSWORD))
        self.cloud = Cloud(database, self.identity.authenticate, public_url=PUBLIC_URL)
        self.directory = directory
        self._keyword = None
        self._loop = asyncio.new_event_loop()
        self._app = None
        self._http = None


class Problems:
    """Everything that went wrong, told at once at the end."""

    def __init__(self) -> None:
        self.found: list[str] = []

    def __enter__(self) -> Problems:
        return self

    def __exit__(self, kind: Any, *_: object) -> None:
        if kind is None and self.found:
            more = len(self.found) - 40
            raise AssertionError("\n".join(self.found[:40]) + (f"\n… and {more} more" if more > 0 else ""))

    def expect(self, true: object, what: str) -> None:
        if not true:
            self.found.append(what)

    def check(self, service: str, answer: Answer, what: object, *, leaks: bool = True) -> None:
        """``check``, noted instead of raised."""
        try:
            check(service, answer, what, leaks=leaks)
        except (AssertionError, ValueError, KeyError, TypeError) as error:
            self.found.append(f"{what}: {error}"[:600] + (answer.error or "")[-300:])


def check(service: str, answer: Answer, what: object, *, leaks: bool = True) -> None:
    """Never a failure of ours; a refusal explains itself."""
    # 501: what upstream has and this cloud doesn't offer, 503: what needs the machine's agent, which is only played
    assert answer.status < 500 or answer.status in (501, 503), f"{answer.status} {answer.text}"
    assert answer.error is None, "an error was logged"
    if answer.status >= 400 and answer.content:
        check_refusal(service, answer, what)
        if leaks:
            found = LEAKS.search(answer.text)
            assert found is None, f"leaks {found.group()!r} in {answer.text[:500]}"
