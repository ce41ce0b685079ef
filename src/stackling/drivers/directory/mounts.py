"""What a path is mounted from. Pure but for reading ``/proc/self/mountinfo`` (``proc(5)``)."""

from __future__ import annotations

import re
from dataclasses import dataclass
from pathlib import Path

MOUNTINFO = Path("/proc/self/mountinfo")
_OF_LOCKS = ("vers", "nfsvers", "local_lock", "lock", "nolock")
_ESCAPED = re.compile(r"\\([0-7]{3})")


@dataclass(frozen=True, slots=True)
class Mount:
    """A mounted file system: its type, what it comes from, and its options."""

    point: str
    type: str
    source: str
    options: tuple[str, ...]

    @property
    def kind(self) -> str:
        """The type with what it depends on whether locks reach other machines: a proof holds for it, and no other."""
        found = sorted(one for one in self.options if one.partition("=")[0] in _OF_LOCKS)
        return " ".join([self.type, *(found if self.type.startswith("nfs") else ())])

    @property
    def words(self) -> str:
        """For people."""
        return f"{self.type} {self.source}" + (f" ({self.kind})" if self.kind != self.type else "")


def mount_of(path: Path, text: str | None = None) -> Mount:
    """The file system that *path* (absolute, without links) is in; *text* instead of this process's table."""
    best = Mount("", "unknown", "", ())
    for line in (MOUNTINFO.read_text() if text is None else text).splitlines():
        left, _, right = line.partition(" - ")
        fields, rest = left.split(" "), right.split(" ")
        point = _plain(fields[4])
        inside = str(path) == point or str(path).startswith(point.rstrip("/") + "/")
        if inside and len(point) >= len(best.point):        # of two on one place the later one is seen
            options = (*fields[5].split(","), *(rest[2].split(",") if len(rest) > 2 else ()))
            best = Mount(point, rest[0], _plain(rest[1]), tuple(dict.fromkeys(options)))
    return best


def _plain(text: str) -> str:
    return _ESCAPED.sub(lambda found: chr(int(found[1], 8)), text)
