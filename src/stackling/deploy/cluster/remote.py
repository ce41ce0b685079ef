"""Asking control machines: as one who joins by a token, or as a member with this machine's certificate."""

from __future__ import annotations

import contextlib
import hashlib
import hmac
import http.client
import json
import ssl
from collections.abc import Iterable, Mapping
from concurrent.futures import ThreadPoolExecutor
from typing import Any

import msgspec

from stackling.deploy.cluster import bundle, description, pki, secrets
from stackling.deploy.cluster.bundle import Bundle
from stackling.deploy.cluster.description import INTERNAL_PORT, PUBLIC_PORT, Cluster, ClusterError, Machine
from stackling.deploy.cluster.paths import Paths
from stackling.deploy.cluster.services import AGENT_PORT
from stackling.deploy.cluster.token import Token, new

TIMEOUT, SOON, PROOF = 20.0, 3.0, 120.0
_LARGEST = 4 << 20


class Described(msgspec.Struct, frozen=True):
    """A description with its generation, and the one that each machine has said to be at, by name."""

    generation: int
    cluster: Cluster
    followed: dict[str, int] = {}


def join(token: Token, machine: Machine) -> Bundle:
    """Have the cluster take *machine* in. Raises ``ClusterError``.

    The authority's certificate is asked of whoever answers, and believed when it is the one that the token names.
    """
    problems: list[str] = []
    for address in token.addresses:
        try:
            ca = _fetch_authority(address, token.fingerprint)
            context = ssl.create_default_context(cadata=ca.decode())
            context.minimum_version = ssl.TLSVersion.TLSv1_2
            body = {"id": token.id, "secret": token.secret, "machine": msgspec.to_builtins(machine)}
            return bundle.unpack(_ask(address, PUBLIC_PORT, context, "POST", "/cluster/join", body), address)
        except OSError as error:
            problems.append(f"{address}: {error}")
    raise ClusterError(f"no control machine answers ({'; '.join(problems)})")


def make_token(paths: Paths, seconds: float, *, control: bool) -> Token:
    """A new token, known to the cluster. Raises ``ClusterError``."""
    cluster = description.read(paths.cluster)
    token = new(tuple(one.address for one in cluster.control), pki.fingerprint((paths.pki / "ca.crt").read_bytes()))
    _member(paths, "POST", "/internal/cluster/tokens", {
        "id": token.id, "secret_hash": hashlib.sha256(token.secret.encode()).hexdigest(), "seconds": seconds,
        "control": control})
    return token


def described(paths: Paths) -> Described:
    """The newest description. Raises ``ClusterError``."""
    return msgspec.json.decode(_member(paths, "GET", "/internal/cluster"), type=Described)


def replace(paths: Paths, new: Described) -> None:
    """Make *new* the description of all. Raises ``ClusterError``."""
    _member(paths, "PUT", "/internal/cluster",
            {"generation": new.generation, "cluster": msgspec.to_builtins(new.cluster)})


def follow(paths: Paths, generation: int) -> None:
    """Say that this machine is at the description of *generation*. Raises ``ClusterError``."""
    _member(paths, "PUT", "/internal/cluster/followed", {"generation": generation})


def ask_to_look(paths: Paths, machines: Iterable[Machine]) -> None:
    """Have *machines* look for a new description now, by their agents; who can't be asked looks within a minute."""
    asked = [machine for machine in machines if machine.compute]
    context = _context(paths)

    def ask(machine: Machine) -> None:
        with contextlib.suppress(OSError, ClusterError):
            _ask(machine.address, AGENT_PORT, context, "POST", "/look", timeout=SOON)

    if asked:
        with ThreadPoolExecutor(len(asked)) as pool:
            list(pool.map(ask, asked))


def try_directory(paths: Paths, machine: Machine, asked: Mapping[str, Any]) -> dict[str, Any]:
    """Have *machine* do a step of the proof of a shared directory. Raises ``ClusterError``, or ``OSError``."""
    found = json.loads(_ask(machine.address, AGENT_PORT, _context(paths), "POST", "/shared-directory", dict(asked)))
    return found if isinstance(found, dict) else {}


def try_ceph(paths: Paths, machine: Machine, pools: Mapping[str, str]) -> list[dict[str, Any]]:
    """Have *machine* prove that it can use Ceph. Raises ``ClusterError``, or ``OSError``."""
    found = json.loads(_ask(machine.address, AGENT_PORT, _context(paths), "POST", "/ceph", dict(pools),
                            timeout=PROOF))
    return list(found["proof"])


def give_ceph(paths: Paths, conf: str, keys: Mapping[str, str], names: Mapping[str, str] | None = None) -> None:
    """Have the cluster keep what its machines need to reach Ceph; *names* are the successors of users whose keys were
    rotated. Raises ``ClusterError``."""
    _member(paths, "PUT", "/internal/cluster/ceph", {
        "conf": conf, "keys": dict(keys), **({"names": dict(names)} if names else {})})


def ceph(paths: Paths) -> tuple[str, dict[str, str], dict[str, str]]:
    """The text of ``ceph.conf``, the keys that this machine may have, and who has succeeded their users. Raises
    ``ClusterError``."""
    found = json.loads(_member(paths, "GET", "/internal/cluster/ceph"))
    return found["conf"], found["keys"], found.get("names", {})


def _fetch_authority(address: str, fingerprint: str) -> bytes:
    unchecked = ssl.create_default_context()
    unchecked.check_hostname, unchecked.verify_mode = False, ssl.CERT_NONE
    ca = _ask(address, PUBLIC_PORT, unchecked, "GET", "/cluster/ca")
    try:
        found = pki.fingerprint(ca)
    except ValueError:
        found = ""
    if not hmac.compare_digest(found, fingerprint):
        raise ClusterError(f"{address} isn't of the cluster that the token is for: its authority's fingerprint differs")
    return ca


def _member(paths: Paths, method: str, path: str, body: Any = None) -> bytes:
    cluster, credential = description.read(paths.cluster), secrets.read(paths).credential
    context = _context(paths)
    problems: list[str] = []
    for machine in cluster.control:
        try:
            return _ask(machine.address, INTERNAL_PORT, context, method, path, body,
                        {"X-Machine-Credential": credential})
        except OSError as error:
            problems.append(f"{machine.name}: {error}")
    raise ClusterError(f"no control machine answers ({'; '.join(problems)})")


def _context(paths: Paths) -> ssl.SSLContext:
    """TLS as this machine."""
    context = ssl.create_default_context(cafile=str(paths.pki / "ca.crt"))
    context.load_cert_chain(paths.pki / "machine.crt", paths.pki / "machine.key")
    return context


def _ask(address: str, port: int, context: ssl.SSLContext, method: str, path: str, body: Any = None,
         headers: dict[str, str] | None = None, timeout: float = TIMEOUT) -> bytes:
    """The body of a good answer. Raises ``ClusterError`` when it is a refusal, ``OSError`` when there is none."""
    connection = http.client.HTTPSConnection(address, port, timeout=timeout, context=context)
    try:
        connection.request(method, path, None if body is None else json.dumps(body),
                           {"Content-Type": "application/json", **(headers or {})})
        answer = connection.getresponse()
        data = answer.read(_LARGEST)
    except http.client.HTTPException as error:
        raise ConnectionError(f"{type(error).__name__}: {error}") from None
    finally:
        connection.close()
    if answer.status == 503:
        raise ConnectionError(_message(data) or "answered 503")
    if answer.status >= 300:
        raise ClusterError(_message(data) or f"{address} answered {answer.status}")
    return data


def _message(data: bytes) -> str:
    try:
        return str(json.loads(data)["error"]["message"])
    except (ValueError, KeyError, TypeError):
        return ""
