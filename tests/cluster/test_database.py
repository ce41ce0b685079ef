"""The database of three machines, for real: begun, joined, killed, cut, all dead, and back without anybody's help."""

from __future__ import annotations

import signal
import sys
from collections.abc import Iterator

import pymysql
import pytest

from stackling.deploy.cluster import galera
from stackling.deploy.cluster.galera.layout import Layout
from tests.cluster.bench import Bench, eventually, machines

pytestmark = [pytest.mark.root, pytest.mark.crash, pytest.mark.engines]


class Databases:
    """The start programs of a bench's machines."""

    def __init__(self, bench: Bench) -> None:
        self.bench = bench
        for name in bench.names:
            bench.put(galera.files(bench.cluster, name, bench.secrets[name], bench.paths(name)))
        self.at(bench.names[0]).token.touch()

    def at(self, name: str) -> Layout:
        return Layout(self.bench.paths(name))

    def start(self, *names: str) -> None:
        for name in names or self.bench.names:
            self.bench.start(f"database-{name}", name, sys.executable, "-m", "stackling.deploy.cluster.galera.start",
                             "--root", str(self.bench.paths(name).root))

    def kill(self, *names: str) -> None:
        for name in names or self.bench.names:
            self.bench.kill(f"database-{name}")

    def sql(self, name: str, statement: str) -> tuple[tuple[object, ...], ...]:
        with pymysql.connect(unix_socket=str(self.at(name).socket), user="stackling", autocommit=True,
                             password=self.bench.secrets[name].database_password, database="stackling",
                             connect_timeout=5, read_timeout=20) as connection, connection.cursor() as cursor:
            cursor.execute("SET SESSION wsrep_sync_wait=1")
            cursor.execute(statement)
            return cursor.fetchall()

    def open(self, *names: str, size: int | None = None) -> None:
        """Wait until they are, in a component of *size* nodes."""
        for name in names or self.bench.names:
            eventually(lambda name=name: self.size(name) == (size or len(names or self.bench.names)))

    def size(self, name: str) -> int:
        try:
            rows = self.sql(name, "SHOW STATUS LIKE 'wsrep_cluster_size'")
            return int(str(rows[0][1]))
        except (pymysql.Error, OSError):
            return 0

    def write(self, name: str, value: str) -> None:
        self.sql(name, f"INSERT INTO words(word) VALUES ('{value}')")

    def words(self, name: str) -> set[str]:
        return {str(row[0]) for row in self.sql(name, "SELECT word FROM words")}


@pytest.fixture(scope="module")
def databases() -> Iterator[Databases]:
    with machines(3) as bench:
        made = Databases(bench)
        try:
            yield made
        finally:
            for name in bench.names:
                print(bench.log(f"database-{name}", name)[-6000:])


@pytest.fixture
def three(databases: Databases) -> Databases:
    """All three open; begun at the first use."""
    missing = [name for name in databases.bench.names if f"database-{name}" not in databases.bench.processes]
    if missing:
        databases.start(*missing)
    databases.open(size=3)
    databases.sql("m1", "CREATE TABLE IF NOT EXISTS words(word VARCHAR(40) PRIMARY KEY)")
    return databases


def test_the_first_one_opens_alone_and_the_others_join(databases: Databases) -> None:
    databases.start("m2", "m3")
    databases.start("m1")
    databases.open("m1", size=3)
    databases.open()
    eventually(lambda: not databases.at("m1").token.exists())
    databases.sql("m1", "CREATE TABLE IF NOT EXISTS words(word VARCHAR(40) PRIMARY KEY)")
    databases.write("m2", "first")
    assert databases.words("m3") == {"first"}


def test_a_node_that_dies_costs_a_short_pause_and_comes_back(three: Databases) -> None:
    three.kill("m1")
    three.write("m2", "while m1 is dead")
    three.start("m1")
    three.open(size=3)
    assert "while m1 is dead" in three.words("m1")


def test_all_dead_one_never_returns(three: Databases) -> None:
    three.write("m3", "before the night")
    three.kill()
    three.start("m2")
    three.start("m3")
    three.open("m2", "m3", size=2)
    assert "before the night" in three.words("m2")
    three.write("m2", "without m1")
    three.start("m1")
    three.open(size=3)
    assert "without m1" in three.words("m1")


def test_one_alone_never_opens(three: Databases) -> None:
    three.kill()
    three.start("m1")
    eventually(lambda: "are needed are here" in three.bench.log("database-m1", "m1").splitlines()[-1])
    assert not three.at("m1").socket.exists()
    three.start("m2", "m3")
    three.open(size=3)


def test_a_cut_off_node_refuses_and_heals(three: Databases) -> None:
    three.bench.cut("m2")
    try:
        eventually(lambda: three.size("m1") == 2)
        three.write("m1", "m2 is cut off")
        with pytest.raises(pymysql.Error):
            three.write("m2", "into nowhere")
    finally:
        three.bench.heal("m2")
    three.open(size=3)
    words = three.words("m2")
    assert "m2 is cut off" in words
    assert "into nowhere" not in words


def test_stopped_all_together_in_good_order(three: Databases) -> None:
    three.write("m1", "good night")
    processes = [three.bench.processes.pop(f"database-{name}") for name in three.bench.names]
    for process in processes:
        process.send_signal(signal.SIGTERM)
    for process in processes:
        assert process.wait(90) == 0
    three.start()
    three.open(size=3)
    assert "good night" in three.words("m3")


def test_a_polite_stop_leaves_the_others_open(three: Databases) -> None:
    three.bench.terminate("database-m3")
    assert "stops politely" in three.bench.log("database-m3", "m3")
    eventually(lambda: three.size("m1") == 2)       # which it may be told a moment after m3 has ended
    three.write("m2", "m3 is away")
    assert "m3 is away" in three.words("m1")
