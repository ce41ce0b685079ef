"""Who is at the other end of the internal API's connections: a machine by its certificate, and only as itself.

The name in the certificate must be that of the machine in the path; the credential is checked by the API behind this.
So neither a stolen credential nor a stolen certificate is enough, and no machine speaks for another one.
"""

from __future__ import annotations

import logging
from collections.abc import Awaitable, Callable
from typing import Any

from stackling.main.http import PEER

log = logging.getLogger(__name__)
App = Callable[..., Awaitable[None]]
MACHINE = b"x-machine"
_MACHINES = "/internal/machines/"


def checked(app: App) -> App:
    """*app* behind the check. It finds the certificate's name in the header ``X-Machine``, which nobody can send."""

    async def answer(scope: Any, receive: Any, send: Any) -> None:
        if scope["type"] != "http":
            return
        name = scope.get("extensions", {}).get(PEER)
        path: str = scope["path"]
        if not name or (path.startswith(_MACHINES) and path.removeprefix(_MACHINES).partition("/")[0] != name):
            log.warning("refused %s %s: the certificate is that of %s", scope["method"], path, name or "nobody")
            await _refuse(send)
            return
        headers = [field for field in scope["headers"] if field[0] != MACHINE]
        scope["headers"] = [*headers, (MACHINE, name.encode())]
        await app(scope, receive, send)

    return answer


async def _refuse(send: Any) -> None:
    body = b'{"error": {"code": 403, "message": "This certificate is another machine\'s."}}'
    await send({"type": "http.response.start", "status": 403, "headers": [
        (b"content-type", b"application/json"), (b"content-length", str(len(body)).encode())]})
    await send({"type": "http.response.body", "body": body})
