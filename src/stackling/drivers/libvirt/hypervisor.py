"""``Hypervisor`` on libvirt."""

from __future__ import annotations

import logging
import os
import socket
from collections.abc import Callable, Mapping
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any

import msgspec

from stackling.drivers.ceph.keyring import Login, current
from stackling.drivers.libvirt.client import WorkerClient
from stackling.drivers.libvirt.domain import Platform, domain_xml, interface_xml, volume_xml
from stackling.drivers.libvirt.hardware import quiesce
from stackling.ports.diagnostics import Diagnostics
from stackling.ports.document import Inventory, Nic, Power, ServerDesired, VolumeDisk
from stackling.ports.hypervisor import ConsoleKind, Copying, Guest, GuestDisks, GuestRefused, HypervisorError, Migration

log = logging.getLogger(__name__)
START, SAVE = 90.0, 300.0           # deadlines in seconds; saving and loading memory takes its time
PASSWORD = 35.0                     # the guest's agent is given up long before (worker.AGENT_SECONDS)
COPY = 60.0                         # to begin one, freezing the guest's file systems for it
CONNECT = 5.0                       # to a guest's console, in seconds
GIB = 1 << 30
CONSOLE_LOG = "console.log"
CONSOLE_MOST = 1 << 20              # bytes of the console that are ever read or kept


@dataclass(frozen=True, slots=True)
class CephSecret:
    """The libvirt secret by which guests reach their disks: its UUID, the Ceph user, and the file with its key, or that
    of the user's successor (``drivers.ceph.keyring``)."""

    uuid: str
    user: str
    keyring: Path

    def login(self) -> Login:
        """Who it is now, and the key. Raises ``HypervisorError``."""
        try:
            found = current(self.keyring, self.user)
        except OSError as error:
            raise HypervisorError(f"this machine's Ceph key can't be read: {error.strerror}: {self.keyring}") from None
        if found is None:
            raise HypervisorError(f"there is no key in {self.keyring}; run `stackling storage check`")
        return found


class LibvirtHypervisor:
    """Guests of one libvirtd. ``instances`` is the directory whose ``<server id>/console.log`` the guests write;
    ``consoles`` is ``platform.sockets`` as we see it. *secret* is given to libvirtd anew before each start, and is
    kept in its memory only, so that a key that was rotated is used from then on; ``use_new_key`` is for guests that are
    on. *peer* is how other machines' libvirtd reach this one for live migrations ("": they don't)."""

    def __init__(self, uri: str, instances: Path, platform: Platform, *, consoles: Path | None = None,
                 client: WorkerClient | None = None, secret: CephSecret | None = None, peer: str = "") -> None:
        self._secret, self._peer = secret, peer
        self._instances, self._platform, self._consoles = instances, platform, consoles
        self._watchers: list[Callable[[str], None]] = []
        self.client = client or WorkerClient(uri, self._event)

    def guests(self) -> Mapping[str, Guest]:
        return {found["id"]: _guest(found) for found in self.client.call("guests")}

    def guest(self, server_id: str) -> Guest | None:
        found = self.client.call("guest", id=server_id)
        return _guest(found) if found else None

    def inventory(self) -> Inventory:
        found = self.client.call("inventory")
        return Inventory(
            vcpus=os.cpu_count() or 1, memory_mib=0, disk_gib=0,
            hypervisor_type="KVM" if self._platform.kvm else "QEMU", hypervisor_version=found["version"],
            cpu_info={"arch": found["arch"], "model": found["model"], "vendor": found["vendor"],
                      "features": found["features"], "topology": found["topology"]},
            facts={"libvirt_version": found["libvirt"], "accelerator": "kvm" if self._platform.kvm else "tcg"})

    def define(self, server: ServerDesired, disks: GuestDisks, era: int = 1) -> None:
        log_file = self._instances / server.id / CONSOLE_LOG
        xml = domain_xml(server, disks, log_file, self._as_now(), era)
        self.client.call("define", id=server.id, era=era, generation=server.generation, xml=xml)

    def start(self, server_id: str) -> None:
        self.client.call("start", START, id=server_id, user=self._as_now().user)

    def shutdown(self, server_id: str) -> None:
        self.client.call("shutdown", id=server_id)

    def destroy(self, server_id: str) -> None:
        self.client.call("destroy", id=server_id)

    def pause(self, server_id: str) -> None:
        self.client.call("pause", id=server_id)

    def unpause(self, server_id: str) -> None:
        self.client.call("unpause", id=server_id)

    def suspend(self, server_id: str) -> None:
        self.client.call("suspend", SAVE, id=server_id)

    def attach(self, server: ServerDesired, nic: Nic) -> None:
        self.client.call("attach", id=server.id, port=nic.port_id, xml=interface_xml(server, nic, self._platform))

    def detach(self, server_id: str, port_id: str) -> None:
        self.client.call("detach", id=server_id, port=port_id)

    def give_key(self, volume: VolumeDisk, passphrase: str) -> None:
        self.client.call("volume_secret", id=volume.key_id, volume=volume.volume_id, value=passphrase)

    def attach_volume(self, server: ServerDesired, volume: VolumeDisk) -> None:
        self.client.call("attach_volume", id=server.id, volume=volume.id, xml=volume_xml(volume, self._as_now()))

    def detach_volume(self, server_id: str, attachment_id: str) -> None:
        self.client.call("detach_volume", id=server_id, volume=attachment_id)

    def extend_volume(self, server_id: str, volume: VolumeDisk) -> None:
        self.client.call("extend_volume", id=server_id, volume=volume.id, size=volume.size_gib * GIB)

    def begin_copy(self, server: ServerDesired, attachment_id: str, target: Path) -> None:
        self.client.call("begin_copy", COPY, id=server.id, volume=attachment_id, target=str(target),
                         quiesce=quiesce(server))

    def copying(self, server_id: str) -> Copying | None:
        found = self.client.call("copying", id=server_id)
        return None if found is None else Copying(Path(found["target"]), found["running"], found["error"])

    def abort_copy(self, server_id: str) -> None:
        self.client.call("abort_copy", id=server_id)

    def rest(self, server: ServerDesired, *, pause: bool) -> None:
        problem = self.client.call("rest", COPY, id=server.id, quiesce=quiesce(server), pause=pause)
        if problem:
            raise GuestRefused(f"the guest's file systems can't be put to rest: {problem}")

    def rouse(self, server_id: str) -> bool:
        return bool(self.client.call("rouse", COPY, id=server_id))

    def undefine(self, server_id: str) -> None:
        self.client.call("undefine", id=server_id)
        if self._consoles:
            for path in self._consoles.glob(f"{server_id}.*"):      # QEMU leaves them when it is killed
                path.unlink(missing_ok=True)

    @property
    def migration_peer(self) -> str:
        """With the Ceph user behind a ``#``: whoever sends a guest has it reach its disks as this machine does."""
        return f"{self._peer}#{self._secret.login().user}" if self._peer and self._secret else self._peer

    def expect_migration(self) -> None:
        if not self._peer:
            raise GuestRefused("Live migration isn't set up on this host: its libvirtd doesn't take guests of others "
                               "(migrate_uri in the agent's settings).")
        self._as_now()

    def migrate(self, server_id: str, peer: str, own_disks: bool) -> None:
        shared = self._platform.shared
        self.client.call("migrate", id=server_id, peer=peer, own_disks=own_disks, shared=f"{shared}/" if shared else "")

    def migration(self, server_id: str) -> Migration | None:
        found = self.client.call("migration", id=server_id)
        return None if found is None else Migration(found["running"], found["error"], found["progress"])

    def abort_migration(self, server_id: str) -> None:
        self.client.call("abort_migration", id=server_id)

    def hurry_migration(self, server_id: str) -> None:
        self.client.call("hurry_migration", id=server_id)

    def set_password(self, server_id: str, user: str, password: str) -> None:
        self.client.call("set_password", PASSWORD, id=server_id, user=user, password=password)

    def inject_nmi(self, server_id: str) -> None:
        self.client.call("inject_nmi", id=server_id)

    def diagnostics(self, server_id: str) -> Diagnostics:
        return msgspec.convert(self.client.call("diagnostics", id=server_id), Diagnostics)

    def console_log(self, server_id: str, length: int | None) -> str:
        path = self._instances / server_id / CONSOLE_LOG
        try:
            with path.open("rb") as file:
                file.seek(max(0, os.fstat(file.fileno()).st_size - CONSOLE_MOST))
                text = file.read(CONSOLE_MOST).decode(errors="replace")
        except FileNotFoundError:
            return ""
        except OSError as error:
            raise HypervisorError(f"the console log can't be read: {error.strerror}") from None
        if length is None:
            return text
        return "".join(text.splitlines(keepends=True)[-length:]) if length > 0 else ""

    def open_console(self, server_id: str, kind: ConsoleKind) -> socket.socket:
        if self._consoles is None:
            raise HypervisorError("this host's consoles can't be reached")
        connection = socket.socket(socket.AF_UNIX)
        directory = -1
        try:
            directory = os.open(self._consoles, os.O_PATH | os.O_DIRECTORY | os.O_CLOEXEC)
            connection.settimeout(CONNECT)
            connection.connect(f"/proc/self/fd/{directory}/{server_id}.{kind}")     # a socket's path has a limit
        except OSError as error:
            connection.close()
            raise HypervisorError(f"the guest is off, or has no {kind} console ({error.strerror})") from None
        finally:
            if directory >= 0:
                os.close(directory)
        return connection

    def watch(self, changed: Callable[[str], None]) -> None:
        self._watchers.append(changed)

    def close(self) -> None:
        self.client.close()

    def use_new_key(self) -> int:
        """Have libvirtd, and every guest that is on, reach Ceph by the key that the keyring holds now; how many guests
        have to be tried again. A guest doesn't notice."""
        if self._secret is None:
            return 0
        login, left = self._secret.login(), 0
        self._as_now()
        for guest in self.guests().values():
            if not guest.ours or guest.power not in (Power.RUNNING, Power.PAUSED):
                continue
            try:
                changed = self.client.call("rekey", START, id=guest.id, user=login.user, value=login.key)
            except (HypervisorError, GuestRefused) as error:
                log.warning("server %s doesn't use this machine's new Ceph key yet: %s", guest.id, error)
                left += 1
                continue
            if changed:
                log.info("server %s reaches %d disks as client.%s now", guest.id, changed, login.user)
        return left

    def _as_now(self) -> Platform:
        """Gives libvirtd this machine's key as it is now, and says whose it is."""
        if self._secret is None:
            return self._platform
        login = self._secret.login()
        self.client.call("secret", id=self._secret.uuid, usage=f"client.{self._secret.user} of Stackling",
                         value=login.key)
        return replace(self._platform, user=login.user)

    def _event(self, event: dict[str, Any]) -> None:
        if event["event"] == "disconnected":
            log.warning("libvirtd is gone; guests keep running")
            return
        for watcher in self._watchers:
            watcher(event.get("guest", ""))


def _guest(found: dict[str, Any]) -> Guest:
    return Guest(found["id"], Power(found["power"]), found["generation"], tuple(found["nics"]), found["ours"],
                 found["incoming"], tuple(found.get("volumes", ())),
                 {id: -(-size // GIB) for id, size in found.get("volume_sizes", {}).items()})
