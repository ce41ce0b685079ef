"""An Identity operation: a route whose rule is checked against what the request is about."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from typing import TYPE_CHECKING, Any

from stackling.api.call import Call
from stackling.api.route import Mode, Route
from stackling.api.schema import Schemas

if TYPE_CHECKING:
    from stackling.store.transaction import Tx

ANY_TOKEN = "identity:any_token"
Target = Callable[["Tx", Call], Mapping[str, Any]]
Handler = Callable[["Tx", Call], Any]


def operation(method: str, path: str, handler: Handler, rule: str, *, target: Target | None = None,
              mode: Mode | None = None, body: Schemas | None = None, status: int = 200) -> Route:
    """A route under ``/v3``. *rule* is the name behind ``identity:``.

    *target* gives what the rule compares the caller with. It leaves out what doesn't exist, so that only who may know
    learns of that from the handler's 404; or raises, where upstream looks the thing up first and so tells everyone.
    Without it the rule is checked before the body is looked at.
    """
    mode = mode or ("read" if method == "GET" else "write")
    name = f"identity:{rule}"
    if target is None:
        return Route(method, f"/v3{path}", handler, name, mode, body, status=status, unscoped=True)

    def checked(tx: Tx, call: Call) -> Any:
        call.authorize(target(tx, call), name)
        return handler(tx, call)

    return Route(method, f"/v3{path}", checked, ANY_TOKEN, mode, body, status=status, unscoped=True)
