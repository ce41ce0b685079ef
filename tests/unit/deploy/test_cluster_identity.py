"""A cluster's secrets, certificates and files in place."""

from __future__ import annotations

import ssl
import stat
from pathlib import Path

import pytest
from cryptography import x509

from stackling.deploy.cluster import apply, pki, secrets
from stackling.deploy.cluster.description import Cluster, ClusterError, Machine
from stackling.deploy.cluster.paths import ConfigFile, Paths

CLUSTER = Cluster(name="c1", virtual_ip="10.9.0.100/24", machines=(
    Machine(name="m1", address="10.9.0.1", storage="10.8.0.1"), Machine(name="m2", address="10.9.0.2"),
    Machine(name="c3", address="10.9.0.3", control=False)))


def _owned_by_us(files: list[ConfigFile]) -> list[ConfigFile]:
    import grp
    import os
    import pwd
    owner = f"{pwd.getpwuid(os.geteuid()).pw_name}:{grp.getgrgid(os.getegid()).gr_name}"
    return [ConfigFile(file.path, file.content, file.mode, owner) for file in files]


def test_secrets_survive_being_written_and_read(tmp_path: Path) -> None:
    made = secrets.make(CLUSTER, {"password": "sesame"})["m1"]
    paths = Paths(tmp_path)
    apply.apply(_owned_by_us(secrets.files(made, paths)))
    assert secrets.read(paths) == made
    for path in paths.secrets.iterdir():
        assert stat.S_IMODE(path.stat().st_mode) == 0o600
    assert stat.S_IMODE(paths.secrets.stat().st_mode) == 0o700


def test_a_machine_without_control_gets_nothing_of_control() -> None:
    made = secrets.make(CLUSTER, {"password": "sesame"})
    for name in secrets.CONTROL_ONLY:
        assert getattr(made["m1"], name)
        assert not getattr(made["c3"], name)
    assert made["c3"].credential
    assert made["c3"].pacemaker_key == made["m1"].pacemaker_key
    assert made["m2"].credentials["c3"] == secrets.digest(made["c3"].credential)


def test_secrets_tell_nothing_of_themselves() -> None:
    made = secrets.make(CLUSTER)["m1"]
    assert made.cluster_key not in repr(made)
    assert "PRIVATE KEY" not in repr(pki.for_machine(pki.make_authority("c1"), CLUSTER, CLUSTER.machine("m1")))


def test_a_secret_that_others_may_read_is_refused(tmp_path: Path) -> None:
    paths = Paths(tmp_path)
    apply.apply(_owned_by_us(secrets.files(secrets.make(CLUSTER)["m1"], paths)))
    (paths.secrets / "cluster_key").chmod(0o644)
    with pytest.raises(ClusterError, match="chmod 600"):
        secrets.read(paths)


def test_no_secrets_say_what_to_do(tmp_path: Path) -> None:
    with pytest.raises(ClusterError, match="cluster join"):
        secrets.read(Paths(tmp_path))


def test_certificates_name_the_machine_and_what_clients_reach_it_by() -> None:
    authority = pki.make_authority("c1")
    issued = pki.issue(authority, CLUSTER, CLUSTER.machine("m1"))
    certificate = x509.load_pem_x509_certificate(issued.certificate)
    certificate.verify_directly_issued_by(x509.load_pem_x509_certificate(authority.certificate))
    assert certificate.subject.rfc4514_string() == "CN=m1,O=c1"
    names = certificate.extensions.get_extension_for_class(x509.SubjectAlternativeName).value
    assert {str(address) for address in names.get_values_for_type(x509.IPAddress)} == {
        "10.9.0.1", "10.8.0.1", "10.9.0.100", "127.0.0.1"}
    assert set(names.get_values_for_type(x509.DNSName)) == {"m1", "c1", "localhost"}


def test_a_compute_machine_can_sign_nothing_and_stand_for_no_cluster(tmp_path: Path) -> None:
    made = pki.for_machine(pki.make_authority("c1"), CLUSTER, CLUSTER.machine("c3"))
    assert not made.ca_key
    assert [file.path.name for file in pki.files(made, Paths(tmp_path))] == ["ca.crt", "machine.crt", "machine.key"]
    certificate = x509.load_pem_x509_certificate(made.machine.certificate)
    names = certificate.extensions.get_extension_for_class(x509.SubjectAlternativeName).value
    assert "10.9.0.100" not in {str(address) for address in names.get_values_for_type(x509.IPAddress)}


def test_openssl_takes_the_certificates(tmp_path: Path) -> None:
    made = pki.for_machine(pki.make_authority("c1"), CLUSTER, CLUSTER.machine("m1"))
    apply.apply(_owned_by_us(pki.files(made, Paths(tmp_path))))
    context = ssl.create_default_context(cafile=str(Paths(tmp_path).pki / "ca.crt"))
    context.load_cert_chain(Paths(tmp_path).pki / "machine.crt", Paths(tmp_path).pki / "machine.key")
    assert len(context.get_ca_certs()) == 1


def test_files_are_put_in_place_once(tmp_path: Path) -> None:
    files = _owned_by_us([ConfigFile(tmp_path / "a" / "one", b"1"), ConfigFile(tmp_path / "b" / "two", b"2", 0o600)])
    assert apply.apply(files) == [files[0].path, files[1].path]
    assert apply.apply(files) == []
    (tmp_path / "b" / "two").chmod(0o644)
    assert apply.apply(files) == [files[1].path]
    assert stat.S_IMODE((tmp_path / "b" / "two").stat().st_mode) == 0o600
    assert sorted(path.name for path in (tmp_path / "b").iterdir()) == ["two"]
