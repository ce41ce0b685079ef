"""A machine's files for Ceph: one ``ceph.conf`` for everybody, and a keyring 0600 for each user that it may be."""

from __future__ import annotations

import re
from collections.abc import Mapping
from contextlib import suppress
from pathlib import Path

from stackling.deploy.ceph.files import CephFiles
from stackling.deploy.embedded.configuration import replace_file
from stackling.drivers.ceph import keyring
from stackling.drivers.ceph.keyring import Login

_OF_DAEMONS = re.compile(r"^\s*(keyring|(admin[ _]socket|run[ _]dir|crash[ _]dir|pid[ _]file|log[ _]file)|"
                         r"(osd|mon|mgr|mds|paxos)[ _].*)\s*=.*$\n?", re.MULTILINE | re.IGNORECASE)
_MON_HOST = re.compile(r"^\s*mon[ _]host\s*=.*$", re.MULTILINE | re.IGNORECASE)


def write(files: CephFiles, conf: str, keys: Mapping[str, str], names: Mapping[str, str] | None = None) -> list[Path]:
    """Put *conf* and the keys (by user, without ``client.``) in place; what was written. *names* says of a user who
    has succeeded it (``drivers.ceph.keyring``); whom that one replaces stays in the keyring behind it, for who has
    looked before, until the next time."""
    files.directory.mkdir(mode=0o755, parents=True, exist_ok=True)
    files.directory.chmod(0o755)
    texts = {files.keyring(user): _keyring(files.keyring(user), user, Login((names or {}).get(user, user), key))
             for user, key in keys.items()}
    replace_file(files.conf, with_keyrings(conf, files, texts), 0o644)
    for path, text in texts.items():
        replace_file(path, text, 0o600)
    return [files.conf, *texts]


def _keyring(path: Path, user: str, login: Login) -> str:
    former = None
    with suppress(OSError):
        former = keyring.current(path, user)
    return keyring.text(login, *(() if former is None or former.user == login.user else (former,)))


def with_keyrings(conf: str, files: CephFiles, coming: Mapping[Path, str]) -> str:
    """*conf*, saying where each of our users' keyrings is, and of no other; this is for QEMU's tools. Pure but for
    looking who is in the keyrings that there are; *coming* are the texts of those that are about to be written."""
    kept = _without_sections(conf)
    kept = _OF_DAEMONS.sub(lambda found: found[0] if _MON_HOST.match(found[0]) else "", kept).rstrip()
    texts = {path: path.read_text() for path in files.directory.glob("client.*.keyring")} | dict(coming)
    where = {login.user: path for path, text in texts.items() for login in keyring.logins(text)}
    sections = "".join(f"\n[client.{user}]\nkeyring = {where[user]}\n" for user in sorted(where))
    return f"# Written by `stackling storage add ceph`.\n{kept}\n{sections}"


def _without_sections(conf: str) -> str:
    """*conf* without sections of daemons, and of single clients."""
    lines: list[str] = []
    wanted = True
    for line in conf.splitlines():
        section = re.match(r"^\s*\[([^\]]+)\]", line)
        if section:
            wanted = section[1].strip() in ("global", "client")
        if wanted and not line.startswith("# Written by"):
            lines.append(line)
    return "\n".join(lines)
