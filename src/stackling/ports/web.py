"""Where data of images comes from when people name a URL."""

from __future__ import annotations

from collections.abc import AsyncIterator, Mapping
from contextlib import AbstractAsyncContextManager
from typing import Protocol


class WebRefused(Exception):
    """The URL isn't fetched, or what answers there isn't usable. The message is for the user who named it."""


class Web(Protocol):
    """Fetches what is at a URL, and never from an address that only this machine or its network reaches."""

    def check(self, url: str) -> None:
        """What can be told without asking anybody. Raises ``WebRefused``."""
        ...

    def fetch(self, url: str, headers: Mapping[str, str] | None = None
              ) -> AbstractAsyncContextManager[AsyncIterator[bytes]]:
        """The body, in chunks. *headers* are sent as well, also where it redirects to. Entering and reading raise
        ``WebRefused``."""
        ...
