"""What the engines of a cluster are told."""

from __future__ import annotations

import json

import msgspec
import pytest

from stackling.deploy.cluster import corosync, galera, libvirt, ovn, rabbitmq, secrets
from stackling.deploy.cluster.description import Cluster, ClusterError, Machine
from stackling.deploy.cluster.paths import ConfigFile, Paths

PATHS = Paths()


def cluster(control: int = 3, others: int = 1) -> Cluster:
    machines = [Machine(name=f"m{number}", address=f"10.0.0.{number}", tenant=f"10.0.1.{number}",
                        control=number <= control) for number in range(1, control + others + 1)]
    return Cluster(name="lab", virtual_ip="10.0.0.100/24", machines=tuple(machines))


def text(files: list[ConfigFile], name: str) -> str:
    return next(file.content.decode() for file in files if str(file.path).endswith(name))


def test_the_same_description_makes_the_same_files() -> None:
    described = cluster()
    known = secrets.make(described)["m1"]
    for make in (lambda: galera.files(described, "m1", known, PATHS),
                 lambda: rabbitmq.files(described, "m1", known, PATHS),
                 lambda: corosync.files(described, "m1", known, PATHS)):
        assert make() == make()


def test_a_machine_without_control_has_no_engine_of_it() -> None:
    described = cluster()
    known = secrets.make(described)["m4"]
    assert galera.files(described, "m4", known, PATHS) == []
    assert rabbitmq.files(described, "m4", known, PATHS) == []
    names = {file.path.name for file in corosync.files(described, "m4", known, PATHS)}
    assert "corosync.conf" not in names
    assert corosync.units(described.machine("m4")) == ("pacemaker_remote.service", "stackling-connection.service")
    assert not any("ovn-nb" in str(file.path) for file in ovn.files(described, "m4", PATHS))


def test_the_database_refuses_more_machines_than_it_is_safe_on() -> None:
    with pytest.raises(ClusterError, match="at most 3"):
        galera.check(cluster(4))


@pytest.mark.parametrize(("machines", "expected"), [(1, "0"), (2, "1"), (3, "0")])
def test_only_two_machines_wait_for_each_other(machines: int, expected: str) -> None:
    described = cluster(machines)
    conf = text(corosync.files(described, "m1", secrets.make(described)["m1"], PATHS), "corosync.conf")
    assert f"two_node: {expected}\n" in conf
    assert f"wait_for_all: {expected}\n" in conf
    assert conf.count("ring0_addr") == machines


def test_a_password_as_rabbitmq_keeps_it() -> None:
    """The example of RabbitMQ's manual (Passwords)."""
    assert rabbitmq.password_hash("test12", bytes.fromhex("908DC60A")) == \
        "kI3GCqW5JLMJa4iX1lo7X4D6XbYqlLgxIs30+P6tENUV2POR"


def test_the_broker_knows_one_account_and_no_password_in_clear() -> None:
    described = cluster()
    known = secrets.make(described)["m1"]
    files = rabbitmq.files(described, "m1", known, PATHS)
    users = json.loads(text(files, "definitions.json"))["users"]
    assert [user["name"] for user in users] == ["stackling"]
    assert not any(known.rabbitmq_password.encode() in file.content for file in files)
    other = msgspec.structs.replace(known, rabbitmq_password="other")
    assert text(rabbitmq.files(described, "m1", other, PATHS), "definitions.json") != text(files, "definitions.json")


def test_libvirt_takes_only_the_cluster_s_machines_that_run_servers() -> None:
    described = cluster()
    described = msgspec.structs.replace(described, machines=(
        *described.machines[:3], msgspec.structs.replace(described.machines[3], compute=False)))
    files = libvirt.files(described, "m1", PATHS)
    conf = text(files, "libvirtd.conf")
    assert '"O=lab,CN=m2"' in conf
    assert "CN=m4" not in conf
    assert "ListenStream=10.0.0.1:16514" in text(files, "libvirtd-tls.socket.d/stackling.conf")
    assert libvirt.files(described, "m4", PATHS) == []


def test_everybody_is_told_all_addresses() -> None:
    assert ovn.northbound(cluster(2)) == "ssl:10.0.0.1:6641,ssl:10.0.0.2:6641"
    assert ovn.southbound(cluster(2)) == "ssl:10.0.0.1:6642,ssl:10.0.0.2:6642"


