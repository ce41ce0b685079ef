"""Asking an agent on its own socket, which one machine's control processes may use."""

from __future__ import annotations

from stackling.agent.wire import ControlUnreachable, Endpoint, Lane

TIMEOUT = 10.0


async def ask_agent(address: str, method: str, path: str) -> tuple[int, bytes]:
    """(status, body) from the agent at *address*; raises ``OSError`` when it doesn't answer."""
    lane = Lane([Endpoint.parse(address)], {})
    try:
        answer = await lane.request(method, path, timeout=TIMEOUT)
    except ControlUnreachable as error:
        raise ConnectionError(str(error)) from None
    finally:
        await lane.close()
    return answer.status, answer.body
