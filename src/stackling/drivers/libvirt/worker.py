"""The process that talks to libvirtd: ``/usr/bin/python3 -I worker.py URI``.

Debian's python3-libvirt lives outside of our environment, and a thread that hangs in libvirt can't be ended, but a
process can. So this file imports only the standard library and ``libvirt``, and of ours only ``rekey.py`` beside it.

Requests come as JSON, one a line: ``{"id": 1, "call": "start", "args": {…}}``; several run at once, and answers come
in any order: ``{"id": 1, "result": …}`` or ``{"id": 1, "error": [kind, message]}`` with kind ``down`` (libvirtd doesn't
answer), ``missing`` (no such guest), ``refused`` (can't work as asked), ``silent`` (nobody in the guest answers) or
``failed``. Events have no id:
``{"event": "guest", "guest": uuid}``, ``{"event": "connected"}``, ``{"event": "disconnected"}``.
The process ends when its input does.
"""

from __future__ import annotations

import base64
import contextlib
import json
import os
import re
import sys
import threading
import time
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path
from typing import Any
from xml.etree import ElementTree

import libvirt_qemu  # pyright: ignore[reportMissingImports]

import libvirt  # pyright: ignore[reportMissingImports]

sys.path.append(str(Path(__file__).parent))
import rekey as rekeying  # pyright: ignore[reportMissingImports]

THREADS = 8
KEEPALIVE = (5, 3)          # seconds between two probes, probes lost until the connection counts as dead
RECONNECT = 0.5
GIB = 1 << 30
NAMESPACE = "{https://stackling.dev/xmlns/server/1}"
AGENT_SECONDS = 5           # that a guest's agent has for a sign of life, and then for its answer
REST = 30.0                 # seconds after which a guest is woken, whoever put it to rest
SILENCE = (libvirt.VIR_ERR_AGENT_UNRESPONSIVE, getattr(libvirt, "VIR_ERR_AGENT_COMMAND_TIMEOUT", -1))
REFUSALS = (libvirt.VIR_ERR_CONFIG_UNSUPPORTED, libvirt.VIR_ERR_XML_ERROR, libvirt.VIR_ERR_XML_DETAIL,
            libvirt.VIR_ERR_XML_INVALID_SCHEMA, libvirt.VIR_ERR_ARGUMENT_UNSUPPORTED)
CEPH_USER = re.compile(r"(<auth username=)(['\"])[^'\"]*\2")
LIVE, CONFIG = libvirt.VIR_DOMAIN_AFFECT_LIVE, libvirt.VIR_DOMAIN_AFFECT_CONFIG
UNDEFINE = (libvirt.VIR_DOMAIN_UNDEFINE_MANAGED_SAVE | libvirt.VIR_DOMAIN_UNDEFINE_SNAPSHOTS_METADATA
            | libvirt.VIR_DOMAIN_UNDEFINE_CHECKPOINTS_METADATA | libvirt.VIR_DOMAIN_UNDEFINE_NVRAM)


class Failure(Exception):
    """An answer of the kind that is its first argument."""


class Worker:
    """One connection to libvirtd, kept up; calls by name."""

    def __init__(self, uri: str) -> None:
        self.uri = uri
        self.connection: Any = None
        self.connecting = threading.Lock()
        self.lost = threading.Event()
        self.output = threading.Lock()

    def run(self) -> None:
        libvirt.registerErrorHandler(lambda *_: None, None)
        libvirt.virEventRegisterDefaultImpl()
        threading.Thread(target=self._events, daemon=True).start()
        threading.Thread(target=self._keep_connected, daemon=True).start()
        with ThreadPoolExecutor(THREADS) as pool:
            for line in sys.stdin.buffer:
                pool.submit(self._serve, json.loads(line))
            for id in list(RESTING):
                with contextlib.suppress(libvirt.libvirtError):
                    rouse(self.connection, id)
            os._exit(0)

    # -- wire

    def say(self, message: dict[str, Any]) -> None:
        data = json.dumps(message).encode() + b"\n"
        with self.output:
            try:
                sys.stdout.buffer.write(data)
                sys.stdout.buffer.flush()
            except OSError:
                os._exit(0)

    def _serve(self, request: dict[str, Any]) -> None:
        try:
            call = CALLS[request["call"]]
            self.say({"id": request["id"], "result": call(self._connected(), **request.get("args", {}))})
        except Failure as failure:
            self.say({"id": request["id"], "error": list(failure.args)})
        except libvirt.libvirtError as error:
            self.say({"id": request["id"], "error": explain(error)})
        except Exception as error:
            self.say({"id": request["id"], "error": ["failed", f"{type(error).__name__}: {error}"]})

    # -- connection

    def _connected(self) -> Any:
        with self.connecting:
            if self.connection is None:
                try:
                    connection = libvirt.open(self.uri)
                except libvirt.libvirtError as error:
                    self.lost.set()
                    raise Failure("down", str(error)) from None
                connection.setKeepAlive(*KEEPALIVE)
                connection.registerCloseCallback(self._closed, None)
                connection.domainEventRegisterAny(None, libvirt.VIR_DOMAIN_EVENT_ID_LIFECYCLE, self._lifecycle, None)
                connection.domainEventRegisterAny(None, libvirt.VIR_DOMAIN_EVENT_ID_JOB_COMPLETED, self._job, None)
                self.connection = connection
                self.say({"event": "connected"})
            return self.connection

    def _closed(self, connection: Any, reason: int, opaque: Any) -> None:
        self.connection = None
        self.say({"event": "disconnected"})
        self.lost.set()

    def _keep_connected(self) -> None:
        while True:
            try:
                self._connected()
                self.lost.wait()
                self.lost.clear()
            except Failure:
                time.sleep(RECONNECT)

    def _events(self) -> None:
        while True:
            libvirt.virEventRunDefaultImpl()

    def _lifecycle(self, connection: Any, domain: Any, event: int, detail: int, opaque: Any) -> None:
        self.say({"event": "guest", "guest": domain.UUIDString()})

    def _job(self, connection: Any, domain: Any, parameters: Any, opaque: Any) -> None:
        self.say({"event": "guest", "guest": domain.UUIDString()})


def explain(error: Any) -> list[str]:
    """Kind and message of a libvirt error."""
    code, domain, message = error.get_error_code(), error.get_error_domain(), str(error)
    if code == libvirt.VIR_ERR_NO_DOMAIN:
        return ["missing", message]
    if domain == libvirt.VIR_FROM_RPC or code in (libvirt.VIR_ERR_NO_CONNECT, libvirt.VIR_ERR_INVALID_CONN):
        return ["down", message]
    if code in SILENCE:
        return ["silent", message]
    return ["refused" if code in REFUSALS else "failed", message]


# -- calls: each takes the connection first

def guests(connection: Any) -> list[dict[str, Any]]:
    found = []
    for domain in connection.listAllDomains():
        try:
            found.append(describe(domain))
        except libvirt.libvirtError as error:       # gone meanwhile
            if error.get_error_code() != libvirt.VIR_ERR_NO_DOMAIN:
                raise
    return found


def guest(connection: Any, id: str) -> dict[str, Any] | None:
    try:
        return describe(connection.lookupByUUIDString(id))
    except libvirt.libvirtError as error:
        if error.get_error_code() == libvirt.VIR_ERR_NO_DOMAIN:
            return None
        raise


def describe(domain: Any) -> dict[str, Any]:
    state, reason = domain.state()
    tree = ElementTree.fromstring(domain.XMLDesc())
    mark = tree.find(f"metadata/{NAMESPACE}server")
    return {"id": domain.UUIDString(), "power": power(domain, state, reason), "ours": mark is not None,
            "incoming": state == libvirt.VIR_DOMAIN_PAUSED and not domain.isPersistent(),
            "generation": int(mark.get("generation", "0")) if mark is not None else 0,
            "era": int(mark.get("era", "1")) if mark is not None else 0, "nics": ports(tree),
            "volumes": volumes(tree), "volume_sizes": volume_sizes(domain, tree)}


def power(domain: Any, state: int, reason: int) -> str:
    if state == libvirt.VIR_DOMAIN_PAUSED:
        return "paused"
    if state == libvirt.VIR_DOMAIN_CRASHED:
        return "crashed"
    if state == libvirt.VIR_DOMAIN_SHUTOFF:
        if domain.hasManagedSaveImage():
            return "suspended"
        return "crashed" if reason == libvirt.VIR_DOMAIN_SHUTOFF_CRASHED else "stopped"
    return "running"


def ports(tree: Any) -> list[str]:
    return [element.get("interfaceid") for element in tree.findall("devices/interface/virtualport/parameters")
            if element.get("interfaceid")]


def volumes(tree: Any) -> list[str]:
    names = [element.get("name") or "" for element in tree.findall("devices/disk/alias")]
    return [name.removeprefix("ua-") for name in names if name.startswith("ua-")]


def volume_sizes(domain: Any, tree: Any) -> dict[str, int]:
    """How large the running guest sees its volumes; what can't be said now is left out."""
    found: dict[str, int] = {}
    for element in tree.findall("devices/disk") if domain.isActive() else ():
        alias, target = element.find("alias"), element.find("target")
        name = alias.get("name") or "" if alias is not None else ""
        if name.startswith("ua-") and target is not None:
            with contextlib.suppress(libvirt.libvirtError):
                found[name.removeprefix("ua-")] = domain.blockInfo(target.get("dev"))[0]
    return found


def inventory(connection: Any) -> dict[str, Any]:
    info = connection.getInfo()
    capabilities = ElementTree.fromstring(connection.getCapabilities())
    cpu = capabilities.find("host/cpu")
    return {"version": connection.getVersion(), "libvirt": connection.getLibVersion(), "arch": info[0],
            "model": cpu.findtext("model") if cpu is not None else None,
            "vendor": cpu.findtext("vendor") if cpu is not None else None,
            "features": sorted(each.get("name") or "" for each in cpu.findall("feature")) if cpu is not None else [],
            "topology": {"sockets": info[5], "cores": info[6], "threads": info[7]}}


def define(connection: Any, id: str, era: int, generation: int, xml: str) -> None:
    found = guest(connection, id)
    if found and (there := (found["era"], found["generation"])) > (era, generation):
        raise Failure("failed", f"the definition in place is newer {there} than {(era, generation)}")
    domain = connection.defineXMLFlags(named(connection, id, xml), libvirt.VIR_DOMAIN_DEFINE_VALIDATE)
    if domain.autostart():
        domain.setAutostart(0)


def named(connection: Any, id: str, xml: str) -> str:
    """A guest that is there keeps its name, since libvirt doesn't rename it; where another guest has the name (that of
    a server that came after the database's backup), it is called by its id."""
    wanted = ElementTree.fromstring(xml).findtext("name") or ""
    name = wanted
    try:
        name = connection.lookupByUUIDString(id).name()
    except libvirt.libvirtError as error:
        if error.get_error_code() != libvirt.VIR_ERR_NO_DOMAIN:
            raise
        with contextlib.suppress(libvirt.libvirtError):
            connection.lookupByName(wanted)
            name = f"instance-{id}"
    return xml if name == wanted else xml.replace(f"<name>{wanted}</name>", f"<name>{name}</name>", 1)


def secret(connection: Any, id: str, usage: str, value: str) -> None:
    """A Ceph key, in libvirtd's memory only and shown to nobody."""
    root = ElementTree.Element("secret", ephemeral="yes", private="yes")
    ElementTree.SubElement(root, "uuid").text = id
    ElementTree.SubElement(ElementTree.SubElement(root, "usage", type="ceph"), "name").text = usage
    found = connection.secretDefineXML(ElementTree.tostring(root, encoding="unicode"))
    found.setValue(base64.b64decode(value))


def volume_secret(connection: Any, id: str, volume: str, value: str) -> None:
    """What opens an encrypted volume, in libvirtd's memory only and shown to nobody."""
    root = ElementTree.Element("secret", ephemeral="yes", private="yes")
    ElementTree.SubElement(root, "uuid").text = id
    ElementTree.SubElement(ElementTree.SubElement(root, "usage", type="volume"), "volume").text = volume
    connection.secretDefineXML(ElementTree.tostring(root, encoding="unicode")).setValue(value.encode())


def volume_secrets(tree: Any) -> set[str]:
    """The ids of what a domain's encrypted disks are opened with."""
    return {element.get("uuid") or "" for element in tree.findall("devices/disk/source/encryption/secret")}


def forget_secrets(connection: Any, ids: set[str]) -> None:
    """Drop those that no guest here needs any more."""
    if not ids:
        return
    for domain in connection.listAllDomains():
        with contextlib.suppress(libvirt.libvirtError):       # gone meanwhile
            for which in (0, libvirt.VIR_DOMAIN_XML_INACTIVE):
                ids = ids - volume_secrets(ElementTree.fromstring(domain.XMLDesc(which)))
    for id in ids:
        with contextlib.suppress(libvirt.libvirtError):
            connection.secretLookupByUUIDString(id).undefine()


def start(connection: Any, id: str, user: str = "") -> None:
    """*user*: as whom the secret's key, which may have changed since the definition was made, reaches Ceph."""
    domain = connection.lookupByUUIDString(id)
    if not domain.isActive():
        try:
            if user:
                reach_as(connection, domain, user)
            domain.create()
        except libvirt.libvirtError:
            if not domain.isActive():
                raise


def as_user(xml: str, user: str) -> str:
    """A definition whose disks in Ceph are reached as *user*."""
    return CEPH_USER.sub(rf"\g<1>'{user}'", xml)


def reach_as(connection: Any, domain: Any, user: str) -> None:
    """Put *user* into the definition of a guest that is off, and into that of its saved memory."""
    found = domain.XMLDesc(libvirt.VIR_DOMAIN_XML_INACTIVE | libvirt.VIR_DOMAIN_XML_SECURE)
    if (wanted := as_user(found, user)) != found:
        connection.defineXML(wanted)
    if domain.hasManagedSaveImage():
        found = domain.managedSaveGetXMLDesc(libvirt.VIR_DOMAIN_SAVE_IMAGE_XML_SECURE)
        if (wanted := as_user(found, user)) != found:
            domain.managedSaveDefineXML(wanted, 0)


def rekey(connection: Any, id: str, user: str, value: str) -> int:
    """How many disks in Ceph a guest that is on reached as somebody else than *user*, as whom it does now."""
    domain = connection.lookupByUUIDString(id)
    if not domain.isActive():
        return 0
    if outgoing(domain) is not None or not domain.isPersistent():
        raise Failure("failed", "it is being migrated")
    passed = {source.get("name"): driver.get("discard") == "unmap"
              for disk in ElementTree.fromstring(domain.XMLDesc()).findall("devices/disk")
              if (source := disk.find("source[@protocol='rbd']")) is not None
              and (driver := disk.find("driver")) is not None}
    if not passed:
        return 0
    try:
        return rekeying.rekey(monitor(domain), user, value, lambda pool, image: passed.get(f"{pool}/{image}", True))
    except rekeying.MonitorRefused as refused:
        raise Failure("failed", str(refused)) from None


def monitor(domain: Any) -> Any:
    """QEMU's own monitor; what libvirt does at the same time, it does between two commands."""
    def ask(command: str, **arguments: Any) -> Any:
        answer = json.loads(libvirt_qemu.qemuMonitorCommand(
            domain, json.dumps({"execute": command, "arguments": arguments}), 0))
        if "error" in answer:
            raise rekeying.MonitorRefused(f"{command}: {answer['error'].get('desc')}")
        return answer.get("return")
    return ask


def shutdown(connection: Any, id: str) -> None:
    domain = connection.lookupByUUIDString(id)
    if domain.isActive():
        domain.shutdownFlags(libvirt.VIR_DOMAIN_SHUTDOWN_ACPI_POWER_BTN)


def destroy(connection: Any, id: str) -> None:
    try:
        domain = connection.lookupByUUIDString(id)
        if domain.isActive():
            switch_off(domain)
        if domain.hasManagedSaveImage():
            domain.managedSaveRemove()
    except libvirt.libvirtError as error:
        if error.get_error_code() != libvirt.VIR_ERR_NO_DOMAIN:
            raise


def switch_off(domain: Any) -> None:
    try:
        domain.destroy()
    except libvirt.libvirtError as error:
        if error.get_error_code() != libvirt.VIR_ERR_OPERATION_INVALID:     # it is off already
            raise


def pause(connection: Any, id: str) -> None:
    domain = connection.lookupByUUIDString(id)
    if domain.state()[0] in (libvirt.VIR_DOMAIN_RUNNING, libvirt.VIR_DOMAIN_BLOCKED):
        domain.suspend()


def unpause(connection: Any, id: str) -> None:
    domain = connection.lookupByUUIDString(id)
    if domain.state()[0] == libvirt.VIR_DOMAIN_PAUSED:
        domain.resume()


def suspend(connection: Any, id: str) -> None:
    domain = connection.lookupByUUIDString(id)
    if domain.isActive():
        domain.managedSave(0)


def attach(connection: Any, id: str, port: str, xml: str) -> None:
    domain = connection.lookupByUUIDString(id)
    flags = 0
    if port not in ports(ElementTree.fromstring(domain.XMLDesc(libvirt.VIR_DOMAIN_XML_INACTIVE))):
        flags |= CONFIG
    if domain.isActive() and port not in ports(ElementTree.fromstring(domain.XMLDesc())):
        flags |= LIVE
    if flags:
        domain.attachDeviceFlags(xml, flags)


def detach(connection: Any, id: str, port: str) -> None:
    domain = connection.lookupByUUIDString(id)
    _detach(domain, port, libvirt.VIR_DOMAIN_XML_INACTIVE, CONFIG)
    if domain.isActive():
        _detach(domain, port, 0, LIVE)
        if interface(domain, port, 0) is not None:
            raise Failure("failed", "the guest hasn't let go of the interface yet")


def _detach(domain: Any, port: str, which: int, flags: int) -> None:
    element = interface(domain, port, which)
    if element is not None:
        try:
            domain.detachDeviceFlags(ElementTree.tostring(element, encoding="unicode"), flags)
        except libvirt.libvirtError as error:
            if error.get_error_code() not in (libvirt.VIR_ERR_DEVICE_MISSING, libvirt.VIR_ERR_OPERATION_FAILED):
                raise


def interface(domain: Any, port: str, which: int) -> Any:
    for element in ElementTree.fromstring(domain.XMLDesc(which)).findall("devices/interface"):
        parameters = element.find("virtualport/parameters")
        if parameters is not None and parameters.get("interfaceid") == port:
            return element
    return None


def attach_volume(connection: Any, id: str, volume: str, xml: str) -> None:
    domain = connection.lookupByUUIDString(id)
    flags = 0
    if volume not in volumes(ElementTree.fromstring(domain.XMLDesc(libvirt.VIR_DOMAIN_XML_INACTIVE))):
        flags |= CONFIG
    if domain.isActive() and volume not in volumes(ElementTree.fromstring(domain.XMLDesc())):
        flags |= LIVE
    if flags:
        domain.attachDeviceFlags(xml, flags)


def detach_volume(connection: Any, id: str, volume: str) -> None:
    """The definition keeps it until the guest has let go: a guest that is started anew meanwhile must find it."""
    domain = connection.lookupByUUIDString(id)
    secrets = volume_secrets(ElementTree.fromstring(domain.XMLDesc(libvirt.VIR_DOMAIN_XML_INACTIVE)))
    if domain.isActive():
        _detach_volume(domain, volume, 0, LIVE)
        if disk(domain, volume, 0) is not None:
            raise Failure("failed", "the guest hasn't let go of the volume yet")
    _detach_volume(domain, volume, libvirt.VIR_DOMAIN_XML_INACTIVE, CONFIG)
    forget_secrets(connection, secrets)


def _detach_volume(domain: Any, volume: str, which: int, flags: int) -> None:
    element = disk(domain, volume, which)
    if element is not None:
        try:
            domain.detachDeviceFlags(ElementTree.tostring(element, encoding="unicode"), flags)
        except libvirt.libvirtError as error:
            if error.get_error_code() not in (libvirt.VIR_ERR_DEVICE_MISSING, libvirt.VIR_ERR_OPERATION_FAILED):
                raise


def extend_volume(connection: Any, id: str, volume: str, size: int) -> None:
    """QEMU tells the guest; an image that has been extended already stays as it is. An encrypted volume is smaller by
    its LUKS header than the whole GiB that it takes."""
    domain = connection.lookupByUUIDString(id)
    element = disk(domain, volume, 0) if domain.isActive() else None
    if element is None:
        return
    target = element.find("target").get("dev")
    seen = domain.blockInfo(target)[0]
    header = -seen % GIB if element.find("source/encryption") is not None else 0
    if seen + header < size:
        domain.blockResize(target, size - header, libvirt.VIR_DOMAIN_BLOCK_RESIZE_BYTES)


def disk(domain: Any, volume: str, which: int) -> Any:
    for element in ElementTree.fromstring(domain.XMLDesc(which)).findall("devices/disk"):
        alias = element.find("alias")
        if alias is not None and alias.get("name") == f"ua-{volume}":
            return element
    return None


def undefine(connection: Any, id: str) -> None:
    """A start under way (of a worker that was killed, say) is waited for by libvirtd when the definition goes, and
    leaves a guest without one: so it is switched off after that, too."""
    try:
        domain = connection.lookupByUUIDString(id)
        secrets = volume_secrets(ElementTree.fromstring(domain.XMLDesc()))
        if domain.isActive():
            switch_off(domain)
        domain.undefineFlags(UNDEFINE)
        if domain.isActive():
            switch_off(domain)
        forget_secrets(connection, secrets)
    except libvirt.libvirtError as error:
        if error.get_error_code() != libvirt.VIR_ERR_NO_DOMAIN:
            raise


def set_password(connection: Any, id: str, user: str, password: str) -> None:
    """libvirtd would wait for an agent that hangs as long as it hangs, unless it is told for how long."""
    domain = connection.lookupByUUIDString(id)
    domain.agentSetResponseTimeout(AGENT_SECONDS)
    domain.setUserPassword(user, password)


def inject_nmi(connection: Any, id: str) -> None:
    connection.lookupByUUIDString(id).injectNMI()


def diagnostics(connection: Any, id: str) -> dict[str, Any]:
    domain = connection.lookupByUUIDString(id)
    state, most, used, processors, spent = domain.info()
    if state not in (libvirt.VIR_DOMAIN_RUNNING, libvirt.VIR_DOMAIN_BLOCKED):
        raise Failure("failed", "the guest isn't running")
    tree = ElementTree.fromstring(domain.XMLDesc())
    memory: dict[str, int] = {}
    with contextlib.suppress(libvirt.libvirtError):
        memory = domain.memoryStats()
    return {"memory_most": most, "memory_used": used, "memory": memory, "cpus": cpu_use(domain, processors, spent),
            "disks": disk_use(domain, tree), "nics": nic_use(domain, tree)}


def cpu_use(domain: Any, processors: int, spent: int) -> list[dict[str, Any]]:
    """Without KVM libvirt can't tell processors apart: then the first one carries what all of them have used."""
    try:
        return [{"id": found[0], "time": found[2]} for found in domain.vcpus()[0]]
    except libvirt.libvirtError:
        return [{"id": number, "time": None if number else spent} for number in range(processors)]


def disk_use(domain: Any, tree: Any) -> list[dict[str, Any]]:
    names = ("read_requests", "read_bytes", "write_requests", "write_bytes", "errors")
    found = []
    for target in tree.findall("devices/disk/target"):
        with contextlib.suppress(libvirt.libvirtError):
            counted = domain.blockStats(target.get("dev"))
            found.append({"device": target.get("dev"), **dict(zip(names, counted, strict=True))})
    return found


def nic_use(domain: Any, tree: Any) -> list[dict[str, Any]]:
    names = [f"{way}_{what}" for way in ("rx", "tx") for what in ("octets", "packets", "errors", "drop")]
    found = []
    for element in tree.findall("devices/interface"):
        target, mac = element.find("target"), element.find("mac")
        nic = {"mac": mac.get("address") if mac is not None else "",
               "name": target.get("dev") or "" if target is not None else ""}
        with contextlib.suppress(libvirt.libvirtError):
            if nic["name"]:
                nic["traffic"] = dict(zip(names, domain.interfaceStats(nic["name"]), strict=True))
        found.append(nic)
    return found


MOVING: dict[str, str | None] = {}
"""Migrations begun by this process: None while under way, the error when they have failed."""
MOVE = (libvirt.VIR_MIGRATE_LIVE | libvirt.VIR_MIGRATE_PEER2PEER | libvirt.VIR_MIGRATE_PERSIST_DEST
        | libvirt.VIR_MIGRATE_UNDEFINE_SOURCE | libvirt.VIR_MIGRATE_AUTO_CONVERGE | libvirt.VIR_MIGRATE_ABORT_ON_ERROR)
PROGRESS = {f"{ours}_{part}_bytes": f"{theirs}_{part}" for ours, theirs in (("memory", "memory"), ("disk", "disk"))
            for part in ("total", "processed", "remaining")}


def migrate(connection: Any, id: str, peer: str, own_disks: bool, shared: str = "") -> None:
    """libvirtd itself drives it (peer to peer), so it goes on when this process ends. *shared*: the directory, with a
    slash at its end, that is known to be shared, whatever libvirt takes its file system for. Behind a ``#``, *peer*
    says as whom the other machine reaches Ceph, whose secret of the same name has that one's key."""
    peer, _, user = peer.partition("#")
    domain = connection.lookupByUUIDString(id)
    if outgoing(domain) is not None or MOVING.get(id, "") is None:
        return
    flags = MOVE
    copied = own_targets(domain) if own_disks else []
    if copied:
        flags |= libvirt.VIR_MIGRATE_NON_SHARED_INC
    if shared and all_shared(domain, shared):
        flags |= libvirt.VIR_MIGRATE_UNSAFE
    if peer.startswith("qemu+tls:"):
        flags |= libvirt.VIR_MIGRATE_TLS
    if domain.state()[0] == libvirt.VIR_DOMAIN_PAUSED:
        flags |= libvirt.VIR_MIGRATE_PAUSED
    MOVING[id] = None
    threading.Thread(target=_migrate, args=(domain, id, peer, flags, copied, user), daemon=True).start()


def all_shared(domain: Any, shared: str) -> bool:
    """Whether every disk that is a file lies there, and is read and written past this machine's page cache."""
    for element in ElementTree.fromstring(domain.XMLDesc()).findall("devices/disk[@type='file']"):
        source, driver = element.find("source"), element.find("driver")
        inside = source is not None and (source.get("file") or "").startswith(shared)
        if not inside or driver is None or driver.get("cache") != "none":
            return False
    return True


def own_targets(domain: Any) -> list[str]:
    """The disks that are its host's: volumes are reached from everywhere, and never copied."""
    found = []
    for element in ElementTree.fromstring(domain.XMLDesc()).findall("devices/disk"):
        alias, target = element.find("alias"), element.find("target")
        volume = alias is not None and (alias.get("name") or "").startswith("ua-")
        if target is not None and not volume and element.find("readonly") is None:
            found.append(target.get("dev") or "")
    return found


def _migrate(domain: Any, id: str, peer: str, flags: int, copied: list[str], user: str) -> None:
    parameters: dict[str, Any] = {libvirt.VIR_MIGRATE_PARAM_MIGRATE_DISKS: copied} if copied else {}
    if peer.startswith("qemu+unix:"):       # two libvirtd on one machine: QEMU's stream goes by a socket as well
        parameters[libvirt.VIR_MIGRATE_PARAM_URI] = f"unix:/tmp/stackling-{id}.migration"
        flags |= libvirt.VIR_MIGRATE_UNSAFE     # and of course they share the disks' file system
    try:
        if user:
            whole = libvirt.VIR_DOMAIN_XML_SECURE | libvirt.VIR_DOMAIN_XML_MIGRATABLE
            parameters[libvirt.VIR_MIGRATE_PARAM_DEST_XML] = as_user(domain.XMLDesc(whole), user)
            parameters[libvirt.VIR_MIGRATE_PARAM_PERSIST_XML] = as_user(
                domain.XMLDesc(whole | libvirt.VIR_DOMAIN_XML_INACTIVE), user)
        secrets = volume_secrets(ElementTree.fromstring(domain.XMLDesc()))
        domain.migrateToURI3(peer, parameters, flags)
        del MOVING[id]
        with contextlib.suppress(libvirt.libvirtError):
            forget_secrets(domain.connect(), secrets)
    except libvirt.libvirtError as error:
        MOVING[id] = str(error)


def migration(connection: Any, id: str) -> dict[str, Any] | None:
    try:
        stats = outgoing(connection.lookupByUUIDString(id))
    except libvirt.libvirtError as error:
        if error.get_error_code() != libvirt.VIR_ERR_NO_DOMAIN:
            raise
        stats = None
    if stats is None and id not in MOVING:
        return None
    error = MOVING.get(id)
    progress = {name: stats[key] for name, key in PROGRESS.items() if key in stats} if stats else {}
    return {"running": error is None, "error": error, "progress": progress}


def outgoing(domain: Any) -> dict[str, Any] | None:
    """The statistics of a migration away from here that is under way."""
    try:
        stats = domain.jobStats() if domain.isActive() else {}
    except libvirt.libvirtError:
        return None
    return stats if stats.get("operation") == libvirt.VIR_DOMAIN_JOB_OPERATION_MIGRATION_OUT else None


def abort_migration(connection: Any, id: str) -> None:
    domain = connection.lookupByUUIDString(id)
    if outgoing(domain) is not None:
        domain.abortJob()


def hurry_migration(connection: Any, id: str) -> None:
    domain = connection.lookupByUUIDString(id)
    if outgoing(domain) is not None and domain.state()[0] == libvirt.VIR_DOMAIN_RUNNING:
        domain.suspend()


COPIES: dict[str, tuple[int, str, str | None]] = {}
"""Copies of guests' volumes that this process has begun or seen, by guest: the number of the guest's run, the file, and
None while it is under way, "" when it is whole, or what went wrong."""
BACKUP, COMPLETED = libvirt.VIR_DOMAIN_JOB_OPERATION_BACKUP, 3         # VIR_DOMAIN_JOB_COMPLETED


def begin_copy(connection: Any, id: str, volume: str, target: str, quiesce: str) -> None:
    """QEMU copies the disk as it is at this moment (a push backup), keeping what is overwritten meanwhile for it."""
    domain = connection.lookupByUUIDString(id)
    under_way = copied_to(domain) if domain.isActive() else None
    if under_way == target:
        return
    element = disk(domain, volume, 0) if domain.isActive() else None
    if element is None or under_way is not None:
        raise Failure("failed", "another copy is being made" if under_way else "the guest doesn't have the volume")
    root = ElementTree.Element("domainbackup", mode="push")
    part = ElementTree.SubElement(ElementTree.SubElement(root, "disks"), "disk", backup="yes", type="file",
                                  name=element.find("target").get("dev"))
    file = ElementTree.SubElement(part, "target", file=target)
    if (encryption := element.find("source/encryption")) is not None:
        file.append(encryption)
    ElementTree.SubElement(part, "driver", type=element.find("driver").get("type"))
    error = None
    try:
        with quieted(domain, quiesce):
            domain.backupBegin(ElementTree.tostring(root, encoding="unicode"), None,
                               libvirt.VIR_DOMAIN_BACKUP_BEGIN_REUSE_EXTERNAL)
    except libvirt.libvirtError as failed:
        kind, error = explain(failed)
        if kind == "down":
            raise
    COPIES[id] = domain.ID(), target, error


@contextlib.contextmanager
def quieted(domain: Any, how: str) -> Any:
    """With the guest's file systems at rest (*how* ``must``), or without where that doesn't work (``try``)."""
    if not how:
        yield
        return
    domain.agentSetResponseTimeout(AGENT_SECONDS)
    thaw(domain)        # whoever froze them before has died
    try:
        try:
            domain.fsFreeze()
        except libvirt.libvirtError:
            if how == "must":
                raise
        yield
    finally:
        thaw(domain)


def thaw(domain: Any) -> None:
    for _ in range(2):
        with contextlib.suppress(libvirt.libvirtError):
            domain.fsThaw()
            return


RESTING: dict[str, tuple[threading.Timer, str, bool]] = {}
"""Guests that write nothing: who wakes them at last, how their file systems are at rest, whether they are paused."""


def rest(connection: Any, id: str, quiesce: str, pause: bool) -> str:
    """Why the guest isn't at rest although it must be; "": it is, or need not be."""
    rouse(connection, id)
    domain = connection.lookupByUUIDString(id)
    if domain.state()[0] not in (libvirt.VIR_DOMAIN_RUNNING, libvirt.VIR_DOMAIN_BLOCKED):
        return "it is paused" if quiesce == "must" else ""
    if quiesce:
        domain.agentSetResponseTimeout(AGENT_SECONDS)
        thaw(domain)            # whoever froze them before has died
    timer = threading.Timer(REST, rouse, (connection, id))
    timer.daemon = True
    RESTING[id] = timer, quiesce, pause
    timer.start()
    try:
        if quiesce:
            domain.fsFreeze()
    except libvirt.libvirtError as error:
        if quiesce == "must":
            rouse(connection, id)
            return explain(error)[1]
        thaw(domain)
    if pause:
        domain.suspend()
    return ""


def rouse(connection: Any, id: str) -> bool:
    """Whether it has been at rest until now."""
    found = RESTING.pop(id, None)
    if found is None:
        return False
    timer, quiesce, pause = found
    timer.cancel()
    with contextlib.suppress(libvirt.libvirtError):
        domain = connection.lookupByUUIDString(id)
        if pause and domain.state()[0] == libvirt.VIR_DOMAIN_PAUSED:
            domain.resume()
        if quiesce:
            thaw(domain)
    return True


def copied_to(domain: Any) -> str | None:
    """The file that a copy under way is written to."""
    try:
        tree = ElementTree.fromstring(domain.backupGetXMLDesc())
    except libvirt.libvirtError as error:
        if error.get_error_code() in (libvirt.VIR_ERR_NO_DOMAIN_BACKUP, libvirt.VIR_ERR_OPERATION_INVALID):
            return None
        raise
    return next((target.get("file") or "" for target in tree.findall("disks/disk/target")), "")


def copying(connection: Any, id: str) -> dict[str, Any] | None:
    """What became of a copy is known to whoever saw it under way; a process that comes later makes it anew."""
    try:
        domain = connection.lookupByUUIDString(id)
        target = copied_to(domain) if domain.isActive() else None
    except libvirt.libvirtError as error:
        if error.get_error_code() != libvirt.VIR_ERR_NO_DOMAIN:
            raise
        COPIES.pop(id, None)
        return None
    known = COPIES.get(id)
    if target is not None:
        if known is None or known[1] != target:
            thaw(domain)        # the one that has begun it may not have lived to do so
        COPIES[id] = domain.ID(), target, None
        return {"target": target, "running": True, "error": None}
    if known is None or known[0] != domain.ID():
        COPIES.pop(id, None)
        return None
    if known[2] is None:
        ended = how_it_ended(domain)
        if ended is None:
            del COPIES[id]
            return None
        known = COPIES[id] = known[0], known[1], ended
    return {"target": known[1], "running": False, "error": known[2] or None}


def how_it_ended(domain: Any) -> str | None:
    """"" for a copy that is whole; None where it isn't known."""
    stats = domain.jobStats(libvirt.VIR_DOMAIN_JOB_STATS_COMPLETED | libvirt.VIR_DOMAIN_JOB_STATS_KEEP_COMPLETED)
    if stats.get("operation") != BACKUP:
        return None
    return "" if stats.get("type") == COMPLETED and not stats.get("errmsg") else stats.get("errmsg") or "it broke off"


def abort_copy(connection: Any, id: str) -> None:
    rouse(connection, id)
    domain = connection.lookupByUUIDString(id)
    COPIES.pop(id, None)
    if domain.isActive() and copied_to(domain) is not None:
        domain.abortJob()
        for _ in range(100):
            if not domain.isActive() or copied_to(domain) is None:
                break
            time.sleep(0.05)
        else:
            raise Failure("failed", "the copy that was called off hasn't ended yet")
    if domain.isActive():
        thaw(domain)


CALLS = {call.__name__: call for call in (
    begin_copy, copying, abort_copy, rest, rouse,
    attach_volume, detach_volume, extend_volume, volume_secret, set_password, inject_nmi, diagnostics,
    guests, guest, inventory, define, secret, rekey, start, shutdown, destroy, pause, unpause, suspend, attach, detach,
    undefine, migrate, migration, abort_migration,
    hurry_migration)}

if __name__ == "__main__":
    Worker(sys.argv[1]).run()
