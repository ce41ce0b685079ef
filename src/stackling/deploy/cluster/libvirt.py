"""libvirt's files on a machine that runs servers: Debian's own libvirtd, told only what a cluster needs of it.

Machines move servers between each other over TLS: libvirtd listens on the management address alone and takes the
certificates of the cluster's other such machines by their names; QEMU's own streams are encrypted with the same
certificates, of which it gets a copy that its account may read. What else is special about a machine (no usable
control groups, no AppArmor) libvirt finds out by itself.
"""

from __future__ import annotations

from pathlib import Path

from stackling.deploy.cluster.description import Cluster, Machine
from stackling.deploy.cluster.paths import ConfigFile, Paths
from stackling.deploy.cluster.unit import directory

ACCOUNT, GROUP = "libvirt-qemu", "kvm"
TLS_PORT = 16514
UNITS = ("libvirtd.socket", "libvirtd-tls.socket", "libvirtd.service")

_LIBVIRTD = """\
# Written by Stackling.
host_uuid_source = "machine-id"
auth_tls = "none"
key_file = "{pki}/machine.key"
cert_file = "{pki}/machine.crt"
ca_file = "{pki}/ca.crt"
tls_no_sanity_certificate = 1
tls_allowed_dn_list = [{names}]
max_clients = 128
keepalive_interval = 5
keepalive_count = 3
"""
_QEMU = """\
# Written by Stackling.
user = "{user}"
group = "{group}"
dynamic_ownership = 1
remember_owner = 0
seccomp_sandbox = 1
max_core = 0
vnc_listen = "127.0.0.1"
auto_start_bypass_cache = 0
migration_address = "{address}"
migrate_tls_x509_cert_dir = "{certificates}"
migrate_tls_x509_verify = 1
"""
_SOCKET = """\
# Written by Stackling.
[Socket]
ListenStream=
ListenStream={address}:{port}
FreeBind=yes
"""


def files(cluster: Cluster, name: str, paths: Paths) -> list[ConfigFile]:
    """The files of machine *name*; none on one that runs no servers."""
    machine = cluster.machine(name)
    if not machine.compute:
        return []
    etc = paths.root / "etc/libvirt"
    socket = _SOCKET.format(address=machine.address, port=TLS_PORT)
    return [
        ConfigFile(etc / "libvirtd.conf", _libvirtd(cluster, paths).encode()),
        ConfigFile(etc / "qemu.conf", _qemu(machine, paths).encode(), 0o600),
        ConfigFile(directory(paths) / "libvirtd-tls.socket.d/stackling.conf", socket.encode()),
        ConfigFile(paths.root / "etc/tmpfiles.d/stackling-libvirt.conf", _copies(paths).encode()),
    ]


def uri(machine: Machine, paths: Paths) -> str:
    """How another machine's libvirtd reaches that of *machine*."""
    return f"qemu+tls://{machine.address}:{TLS_PORT}/system?pkipath={_client(paths)}"


def _libvirtd(cluster: Cluster, paths: Paths) -> str:
    # As virt-pki-query-dn(1) shows what pki.issue makes.
    names = ", ".join(f'"O={cluster.name},CN={machine.name}"' for machine in cluster.compute)
    return _LIBVIRTD.format(pki=paths.pki, names=names)


def _qemu(machine: Machine, paths: Paths) -> str:
    return _QEMU.format(user=ACCOUNT, group=GROUP, address=machine.address, certificates=_certificates(paths))


def _certificates(paths: Paths) -> Path:
    return paths.run / "qemu-tls"


def _client(paths: Paths) -> Path:
    return paths.run / "libvirt-tls"


def _copies(paths: Paths) -> str:
    """The certificates under libvirt's names, and under QEMU's with a key that its account may read."""
    qemu, client, pki = _certificates(paths), _client(paths), paths.pki
    lines = ["# Written by Stackling.", f"d {client} 0700 root root", f"L+ {client}/cacert.pem - - - - {pki}/ca.crt",
             f"L+ {client}/clientcert.pem - - - - {pki}/machine.crt",
             f"L+ {client}/clientkey.pem - - - - {pki}/machine.key",
             f"d {qemu} 0750 root {GROUP}", f"C {qemu}/ca-cert.pem 0644 root root - {pki}/ca.crt"]
    for role in ("server", "client"):
        lines += [f"C {qemu}/{role}-cert.pem 0644 root root - {pki}/machine.crt",
                  f"C {qemu}/{role}-key.pem 0440 root {GROUP} - {pki}/machine.key",
                  f"z {qemu}/{role}-key.pem 0440 root {GROUP}"]
    return "\n".join(lines) + "\n"
