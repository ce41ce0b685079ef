"""A server's libvirt domain XML. Pure. (Format: https://libvirt.org/formatdomain.html.)"""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path
from xml.etree import ElementTree
from xml.etree.ElementTree import Element, SubElement

from stackling.drivers.libvirt.hardware import Hardware, choose
from stackling.ports.document import Nic, ServerDesired, VolumeDisk
from stackling.ports.hypervisor import GuestDisks, GuestRefused, RbdDisk, instance_name

NAMESPACE = "https://stackling.dev/xmlns/server/1"
DEVICES = ("disk", "cdrom")
VOLUME_ALIAS = "ua-"       # before an attachment's id; libvirt asks for it in names that aren't its own
SPARE_PORTS = 12        # PCI Express ports free for devices that are plugged in while the guest runs
TAP_DIGITS = 11         # of the port's id, after "tap": an interface's name has at most 15 characters
_X86_64_V2 = ("ssse3", "sse4.1", "sse4.2", "popcnt")

ElementTree.register_namespace("stackling", NAMESPACE)


@dataclass(frozen=True, slots=True)
class Platform:
    """What this machine's guests have in common.

    *sockets* is the directory, as libvirtd sees it, in which guests' consoles listen. *netdev*: Open vSwitch forwards
    in userspace, which needs whole checksums from the guest. *uefi*: firmware for it is installed.
    *direct*: the file system of the disks takes direct input and output. *secret* is the UUID of the libvirt secret
    that holds this machine's Ceph key; *ceph* is the cluster's configuration, as QEMU may read it, and the user
    (without ``client.``) to whom that key belongs; *user* is who it belongs to now, since keys were rotated ("": whom
    disks and *ceph* name). *shared* is a directory of all machines, in which disks belong to
    QEMU's account already, and stay so when a guest leaves.
    """

    kvm: bool
    sockets: Path
    bridge: str = "br-int"
    netdev: bool = True
    uefi: bool = False
    direct: bool = True
    secret: str = ""
    ceph: tuple[Path, str] | None = None
    user: str = ""
    shared: Path | None = None
    emulator: str = "/usr/bin/qemu-system-x86_64"


def tap_name(port_id: str) -> str:
    """The name of a port's interface on the machine, as Neutron names it."""
    return f"tap{port_id[:TAP_DIGITS]}"


def domain_xml(server: ServerDesired, disks: GuestDisks, log: Path, platform: Platform, era: int = 1) -> str:
    """The definition of *server*. Raises ``GuestRefused`` for hardware that isn't offered."""
    hardware = choose(server)
    if hardware.uefi and not platform.uefi:
        raise GuestRefused("The image wants UEFI (hw_firmware_type), and this host has no firmware for it: the "
                           "administrator can install the package ovmf.")
    domain = Element("domain", type="kvm" if platform.kvm else "qemu")
    _text(domain, "name", instance_name(server.id, server.number))
    _text(domain, "uuid", server.id)
    _metadata(domain, server, era)
    _text(domain, "memory", str(server.memory_mib), unit="MiB")
    _text(domain, "vcpu", str(server.vcpus))
    ordered = any(_boots(server, volume) for volume in server.volumes)
    _system(domain, server, hardware, ordered=ordered)
    _processor(domain, hardware, platform)
    clock = SubElement(domain, "clock", offset="utc")
    SubElement(clock, "timer", name="rtc", tickpolicy="catchup")
    SubElement(clock, "timer", name="pit", tickpolicy="delay")
    SubElement(clock, "timer", name="hpet", present="no")
    _text(domain, "on_poweroff", "destroy")
    _text(domain, "on_reboot", "restart")
    _text(domain, "on_crash", "destroy")
    devices = SubElement(domain, "devices")
    _text(devices, "emulator", platform.emulator)
    _controllers(devices, hardware, server)
    if server.rescue is not None and not server.rescue.stable:
        found = GuestDisks(disks.rescue, disks.root, None, disks.config_drive)
        _disks(devices, found, hardware, platform, second="qcow2")
    else:
        _disks(devices, disks, hardware, platform)
    if server.rescue is not None and server.rescue.stable and disks.rescue is not None:
        _rescue(devices, disks.rescue, hardware, platform)
    if ordered and disks.root is not None:
        SubElement(next(devices.iter("disk")), "boot", order="1")
    for volume in server.volumes:
        disk = _volume(volume, platform, "virtio" if volume.boot_index is None else hardware.disk_bus)
        if _boots(server, volume):
            SubElement(disk, "boot", order=str((volume.boot_index or 0) + 1))
        devices.append(disk)
    for nic in server.nics:
        devices.append(_interface(nic, server.vcpus, hardware, platform))
    _consoles(devices, server.id, log, hardware, platform)
    _extras(devices, server.id, hardware, platform)
    ElementTree.indent(domain)
    return ElementTree.tostring(domain, encoding="unicode")


def interface_xml(server: ServerDesired, nic: Nic, platform: Platform) -> str:
    """One interface, for hot-plugging. Raises ``GuestRefused``."""
    return ElementTree.tostring(_interface(nic, server.vcpus, choose(server), platform), encoding="unicode")


def volume_xml(volume: VolumeDisk, platform: Platform) -> str:
    """One volume, for hot-plugging. Raises ``GuestRefused``."""
    return ElementTree.tostring(_volume(volume, platform, "virtio"), encoding="unicode")


def _boots(server: ServerDesired, volume: VolumeDisk) -> bool:
    """Whether the guest may boot from the volume; a rescue disk is all that a rescued one boots from."""
    return volume.boot_index is not None and volume.boot_index >= 0 and server.rescue is None


# -- parts

def _text(parent: Element, tag: str, text: str, **attributes: str) -> Element:
    element = SubElement(parent, tag, attributes)
    element.text = text
    return element


def _metadata(domain: Element, server: ServerDesired, era: int) -> None:
    mark = SubElement(SubElement(domain, "metadata"), f"{{{NAMESPACE}}}server",
                      {"id": server.id, "era": str(era), "generation": str(server.generation)})
    _text(mark, f"{{{NAMESPACE}}}name", _printable(server.name))
    _text(mark, f"{{{NAMESPACE}}}project", server.project_id)


def _printable(text: str) -> str:
    """XML 1.0 has no control characters and no lone surrogates, whatever a server is called."""
    return "".join(char for char in text if char.isprintable())


def _system(domain: Element, server: ServerDesired, hardware: Hardware, *, ordered: bool) -> None:
    """*ordered*: disks say themselves in which order they are booted from."""
    system = SubElement(domain, "os", {"firmware": "efi"} if hardware.uefi else {})
    _text(system, "type", "hvm", arch="x86_64", machine=hardware.machine)
    if (server.rescue is None or not server.rescue.stable) and not ordered:
        SubElement(system, "boot", dev="hd")
    if hardware.boot_menu:
        SubElement(system, "bootmenu", enable="yes", timeout="3000")
    SubElement(system, "smbios", mode="sysinfo")
    sysinfo = SubElement(domain, "sysinfo", type="smbios")
    entries = SubElement(sysinfo, "system")
    _text(entries, "entry", "OpenStack Foundation", name="manufacturer")
    _text(entries, "entry", "OpenStack Nova", name="product")
    _text(entries, "entry", server.id, name="serial")
    _text(entries, "entry", server.id, name="uuid")
    _text(entries, "entry", "Virtual Machine", name="family")
    features = SubElement(domain, "features")
    SubElement(features, "acpi")
    SubElement(features, "apic")


def _processor(domain: Element, hardware: Hardware, platform: Platform) -> None:
    if platform.kvm:
        cpu = SubElement(domain, "cpu", mode="host-passthrough", check="none", migratable="on")
    else:
        cpu = SubElement(domain, "cpu", mode="custom", match="exact", check="none")
        _text(cpu, "model", "qemu64", fallback="allow")
        for name in _X86_64_V2:
            SubElement(cpu, "feature", policy="require", name=name)
    if hardware.topology:
        sockets, cores, threads = map(str, hardware.topology)
        SubElement(cpu, "topology", sockets=sockets, dies="1", cores=cores, threads=threads)


def _controllers(devices: Element, hardware: Hardware, server: ServerDesired) -> None:
    buses = {hardware.disk_bus, hardware.cdrom_bus, hardware.rescue_bus, *(volume.bus for volume in server.volumes)}
    usb = (server.rescue is not None and hardware.rescue_bus == "usb") or "usb" in buses - {hardware.rescue_bus}
    if hardware.q35:
        SubElement(devices, "controller", type="pci", model="pcie-root")
        for _ in range(SPARE_PORTS):
            SubElement(devices, "controller", type="pci", model="pcie-root-port")
    SubElement(devices, "controller", type="usb", model="qemu-xhci" if usb else "none")
    if "scsi" in buses:
        SubElement(devices, "controller", type="scsi", model="virtio-scsi")


_NAMES = {"virtio": "vd", "scsi": "sd", "sata": "sd", "ide": "hd", "usb": "sd"}


def _rescue(devices: Element, where: Path | RbdDisk, hardware: Hardware, platform: Platform) -> None:
    """The rescue disk behind the others, to boot from."""
    disk = _disk(devices, where, hardware.rescue_device, "qcow2", platform)
    letter = "c" if hardware.rescue_bus == "ide" else "y"
    SubElement(disk, "target", dev=f"{_NAMES[hardware.rescue_bus]}{letter}", bus=hardware.rescue_bus)
    SubElement(disk, "boot", order="1")
    if hardware.rescue_device == "cdrom":
        SubElement(disk, "readonly")


def _disks(devices: Element, disks: GuestDisks, hardware: Hardware, platform: Platform, *,
           second: str = "raw") -> None:
    """The disks in the order in which the guest finds them; *second* is the format of the second one. The first name is
    the root disk's, which may be a volume."""
    names = _NAMES
    letters = iter("abcdefgh" if disks.root is not None else "bcdefgh")
    for where, format in ((disks.root, "qcow2"), (disks.ephemeral, second), (disks.swap, "raw")):
        if where is None:
            continue
        disk = _disk(devices, where, "disk", format, platform, discard="unmap")
        SubElement(disk, "target", dev=f"{names[hardware.disk_bus]}{next(letters)}", bus=hardware.disk_bus)
    if disks.config_drive is not None:
        bus = hardware.cdrom_bus
        disk = _disk(devices, disks.config_drive, "disk" if bus == "virtio" else "cdrom", "raw", platform)
        letter = "z" if bus in ("virtio", "scsi") else "d"
        SubElement(disk, "target", dev=f"{names[bus]}{letter}", bus=bus)
        SubElement(disk, "readonly")


def _volume(volume: VolumeDisk, platform: Platform, bus: str) -> Element:
    """A volume's disk, on *bus* unless it says on which: its alias says which attachment it is, its serial number which
    volume, as Nova does it. QEMU itself opens an encrypted one, with the secret that ``give_key`` has put there."""
    bus, device = volume.bus or bus, volume.type if volume.type in DEVICES else "disk"
    if bus not in _NAMES or (device == "cdrom" and bus == "virtio"):
        raise GuestRefused(f"A volume can't be plugged in as {device} on {bus} here.")
    where, format = _place(volume, platform)
    shared = {"cache": "none"} if volume.shared and isinstance(where, RbdDisk) else {}     # others write as well
    disk = _disk(Element("devices"), where, device, format, platform, discard="unmap", **shared)
    if volume.key_id:
        opened = SubElement(next(disk.iter("source")), "encryption", format="luks")
        SubElement(opened, "secret", type="passphrase", uuid=volume.key_id)
    SubElement(disk, "target", dev=f"{_NAMES[bus]}{volume.device[-1:]}", bus=bus)
    if volume.readonly or device == "cdrom":
        SubElement(disk, "readonly")
    if volume.shared:
        SubElement(disk, "shareable")
    _text(disk, "serial", volume.volume_id)
    SubElement(disk, "alias", name=f"{VOLUME_ALIAS}{volume.id}")
    return disk


def _place(volume: VolumeDisk, platform: Platform) -> tuple[Path | RbdDisk, str]:
    """Where a volume lies, and in what format (``ports.volumes.VolumeStore.location``)."""
    scheme, _, rest = volume.location.partition("://")
    if scheme == "file":
        path, _, query = rest.partition("?")
        return Path(path), query.removeprefix("format=")
    if scheme == "rbd" and platform.ceph is not None:
        pool, _, name = rest.partition("/")
        return RbdDisk(pool, name, *platform.ceph), "raw"
    raise GuestRefused(f"This host can't reach the volume at {volume.location}.")


def _disk(devices: Element, where: Path | RbdDisk, device: str, format: str, platform: Platform,
          **driver: str) -> Element:
    """A disk and its source. Ceph's own cache holds back writes only until the guest flushes."""
    if isinstance(where, Path):
        disk = SubElement(devices, "disk", type="file", device=device)
        cache = "none" if platform.direct else "writeback"
        SubElement(disk, "driver", {"name": "qemu", "type": format, "cache": cache, **driver})
        source = SubElement(disk, "source", file=str(where))
        if platform.shared is not None and where.is_relative_to(platform.shared):
            SubElement(source, "seclabel", model="dac", relabel="no")
        return disk
    disk = SubElement(devices, "disk", type="network", device=device)
    SubElement(disk, "driver", {"name": "qemu", "type": "raw", "cache": "writeback", **driver})
    source = SubElement(disk, "source", protocol="rbd", name=f"{where.pool}/{where.name}")
    SubElement(source, "config", file=str(where.conf))
    login = SubElement(source, "auth", username=platform.user or where.user)
    SubElement(login, "secret", type="ceph", uuid=platform.secret)
    return disk


def _interface(nic: Nic, vcpus: int, hardware: Hardware, platform: Platform) -> Element:
    interface = Element("interface", type="bridge")
    SubElement(interface, "mac", address=nic.mac)
    SubElement(interface, "source", bridge=platform.bridge)
    port = SubElement(interface, "virtualport", type="openvswitch")
    SubElement(port, "parameters", interfaceid=nic.port_id)
    SubElement(interface, "target", dev=tap_name(nic.port_id))
    SubElement(interface, "model", type=hardware.vif_model)
    if hardware.vif_model == "virtio":
        driver = Element("driver")
        if platform.kvm and hardware.multiqueue and vcpus > 1:
            driver.set("queues", str(min(vcpus, 8)))
        if platform.netdev:
            SubElement(driver, "host", csum="off")
        if len(driver) or driver.attrib:
            interface.append(driver)
    SubElement(interface, "mtu", size=str(nic.mtu))
    return interface


def _consoles(devices: Element, server_id: str, log: Path, hardware: Hardware, platform: Platform) -> None:
    serial = SubElement(devices, "serial", type="unix")
    SubElement(serial, "source", mode="bind", path=str(platform.sockets / f"{server_id}.serial"))
    SubElement(serial, "log", file=str(log), append="on")
    target = SubElement(serial, "target", type="isa-serial", port="0")
    SubElement(target, "model", name="isa-serial")
    if hardware.video != "none":
        graphics = SubElement(devices, "graphics", type="vnc")
        SubElement(graphics, "listen", type="socket", socket=str(platform.sockets / f"{server_id}.vnc"))
    SubElement(SubElement(devices, "video"), "model", type=hardware.video)


def _extras(devices: Element, server_id: str, hardware: Hardware, platform: Platform) -> None:
    if hardware.guest_agent:
        channel = SubElement(devices, "channel", type="unix")
        SubElement(channel, "source", mode="bind", path=str(platform.sockets / f"{server_id}.agent"))
        SubElement(channel, "target", type="virtio", name="org.qemu.guest_agent.0")
    if hardware.watchdog:
        SubElement(devices, "watchdog", model="i6300esb", action=hardware.watchdog)
    if hardware.rng:
        rng = SubElement(devices, "rng", model="virtio")
        _text(rng, "backend", "/dev/urandom", model="random")
    SubElement(devices, "memballoon", model="virtio")
