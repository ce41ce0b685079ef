"""Tags of any resource that has a row."""

from __future__ import annotations

from collections.abc import Sequence

from stackling.network.lists import LISTED
from stackling.network.rows import Record, touch
from stackling.network.timeline import store_tags
from stackling.store.transaction import Tx


def replace(tx: Tx, resource: str, record: Record, tags: Sequence[str]) -> Record:
    """Make *tags* all the tags of the resource."""
    wanted = sorted(set(tags))
    if wanted == sorted(record["tags"]):
        return record
    changed: Record = {"tags": wanted, **touch(tx, record)}
    LISTED[resource].rows.update(tx, record["id"], changed)
    store_tags(tx, record["id"], wanted)
    return {**record, **changed}
