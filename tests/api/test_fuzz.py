"""Random requests, for a bounded time: the same promises as ``test_bad_input`` where nobody thought of the case.

``STACKLING_FUZZ_SECONDS`` makes it longer than its eight seconds a service. The same cases come at every run.
"""

from __future__ import annotations

import os
import time
from collections.abc import Iterator
from typing import Any

import msgspec
import pytest
from hypothesis import HealthCheck, Phase, given, settings
from hypothesis import strategies as st

from stackling.api.route import Route
from tests.api.hostile import SERVICES, HostileWorld, Problems, world_in
from tests.api.hostile_requests import valid, version_of

SECONDS = float(os.environ.get("STACKLING_FUZZ_SECONDS", "8"))
TEXTS = st.text(max_size=30) | st.sampled_from(["", "id", "name", "null", "0", "-1", "a" * 5000, "\x00", "💩", "../x"])
SCALARS = st.none() | st.booleans() | st.integers() | st.floats(allow_nan=False, allow_infinity=False) | TEXTS
VALUES = st.recursive(
    SCALARS, lambda inner: st.lists(inner, max_size=4) | st.dictionaries(TEXTS, inner, max_size=4), max_leaves=12
)


@pytest.fixture(scope="module")
def world(tmp_path_factory: pytest.TempPathFactory) -> Iterator[HostileWorld]:
    made, cloud, store = world_in(tmp_path_factory.mktemp("fuzz"))
    yield made
    made.close()
    store.close()
    cloud.close()


def _places(value: Any, at: tuple[Any, ...] = ()) -> list[tuple[Any, ...]]:
    """The way to every value inside *value*."""
    found = [at] if at else []
    items = value.items() if isinstance(value, dict) else enumerate(value) if isinstance(value, list) else ()
    for key, inner in items:
        found += _places(inner, (*at, key))
    return found


def _with(value: Any, at: tuple[Any, ...], new: Any) -> Any:
    if not at:
        return new
    changed = dict(value) if isinstance(value, dict) else list(value)
    changed[at[0]] = _with(value[at[0]], at[1:], new)
    return changed


@pytest.mark.parametrize("service", [name for name in SERVICES if name != "stackling"])
def test_random_requests(world: HostileWorld, service: str) -> None:
    bodies = valid(world)
    routes = [route for route, _ in world.each(service) if not (service == "identity" and route.mode == "stream")]
    until = time.monotonic() + SECONDS

    @settings(
        max_examples=int(SECONDS * 80),
        deadline=None,
        database=None,
        derandomize=True,
        phases=[Phase.generate],
        suppress_health_check=list(HealthCheck),
    )
    @given(st.sampled_from(routes), st.data())
    def one(route: Route, data: st.DataObject) -> None:
        body = data.draw(VALUES) if route.method in ("POST", "PUT", "PATCH") else None
        known = bodies.get(f"{service} {route.method} {route.path}")
        if body is not None and known:
            base = data.draw(st.sampled_from(known))
            places = _places(base)
            for at in data.draw(st.lists(st.sampled_from(places), max_size=3)) if places else ():
                base = _with(base, at, data.draw(VALUES)) if at in _places(base) else base
            body = base
        query = "&".join(
            f"{k}={v}"
            for k, v in data.draw(
                st.lists(
                    st.tuples(
                        st.sampled_from(["limit", "marker", "name", "fields", "sort_key", "sort_dir", "id"]), TEXTS
                    ),
                    max_size=3,
                )
            )
        )
        token = data.draw(st.sampled_from([world.admin.token, world.victim.token, world.attacker.token, "x"]))
        if time.monotonic() > until:        # not before: a case is what it draws
            return
        sent = None if body is None else msgspec.json.encode(body) if _encodable(body) else b"{"
        with Problems() as problems:
            answer = world.ask(
                route.method,
                world.path(service, route),
                token=token,
                body=sent,
                headers=version_of(route),
                query=query.encode("utf-8", "replace"),
                media=route.content_types[0],
            )
            problems.check(service, answer, f"{route.method} {route.path}?{query[:80]} {str(body)[:200]}", leaks=False)

    with world.undone():
        one()


def _encodable(body: Any) -> bool:
    try:
        msgspec.json.encode(body)
    except (OverflowError, UnicodeEncodeError):
        return False
    return True
