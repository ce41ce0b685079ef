"""What errors of the databases' drivers mean."""

from __future__ import annotations

from typing import Any

import psycopg.errors
import pymysql.err
import pytest
from sqlalchemy.exc import DBAPIError, OperationalError

from stackling.store import faults


def mariadb(number: int, state: str = "HY000") -> DBAPIError:
    error: Any = pymysql.err.OperationalError(number, "words")
    error.sqlstate = state          # newer versions of the driver set it
    return OperationalError("SELECT 1", {}, error)


def postgresql(kind: type[Exception]) -> DBAPIError:
    return OperationalError("SELECT 1", {}, kind("words"))


@pytest.mark.parametrize(("number", "state"), [(1205, "HY000"), (1213, "40001"), (1020, "HY000")])
def test_conflicts_are_run_again(number: int, state: str) -> None:
    assert faults.is_conflict(mariadb(number, state))
    assert not faults.is_absent(mariadb(number, state))


@pytest.mark.parametrize(("number", "state"), [
    (1047, "08S01"), (2003, "HY000"), (2013, "HY000"), (1180, "HY000"), (1040, "08004"), (1927, "70100")])
def test_an_absent_database_is_waited_for(number: int, state: str) -> None:
    assert faults.is_absent(mariadb(number, state))
    assert not faults.is_conflict(mariadb(number, state))


@pytest.mark.parametrize("number", [1064, 1146, 1045, 1062])
def test_our_own_mistakes_are_neither(number: int) -> None:
    assert not faults.is_absent(mariadb(number))
    assert not faults.is_conflict(mariadb(number))


def test_no_room_is_neither() -> None:
    for error in (mariadb(1021), mariadb(1114), postgresql(psycopg.errors.DiskFull)):
        assert faults.is_full(error)
        assert not faults.is_conflict(error)
        assert not faults.is_absent(error)


def test_postgresql_says_it_by_states() -> None:
    assert faults.is_conflict(postgresql(psycopg.errors.SerializationFailure))
    assert faults.is_conflict(postgresql(psycopg.errors.DeadlockDetected))
    assert faults.is_absent(postgresql(psycopg.errors.AdminShutdown))
    assert not faults.is_absent(postgresql(psycopg.errors.UndefinedTable))
    assert not faults.is_conflict(postgresql(psycopg.errors.UndefinedTable))
