"""Conditions of a list, from what was asked."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

from sqlalchemy import ColumnElement, Table, func

from stackling.identity.model import Listing


def select_page(statement: Any, table: Table, listing: Listing) -> Any:
    """*statement* (a SELECT) with the conditions, ordered by id, one row longer than the page."""
    statement = statement.where(*conditions(table, listing)).order_by(table.c.id)
    if listing.marker is not None:
        statement = statement.where(table.c.id > listing.marker)
    return statement if listing.limit is None else statement.limit(listing.limit + 1)


def conditions(table: Table, listing: Listing) -> Sequence[ColumnElement[bool]]:
    """Keystone's exact and inexact filters as SQL; attributes that the table hasn't are ignored, as upstream does."""
    found: list[ColumnElement[bool]] = []
    for attribute, value in listing.equal.items():
        column = table.c.get(attribute)
        if column is not None:
            found.append(column == value)
    for attribute, comparison, text in listing.like:
        column = table.c.get(attribute)
        if column is not None:
            found.append(_compare(column, comparison, text))
    return found


def _compare(column: Any, comparison: str, text: str) -> ColumnElement[bool]:
    if comparison.startswith("i"):
        column, text, comparison = func.lower(column), text.lower(), comparison[1:]
    if comparison == "contains":
        return column.contains(text, autoescape=True)
    if comparison == "startswith":
        return column.startswith(text, autoescape=True)
    if comparison == "endswith":
        return column.endswith(text, autoescape=True)
    return column == text
