"""Requests to every route with one thing wrong in them, made of the samples; the same ones for every database."""

from __future__ import annotations

import os
import random
from collections.abc import Iterator, Sequence
from typing import Any, TypeVar

from stackling.api.route import Route
from tests.api.hostile import SERVICES, Answer, HostileWorld, sample
from tests.api.hostile_bodies import bodies
from tests.api.hostile_samples import EXTRA, FILTERS, PLACES, VALUES, WRONG

T = TypeVar("T")
FULL = os.environ.get("STACKLING_HOSTILE") == "full"
NO_BODY_READ = frozenset({
    "/v2/images/{image_id}/file", "/v2/images/{image_id}/stage",
    "/v3/OS-FEDERATION/identity_providers/{idp_id}/protocols/{protocol_id}/auth",
    "/v3/auth/OS-FEDERATION/websso/{protocol_id}",
    "/v3/auth/OS-FEDERATION/identity_providers/{idp_id}/protocols/{protocol_id}/websso"})
"""Streams, where what comes is data, whatever it is; and what takes no notice of a body."""


def some(values: Sequence[T], seed: str, count: int) -> Sequence[T]:
    """A choice of *values*, always the same for *seed*; all of them with ``STACKLING_HOSTILE=full``."""
    return values if FULL or count >= len(values) else random.Random(seed).sample(values, count)


def version_of(route: Route) -> dict[str, str]:
    """The newest microversion that the route has, of services that have any."""
    minor = route.max[1] if route.max else 90
    return {"OpenStack-API-Version": f"compute 2.{min(minor, 90)}, placement 1.39, volume 3.70"}


def send(world: HostileWorld, route: Route, path: str, token: str | None, body: Any = None) -> Answer:
    """A request as the route wants it, but for what is wrong with it."""
    return world.ask(route.method, path, token=token, body=body, media=route.content_types[0],
                     headers=version_of(route))


def valid(world: HostileWorld) -> dict[str, list[Any]]:
    """Bodies of every route that takes one: written ones, and else what its schema describes."""
    found = bodies(world.ids, world.image, world.victim.project_id, world.victim.user_id)
    for service in SERVICES:
        for route, _ in world.each(service, "POST", "PUT", "PATCH"):
            if route.body is not None:
                found.setdefault(_name(service, route), [sample(route.body.newest)])
    return found


def bodies_of(known: dict[str, list[Any]], service: str, route: Route) -> list[Any]:
    """The valid bodies of a route; [None] where it takes none."""
    return known.get(_name(service, route), [None])


def wrong_bodies(world: HostileWorld, service: str, seed: str) -> Iterator[tuple[Route, str, list[tuple[str, Any]]]]:
    """Each valid body of each route in all its mutations: (route, path, [(where, body)])."""
    routes = {_name(service, route): route for route, _ in reversed(list(world.each(service)))}
    for name, found in valid(world).items():
        if (route := routes.get(name)) is not None:
            for body in found:
                yield route, world.path(service, route), list(mutations(body, f"{seed} {name}"))


def wrong_filters(path: str, count: int, names: Sequence[str] = FILTERS) -> Iterator[str]:
    """Queries with one filter, *count* values of each."""
    for name in names:
        for value in some(VALUES, path + name, count):
            yield f"{name}={value}"


def wrong_ids(world: HostileWorld, service: str, route: Route, count: int, seed: str = "") -> Iterator[str]:
    """The route's path with each of its places filled wrongly; the others keep the victim's ids."""
    for part in [one for one in route.path.split("/") if one.startswith("{")]:
        for value in some(PLACES, f"{seed}{route.method}{route.path}", count):
            yield world.path(service, route, {part.strip("{}"): "PLACE-TO-FILL"}).replace("PLACE-TO-FILL", value)


def mutations(body: Any, path: str) -> Iterator[tuple[str, Any]]:
    """*body* with one value replaced, taken away or added, anywhere in it, and which."""
    if isinstance(body, dict):
        for key, value in body.items():
            yield f"no {key}", {k: v for k, v in body.items() if k != key}
            for wrong in some(WRONG, f"{path}.{key}", 10):
                yield f"{key}={str(wrong)[:20]!r}", {**body, key: wrong}
            for where, changed in mutations(value, f"{path}.{key}"):
                yield f"{key}.{where}", {**body, key: changed}
        for extra in some(EXTRA, path, 3):
            if extra not in body:
                yield f"with {extra[:20]!r}", {**body, extra: "x"}
                yield f"with {extra[:20]!r}", {**body, extra: None}
    elif isinstance(body, list):
        yield "no items", []
        yield "twice", [*body, *body]
        yield "many", body * 1500
        for index, value in enumerate(body[:2]):
            for wrong in some(WRONG, f"{path}[{index}]", 8):
                yield f"[{index}]={str(wrong)[:20]!r}", [*body[:index], wrong, *body[index + 1:]]
            for where, changed in mutations(value, f"{path}[]"):
                yield f"[{index}].{where}", [*body[:index], changed, *body[index + 1:]]


def _name(service: str, route: Route) -> str:
    return f"{service} {route.method} {route.path}"
