"""What an image list is asked for, and ranges of a download."""

from __future__ import annotations

import pytest

from stackling.api.call import Query
from stackling.api.image.ranges import requested
from stackling.core.errors import Invalid, RangeNotSatisfiable
from stackling.image.filters import Condition, listing, split_list, split_operator
from stackling.image.settings import ImageSettings

SETTINGS = ImageSettings()


def test_defaults() -> None:
    asked = listing({}, SETTINGS)
    assert (asked.limit, asked.sort, asked.member_status, asked.hidden) == (
        25, (("created_at", "desc"), ("id", "desc")), "accepted", False)


@pytest.mark.parametrize(("query", "sort"), [
    ("sort=name:asc,size", (("name", "asc"), ("size", "desc"), ("created_at", "desc"), ("id", "desc"))),
    ("sort_key=size&sort_dir=asc", (("size", "asc"), ("created_at", "asc"), ("id", "asc"))),
    ("sort_key=name&sort_key=id&sort_dir=asc&sort_dir=desc", (("name", "asc"), ("id", "desc"), ("created_at", "asc"))),
])
def test_sorting(query: str, sort: object) -> None:
    assert listing(Query.parse(query), SETTINGS).sort == sort


@pytest.mark.parametrize("query", [
    "limit=x", "limit=-1", "sort=colour", "sort=name:up", "sort=name&sort_key=id", "visibility=secret",
    "sort_key=name&sort_key=id&sort_key=size&sort_dir=asc&sort_dir=desc", "member_status=maybe", "changes-since=x",
    "os_hidden=maybe", "protected=1", "size_min=big", "size=big", "created_at=yesterday", "created_at=near:2026-01-01",
    "name=like:x", "status=in:\"a", "id=in:a\"b\""])
def test_bad_queries(query: str) -> None:
    with pytest.raises(Invalid):
        listing(Query.parse(query), SETTINGS)


def test_limit_has_a_ceiling() -> None:
    assert listing({"limit": ["5000"]}, SETTINGS).limit == 1000


def test_conditions() -> None:
    asked = listing(Query.parse("size_max=5&name=in:a,%22b,c%22&os_distro=debian&tag=x&tag=y&hw_max=1"), SETTINGS)
    assert asked.tags == ("x", "y")
    assert asked.conditions == (
        Condition("size", "lte", 5), Condition("name", "in", ["a", "b,c"]),
        Condition("os_distro", "property", "debian"), Condition("hw_max", "property", "1"))


@pytest.mark.parametrize(("text", "found"), [
    ("x", ("eq", "x")), ("gte:2026-01-01T00:00:00Z", ("gte", "2026-01-01T00:00:00Z")),
    ("2026-01-01T00:00:00+01:00", ("eq", "2026-01-01T00:00:00+01:00")), ("in:a,b", ("in", "a,b"))])
def test_operators(text: str, found: tuple[str, str]) -> None:
    assert split_operator(text) == found


def test_quoted_lists() -> None:
    assert split_list('a,"b,c",d') == ["a", "b,c", "d"]


@pytest.mark.parametrize(("header", "found"), [
    ("bytes=0-4", (0, 5)), ("bytes=5-", (5, 10)), ("bytes=-3", (7, 10)), ("bytes=-30", (0, 10)),
    ("bytes=4-100", (4, 10)), (None, None)])
def test_ranges(header: str | None, found: tuple[int, int] | None) -> None:
    assert requested(header, None, 10) == found


@pytest.mark.parametrize("header", ["bytes=10-", "bytes=5-4", "bytes=-", "bytes=a-b", "lines=1-2", "bytes=-0"])
def test_ranges_refused(header: str) -> None:
    with pytest.raises(RangeNotSatisfiable):
        requested(header, None, 10)


def test_several_ranges() -> None:
    with pytest.raises(Invalid):
        requested("bytes=0-1,3-4", None, 10)


def test_content_range_of_old_clients() -> None:
    assert requested(None, "bytes 1-4/*", 10) == (1, 5)
    with pytest.raises(RangeNotSatisfiable):
        requested(None, "bytes 1-40/*", 10)
