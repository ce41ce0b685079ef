"""Serves the dashboard's built files at ``/dashboard``; needs no token, since the files hold no secret.

Texts are kept compressed with gzip and sent so to whom accepts it. A path that looks like a page of the application (no
dot in its last part) is answered with ``index.html``, which asks the APIs itself.

Theory of operation. The files are listed and read into memory, and only what was listed is ever sent: a path that isn't
in the list can name nothing on the disk. An upgrade or a build replaces them one by one while the process runs, so they
are read again when their directories have changed, as a whole, once nothing has been added or taken away for ``REST``
and the first page and everything that it names are there. Until then the set in memory answers. A page that is open
in a browser names files of the set that it came with: those have their hash in their names, and those of the set before
are kept.
"""

from __future__ import annotations

import asyncio
import gzip
import hashlib
import re
import time
from collections.abc import Awaitable, Callable
from dataclasses import dataclass
from pathlib import Path
from threading import Lock
from typing import Any

App = Callable[..., Awaitable[None]]
PREFIX = "/dashboard"
ASSETS = Path(__file__).parent / "assets"
POLICY = "; ".join((
    "default-src 'none'", "script-src 'self'", "style-src 'self'", "font-src 'self'", "img-src 'self' data:",
    "connect-src 'self'", "manifest-src 'self'", "base-uri 'none'", "form-action 'none'", "frame-ancestors 'none'"))
"""Nothing comes from elsewhere, nothing inline runs, and nobody may put the dashboard in a frame."""
_SAFETY = (
    (b"content-security-policy", POLICY.encode()), (b"x-content-type-options", b"nosniff"),
    (b"x-frame-options", b"DENY"), (b"referrer-policy", b"no-referrer"),
    (b"cross-origin-opener-policy", b"same-origin"),
    (b"permissions-policy", b"camera=(), geolocation=(), microphone=()"))
_TYPES = {".html": "text/html; charset=utf-8", ".js": "text/javascript; charset=utf-8",
          ".css": "text/css; charset=utf-8", ".svg": "image/svg+xml", ".woff2": "font/woff2",
          ".json": "application/json", ".txt": "text/plain; charset=utf-8", ".png": "image/png"}
_FOREVER = b"public, max-age=31536000, immutable"
_ASK_AGAIN = b"no-cache"
HASHED = "static/"
REST = 1.0
"""Seconds without a change after which the files on the disk are taken for complete."""
_NAMED = re.compile(rb'(?:src|href)="/dashboard/([^"?#]+)"')


@dataclass(frozen=True, slots=True)
class _File:
    """One file; ``packed`` says that ``data`` is compressed."""

    data: bytes
    content_type: bytes
    packed: bool
    etag: bytes
    caching: bytes

    def plain(self) -> bytes:
        return gzip.decompress(self.data) if self.packed else self.data


class Site:
    """The files below *directory*, of which those in ``static/`` have their hash in their name."""

    def __init__(self, directory: Path = ASSETS) -> None:
        self._directory = directory
        self._lock = Lock()
        self._before: dict[str, _File] = {}
        stamp = _stamp(directory)
        self._stamp = stamp if _rests(stamp) else None
        self._files = _read(directory)

    def find(self, path: str) -> _File | None:
        """What answers *path* (below the prefix, without its first slash). Reads the disk where that has changed."""
        found = self._files.get(path) or self._before.get(path)
        if found is not None and path.startswith(HASHED):
            return found
        with self._lock:
            self._renew()
        found = self._files.get(path)
        *parents, last = path.split("/")
        if found is None and "." not in last and ".." not in parents and not path.startswith(HASHED):
            found = self._files.get("index.html")
        return found

    def _renew(self) -> None:
        stamp = _stamp(self._directory)
        if stamp == self._stamp or not _rests(stamp):
            return
        files = _read(self._directory)
        self._stamp = stamp
        first, known = files.get("index.html"), self._files.get("index.html")
        if first is None or any(name.decode() not in files for name in _NAMED.findall(first.plain())):
            return
        if known is not None and known.etag != first.etag:
            self._before = {name: file for name, file in self._files.items() if name.startswith(HASHED)}
        self._files = files


def _stamp(directory: Path) -> tuple[int, ...]:
    """When something was last added or taken away, in nanoseconds since 1970."""
    return tuple(path.stat().st_mtime_ns for path in (directory, directory / HASHED) if path.is_dir())


def _rests(stamp: tuple[int, ...]) -> bool:
    return not any(0 <= time.time_ns() - changed < REST * 1e9 for changed in stamp)


def _read(directory: Path) -> dict[str, _File]:
    """The files by their paths. Where one lies there compressed as well, that isn't complete yet."""
    found: dict[str, _File] = {}
    for path in sorted(directory.rglob("*"), reverse=True):
        packed = path.suffix == ".gz"
        name = path.relative_to(directory).as_posix().removesuffix(".gz")
        content_type = _TYPES.get(Path(name).suffix)
        if content_type is None:
            continue
        try:
            data = path.read_bytes()
        except OSError:
            continue
        etag = f'"{hashlib.sha256(data).hexdigest()[:32]}"'.encode()
        found[name] = _File(data, content_type.encode(), packed, etag,
                            _FOREVER if name.startswith(HASHED) else _ASK_AGAIN)
    return found


def serving(app: App, site: Site | None = None) -> App:
    """*app*, and the dashboard. A browser that asks for ``/`` is sent to it."""
    files = site or Site()

    async def answer(scope: Any, receive: Any, send: Any) -> None:
        if scope["type"] == "http":
            path, headers = scope["path"], dict(scope["headers"])
            if path == PREFIX or (path == "/" and _browser(scope, headers)):
                await _redirect(send)
                return
            if path.startswith(f"{PREFIX}/"):
                found = await asyncio.to_thread(files.find, path.removeprefix(f"{PREFIX}/"))
                await _serve(found, scope["method"], headers, send)
                return
        await app(scope, receive, send)

    return answer


def _browser(scope: Any, headers: dict[bytes, bytes]) -> bool:
    return scope["method"] in ("GET", "HEAD") and b"text/html" in headers.get(b"accept", b"")


async def _redirect(send: Any) -> None:
    await _send(send, 302, [(b"location", f"{PREFIX}/".encode()), (b"content-length", b"0")])


async def _serve(file: _File | None, method: str, headers: dict[bytes, bytes], send: Any) -> None:
    if method not in ("GET", "HEAD"):
        await _send(send, 405, [(b"allow", b"GET, HEAD"), (b"content-length", b"0")])
        return
    if file is None:
        await _text(send, 404, b"The dashboard has no such file.\n", method)
        return
    fields = [(b"etag", file.etag), (b"cache-control", file.caching), (b"vary", b"accept-encoding")]
    if file.etag in headers.get(b"if-none-match", b""):
        await _send(send, 304, fields)
        return
    packed = file.packed and _takes_gzip(headers.get(b"accept-encoding", b""))
    body = file.data if packed else await asyncio.to_thread(file.plain)
    if packed:
        fields.append((b"content-encoding", b"gzip"))
    fields += [(b"content-type", file.content_type), (b"content-length", str(len(body)).encode())]
    await _send(send, 200, fields, b"" if method == "HEAD" else body)


def _takes_gzip(accepted: bytes) -> bool:
    for coding in accepted.split(b","):
        name, _, quality = coding.partition(b";")
        if name.strip().lower() in (b"gzip", b"*"):
            return quality.replace(b" ", b"") not in (b"q=0", b"q=0.0", b"q=0.00", b"q=0.000")
    return False


async def _text(send: Any, status: int, body: bytes, method: str) -> None:
    await _send(send, status, [(b"content-type", b"text/plain; charset=utf-8"),
                               (b"content-length", str(len(body)).encode())], b"" if method == "HEAD" else body)


async def _send(send: Any, status: int, fields: list[tuple[bytes, bytes]], body: bytes = b"") -> None:
    await send({"type": "http.response.start", "status": status, "headers": [*fields, *_SAFETY]})
    await send({"type": "http.response.body", "body": body})
