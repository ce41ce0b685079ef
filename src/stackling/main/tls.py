"""TLS contexts: 1.2 at least, our own authority and no other."""

from __future__ import annotations

import ssl
from dataclasses import dataclass
from pathlib import Path


@dataclass(frozen=True, slots=True)
class Tls:
    """PEM files. *ca* signs the clients that may connect (mutual) or the servers that we connect to."""

    certificate: Path
    key: Path
    ca: Path


def server(own: Tls, *, mutual: bool) -> ssl.SSLContext:
    """For a listener; with *mutual* a client without a certificate of our authority doesn't get in.

    The authority is asked to say yes for clients: a certificate that is for servers only isn't enough.
    """
    context = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
    _common(context, own)
    if mutual:
        context.load_verify_locations(own.ca)
        context.verify_mode = ssl.CERT_REQUIRED
    return context


def client(own: Tls) -> ssl.SSLContext:
    """For connections to machines of the cluster; they must be who their address says."""
    context = ssl.SSLContext(ssl.PROTOCOL_TLS_CLIENT)
    _common(context, own)
    context.load_verify_locations(own.ca)
    return context


def _common(context: ssl.SSLContext, own: Tls) -> None:
    context.minimum_version = ssl.TLSVersion.TLSv1_2
    context.load_cert_chain(own.certificate, own.key)
