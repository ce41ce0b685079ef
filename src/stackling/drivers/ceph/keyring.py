"""As whom a machine is known to a Ceph cluster: what its keyring says.

A key is rotated by giving its user a successor with a number, ``stackling-m1_2`` after ``stackling-m1``, so that both
are let in until nobody uses the old one any more. The keyring keeps its file name, and its first section of the user
or one of the successors is who counts; whoever opens a connection looks there.
"""

from __future__ import annotations

import re
from dataclasses import dataclass
from pathlib import Path

_SECTION = re.compile(r"^\s*\[client\.([^\]\s]+)\]([^\[]*)", re.MULTILINE)
_KEY = re.compile(r"^\s*key\s*=\s*(\S+)", re.MULTILINE)
_SUCCESSOR = re.compile(r"(.+)_([0-9]+)")


@dataclass(frozen=True, slots=True)
class Login:
    """A user, without ``client.``, and its key."""

    user: str
    key: str

    def __repr__(self) -> str:
        return f"Login({self.user})"


def logins(text: str) -> list[Login]:
    """Everybody in a keyring's text, in its order."""
    found = ((section[1], _KEY.search(section[2])) for section in _SECTION.finditer(text))
    return [Login(user, key[1]) for user, key in found if key]


def text(*logins: Login) -> str:
    """A keyring of these, the first of whom counts."""
    return "".join(f"[client.{one.user}]\n\tkey = {one.key}\n" for one in logins)


def number(name: str, user: str) -> int | None:
    """Which successor of *user* somebody of that *name* is, from 2 on; 1 for the user itself, None for others."""
    if name == user:
        return 1
    found = _SUCCESSOR.fullmatch(name)
    return int(found[2]) if found and found[1] == user and int(found[2]) > 1 else None


def successor(user: str, number: int) -> str:
    """The name of a user's successor; its own for 1."""
    return user if number == 1 else f"{user}_{number}"


def current(keyring: Path, user: str) -> Login | None:
    """Who counts for *user* in *keyring*; None when it has nobody for it. Raises ``OSError``."""
    return next((login for login in logins(keyring.read_text()) if number(login.user, user) is not None), None)
