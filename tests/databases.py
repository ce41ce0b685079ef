"""Real database servers for tests, started from Debian's packages on unix sockets in a directory of their own."""

from __future__ import annotations

import os
import pwd
import shutil
import signal
import subprocess
import tempfile
import time
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

import pytest
from sqlalchemy import create_engine, text

LIMIT = 90.0
SQLITE, MARIADB, POSTGRESQL = "sqlite", "mariadb", "postgresql"


@contextmanager
def mariadb() -> Iterator[str]:
    """The URL prefix of a MariaDB server, ``{name}`` to be replaced by a database's name."""
    with _directory() as root:
        data, socket = root / "data", root / "s"
        user = [f"--user={pwd.getpwuid(os.geteuid()).pw_name}"]      # not every machine has the account mysql
        subprocess.run(["mariadb-install-db", *user, f"--datadir={data}", "--auth-root-authentication-method=normal",
                        "--skip-test-db"], check=True, capture_output=True, timeout=LIMIT)
        command = ["mariadbd", "--no-defaults", *user, f"--datadir={data}", f"--socket={socket}", "--skip-networking",
                   "--innodb-flush-log-at-trx-commit=0", "--innodb-buffer-pool-size=64M", f"--pid-file={root / 'p'}",
                   "--character-set-server=utf8mb4"]
        url = f"mysql+pymysql://root@localhost/{{name}}?unix_socket={socket}&charset=utf8mb4"
        with _server(command, url.format(name=""), root):
            yield url


@contextmanager
def postgresql() -> Iterator[str]:
    """Likewise for PostgreSQL."""
    binaries = sorted(Path("/usr/lib/postgresql").glob("*/bin"))
    if not binaries:
        pytest.fail("PostgreSQL isn't installed; run ./setup test")
    with _directory("postgres") as root:
        data = root / "data"
        prefix = ["setpriv", "--reuid=postgres", "--regid=postgres", "--init-groups"] if os.geteuid() == 0 else []
        subprocess.run([*prefix, binaries[-1] / "initdb", "-D", data, "-A", "trust", "-U", "postgres", "-N",
                        "-E", "UTF8", "--locale=C"], check=True, capture_output=True, timeout=LIMIT, cwd="/")
        command = [*prefix, str(binaries[-1] / "postgres"), "-D", str(data), "-k", str(root), "-h", "", "-F",
                   "-c", "max_connections=60"]
        with _server(command, f"postgresql+psycopg://postgres@/postgres?host={root}", root):
            yield f"postgresql+psycopg://postgres@/{{name}}?host={root}"


def create_database(url: str, name: str) -> str:
    """Make an empty database on a server's *url* and give its URL."""
    maintenance = url.format(name="postgres" if url.startswith("postgresql") else "")
    engine = create_engine(maintenance, isolation_level="AUTOCOMMIT")
    with engine.connect() as connection:
        connection.execute(text(f"CREATE DATABASE {name}"))
    engine.dispose()
    return url.format(name=name)


@contextmanager
def _directory(user: str | None = None) -> Iterator[Path]:
    root = Path(tempfile.mkdtemp(prefix="stk-db-", dir="/tmp"))
    try:
        if user and os.geteuid() == 0:
            account = pwd.getpwnam(user)
            os.chown(root, account.pw_uid, account.pw_gid)
        yield root
    finally:
        shutil.rmtree(root, ignore_errors=True)


@contextmanager
def _server(command: list[str], url: str, root: Path) -> Iterator[None]:
    with (root / "log").open("wb") as log:
        process = subprocess.Popen(command, stdout=log, stderr=log, stdin=subprocess.DEVNULL, cwd="/",
                                   start_new_session=True)
    try:
        _wait(process, url, root / "log")
        yield
    finally:
        process.send_signal(signal.SIGINT if "postgres" in command[-1] or "-F" in command else signal.SIGTERM)
        try:
            process.wait(30)
        except subprocess.TimeoutExpired:
            process.kill()
            process.wait()


def _wait(process: subprocess.Popen[bytes], url: str, log: Path) -> None:
    engine = create_engine(url)
    end = time.monotonic() + LIMIT
    try:
        while True:
            try:
                engine.connect().close()
                return
            except Exception:
                if process.poll() is not None or time.monotonic() > end:
                    pytest.fail(f"the database server didn't start:\n{log.read_text(errors='replace')[-2000:]}")
                time.sleep(0.1)
    finally:
        engine.dispose()
