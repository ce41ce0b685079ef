"""What guests read, path by path."""

from __future__ import annotations

import asyncio
import base64
import json

import pytest

from stackling.agent.metadata.passwords import Passwords
from stackling.agent.metadata.service import answer_to, link_local, respond, who
from stackling.agent.metadata.tree import EC2_VERSIONS, OPENSTACK_VERSIONS, lookup
from stackling.agent.serve import Request
from stackling.agent.wire import Answer, ControlUnreachable
from stackling.ports.document import MetadataDocument, MetadataNetwork, Nic, ServerDesired

DOCUMENT = MetadataDocument(
    meta_data={"uuid": "u", "hostname": "h", "project_id": "p", "devices": [], "dedicated_cpus": []},
    network_data={"links": []}, vendor_data={"a": 1}, user_data=base64.b64encode(b"#!/bin/sh\n\xff").decode(),
    ec2={"instance-id": "i-1", "placement": {"availability-zone": "nova"}, "security-groups": ["a", "b"],
         "ami-launch-index": 0, "public-keys": {"0": {"_name": "0=k", "openssh-key": "ssh-rsa A"}}})


def get(path: str, document: MetadataDocument = DOCUMENT) -> bytes | None:
    content = lookup(document, path, lambda: "seed")
    return content.body if content else None


@pytest.mark.parametrize(("path", "body"), [
    ("/", "\n".join([*EC2_VERSIONS, "latest"])), ("/openstack", "\n".join([*OPENSTACK_VERSIONS, "latest"])),
    ("/openstack/2012-08-10/", "meta_data.json\nuser_data"),
    ("/openstack/2013-04-04", "meta_data.json\nuser_data\npassword"),
    ("/openstack/latest/",
     "meta_data.json\nuser_data\npassword\nvendor_data.json\nnetwork_data.json\nvendor_data2.json"),
    ("/openstack/latest/password", ""), ("/latest/", "meta-data/\nuser-data"),
    ("/latest/meta-data", "ami-launch-index\ninstance-id\nplacement/\npublic-keys/\nsecurity-groups"),
    ("/latest/meta-data/instance-id", "i-1"), ("/latest/meta-data/ami-launch-index", "0"),
    ("/2009-04-04/meta-data/placement/", "availability-zone"), ("/1.0/meta-data/placement/availability-zone", "nova"),
    ("/latest/meta-data/public-keys", "0=k"), ("/latest/meta-data/public-keys/0/", "openssh-key"),
    ("/latest/meta-data/public-keys/0/openssh-key", "ssh-rsa A"), ("/latest/meta-data/security-groups/", "a\nb"),
    ("//openstack//latest//../latest/password", ""),
])
def test_what_is_there(path: str, body: str) -> None:
    assert get(path) == body.encode()


@pytest.mark.parametrize("path", [
    "/nothing", "/openstack/2011-01-01/", "/openstack/latest/nothing", "/openstack/latest/meta_data.json/x",
    "/openstack/2012-08-10/vendor_data.json", "/latest/nothing", "/latest/meta-data/nothing", "/latest/user-data/x",
    "/latest/meta-data/public-keys/1", "/latest/meta-data/public-keys/0/_name", "/latest/meta-data/instance-id/x",
    "/2038-01-01/meta-data"])
def test_what_is_not_there(path: str) -> None:
    assert get(path) is None


def test_json_files() -> None:
    assert json.loads(get("/openstack/latest/meta_data.json") or b"") == {**DOCUMENT.meta_data, "random_seed": "seed"}
    assert json.loads(get("/openstack/2012-08-10/meta_data.json") or b"") == {"uuid": "u", "hostname": "h"}
    assert json.loads(get("/openstack/latest/vendor_data2.json") or b"") == {"static": {"a": 1}}
    assert json.loads(get("/openstack/latest/network_data.json") or b"") == {"links": []}
    assert get("/openstack/latest/user_data") == get("/latest/user-data") == b"#!/bin/sh\n\xff"


def test_without_user_data() -> None:
    bare = MetadataDocument()
    assert b"user_data" not in (get("/openstack/latest", bare) or b"")
    assert get("/openstack/latest/user_data", bare) is None
    assert get("/latest/user-data", bare) is None
    assert get("/latest", bare) == b"meta-data/"


NETWORK = MetadataNetwork(network_id="n", port_id="p", mac="fa:16:3e:00:00:02",
                          servers={"10.0.0.5": "a", "10.0.0.6": "b"})
SERVERS = {id: ServerDesired(id=id, generation=1, metadata=MetadataDocument(meta_data={"uuid": id}),
                             nics=(Nic(port_id="x", mac=mac, network_id="n"),))
           for id, mac in (("a", "fa:16:3e:00:00:05"), ("b", "fa:16:3e:00:00:06"))}


def test_who_asks_is_the_address() -> None:
    for client, id in (("10.0.0.5", "a"), ("10.0.0.6", "b"), ("fe80::f816:3eff:fe00:6", "b"),
                       ("fe80::f816:3eff:fe00:5%md0", "a")):
        found = who(client, NETWORK, SERVERS.get)
        assert found is not None
        assert found.id == id
    assert who("10.0.0.7", NETWORK, SERVERS.get) is None
    assert who("fe80::1", NETWORK, SERVERS.get) is None
    assert str(link_local("fa:16:3e:00:00:05")) == "fe80::f816:3eff:fe00:5"


def test_answers() -> None:
    def status(method: str, target: str, client: str = "10.0.0.5") -> int:
        return respond(Request(method, target, client, {"x-forwarded-for": "10.0.0.6"}), NETWORK, SERVERS.get).status

    assert status("GET", "/openstack/latest/meta_data.json?x=/../y") == 200
    assert status("GET", "http://169.254.169.254/openstack") == 200
    assert status("POST", "/openstack/latest/password") == 405
    assert status("GET", "/openstack", "10.0.0.9") == 404


class Control:
    """Keeps one password for each server, as control does."""

    def __init__(self) -> None:
        self.kept: dict[str, bytes] = {}
        self.away = False

    async def request(self, method: str, path: str, body: bytes | None = None, *, timeout: float) -> Answer:
        if self.away:
            raise ControlUnreachable("nobody")
        if method == "GET":
            return Answer(200, self.kept.get(path, b""))
        if path in self.kept:
            return Answer(409, b"{}")
        self.kept[path] = body or b""
        return Answer(204, b"")


def test_a_server_posts_its_own_password_once_and_reads_it() -> None:
    control = Control()
    passwords = Passwords(control, "m")

    async def ask(method: str, body: bytes = b"", client: str = "10.0.0.5",
                  path: str = "/openstack/2013-10-17/password") -> tuple[int, bytes]:
        answer = await answer_to(Request(method, path, client, {}, body), NETWORK, SERVERS.get, passwords)
        return answer.status, answer.body

    async def story() -> None:
        assert await ask("GET") == (200, b"")
        assert await ask("POST", b"secret") == (200, b"")
        assert list(control.kept) == ["/internal/machines/m/servers/a/password"]
        assert (await ask("POST", b"other"))[0] == 409
        assert await ask("GET", path="/openstack/latest/password") == (200, b"secret")
        assert await ask("GET", client="10.0.0.6") == (200, b"")
        assert (await ask("POST", b"x", client="10.0.0.9"))[0] == 404
        assert (await ask("POST", b"x", path="/openstack/2012-08-10/password"))[0] == 404
        assert (await ask("POST", b"x", path="/openstack/latest/meta_data.json"))[0] == 405
        assert (await ask("DELETE"))[0] == 405
        control.away = True
        assert (await ask("POST", b"x", client="10.0.0.6"))[0] == 503

    asyncio.run(story())
