"""The cluster's own certificate authority, and one certificate a machine, by which machines know each other.

The common name is the machine's name: OVN's role-based access, the internal API and the agents rely on it. A control
machine's certificate also names what clients reach it by. Certificates live as long as the authority; `stackling
cluster renew` makes new ones.
"""

from __future__ import annotations

import hashlib
import ipaddress
from dataclasses import dataclass, field
from datetime import UTC, datetime, timedelta

from cryptography import x509
from cryptography.hazmat.primitives import hashes, serialization
from cryptography.hazmat.primitives.asymmetric import ec
from cryptography.x509.oid import ExtendedKeyUsageOID, NameOID

from stackling.deploy.cluster.description import Cluster, Machine
from stackling.deploy.cluster.paths import ConfigFile, Paths

YEARS = 10
EARLIER = timedelta(days=1)         # clocks differ


@dataclass(frozen=True, slots=True)
class Pair:
    """A certificate and its private key, both PEM."""

    certificate: bytes
    key: bytes = field(repr=False)


@dataclass(frozen=True, slots=True)
class Pki:
    """What lies in ``Paths.pki``: the authority's certificate, this machine's pair, on control the authority's key."""

    ca: bytes
    machine: Pair
    ca_key: bytes = field(default=b"", repr=False)


def make_authority(cluster_name: str) -> Pair:
    """A new certificate authority."""
    key = ec.generate_private_key(ec.SECP256R1())
    name = x509.Name([x509.NameAttribute(NameOID.ORGANIZATION_NAME, "Stackling"),
                      x509.NameAttribute(NameOID.COMMON_NAME, f"{cluster_name} cluster CA")])
    usage = x509.KeyUsage(
        digital_signature=True, key_cert_sign=True, crl_sign=True, content_commitment=False, key_encipherment=False,
        data_encipherment=False, key_agreement=False, encipher_only=False, decipher_only=False)
    builder = (_builder(name, name, key.public_key())
               .add_extension(x509.BasicConstraints(ca=True, path_length=0), critical=True)
               .add_extension(usage, critical=True)
               .add_extension(x509.SubjectKeyIdentifier.from_public_key(key.public_key()), critical=False))
    return Pair(_pem(builder.sign(key, hashes.SHA256())), _private(key))


def issue(authority: Pair, cluster: Cluster, machine: Machine) -> Pair:
    """A certificate for *machine*, as a server and as a client."""
    return _issue(authority, cluster.name, machine.name, _names(cluster, machine))


def _issue(authority: Pair, organization: str, common_name: str, names: list[x509.GeneralName]) -> Pair:
    key = ec.generate_private_key(ec.SECP256R1())
    signer = x509.load_pem_x509_certificate(authority.certificate)
    signing = serialization.load_pem_private_key(authority.key, None)
    assert isinstance(signing, ec.EllipticCurvePrivateKey)
    name = x509.Name([x509.NameAttribute(NameOID.ORGANIZATION_NAME, organization),
                      x509.NameAttribute(NameOID.COMMON_NAME, common_name)])
    usage = x509.KeyUsage(
        digital_signature=True, key_cert_sign=False, crl_sign=False, content_commitment=False, key_encipherment=True,
        data_encipherment=False, key_agreement=True, encipher_only=False, decipher_only=False)
    builder = (_builder(name, signer.subject, key.public_key())
               .add_extension(x509.BasicConstraints(ca=False, path_length=None), critical=True)
               .add_extension(usage, critical=True)
               .add_extension(x509.ExtendedKeyUsage([ExtendedKeyUsageOID.SERVER_AUTH, ExtendedKeyUsageOID.CLIENT_AUTH]),
                              critical=False)
               .add_extension(x509.SubjectAlternativeName(names), critical=False)
               .add_extension(x509.SubjectKeyIdentifier.from_public_key(key.public_key()), critical=False)
               .add_extension(x509.AuthorityKeyIdentifier.from_issuer_public_key(signing.public_key()),
                              critical=False))
    return Pair(_pem(builder.sign(signing, hashes.SHA256())), _private(key))


def make_identity(cluster_name: str) -> str:
    """What the control machines show each other and trust alone: a certificate, its key, and the certificate of its
    authority, which signs nothing else (its own key isn't kept), as one text.
    """
    authority = make_authority(f"{cluster_name} control")
    pair = _issue(authority, cluster_name, "control", [x509.DNSName("control")])
    return (pair.certificate + pair.key + authority.certificate).decode().strip()


def for_machine(authority: Pair, cluster: Cluster, machine: Machine) -> Pki:
    """All that *machine* has: on a control machine also the authority's key, so that each of them can let others join.
    """
    return Pki(authority.certificate, issue(authority, cluster, machine), authority.key if machine.control else b"")


def files(pki: Pki, paths: Paths) -> list[ConfigFile]:
    """``ca.crt``, ``machine.crt``, ``machine.key``, and ``ca.key`` where it belongs."""
    found = [ConfigFile(paths.pki / "ca.crt", pki.ca), ConfigFile(paths.pki / "machine.crt", pki.machine.certificate),
             ConfigFile(paths.pki / "machine.key", pki.machine.key, 0o600)]
    return [*found, ConfigFile(paths.pki / "ca.key", pki.ca_key, 0o600)] if pki.ca_key else found


def fingerprint(certificate: bytes) -> str:
    """SHA-256 of a PEM certificate's DER form, in hex."""
    der = x509.load_pem_x509_certificate(certificate).public_bytes(serialization.Encoding.DER)
    return hashlib.sha256(der).hexdigest()


def _names(cluster: Cluster, machine: Machine) -> list[x509.GeneralName]:
    addresses = [machine.address, machine.storage_address, machine.tenant_address, "127.0.0.1"]
    names = [machine.name, "localhost"]
    if machine.control:
        addresses.append(cluster.virtual_ip.partition("/")[0])
        names.append(cluster.name)
    return [*(x509.DNSName(name) for name in dict.fromkeys(names)),
            *(x509.IPAddress(ipaddress.IPv4Address(address)) for address in dict.fromkeys(addresses))]


def _builder(subject: x509.Name, issuer: x509.Name, key: ec.EllipticCurvePublicKey) -> x509.CertificateBuilder:
    now = datetime.now(UTC)
    return (x509.CertificateBuilder().subject_name(subject).issuer_name(issuer).public_key(key)
            .serial_number(x509.random_serial_number()).not_valid_before(now - EARLIER)
            .not_valid_after(now + timedelta(days=365 * YEARS)))


def _pem(certificate: x509.Certificate) -> bytes:
    return certificate.public_bytes(serialization.Encoding.PEM)


def _private(key: ec.EllipticCurvePrivateKey) -> bytes:
    return key.private_bytes(serialization.Encoding.PEM, serialization.PrivateFormat.PKCS8,
                             serialization.NoEncryption())
