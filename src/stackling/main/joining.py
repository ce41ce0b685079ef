"""How machines join a running cluster by a token, and how all machines learn of its new description.

On the public port, since who joins has no certificate yet: ``GET /cluster/ca`` (what the token's fingerprint is of)
and ``POST /cluster/join`` (the token's id and secret, and who joins; answers with a ``Bundle``). On the internal
port: ``POST /internal/cluster/tokens``, ``PUT /internal/cluster`` and ``PUT /internal/cluster/ceph`` for control
machines, ``GET`` of the latter two for any machine, and ``PUT /internal/cluster/followed``, by which each machine says
which description it is at.

Theory of operation. The description and the tokens are settings in the database; whoever changes them holds the guard
``cluster``. A token serves one machine until it expires: when the answer with the bundle is lost, the same machine asks
again and gets another certificate and credential. Of the token the database keeps a hash.
"""

from __future__ import annotations

import hashlib
import hmac
import secrets as random
from collections.abc import Callable
from typing import Any

import msgspec

from stackling.compute import facade as compute
from stackling.core.errors import Conflict, Forbidden, Invalid, NotFound, Unauthorized
from stackling.deploy.ceph.rights import CONTROL_USERS, machine_user_name
from stackling.deploy.cluster import bundle, description, secrets
from stackling.deploy.cluster.bundle import Bundle
from stackling.deploy.cluster.description import Cluster, ClusterError, Machine
from stackling.deploy.cluster.galera.rules import MOST_NODES
from stackling.deploy.cluster.paths import Paths
from stackling.deploy.cluster.pki import Pair
from stackling.identity.keys import Box
from stackling.main.first_start import FLEET
from stackling.store.database import Database
from stackling.store.transaction import Tx

CLUSTER, TOKENS, CEPH, FOLLOWED = "cluster", "cluster_tokens", "ceph", "cluster_followed"
LONGEST = 7 * 86400.0           # seconds that a token may hold
_REFUSED = "This token isn't valid, or no longer; `stackling cluster token` on a control machine makes a new one."


class Described(msgspec.Struct, frozen=True):
    """A description with its generation."""

    generation: int
    cluster: Cluster


class Told(Described, frozen=True):
    """The same, and the generation that each machine has said to be at."""

    followed: dict[str, int]


class Follows(msgspec.Struct, frozen=True, forbid_unknown_fields=True):
    """A machine is at the description of this generation."""

    generation: int


class NewToken(msgspec.Struct, frozen=True, forbid_unknown_fields=True):
    """What a control machine asks for: *secret_hash* is the SHA-256 of what it gives away; *seconds*: how long."""

    id: str
    secret_hash: str
    seconds: float
    control: bool = False


class Asked(msgspec.Struct, frozen=True, forbid_unknown_fields=True):
    """What a machine that joins says."""

    id: str
    secret: str
    machine: Machine


class CephKeys(msgspec.Struct, frozen=True, forbid_unknown_fields=True, omit_defaults=True):
    """The text of ``ceph.conf``, and keys by user (without ``client.``); ``names`` says whose the key is where the
    user has a successor (``deploy.ceph.rotate``)."""

    conf: str
    keys: dict[str, str]
    names: dict[str, str] = {}

    def __repr__(self) -> str:
        return f"CephKeys(of {', '.join(self.keys)})"


class Joining:
    """Over this control machine's files and the database. Every method is one transaction."""

    def __init__(self, database: Database, paths: Paths) -> None:
        self._database, self._paths = database, paths

    def authority(self) -> bytes:
        """The authority's certificate, PEM."""
        return (self._paths.pki / "ca.crt").read_bytes()

    def described(self, machine: str, credential: str | None) -> Told:
        """The newest description, and who follows it. Raises ``Unauthorized``."""
        return self._database.read(self._as_member, machine, credential, _tell)

    def follow(self, machine: str, credential: str | None, said: Follows) -> None:
        """Remember which description *machine* is at. Raises ``Unauthorized``."""
        self._database.write(self._as_member, machine, credential, lambda tx, _file: _follow(tx, machine, said))

    def replace(self, machine: str, credential: str | None, new: Described) -> Described:
        """Make *new* the description, when it follows the present one. Raises ``Conflict``, ``Forbidden``."""
        try:
            description.check(new.cluster)
        except ClusterError as error:
            raise Invalid(str(error)) from None
        return self._database.write(self._as_control, machine, credential, _replace, new)

    def give_ceph(self, machine: str, credential: str | None, given: CephKeys) -> None:
        """Keep what machines need to reach Ceph, sealed. Raises ``Unauthorized``, ``Forbidden``."""
        sealed = self._box().seal(msgspec.json.encode(given)).decode()
        self._database.write(self._as_control, machine, credential, lambda tx, _file: tx.set_setting(CEPH, sealed))

    def ceph(self, machine: str, credential: str | None) -> CephKeys:
        """What *machine* needs of it: its own key, and control's when it is a control machine. Raises ``NotFound``."""
        control, sealed = self._database.read(self._as_member, machine, credential, lambda tx, file: (
            machine in {one.name for one in _read(tx, file).cluster.control}, tx.setting(CEPH)))
        if sealed is None:
            raise NotFound("No Ceph was added to this cluster; run `stackling storage add ceph`.")
        found = msgspec.json.decode(self._box().open(sealed.encode()), type=CephKeys)
        users = (machine_user_name(machine), *(CONTROL_USERS if control else ()))
        return CephKeys(found.conf, {user: found.keys[user] for user in users if user in found.keys},
                        {user: found.names[user] for user in users if user in found.names})

    def remember(self, machine: str, credential: str | None, token: NewToken) -> None:
        """Let *token* be used. Raises ``Unauthorized``, ``Forbidden``."""
        self._database.write(self._as_control, machine, credential, _remember, token)

    def join(self, asked: Asked) -> Bundle:
        """What makes *asked.machine* a member. Raises ``Unauthorized``, ``Conflict``, ``Invalid``."""
        known = secrets.read(self._paths)
        authority = Pair(self.authority(), (self._paths.pki / "ca.key").read_bytes())
        credential = random.token_hex(32)
        now = self._database.write(_join, self._file, asked, secrets.digest(credential))
        machine = now.cluster.machine(asked.machine.name)
        return bundle.bundle(now.cluster, machine.name, secrets.for_machine(known, machine, credential), authority,
                             generation=now.generation)

    # -- how

    def _box(self) -> Box:
        return Box(bytes.fromhex(secrets.read(self._paths).cluster_key))

    def _file(self) -> Cluster:
        return description.read(self._paths.cluster)

    def _as_member(self, tx: Tx, machine: str, credential: str | None, then: Callable[..., Any], *args: Any) -> Any:
        known = {name: digest for name, digest, _ in tx.setting(FLEET) or []}.get(machine)
        if not known or not credential or not hmac.compare_digest(secrets.digest(credential), known):
            raise Unauthorized("This credential isn't that of the machine.")
        return then(tx, self._file, *args)

    def _as_control(self, tx: Tx, machine: str, credential: str | None, then: Callable[..., Any], *args: Any) -> Any:
        if machine not in {one.name for one in self._as_member(tx, machine, credential, _read).cluster.control}:
            raise Forbidden(f"{machine} is no control machine.")
        return then(tx, self._file, *args)


def _read(tx: Tx, file: Callable[[], Cluster]) -> Described:
    found = tx.setting(CLUSTER)
    return Described(1, file()) if found is None else msgspec.convert(found, Described)


def _tell(tx: Tx, file: Callable[[], Cluster]) -> Told:
    found = _read(tx, file)
    return Told(found.generation, found.cluster, tx.setting(FOLLOWED) or {})


def _follow(tx: Tx, machine: str, said: Follows) -> None:
    tx.guard(FOLLOWED)
    tx.set_setting(FOLLOWED, {**(tx.setting(FOLLOWED) or {}), machine: said.generation})


def _write(tx: Tx, new: Described) -> Described:
    tx.set_setting(CLUSTER, msgspec.to_builtins(new))
    return new


def _replace(tx: Tx, file: Callable[[], Cluster], new: Described) -> Described:
    tx.guard(CLUSTER)
    old = _read(tx, file)
    if new.generation != old.generation + 1:
        raise Conflict(f"The description has changed meanwhile (it is at generation {old.generation}); look again.")
    return _write(tx, new)


def _remember(tx: Tx, _file: Callable[[], Cluster], token: NewToken) -> None:
    if not 0 < token.seconds <= LONGEST:
        raise Invalid(f"A token may be valid for up to {LONGEST / 86400:g} days.")
    tx.guard(CLUSTER)
    tokens = {id: found for id, found in (tx.setting(TOKENS) or {}).items() if found["until"] > tx.time}
    tokens[token.id] = {"hash": token.secret_hash, "until": tx.time + token.seconds, "control": token.control,
                        "machine": None}
    tx.set_setting(TOKENS, tokens)


def _join(tx: Tx, file: Callable[[], Cluster], asked: Asked, credential_hash: str) -> Described:
    tx.guard(CLUSTER)
    tokens: dict[str, Any] = tx.setting(TOKENS) or {}
    token = tokens.get(asked.id)
    given = hashlib.sha256(asked.secret.encode()).hexdigest()
    if token is None or not hmac.compare_digest(given, token["hash"]) or token["until"] <= tx.time:
        raise Unauthorized(_REFUSED)
    if token["machine"] not in (None, asked.machine.name):
        raise Unauthorized(_REFUSED)
    if asked.machine.control and not token["control"]:
        raise Forbidden("This token is for machines that only run servers; `stackling cluster token --control` makes "
                        "one for a control machine.")
    new = _with(_read(tx, file), asked.machine, again=token["machine"] is not None)
    tx.set_setting(TOKENS, {**tokens, asked.id: {**token, "machine": asked.machine.name}})
    fleet = [one for one in tx.setting(FLEET) or [] if one[0] != asked.machine.name]
    host = asked.machine.name if asked.machine.compute else None
    tx.set_setting(FLEET, [*fleet, [asked.machine.name, credential_hash, host]])
    if host is not None:
        compute.register_machine(tx, asked.machine.name, credential_hash, asked.machine.name)
    return _write(tx, new)


def _with(old: Described, machine: Machine, *, again: bool) -> Described:
    """*old* with *machine*. Raises ``Conflict`` where its name is taken, ``Invalid`` where it makes no sense."""
    there = next((one for one in old.cluster.machines if one.name == machine.name), None)
    if there == machine and again:
        return old
    if there is not None and not again:
        raise Conflict(f"There is a machine {machine.name} in the cluster; choose another name with --machine, or "
                       "remove the old one from the description first.")
    others = tuple(one for one in old.cluster.machines if one.name != machine.name)
    cluster = msgspec.structs.replace(old.cluster, machines=(*others, machine))
    if len(cluster.control) > MOST_NODES:
        raise Invalid(f"A cluster has at most {MOST_NODES} control machines.")
    try:
        return Described(old.generation + 1, description.check(cluster))
    except ClusterError as error:
        raise Invalid(str(error)) from None
