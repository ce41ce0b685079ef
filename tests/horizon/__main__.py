"""``python -m tests.horizon [STEP …]``: use Horizon in Chromium with a simulated cloud; ends with the counts.

Horizon and the browser's driver are in an environment of their own (`.horizon`, made by ``./setup horizon``). With
``HORIZON_SHOTS`` set to a directory, a picture of every step is kept there, and Horizon's log.
"""

from __future__ import annotations

import hashlib
import os
import re
import secrets
import shutil
import subprocess
import sys
import tempfile
import time
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from pathlib import Path

import httpx

from tests.tempest.cloud import free_port, running

HERE = Path(__file__).parent
ROOT = HERE.parent.parent
HOME = ROOT / ".horizon"
PYTHON = HOME / "bin/python"
SECONDS = 1800
"""The most that the walk may take."""
LESS = ["setpriv", "--bounding-set=-sys_nice"]
"""Chromium gives itself a high priority where it may; the cloud beside it would have to wait."""
BEGIN = re.compile(r"^Traceback \(most recent call last\):$", re.M)
NO_NAMESPACES = "max_workers must be greater than zero"
"""Horizon fails where no namespace of metadata definitions is for a resource type. It asks for ``OS::Cinder::Volumes``,
which no cloud has (upstream's definitions say ``OS::Cinder::Volume``), whenever a server is launched."""


def settings(state: Path, keystone: str = "") -> dict[str, str]:
    """The environment of Horizon's programs."""
    return {**os.environ, "PYTHONPATH": str(HERE / "site"), "DJANGO_SETTINGS_MODULE": "openstack_dashboard.settings",
            "HORIZON_STATIC": str(HOME / "static"), "HORIZON_STATE": str(state), "HORIZON_KEYSTONE_URL": keystone,
            "HORIZON_SECRET_KEY": secrets.token_urlsafe(48), "PYTHONWARNINGS": "ignore"}


def collect(state: Path) -> None:
    """Put Horizon's scripts and styles together, once for each lock file."""
    made, wanted = HOME / "static/.made", hashlib.sha256((ROOT / "requirements/horizon.lock").read_bytes()).hexdigest()
    if made.exists() and made.read_text() == wanted:
        return
    shutil.rmtree(made.parent, ignore_errors=True)
    for command in (["collectstatic", "--noinput"], ["compress", "--force"]):
        done = subprocess.run([PYTHON, "-m", "django", *command], env=settings(state), cwd=state, capture_output=True,
                              text=True, timeout=SECONDS, check=False)
        if done.returncode:
            raise SystemExit(f"{command[0]}: {done.stdout[-2000:]}\n{done.stderr[-4000:]}")
    made.write_text(wanted)


@contextmanager
def horizon(state: Path, keystone: str, log: Path) -> Iterator[str]:
    """Its address, while it answers."""
    port = free_port()
    url = f"http://127.0.0.1:{port}"
    with log.open("w") as file:
        server = subprocess.Popen([PYTHON, HERE / "site/serve.py", port], env=settings(state, keystone), cwd=state,
                                  stdout=file, stderr=file, stdin=subprocess.DEVNULL)
        try:
            answers(url, server)
            yield url
        finally:
            server.terminate()
            server.wait(30)


def answers(url: str, server: subprocess.Popen[bytes]) -> None:
    ends = time.monotonic() + 120
    while server.poll() is None and time.monotonic() < ends:
        try:
            if httpx.get(f"{url}/auth/login/", timeout=60, trust_env=False).status_code == 200:
                return
        except httpx.ConnectError:
            time.sleep(0.3)
    raise SystemExit("Horizon doesn't start.")


def tracebacks(text: str) -> list[str]:
    """What Horizon's log says of errors that nobody expected, besides its own."""
    found = BEGIN.split(text)[1:]
    ends = [re.search(r"^(?=\S).*", part.lstrip("\n"), re.M) for part in found]
    told = [(end[0] if end else "", part) for end, part in zip(ends, found, strict=True)]
    return [part.strip()[:3000] for end, part in told if NO_NAMESPACES not in end]


def walk(url: str, clouds: Path, variables: Mapping[str, str], steps: list[str]) -> int:
    alone = LESS if os.getuid() == 0 and shutil.which(LESS[0]) else []
    command = [*alone, str(PYTHON), str(HERE / "walk.py"), url, *steps]
    return subprocess.run(command, env={**os.environ, **variables, "OS_CLIENT_CONFIG_FILE": str(clouds)},
                          stdin=subprocess.DEVNULL, timeout=SECONDS, check=False).returncode


def main() -> int:
    with tempfile.TemporaryDirectory(prefix="stackling-horizon-") as directory, \
            running(Path(directory), 3) as cloud:
        state = Path(directory)
        log = Path(os.environ.get("HORIZON_SHOTS", directory)) / "horizon.log"
        collect(state)
        with horizon(state, cloud.auth["auth_url"], log) as url:
            failed = walk(url, state / "clouds.yaml", {"HOME": directory}, sys.argv[1:])
        unexpected = tracebacks(log.read_text())
        for one in unexpected:
            print(f"Horizon's log:\n{one}\n")
        print(f"{len(unexpected)} unexpected errors in Horizon's log")
        return int(bool(failed or unexpected))


if __name__ == "__main__":
    sys.exit(main())
