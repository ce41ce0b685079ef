"""What a guest tries from inside, as root: lie about who it is, play the network's part, reach what isn't its own."""

from __future__ import annotations

import base64
import io
import ipaddress
import json
import os
import socket
import stat
import tarfile
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path

import pytest

from stackling.cli import output, quickstart
from stackling.deploy.embedded import configuration, credentials, engines, libvirt, processes
from stackling.deploy.embedded.command import run
from tests.e2e import frames, tenants
from tests.e2e.clouds import TestCloud, cloud
from tests.e2e.tenants import Guest

pytestmark = [pytest.mark.e2e, pytest.mark.root, pytest.mark.slow]
EVERYBODY, SOMEBODY = "ff:ff:ff:ff:ff:ff", "fa:16:3e:66:66:66"
GATEWAY, STRANGER, STRANGER6 = "10.0.0.1", "10.0.0.99", "fd00:0:0:1::99"
METADATA = "http://169.254.169.254"


@dataclass(frozen=True)
class Place:
    """Two guests of one tenant on a network, and one of another tenant whose network and address are the same."""

    cloud: TestCloud
    attacker: Guest
    victim: Guest
    stranger: Guest
    gateway: str


@pytest.fixture(scope="module")
def place(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Place]:
    with cloud("--isolated") as made:
        admin = tenants.administrator(made)
        quickstart.ensure_image(admin, output.Steps(quiet=True), simulated=False)
        image = admin.get("image", "/images", name=quickstart.IMAGE)["images"][0]["id"]
        folder = tmp_path_factory.mktemp("keys")
        first, second = (tenants.tenant(made, name, folder, image) for name in ("first", "second"))
        asked = [first.request("attacker", "10.0.0.10"), first.request("victim", "10.0.0.11")]
        asked2 = second.request("stranger", "10.0.0.10")
        leg = next(port for port in first.client.get("network", "/ports", network_id=first.network)["ports"]
                   if port["device_owner"] == "network:router_interface"
                   and port["fixed_ips"][0]["ip_address"] == GATEWAY)
        yield Place(made, first.guest(asked[0]), first.guest(asked[1]), second.guest(asked2), leg["mac_address"])


# -- frames


def lies(place: Place) -> dict[str, bytes]:
    """What must not arrive, by the mark that it carries."""
    mine, his, router = place.attacker.mac, place.victim.mac, place.gateway
    (own, own6), (target, target6) = place.attacker.addresses, place.victim.addresses
    local, router_local, all_nodes = frames.link_local(mine), frames.link_local(router), "ff02::1"
    group = frames.multicast(all_nodes)

    def udp(mark: str, source: str = mine, sender: str = own, to: str = his, port: int = 7777) -> bytes:
        receiver = target6 if ":" in sender else target
        return frames.udp(to, source, (sender, receiver), (port, port), mark.encode())

    def arp(mark: str, to: str, source: str, hardware: str, address: str, operation: int = 2) -> bytes:
        return frames.arp(to, source, operation=operation, sender=(hardware, address), asked=(his, target),
                          mark=mark.encode())

    def nd(mark: str, kind: int, body: bytes, *, sender: str = local, to: str = group, receiver: str = all_nodes,
           source: str = mine) -> bytes:
        return frames.icmp6(to, source, (sender, receiver), kind, body, mark.encode())

    made = {
        "mac-other": udp("mac-other", source=SOMEBODY),
        "mac-victim": udp("mac-victim", source=his),
        "mac-router": udp("mac-router", source=router),
        "mac-other6": udp("mac-other6", source=SOMEBODY, sender=own6),
        "ip-other": udp("ip-other", sender=STRANGER),
        "ip-router": udp("ip-router", sender=GATEWAY),
        "ip-world": udp("ip-world", sender="198.51.100.7"),
        "ip-victim": udp("ip-victim", sender=target),
        "ip-everyone": udp("ip-everyone", sender=STRANGER, to=EVERYBODY),
        "ip6-other": udp("ip6-other", sender=STRANGER6),
        "ip6-world": udp("ip6-world", sender="2001:db8::7"),
        "ip6-local": udp("ip6-local", sender="fe80::99"),
        "vlan": frames.tagged(udp("vlan", sender=STRANGER), 0),
        "vlan-5": frames.tagged(udp("vlan-5"), 5),
        "arp-router": arp("arp-router", his, mine, mine, GATEWAY),
        "arp-gratuitous": arp("arp-gratuitous", EVERYBODY, mine, mine, GATEWAY, 1),
        "arp-other": arp("arp-other", his, mine, mine, STRANGER),
        "arp-hardware": arp("arp-hardware", his, mine, SOMEBODY, own),
        "arp-source": arp("arp-source", his, SOMEBODY, SOMEBODY, own),
        "na-router": nd("na-router", 136, frames.advertisement(router_local, mine)),
        "na-victim": nd("na-victim", 136, frames.advertisement(target6, mine)),
        "na-hardware": nd("na-hardware", 136, frames.advertisement(own6, SOMEBODY), sender=own6, to=his,
                          receiver=target6),
        "na-unicast": nd("na-unicast", 136, frames.advertisement(router_local, mine), to=his, receiver=target6),
        "na-sender": nd("na-sender", 136, frames.advertisement(router_local, mine), sender=router_local),
        "ns-hardware": nd("ns-hardware", 135, frames.solicitation(target6, SOMEBODY), to=his, receiver=target6),
        "ns-sender": nd("ns-sender", 135, frames.solicitation(target6, mine), sender=STRANGER6, to=his,
                        receiver=target6),
        "ra-everyone": nd("ra-everyone", 134, frames.router_advertisement("2001:db8:bad::", mine)),
        "ra-unicast": nd("ra-unicast", 134, frames.router_advertisement("2001:db8:bad::", mine), to=his,
                         receiver=target6),
        "ra-router": nd("ra-router", 134, frames.router_advertisement("2001:db8:bad::", router),
                        sender=router_local, source=router),
        "redirect": nd("redirect", 137, bytes(4) + 2 * ipaddress.ip_address("2001:db8::1").packed,
                       sender=router_local, to=his, receiver=target6),
    }
    for name, to, receiver in (("dhcp", his, target), ("dhcp-everyone", EVERYBODY, "255.255.255.255")):
        made[name] = frames.udp(to, mine, (own, receiver), (67, 68), frames.offer(own, target, his, name.encode()))
    made["dhcp6"] = frames.udp(his, mine, (local, frames.link_local(his)), (547, 546), b"dhcp6" + bytes(32))
    return made


def truths(place: Place) -> dict[str, bytes]:
    """What must arrive, so that silence means something."""
    mine, his = place.attacker.mac, place.victim.mac
    (own, own6), (target, target6) = place.attacker.addresses, place.victim.addresses
    return {
        "true-arp": frames.arp(his, mine, operation=2, sender=(mine, own), asked=(his, target), mark=b"true-arp"),
        "true-na": frames.icmp6(his, mine, (own6, target6), 136, frames.advertisement(own6, mine), b"true-na"),
        "true-udp": frames.udp(his, mine, (own, target), (7777, 7777), b"true-udp"),
        "true-udp6": frames.udp(his, mine, (own6, target6), (7777, 7777), b"true-udp6"),
    }


def put(guest: Guest, files: Mapping[str, bytes]) -> None:
    """Put programs and data into the guest's /tmp."""
    packed = io.BytesIO()
    with tarfile.open(fileobj=packed, mode="w:gz") as archive:
        for name, content in files.items():
            entry = tarfile.TarInfo(name)
            entry.size, entry.mode = len(content), 0o755
            archive.addfile(entry, io.BytesIO(content))
    guest(f"echo {base64.b64encode(packed.getvalue()).decode()} | base64 -d | tar xz -C /tmp")


def test_a_guest_can_lie_about_nothing(place: Place) -> None:
    """Senders' MAC, IP, ARP and ND; DHCP and router advertisements are not for guests to send at all."""
    false, true = lies(place), truths(place)
    put(place.victim, {"hear": frames.program(sends=False)})
    put(place.attacker, {"send": frames.program(sends=True), **{f"false/{name}": data for name, data in false.items()},
                         **{f"true/{name}": data for name, data in true.items()}})
    before = place.victim("ip route; ip -6 route; cat /etc/resolv.conf")
    place.victim("/tmp/hear >/tmp/heard 2>/dev/null </dev/null & echo $! >/tmp/hear.pid")
    try:
        failed = place.attacker("for n in 1 2 3; do for f in /tmp/false/*; do /tmp/send <$f || echo $f; done; done")
        assert failed == ""

        def missing() -> list[str]:
            place.attacker("for f in /tmp/true/*; do /tmp/send <$f; done")
            return [name for name in true if place.victim(f"grep -c {name}[^6] /tmp/heard; true") == "0"]

        place.cloud.eventually(missing, lambda names: names == [], 30)
    finally:
        place.victim("kill $(cat /tmp/hear.pid)")
    heard = base64.b64decode(place.victim("base64 /tmp/heard"))
    assert [name for name in false if name.encode() in heard] == []
    assert place.victim("ip route; ip -6 route; cat /etc/resolv.conf") == before
    neighbours = place.victim("ip neigh")
    assert place.gateway in neighbours
    assert not [line for line in neighbours.splitlines()
                if line.startswith((GATEWAY + " ", STRANGER + " ")) and place.attacker.mac in line]
    assert "2001:db8:bad" not in place.victim("ip -6 addr")


# -- what isn't the guest's


def reached(guest: Guest, doors: Sequence[tuple[str, int]]) -> set[tuple[str, int]]:
    """Those of (address, port) that take a TCP connection from the guest."""
    tries = "".join(f"(nc -w 2 {address} {port} </dev/null >/dev/null 2>&1 && echo {address} {port}) & "
                    for address, port in doors)
    words = [line.split() for line in guest(f"{tries} wait").splitlines()]
    return {(address, int(port)) for address, port in words}


def test_a_guest_reaches_nothing_of_the_machine(place: Place) -> None:
    port = configuration.read(place.cloud.directory.configuration).port
    mine = [address["local"] for link in json.loads(run("ip", "-json", "address"))
            for address in link["addr_info"] if address["scope"] == "global"]
    assert mine
    metadata = json.loads(place.attacker(f"wget -qO- {METADATA}/openstack/latest/network_data.json"))
    servers = [route["gateway"] for network in metadata["networks"] for route in network.get("routes", [])]
    open_ = (place.victim.addresses[0], 22)
    numbers = (22, port, 111, 6640, 6641, 6642, 16509)
    doors = [(address, number) for address in ("127.0.0.1", "::1", "169.254.169.254", GATEWAY, *mine, *servers)
             for number in numbers if (address, number) not in (("127.0.0.1", 22), ("::1", 22))]
    assert reached(place.attacker, [open_, *doors]) == {open_}


def test_a_guest_finds_no_network_stack_but_those_of_guests_and_routers(place: Place) -> None:
    """The machine's ends of the guests' interfaces hear every frame, and must not answer."""
    known = {frames.link_local(mac) for mac in (place.attacker.mac, place.victim.mac, place.gateway)}
    for guest in (place.attacker, place.victim):
        own_end = frames.link_local("fe" + guest.mac[2:])
        assert place.attacker.login.try_(f"ping -c 2 -W 1 {own_end}%eth0").returncode != 0
    answered = place.attacker("ping -c 3 -W 1 ff02::1%eth0; true")
    found = {line.split()[3].rstrip(":") for line in answered.splitlines() if line.startswith("64 bytes from")}
    assert found <= known, f"{found - known} answer"


def test_nothing_of_the_cloud_listens_where_guests_could_be(place: Place) -> None:
    directory = place.cloud.directory
    settings = configuration.read(directory.configuration)
    ours = {pid for pid, _ in place.cloud.processes()} | {
        guest.pid for guest in libvirt.guest_processes(engines.libvirt_paths(directory))}

    def listening(netns: str | None) -> set[str]:
        lines = run("ss", "-Hltunp", netns=netns).splitlines()
        return {line.split()[4] for line in lines if any(f"pid={pid}," in line for pid in ours)}

    assert listening(None) == {f"{settings.listen}:{settings.port}"}
    assert listening(directory.instance) == set()
    assert listening(f"{directory.instance}-outside") == set()
    namespaces = list(Path("/run/netns").glob(f"{directory.instance}-md-*"))
    assert len(namespaces) == 2
    for path in namespaces:
        assert listening(path.name) <= {"0.0.0.0:80", "[::]:80"}
        assert run("sysctl", "-n", "net.ipv4.ip_forward", "net.ipv6.conf.all.forwarding",
                   netns=path.name).split() == ["0", "0"]


def test_each_guest_gets_its_own_metadata_whatever_it_claims(place: Place) -> None:
    """Two tenants have the same network and address; headers, paths and borrowed addresses change nothing."""
    def uuid(guest: Guest, headers: str = "", path: str = "/openstack/latest/meta_data.json") -> str:
        return json.loads(guest(f"wget -qO- {headers} {METADATA}{path}"))["uuid"]

    for guest in (place.attacker, place.victim, place.stranger):
        assert uuid(guest) == guest.id
        assert guest(f"wget -qO- {METADATA}/latest/meta-data/hostname").startswith(guest.name)
    other, neighbour = place.stranger, place.victim
    headers = " ".join(f"--header '{name}: {value}'" for name, value in {
        "X-Forwarded-For": neighbour.addresses[0], "X-Real-IP": neighbour.addresses[0], "Forwarded": "for=10.0.0.11",
        "X-Instance-ID": other.id, "X-Instance-ID-Signature": "0" * 64, "X-Tenant-ID": "0", "X-OVN-Network-ID": "0",
        "X-Neutron-Network-ID": "0", "X-Machine-Credential": "x", "Host": neighbour.addresses[0]}.items())
    assert uuid(place.attacker, headers) == place.attacker.id
    for path in ("/openstack/latest/../../internal/machines", "/internal/machines", "/..%2f..%2fetc/passwd",
                 "//etc/passwd", "/openstack/latest/meta_data.json%00", f"/{other.id}/meta_data.json"):
        assert place.attacker.login.try_(f"wget -qO- '{METADATA}{path}'").returncode != 0, path


def test_a_borrowed_address_gets_no_answer(place: Place) -> None:
    """Neither from the metadata service nor from others; afterwards the guest's own still works."""
    borrowed = place.victim.addresses[0]
    script = (f"ip addr add {borrowed}/32 dev eth0; ip route del 169.254.169.254;"
              f"ip route add 169.254.169.254/32 via {GATEWAY} dev eth0 src {borrowed};"
              f"timeout 4 wget -qO- {METADATA}/openstack/latest/meta_data.json;"
              f"ip route del 169.254.169.254; ip addr del {borrowed}/32 dev eth0;"
              "kill -USR1 $(cat /run/udhcpc.eth0.pid)")
    assert place.victim.id not in place.attacker(script)
    place.cloud.eventually(
        lambda: place.attacker.login.try_(f"timeout 4 wget -qO- {METADATA}/openstack/latest/meta_data.json").stdout,
        lambda text: place.attacker.id in text, 60)


def test_a_guest_with_another_hardware_address_is_alone(place: Place) -> None:
    """``ip link set address``, as people do it: no answer until it has its own again."""
    own = place.attacker.mac
    said = place.attacker(
        f"setsid sh -c 'ip link set eth0 down; ip link set eth0 address {SOMEBODY}; ip link set eth0 up;"
        f"ip addr add 10.0.0.10/24 dev eth0 2>/dev/null; ping -c 3 -W 1 {place.victim.addresses[0]} >/tmp/alone 2>&1;"
        f"ip link set eth0 down; ip link set eth0 address {own}; ip link set eth0 up;"
        f"ip addr add 10.0.0.10/24 dev eth0 2>/dev/null; ip route add default via {GATEWAY};"
        "kill -USR1 $(cat /run/udhcpc.eth0.pid); touch /tmp/again' >/dev/null 2>&1 </dev/null & echo away")
    assert said == "away"
    place.cloud.eventually(lambda: place.attacker.login.try_("cat /tmp/again && cat /tmp/alone", 60),
                           lambda done: done.returncode == 0, 120)
    assert ", 0 packets received" in place.attacker("cat /tmp/alone")


# -- what lies about


def test_secrets_are_for_their_owner_alone(place: Place) -> None:
    """Files of root's only, no socket that others may speak to, nothing secret in logs or command lines."""
    directory = place.cloud.directory
    for name in ("clouds.yaml", "cluster.key", "machine.credential", "agent.toml", "stackling.db", "stackling.db-wal",
                 "cli-token.json", "agent/ledger"):
        path = directory.root / name
        assert not path.exists() or (stat.S_IMODE(path.stat().st_mode), path.stat().st_uid) == (0o600, 0), name
    assert sorted(path for root in (directory.root, directory.run) for path in reachable(root)
                  if stat.S_ISSOCK(path.lstat().st_mode) or path.lstat().st_mode & stat.S_IWOTH) == []
    disks = list(directory.instances.glob("*/*.qcow2"))
    assert len(disks) == 3
    assert [disk for disk in disks if disk.stat().st_mode & 0o007] == []


def reachable(root: Path) -> Iterator[Path]:
    """Everything under *root* that any account of the machine can reach, as far as directories may be entered."""
    if not root.stat().st_mode & stat.S_IXOTH:
        return
    for path in root.iterdir():
        if path.is_symlink():
            continue
        if path.is_dir():
            yield from reachable(path)
        elif path.lstat().st_mode & 0o006:
            yield path


def test_no_secret_stands_in_a_log_or_a_command_line(place: Place) -> None:
    directory = place.cloud.directory
    kept = credentials.read(directory)
    token = json.loads((directory.root / "cli-token.json").read_text())["token"]
    secret = [kept.admin_password, kept.cluster_key, directory.machine_credential.read_text().strip(), token]
    assert all(len(one or "") >= 12 for one in secret)
    logs = [path for path in (*directory.logs.rglob("*"), *(directory.root / "libvirt" / "log").rglob("*"))
            if path.is_file()]
    texts = {str(path): path.read_bytes() for path in logs}
    for pid in (*(pid for pid, _ in place.cloud.processes()), *qemus(place)):
        for what in ("cmdline", "environ"):
            texts[f"{pid} {what}"] = Path(f"/proc/{pid}/{what}").read_bytes()
    found = {(name, number) for name, text in texts.items() for number, one in enumerate(secret)
             if one and one.encode() in text}
    assert found == set()


def qemus(place: Place) -> list[int]:
    return [guest.pid for guest in libvirt.guest_processes(engines.libvirt_paths(place.cloud.directory))]


def status_of(pid: int) -> dict[str, str]:
    """``/proc/PID/status``."""
    return dict(line.split(":", 1) for line in Path(f"/proc/{pid}/status").read_text().splitlines() if ":" in line)


def test_qemu_runs_without_rights(place: Place) -> None:
    assert len(qemus(place)) == 3
    for pid in qemus(place):
        status = status_of(pid)
        assert "0" not in status["Uid"].split() + status["Gid"].split()
        assert int(status["CapEff"], 16) == int(status["CapPrm"], 16) == int(status["CapInh"], 16) == 0
        assert status["NoNewPrivs"].strip() == "1"
        assert status["Seccomp"].strip() == "2"
        assert processes.marked(pid) is None
        words = Path(f"/proc/{pid}/cmdline").read_bytes().decode().split("\0")
        assert "spawn=deny" in words[words.index("-sandbox") + 1]
        assert [word for word in words if "vnc" in word and "unix:" not in word and word != "-vnc"] == []


def test_qemu_s_account_reaches_no_socket_and_no_secret(place: Place) -> None:
    """What a guest could do that broke out of QEMU: nothing with the cloud's own doors."""
    directory = place.cloud.directory
    doors = [directory.run / "internal.sock", directory.run / "agent.sock", directory.run / "supervisor.sock",
             directory.run / "ovn" / "nb.sock", directory.run / "ovn" / "sb.sock", directory.run / "ovn" / "conf.sock",
             engines.libvirt_paths(directory).socket]
    files = [directory.clouds_yaml, directory.cluster_key, directory.machine_credential, directory.database,
             directory.root / "agent" / "ledger", directory.ovn / "nb.db"]
    assert all(path.exists() for path in (*doors, *files))
    status = status_of(qemus(place)[0])
    reader, writer = os.pipe()
    child = os.fork()
    if child == 0:
        os.setgroups([int(group) for group in status["Groups"].split()])
        os.setgid(int(status["Gid"].split()[0]))
        os.setuid(int(status["Uid"].split()[0]))
        opened = [str(path) for path in doors if _connects(path)] + [str(path) for path in files if _reads(path)]
        os.write(writer, json.dumps(opened).encode())
        os._exit(0)
    os.close(writer)
    with os.fdopen(reader) as answer:
        assert json.loads(answer.read()) == []
    os.waitpid(child, 0)


def _connects(path: Path) -> bool:
    with socket.socket(socket.AF_UNIX) as client:
        try:
            client.connect(str(path))
        except OSError:
            return False
    return True


def _reads(path: Path) -> bool:
    try:
        path.read_bytes()
    except OSError:
        return False
    return True
