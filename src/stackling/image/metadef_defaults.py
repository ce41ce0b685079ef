"""The metadata definitions that a cloud starts with: what its drivers and its scheduler read, and nothing else.

Namespaces and properties have the names under which OpenStack's users know them (those that ``glance-manage
db_load_metadefs`` loads), where OpenStack has such a property. User interfaces offer them when images, flavors,
servers, aggregates and volume types are made or changed; nothing is checked by them. Administrators change and delete
them like their own.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any

Properties = Mapping[str, Mapping[str, Any]]
_SERVER_ID = "The UUID of a server of the project."


@dataclass(frozen=True, slots=True)
class Definition:
    """A namespace, public. ``applies`` has the resource types with the prefix of the properties there, and what of the
    resource they are put on (``properties_target``), where there are several possibilities."""

    namespace: str
    display_name: str
    description: str
    applies: Sequence[tuple[str, str, str]]
    properties: Properties = field(default_factory=dict[str, Mapping[str, Any]])


def _choice(title: str, description: str, *values: str) -> dict[str, Any]:
    """A property with one of *values*, of which the first is the default."""
    return {"title": title, "description": description, "type": "string", "enum": list(values), "default": values[0]}


def _text(title: str, description: str) -> dict[str, Any]:
    return {"title": title, "description": description, "type": "string"}


def _switch(title: str, description: str, *, default: bool = False) -> dict[str, Any]:
    return {"title": title, "description": description, "type": "boolean", "default": default}


def _number(title: str, description: str, least: int, most: int, default: int) -> dict[str, Any]:
    return {"title": title, "description": description, "type": "integer", "minimum": least, "maximum": most,
            "default": default}


_IMAGE = (("OS::Glance::Image", "", ""), ("OS::Cinder::Volume", "", "image"))
_IMAGE_OR_FLAVOR = (("OS::Glance::Image", "hw_", ""), ("OS::Cinder::Volume", "hw_", "image"),
                    ("OS::Nova::Flavor", "hw:", ""))

DEFAULTS: Sequence[Definition] = (
    Definition("OS::Compute::LibvirtImage", "Virtual hardware", "Which devices a server has that starts from the "
               "image.", _IMAGE, {
        "hw_disk_bus": _choice("Disk bus", "How disks are attached. virtio is the fastest; old systems may know sata "
                               "(with machine q35) or ide (with machine pc) only.", "virtio", "scsi", "sata", "ide"),
        "hw_cdrom_bus": _choice("CD-ROM bus", "How the config drive and other CD-ROMs are attached.",
                                "virtio", "scsi", "sata", "ide"),
        "hw_vif_model": _choice("Network card", "The model of network cards. virtio is the fastest.",
                                "virtio", "e1000", "e1000e", "rtl8139"),
        "hw_vif_multiqueue_enabled": _switch("Several queues for each network card", "Lets traffic use as "
                                             "many processors as the server has."),
        "hw_video_model": _choice("Graphics card", "What the server's screen is drawn with; none leaves the screen "
                                  "out.", "vga", "virtio", "cirrus", "none"),
        "hw_machine_type": _choice("Machine", "The board: q35 has PCI Express, pc is the older one. A version may "
                                   "follow (pc-q35-7.2).", "q35", "pc"),
        "hw_firmware_type": _choice("Firmware", "What starts the system.", "bios", "uefi"),
        "hw_qemu_guest_agent": _switch("Guest agent", "The image runs qemu-guest-agent, so that passwords can be "
                                       "changed and file systems come to rest for snapshots."),
        "hw_rescue_bus": _choice("Rescue disk's bus", "How this image is attached when a server is rescued with it.",
                                 "virtio", "scsi", "sata", "ide", "usb"),
        "hw_rescue_device": _choice("Rescue disk's kind", "What this image is attached as when a server is rescued "
                                    "with it.", "disk", "cdrom"),
    }),
    Definition("OS::Compute::Libvirt", "Start menu", "What a server shows when it starts.", _IMAGE_OR_FLAVOR, {
        "boot_menu": _switch("Start menu", "The firmware offers to choose the disk to start from."),
    }),
    Definition("OS::Compute::VirtCPUTopology", "Layout of processors", "How a server's virtual processors are grouped. "
               "What doesn't multiply to their number is left to the host.", _IMAGE_OR_FLAVOR, {
        "cpu_sockets": _number("Sockets", "The number of sockets.", 1, 1024, 1),
        "cpu_cores": _number("Cores", "The number of cores of each socket.", 1, 1024, 1),
        "cpu_threads": _number("Threads", "The number of threads of each core.", 1, 1024, 1),
    }),
    Definition("OS::Compute::Watchdog", "Watchdog", "A device that notices when the system in the server hangs.",
               _IMAGE_OR_FLAVOR, {
        "watchdog_action": _choice("When it hangs", "What happens when the system has stopped to answer the watchdog.",
                                   "reset", "poweroff", "pause", "none"),
    }),
    Definition("OS::Compute::RandomNumberGenerator", "Random numbers", "The device that gives a server random numbers "
               "of its host.", (("OS::Nova::Flavor", "hw_rng:", ""),), {
        "allowed": _switch("Has the device", "Servers have the device.", default=True),
    }),
    Definition("OS::OperatingSystem", "Operating system", "What is in the image.", _IMAGE, {
        "os_type": _choice("Kind", "With windows, the account whose password is set is Administrator.",
                           "linux", "windows"),
        "os_distro": _text("Distribution", "Its short name in lower case: debian, ubuntu, fedora …"),
        "os_version": _text("Version", "As the distribution writes it: 12, 24.04 …"),
        "os_admin_user": _text("Account", "Who logs in, and whose password is set."),
    }),
    Definition("OS::Compute::SchedulerHints", "Near or far from others", "Where the scheduler looks for a host.",
               (("OS::Nova::Server", "", "scheduler_hints"),), {
        "different_host": _text("Away from", f"Not on the host of this server. {_SERVER_ID}"),
        "same_host": _text("Together with", f"On the host of this server. {_SERVER_ID}"),
    }),
    Definition("Stackling::PublicAddress", "Public address", "Gives a server a floating IP that goes with it.",
               (("OS::Nova::Server", "", "metadata"),), {
        "floating_ip": _choice("Public address", "A floating IP is taken when the server is made, and given back when "
                               "it is deleted.", "auto"),
    }),
    Definition("Stackling::HighAvailability", "Order of evacuation", "Which servers are started elsewhere first when "
               "their host has failed.", (("OS::Nova::Flavor", "ha:", ""),), {
        "priority": _number("Priority", "Servers of flavors with a higher priority come first.", -100, 100, 0),
    }),
    Definition("OS::Compute::AvailabilityZone", "Availability zone", "Hosts of the aggregate form a zone that servers "
               "can ask for.", (("OS::Nova::Aggregate", "", ""),), {
        "availability_zone": _text("Zone", "The zone's name. A host is in one zone only."),
    }),
    Definition("OS::Cinder::VolumeTypes", "Where volumes lie", "What a volume's backend must offer.",
               (("OS::Cinder::VolumeType", "", ""),), {
        "volume_backend_name": _text("Backend", "The name of the pool, as the list of pools shows it."),
        "multiattach": _choice("Several servers", "Volumes may be attached to several servers at once.", "<is> True"),
    }),
)
