"""Logs: one event a line in a file of bounded size. Refusals and failures are logged, access isn't."""

from __future__ import annotations

import logging
import logging.handlers
import time
from pathlib import Path

LARGEST = 8 << 20       # bytes of a file before it is rotated
KEPT = 3                # rotated files
NOISY = ("uvicorn", "uvicorn.error", "asyncio", "ovsdbapp", "urllib3", "httpx", "httpcore")

TOLD_ELSEWHERE = ("sqlalchemy.pool", "pika")        # what they meet, store.database and the bus tell of


class OneLine(logging.Formatter):
    """``2026-11-22T16:12:25.123Z WARNING stackling.engine.turn: …``; line breaks are shown as ``⏎``."""

    converter = time.gmtime
    default_time_format = "%Y-%m-%dT%H:%M:%S"
    default_msec_format = "%s.%03dZ"

    def __init__(self) -> None:
        super().__init__("%(asctime)s %(levelname)s %(name)s: %(message)s")

    def format(self, record: logging.LogRecord) -> str:
        return super().format(record).replace("\r", "").replace("\n", " ⏎ ")


def configure(path: Path | None, level: str) -> None:
    """Send everything from *level* up to *path* (readable by its owner only); None: to standard error."""
    handler: logging.Handler
    if path is None:
        handler = logging.StreamHandler()
    else:
        path.touch(mode=0o600, exist_ok=True)
        handler = logging.handlers.RotatingFileHandler(path, maxBytes=LARGEST, backupCount=KEPT, encoding="utf-8")
    handler.setFormatter(OneLine())
    logging.basicConfig(level=level.upper(), handlers=[handler], force=True)
    for name in NOISY:
        logging.getLogger(name).setLevel(logging.WARNING)
    for name in TOLD_ELSEWHERE:
        logging.getLogger(name).setLevel(logging.CRITICAL)
