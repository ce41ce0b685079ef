"""A machine's files for Ceph: one ``ceph.conf`` for everybody, and a keyring 0600 for each user that it may be."""

from __future__ import annotations

import re
from collections.abc import Mapping
from pathlib import Path

from stackling.deploy.ceph.files import CephFiles
from stackling.deploy.embedded.configuration import replace_file

_OF_DAEMONS = re.compile(r"^\s*(keyring|(admin[ _]socket|run[ _]dir|crash[ _]dir|pid[ _]file|log[ _]file)|"
                         r"(osd|mon|mgr|mds|paxos)[ _].*)\s*=.*$\n?", re.MULTILINE | re.IGNORECASE)
_MON_HOST = re.compile(r"^\s*mon[ _]host\s*=.*$", re.MULTILINE | re.IGNORECASE)


def write(files: CephFiles, conf: str, keys: Mapping[str, str]) -> list[Path]:
    """Put *conf* and the keys (by user, without ``client.``) in place; what was written."""
    files.directory.mkdir(mode=0o755, parents=True, exist_ok=True)
    files.directory.chmod(0o755)
    for user, key in keys.items():
        replace_file(files.keyring(user), f"[client.{user}]\n\tkey = {key}\n", 0o600)
    replace_file(files.conf, with_keyrings(conf, files), 0o644)
    return [files.conf, *(files.keyring(user) for user in keys)]


def with_keyrings(conf: str, files: CephFiles) -> str:
    """*conf*, saying where each of our users' keyrings is, and of no other; this is for QEMU's tools. Pure but for
    looking which keyrings there are."""
    kept = _without_sections(conf)
    kept = _OF_DAEMONS.sub(lambda found: found[0] if _MON_HOST.match(found[0]) else "", kept).rstrip()
    users = sorted(path.name.removeprefix("client.").removesuffix(".keyring")
                   for path in files.directory.glob("client.*.keyring"))
    sections = "".join(f"\n[client.{user}]\nkeyring = {files.keyring(user)}\n" for user in users)
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
