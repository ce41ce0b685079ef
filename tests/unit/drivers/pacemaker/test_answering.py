"""Whether anybody is at an address, as its kernel says."""

from __future__ import annotations

import socket
import time

from stackling.drivers.pacemaker.answering import Answering

HERE = "127.0.0.1"


def free_port() -> int:
    with socket.socket() as trial:
        trial.bind((HERE, 0))
        return int(trial.getsockname()[1])


def test_a_kernel_that_refuses_is_there() -> None:
    assert Answering({"m1": (HERE,)}, free_port())("m1") == HERE


def test_a_service_that_accepts_is_there() -> None:
    with socket.create_server((HERE, 0)) as server:
        assert Answering({"m1": (HERE,)}, server.getsockname()[1])("m1") == HERE


def test_a_port_that_swallows_everything_is_silent_and_costs_no_more_than_the_patience() -> None:
    with socket.create_server((HERE, 0), backlog=0) as server:
        port = server.getsockname()[1]
        with socket.create_connection((HERE, port)):        # the one that its queue takes; others get no answer
            began = time.monotonic()
            assert Answering({"m1": (HERE,)}, port, 0.3)("m1") is None
            assert time.monotonic() - began < 5


def test_an_unknown_machine_is_silent() -> None:
    assert Answering({})("m9") is None
