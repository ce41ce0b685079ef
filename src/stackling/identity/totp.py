"""Time-based one-time passcodes (RFC 6238: SHA-1, 6 digits, 30 s), from a user's ``totp`` credentials."""

from __future__ import annotations

import base64
import binascii

from cryptography.exceptions import InvalidKey
from cryptography.hazmat.primitives.hashes import SHA1
from cryptography.hazmat.primitives.twofactor import InvalidToken
from cryptography.hazmat.primitives.twofactor.totp import TOTP
from sqlalchemy import bindparam, select

from stackling.identity.keys import Box
from stackling.store.tables.identity import credentials
from stackling.store.transaction import Tx

_SECRETS = select(credentials.c.sealed).where(
    credentials.c.user_id == bindparam("user_id"), credentials.c.type == "totp")
STEP, DIGITS, EARLIER = 30, 6, 1


def accepts(tx: Tx, box: Box, user_id: str, passcode: str) -> bool:
    """Whether *passcode* is one of the user's now or one step ago."""
    for row in tx.all(_SECRETS, user_id=user_id):
        try:
            key = base64.b32decode(box.open(row.sealed), casefold=True)
        except binascii.Error:
            continue
        generator = TOTP(key, DIGITS, SHA1(), STEP, enforce_key_length=False)
        for step in range(EARLIER + 1):
            try:
                generator.verify(passcode.encode(), int(tx.time) - step * STEP)
                return True
            except (InvalidToken, InvalidKey):
                continue
    return False
