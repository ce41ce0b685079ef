"""Run by Alembic over the open connection that ``store.schema`` hands over."""

from typing import Any, Literal

from alembic import context
from sqlalchemy.sql.elements import False_, True_

from stackling.store import types
from stackling.store.tables import metadata
from stackling.store.tables.engine import BigId

OURS = {id(found): f"types.{name}" for name, found in vars(types).items() if name in ("Id", "Instant", "Name", "Long")}
OURS[id(BigId)] = "BigId"


def render(kind: str, found: Any, _context: Any) -> str | Literal[False]:
    """Our column types by their names, and booleans in every database's own form."""
    if kind == "server_default" and isinstance(getattr(found, "arg", None), False_ | True_):
        return "sa.false()" if isinstance(found.arg, False_) else "sa.true()"
    if kind != "type":
        return False
    if isinstance(found, types.Json):
        return "types.Json()"
    return OURS.get(id(found), False)


context.configure(
    connection=context.config.attributes["connection"],
    target_metadata=metadata,
    render_as_batch=True,
    render_item=render,
    compare_type=False,
)
with context.begin_transaction():
    context.run_migrations()
