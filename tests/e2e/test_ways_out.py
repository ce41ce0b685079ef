"""Whole clouds with the world behind them: ``--nat`` and ``--uplink`` on a machine and a LAN made of namespaces.

Nothing of it touches the real machine's network: the cloud is started inside the namespace that stands for the machine.
"""

from __future__ import annotations

import re
from collections.abc import Iterator

import pytest

from stackling.deploy.embedded.command import run
from stackling.deploy.embedded.namespaces import ip
from tests.contract.test_uplink import LAN, MACHINE_ON_LAN, Machine
from tests.e2e import outside
from tests.e2e.clouds import TestCloud, cloud
from tests.e2e.outside import Login

pytestmark = [pytest.mark.root, pytest.mark.e2e, pytest.mark.slow]
GATEWAY = "172.24.4.1"
BOOTS = 90


@pytest.fixture
def machine() -> Iterator[Machine]:
    made = Machine()
    yield made
    made.close()


def first_server(made: TestCloud, seen_from: str) -> Login:
    """``quickstart``'s server, once it answers in the namespace *seen_from*."""
    facts = made.stackling("quickstart")
    login = Login(facts["floating_ip"], made.directory.root / "keys" / "stackling", seen_from)
    made.eventually(lambda: login.answers, bool, BOOTS)
    return login


def test_with_nat_a_server_reaches_the_lan_and_only_the_machine_reaches_the_server(machine: Machine) -> None:
    before = machine.picture()
    with cloud("--nat", netns=machine.name) as made:
        server = first_server(made, machine.name)
        with outside.callers(machine.lan, LAN, 8000) as called:
            assert server(f"nc -w 5 {LAN} 8000 </dev/null") == MACHINE_ON_LAN
            assert called(MACHINE_ON_LAN)
        ip(machine.lan, "route", "add", "172.24.4.0/24", "via", MACHINE_ON_LAN)
        assert not outside.opens(machine.lan, server.address, 22)
        with outside.callers(machine.name, "0.0.0.0", 8001):
            assert outside.opens(machine.name, MACHINE_ON_LAN, 8001)
            for address in (GATEWAY, MACHINE_ON_LAN):
                assert server.try_(f"nc -w 2 {address} 8001 </dev/null").returncode != 0, address
            api = re.search(r":(\d+)$", made.stackling("status")["api"])
            assert api
            assert server.try_(f"nc -w 2 {GATEWAY} {api[1]} </dev/null").returncode != 0
        made.run("down")
        assert machine.picture() == before
        made.run("up")
        server = first_server(made, machine.name)
        assert server("hostname") == "first"
    assert machine.picture() == before


def test_with_an_uplink_floating_ips_are_on_its_network(machine: Machine) -> None:
    ip(machine.lan, "address", "add", f"{GATEWAY}/24", "dev", "lan1")
    before = machine.picture()
    with cloud("--uplink", "eth1", netns=machine.name) as made:
        assert "eth1" not in run("ip", "-o", "link", "show", netns=machine.name)
        server = first_server(made, machine.lan)
        with outside.callers(machine.lan, GATEWAY, 8000) as called:
            assert server(f"nc -w 5 {GATEWAY} 8000 </dev/null") == server.address
            assert called(server.address)
        assert not outside.opens(machine.name, server.address, 22)
    assert machine.picture() == before


def test_an_uplink_that_the_machine_needs_is_refused(machine: Machine) -> None:
    before = machine.picture()
    with pytest.raises(AssertionError, match="machine's own address"), cloud("--uplink", "eth0", netns=machine.name):
        raise AssertionError("it is up")
    assert machine.picture() == before
