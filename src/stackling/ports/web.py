"""Where data of images comes from when people name a URL."""

from __future__ import annotations

from collections.abc import AsyncIterator
from contextlib import AbstractAsyncContextManager
from typing import Protocol


class WebRefused(Exception):
    """The URL isn't fetched, or what answers there isn't usable. The message is for the user who named it."""


class Web(Protocol):
    """Fetches what is at a URL, and never from an address that only this machine or its network reaches."""

    def check(self, url: str) -> None:
        """What can be told without asking anybody. Raises ``WebRefused``."""
        ...

    def fetch(self, url: str) -> AbstractAsyncContextManager[AsyncIterator[bytes]]:
        """The body, in chunks. Entering and reading raise ``WebRefused``."""
        ...
