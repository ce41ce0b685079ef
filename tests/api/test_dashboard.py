"""What a browser gets below ``/dashboard``, and that the committed files were built from the committed source."""

from __future__ import annotations

import asyncio
import gzip
import hashlib
import os
import re
import shutil
import subprocess
from pathlib import Path
from typing import Any

import httpx
import pytest

from stackling.api.dashboard import site

ROOT = Path(__file__).parents[2]


async def _behind(scope: Any, receive: Any, send: Any) -> None:
    await send({"type": "http.response.start", "status": 418, "headers": []})
    await send({"type": "http.response.body", "body": b"the APIs"})


APP = site.serving(_behind)


def ask(path: str, method: str = "GET", headers: dict[str, str] | None = None, app: Any = APP) -> httpx.Response:
    async def run() -> httpx.Response:
        async with httpx.AsyncClient(transport=httpx.ASGITransport(app), base_url="http://cloud.test") as client:
            return await client.request(method, path, headers=headers)

    return asyncio.run(run())


def script() -> str:
    return re.findall(r'src="(/dashboard/static/[^"]+\.js)"', ask("/dashboard/").text)[0]


def test_the_first_page_is_asked_for_again_and_lets_nothing_in_from_elsewhere() -> None:
    page = ask("/dashboard/")
    assert page.status_code == 200
    assert page.headers["content-type"] == "text/html; charset=utf-8"
    assert page.headers["cache-control"] == "no-cache"
    policy = page.headers["content-security-policy"]
    assert "default-src 'none'" in policy
    assert "unsafe" not in policy
    assert "http" not in policy
    assert not re.search(r"<script(?![^>]*\bsrc=)|\bon\w+=|https?://", page.text)
    again = ask("/dashboard/", headers={"If-None-Match": page.headers["etag"]})
    assert (again.status_code, again.content) == (304, b"")


def test_hashed_files_are_kept_for_ever_and_sent_compressed() -> None:
    packed = ask(script(), headers={"Accept-Encoding": "gzip"})
    plain = ask(script(), headers={"Accept-Encoding": "identity"})
    refused = ask(script(), headers={"Accept-Encoding": "gzip;q=0"})
    assert "immutable" in packed.headers["cache-control"]
    assert packed.headers["content-encoding"] == "gzip"
    assert "content-encoding" not in plain.headers
    assert "content-encoding" not in refused.headers
    assert packed.content == plain.content == refused.content
    assert int(packed.headers["content-length"]) < int(plain.headers["content-length"]) / 2
    assert packed.headers["content-type"].startswith("text/javascript")


@pytest.mark.parametrize("path", ["/dashboard/servers", "/dashboard/servers/4f", "/dashboard/admin/hosts?x=1"])
def test_a_page_of_the_application_is_the_application(path: str) -> None:
    assert ask(path).content == ask("/dashboard/").content


@pytest.mark.parametrize("path", [
    "/dashboard/static/none.js", "/dashboard/none.txt", "/dashboard/static/", "/dashboard/static/none",
    "/dashboard/../../../../../../etc/passwd", "/dashboard/%2e%2e/site.py", "/dashboard/..%2fsite.py",
    "/dashboard/static/..%2f..%2fsite.py", "/dashboard/index.html.gz", "/dashboard//etc/hosts.txt"])
def test_nothing_but_the_built_files_is_there(path: str) -> None:
    async def run() -> list[dict[str, Any]]:
        sent: list[dict[str, Any]] = []

        async def send(message: dict[str, Any]) -> None:
            sent.append(message)

        from urllib.parse import unquote

        await APP({"type": "http", "method": "GET", "path": unquote(path), "headers": []}, None, send)
        return sent

    start, body = asyncio.run(run())
    assert start["status"] == 404
    assert body["body"] == b"The dashboard has no such file.\n"


def test_head_has_no_body_and_other_methods_are_refused() -> None:
    head = ask("/dashboard/", "HEAD")
    assert (head.status_code, head.content) == (200, b"")
    assert int(head.headers["content-length"]) > 0
    post = ask("/dashboard/", "POST")
    assert (post.status_code, post.headers["allow"]) == (405, "GET, HEAD")


def test_a_browser_is_led_to_the_dashboard_and_clients_are_not() -> None:
    browser = ask("/", headers={"Accept": "text/html,application/xhtml+xml"})
    assert (browser.status_code, browser.headers["location"]) == (302, "/dashboard/")
    assert ask("/dashboard").headers["location"] == "/dashboard/"
    assert ask("/", headers={"Accept": "application/json"}).status_code == 418
    assert ask("/compute/v2.1/servers").status_code == 418


def test_without_built_files_there_is_no_dashboard(tmp_path: Path) -> None:
    assert ask("/dashboard/", app=site.serving(_behind, site.Site(tmp_path))).status_code == 404


def build(directory: Path, name: str, *, script: bool = True) -> None:
    """What ``make dashboard`` leaves: nothing of the last set, a first page, and what it names (without *script*: not
    yet)."""
    shutil.rmtree(directory, ignore_errors=True)
    (directory / "static").mkdir(parents=True)
    page = f'<script src="/dashboard/static/{name}.js"></script>'
    (directory / "index.html.gz").write_bytes(gzip.compress(page.encode()))
    if script:
        (directory / f"static/{name}.js.gz").write_bytes(gzip.compress(f"'{name}'".encode()))


def rest(directory: Path) -> None:
    """Nothing has changed there for a while."""
    for path in (directory, directory / "static"):
        os.utime(path, (0, path.stat().st_mtime - 2 * site.REST))


def test_a_new_set_of_files_is_served_without_a_restart_and_open_pages_keep_theirs(tmp_path: Path) -> None:
    place = tmp_path / "assets"
    build(place, "one")
    app = site.serving(_behind, site.Site(place))
    assert "one.js" in ask("/dashboard/servers", app=app).text
    build(place, "two")
    rest(place)
    assert "two.js" in ask("/dashboard/servers", app=app).text
    for name in ("one", "two"):
        found = ask(f"/dashboard/static/{name}.js", app=app)
        assert (found.status_code, found.text) == (200, f"'{name}'")
    build(place, "three")
    rest(place)
    assert ask("/dashboard/static/three.js", app=app).status_code == 200
    assert ask("/dashboard/static/one.js", app=app).status_code == 404


def test_a_set_that_is_being_built_is_not_served_before_it_is_whole(tmp_path: Path) -> None:
    place = tmp_path / "assets"
    build(place, "one")
    rest(place)
    app = site.serving(_behind, site.Site(place))

    def is_whole(name: str) -> bool:
        page, script = ask("/dashboard/", app=app), ask(f"/dashboard/static/{name}.js", app=app)
        return (page.status_code, script.status_code) == (200, 200) and name in page.text and name in script.text

    shutil.rmtree(place)
    assert is_whole("one")
    build(place, "two", script=False)
    rest(place)
    assert is_whole("one")
    build(place, "two")
    assert is_whole("one")
    rest(place)
    assert is_whole("two")


def test_files_that_are_built_later_are_found(tmp_path: Path) -> None:
    app = site.serving(_behind, site.Site(tmp_path / "assets"))
    assert ask("/dashboard/", app=app).status_code == 404
    build(tmp_path / "assets", "one")
    rest(tmp_path / "assets")
    assert "one.js" in ask("/dashboard/", app=app).text


def test_the_first_load_is_below_500_kilobytes() -> None:
    page = ask("/dashboard/").text
    files = re.findall(r'(?:src|href)="(/dashboard/static/[^"]+\.(?:js|css))"', page)
    assert files
    size = sum(len(gzip.compress(ask(file).content, 9)) for file in {*files})
    assert size < 500_000


def test_the_built_files_belong_to_the_source() -> None:
    """``make dashboard`` builds them; ``dashboard/vite.config.ts`` counts the same files."""
    names = subprocess.run(["git", "ls-files", "-co", "--exclude-standard", "dashboard"], cwd=ROOT, check=True,
                           capture_output=True, text=True).stdout.split()
    total = hashlib.sha256()
    for name in sorted(name for name in names if _counts(name) and (ROOT / name).is_file()):
        total.update(f"{name}\0{hashlib.sha256((ROOT / name).read_bytes()).hexdigest()}\n".encode())
    assert gzip.decompress((site.ASSETS / "source.txt.gz").read_bytes()).decode().strip() == total.hexdigest(), \
        "dashboard/ has changed since its files were built: run `make dashboard`"


def _counts(name: str) -> bool:
    part = name.removeprefix("dashboard/")
    if part.endswith(".test.ts"):
        return False
    return part.startswith(("src/", "public/")) or part in ("index.html", "package.json", "package-lock.json",
                                                            "tsconfig.json", "vite.config.ts")
