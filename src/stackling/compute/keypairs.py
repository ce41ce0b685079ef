"""Key pairs of users."""

from __future__ import annotations

import base64
import binascii
import hashlib
from dataclasses import dataclass
from datetime import UTC, datetime, timedelta
from typing import Any

from cryptography import x509
from cryptography.exceptions import UnsupportedAlgorithm
from cryptography.hazmat.primitives import hashes, serialization
from cryptography.hazmat.primitives.asymmetric import ed25519, rsa
from cryptography.x509.oid import ExtendedKeyUsageOID, NameOID
from sqlalchemy import bindparam, delete, insert, select
from sqlalchemy.engine import Row

from stackling.compute import quotas
from stackling.core import clock
from stackling.core.context import Context
from stackling.core.errors import Conflict, Invalid, NotFound
from stackling.store.tables.compute import keypairs
from stackling.store.transaction import Tx

_LOGIN_NAME = x509.ObjectIdentifier("1.3.6.1.4.1.311.20.2.3")     # Microsoft's user principal name
_CERTIFICATE_LIFE = timedelta(days=3650)
_GET = select(keypairs).where(keypairs.c.user_id == bindparam("user"), keypairs.c.name == bindparam("name"))
_LIST = select(keypairs).where(keypairs.c.user_id == bindparam("user")).order_by(keypairs.c.name)
_INSERT = insert(keypairs)
_DELETE = delete(keypairs).where(keypairs.c.user_id == bindparam("user"), keypairs.c.name == bindparam("name_"))


@dataclass(frozen=True, slots=True)
class Material:
    """The parts of a key; ``private`` only when it was made here, and shown once."""

    public: str
    fingerprint: str
    private: str | None = None


def generate_ssh(kind: str = "rsa") -> Material:
    """A new key, RSA of 2048 bits or ed25519, in OpenSSH's form (RSA private: PEM, as Nova's)."""
    key = ed25519.Ed25519PrivateKey.generate() if kind == "ed25519" else rsa.generate_private_key(65537, 2048)
    form = serialization.PrivateFormat.OpenSSH if kind == "ed25519" else serialization.PrivateFormat.TraditionalOpenSSL
    private = key.private_bytes(serialization.Encoding.PEM, form, serialization.NoEncryption()).decode()
    public = key.public_key().public_bytes(serialization.Encoding.OpenSSH, serialization.PublicFormat.OpenSSH).decode()
    return Material(f"{public} Generated-by-Stackling", _ssh_fingerprint(public), private)


def import_ssh(text: str) -> Material:
    """Check a public key in OpenSSH's form. Raises ``Invalid``."""
    if not text.strip():
        raise Invalid("Keypair data is invalid: Public key is empty")
    try:
        serialization.load_ssh_public_key(text.strip().encode("utf-8"))
        return Material(text, _ssh_fingerprint(text))
    except (ValueError, UnsupportedAlgorithm, binascii.Error, IndexError):
        raise Invalid("Keypair data is invalid: failed to generate fingerprint") from None


def import_x509(text: str) -> Material:
    """Check a certificate in PEM form. Raises ``Invalid``."""
    try:
        certificate = x509.load_pem_x509_certificate(text.encode())
    except ValueError:
        raise Invalid("Keypair data is invalid: failed to generate X509 fingerprint. "
                      "Error message: the certificate can't be read") from None
    return Material(text, _colons(certificate.fingerprint(hashes.SHA1()).hex()))


def generate_x509(user_id: str) -> Material:
    """A new RSA key with a self-signed certificate for *user_id* to log in to Windows by, as Nova's."""
    key = rsa.generate_private_key(65537, 2048)
    name = x509.Name([x509.NameAttribute(NameOID.COMMON_NAME, user_id[:64])])
    now = datetime.fromtimestamp(clock.wall(), UTC)
    login = f"{user_id}@localhost".encode()
    certificate = (
        x509.CertificateBuilder().subject_name(name).issuer_name(name).public_key(key.public_key())
        .serial_number(x509.random_serial_number()).not_valid_before(now).not_valid_after(now + _CERTIFICATE_LIFE)
        .add_extension(x509.ExtendedKeyUsage([ExtendedKeyUsageOID.CLIENT_AUTH]), critical=False)
        .add_extension(x509.SubjectAlternativeName([x509.OtherName(_LOGIN_NAME, _utf8(login))]), critical=False)
        .sign(key, hashes.SHA256()))
    private = key.private_bytes(serialization.Encoding.PEM, serialization.PrivateFormat.PKCS8,
                                serialization.NoEncryption()).decode()
    fingerprint = _colons(certificate.fingerprint(hashes.SHA1()).hex())
    return Material(certificate.public_bytes(serialization.Encoding.PEM).decode(), fingerprint, private)


def _utf8(text: bytes) -> bytes:
    """An ASN.1 UTF8String of fewer than 128 bytes (ids are 64 at most)."""
    return bytes((0x0C, len(text))) + text


def _ssh_fingerprint(text: str) -> str:
    blob = base64.b64decode(text.split()[1], validate=True)
    return _colons(hashlib.md5(blob, usedforsecurity=False).hexdigest())


def _colons(digest: str) -> str:
    return ":".join(digest[i:i + 2] for i in range(0, len(digest), 2))


def get_keypair(tx: Tx, user_id: str, name: str) -> Row[Any]:
    """Raises ``NotFound``."""
    row = tx.one(_GET, user=user_id, name=name)
    if row is None:
        raise NotFound(f"Keypair {name} not found for user {user_id}")
    return row


def list_keypairs(tx: Tx, user_id: str, *, limit: int | None = None, marker: str | None = None) -> list[Row[Any]]:
    """A user's key pairs by name, those after the one called *marker*. Raises ``Invalid`` for an unknown marker."""
    found = list(tx.all(_LIST, user=user_id))
    if marker is not None:
        at = next((i for i, row in enumerate(found) if row.name == marker), None)
        if at is None:
            raise Invalid(f"marker [{marker}] not found")
        found = found[at + 1:]
    return found if limit is None else found[:limit]


def create_keypair(tx: Tx, ctx: Context, user_id: str, name: str, type: str, material: Material) -> Row[Any]:
    """Raises ``Conflict`` (name taken) or ``QuotaExceeded``."""
    quotas.check_keypairs(tx, ctx.project_id or "", user_id)
    if tx.one(_GET, user=user_id, name=name) is not None:
        raise Conflict(f"Key pair '{name}' already exists.")
    tx.execute(_INSERT, {"user_id": user_id, "name": name, "type": type, "fingerprint": material.fingerprint,
                         "public_key": material.public, "created_at": tx.now})
    return get_keypair(tx, user_id, name)


def delete_keypair(tx: Tx, user_id: str, name: str) -> None:
    """Servers that were made with it keep it. Raises ``NotFound``."""
    if not tx.changed(_DELETE, user=user_id, name_=name):
        raise NotFound(f"Keypair {name} not found for user {user_id}")
