"""Links, pages and attributes that all of Identity's resources have in common."""

from __future__ import annotations

from collections.abc import Collection, Iterable, Mapping, Sequence
from typing import Any
from urllib.parse import urlencode

from stackling.api.call import Call
from stackling.core.errors import Invalid
from stackling.identity.model import Listing

COMPARISONS = ("contains", "icontains", "startswith", "istartswith", "endswith", "iendswith", "iexact")
FALSE = ("false", "0", "no", "off", "f", "n")
MAX_PAGE = 10_000


def root(call: Call) -> str:
    """``http://host/identity/v3``."""
    return f"{call.base}{call.service.prefix}/v3"


def with_links(call: Call, kind: str, shown: dict[str, Any]) -> dict[str, Any]:
    """Add the link to itself; *kind* is the collection's path."""
    shown["links"] = {"self": f"{root(call)}/{kind}/{shown['id']}"}
    return shown


def truth(text: str) -> bool:
    """A flag in a query: anything but a false word is true, also nothing."""
    return text.strip().lower() not in FALSE


def flag(call: Call, name: str) -> bool:
    """Whether the query has *name* with a true value."""
    value = call.query.last(name)
    return value is not None and truth(value)


def listing(call: Call, exact: Collection[str], flags: Collection[str] = (), *, inexact: bool = True) -> Listing:
    """What the query asks for, of the attributes that the list can be filtered by. Raises ``Invalid``."""
    equal: dict[str, Any] = {}
    like: list[tuple[str, str, str]] = []
    for key, values in call.query.items():
        attribute, _, comparison = key.partition("__")
        if comparison:
            if inexact and attribute in exact and comparison in COMPARISONS:
                like.append((attribute, comparison, values[-1]))
        elif attribute in flags:
            equal[attribute] = truth(values[-1])
        elif attribute in exact:
            equal[attribute] = values[-1]
    return Listing(equal, tuple(like), _limit(call), call.query.last("marker"))


def _limit(call: Call) -> int | None:
    text = call.query.last("limit")
    if text is None:
        return None
    if not text.isascii() or not text.isdigit() or len(text) > 9:
        raise Invalid(f"Invalid input for field 'limit': {text[:50]!r} is not a non-negative integer")
    return min(int(text), MAX_PAGE) or None


def collection(call: Call, name: str, shown: Sequence[dict[str, Any]], page: Listing | None = None) -> dict[str, Any]:
    """A list with its links; one entry more than the page's limit means that there is a next page."""
    links: dict[str, Any] = {"next": None, "self": _url(call), "previous": None}
    answer: dict[str, Any] = {name: shown, "links": links}
    if page is not None and page.limit is not None and len(shown) > page.limit:
        answer[name] = shown = shown[:page.limit]
        links["next"] = _url(call, limit=str(page.limit), marker=shown[-1]["id"])
        answer["truncated"] = True
    return answer


def _url(call: Call, **replaced: str) -> str:
    query = [(k, v) for k, values in call.query.items() for v in values if k not in replaced]
    query += list(replaced.items())
    path = f"{call.base}{call.request.path}"
    return f"{path}?{urlencode(query)}" if query else path


def split(body: Mapping[str, Any], known: Iterable[str]) -> tuple[dict[str, Any], dict[str, Any]]:
    """A body's own attributes and the further ones, which Identity keeps as they come."""
    known = set(known)
    values = {k: v for k, v in body.items() if k in known}
    extra = {k: v for k, v in body.items() if k not in known and k not in ("id", "links")}
    return values, extra


def merged(values: dict[str, Any], extra: Mapping[str, Any], old_extra: Mapping[str, Any],
           old_options: Mapping[str, Any] | None = None) -> dict[str, Any]:
    """Values for an update: further attributes are added to the old ones, an option set to null is removed."""
    if extra:
        values["extra"] = {**old_extra, **extra}
    if old_options is not None and "options" in values:
        combined = {**old_options, **values["options"]}
        values["options"] = {k: v for k, v in combined.items() if v is not None}
    return values


def own_id(body: Mapping[str, Any], id_: str, kind: str) -> None:
    """Refuses a body that names another id than the path."""
    if "id" in body and body["id"] != id_:
        raise Invalid(f"Cannot change {kind} ID")
