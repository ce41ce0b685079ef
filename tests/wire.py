"""Frames by hand, and a small program that sends, receives and serves them inside a guest's namespace.

Run as ``python tests/wire.py COMMAND …`` in the namespace; needs nothing but Python.
"""

from __future__ import annotations

import json
import socket
import struct
import sys
import time
from ipaddress import IPv4Address, IPv6Address, ip_address

IPV4, ARP, IPV6 = 0x0800, 0x0806, 0x86DD


def mac_bytes(mac: str) -> bytes:
    return bytes.fromhex(mac.replace(":", ""))


def checksum(data: bytes) -> int:
    data += b"\0" * (len(data) % 2)
    total = sum(struct.unpack(f"!{len(data) // 2}H", data))
    while total >> 16:
        total = (total & 0xFFFF) + (total >> 16)
    return ~total & 0xFFFF


def ethernet(source: str, destination: str, kind: int, payload: bytes) -> bytes:
    return mac_bytes(destination) + mac_bytes(source) + struct.pack("!H", kind) + payload


def ip(source: str, destination: str, protocol: int, payload: bytes, hops: int = 64) -> bytes:
    """An IP packet of the addresses' version."""
    one, two = ip_address(source), ip_address(destination)
    if isinstance(one, IPv6Address):
        return struct.pack("!IHBB", 6 << 28, len(payload), protocol, hops) + one.packed + two.packed + payload
    head = struct.pack("!BBHHHBBH", 0x45, 0, 20 + len(payload), 1, 0, hops, protocol, 0) + one.packed + two.packed
    return head[:10] + struct.pack("!H", checksum(head)) + head[12:] + payload


def _pseudo(source: str, destination: str, protocol: int, length: int) -> bytes:
    one, two = ip_address(source), ip_address(destination)
    form = "!IHBB" if isinstance(one, IPv6Address) else "!BBH"
    tail = struct.pack("!IHBB", length, 0, 0, protocol) if form == "!IHBB" else struct.pack(form, 0, protocol, length)
    return one.packed + two.packed + tail


def udp(source: str, destination: str, source_port: int, destination_port: int, payload: bytes) -> bytes:
    """An IP packet with a datagram."""
    length = 8 + len(payload)
    head = struct.pack("!HHHH", source_port, destination_port, length, 0)
    total = checksum(_pseudo(source, destination, 17, length) + head + payload) or 0xFFFF
    return ip(source, destination, 17, head[:6] + struct.pack("!H", total) + payload)


def icmp6(source: str, destination: str, type: int, body: bytes, hops: int = 255) -> bytes:
    """An IPv6 packet with an ICMPv6 message, code 0."""
    message = struct.pack("!BBH", type, 0, 0) + body
    total = checksum(_pseudo(source, destination, 58, len(message)) + message)
    return ip(source, destination, 58, message[:2] + struct.pack("!H", total) + message[4:], hops)


def arp_reply(mac: str, address: str, to_mac: str, to: str) -> bytes:
    return (struct.pack("!HHBBH", 1, IPV4, 6, 4, 2) + mac_bytes(mac) + IPv4Address(address).packed + mac_bytes(to_mac)
            + IPv4Address(to).packed)


def neighbour_advertisement(source: str, destination: str, target: str, mac: str) -> bytes:
    return icmp6(source, destination, 136, struct.pack("!I", 0x60000000) + IPv6Address(target).packed + b"\x02\x01"
                 + mac_bytes(mac))


def router_advertisement(source: str, prefix: str) -> bytes:
    """A router's offer of a prefix of 64 bits."""
    option = struct.pack("!BBBBIII", 3, 4, 64, 0xC0, 3600, 3600, 0) + IPv6Address(prefix).packed
    return icmp6(source, "ff02::1", 134, struct.pack("!BBHII", 64, 0, 1800, 0, 0) + option)


def dhcp_message(kind: int, mac: str, transaction: int, options: bytes = b"", *, reply: bool = False,
                 yours: str = "0.0.0.0") -> bytes:
    """A BOOTP message with DHCP options."""
    head = struct.pack("!BBBBIHH", 2 if reply else 1, 1, 6, 0, transaction, 0, 0x8000)
    head += bytes(4) + IPv4Address(yours).packed + bytes(8) + mac_bytes(mac) + bytes(10) + bytes(192)
    return head + b"\x63\x82\x53\x63" + bytes((53, 1, kind)) + options + b"\xff"


def _packets(device: str) -> socket.socket:
    opened = socket.socket(socket.AF_PACKET, socket.SOCK_RAW, socket.htons(3))
    opened.bind((device, 0))
    return opened


def _mac_of(opened: socket.socket) -> str:
    return opened.getsockname()[4].hex(":")


def _routes(data: bytes) -> list[str]:
    routes: list[str] = []
    while data:
        length = data[0]
        size = (length + 7) // 8
        to = IPv4Address(data[1:1 + size] + bytes(4 - size))
        routes.append(f"{to}/{length} {IPv4Address(data[1 + size:5 + size])}")
        data = data[5 + size:]
    return routes


def _answer(opened: socket.socket, transaction: int, deadline: float) -> tuple[str, dict[int, bytes]] | None:
    while (left := deadline - time.monotonic()) > 0:
        opened.settimeout(left)
        try:
            frame = opened.recv(2000)
        except TimeoutError:
            return None
        if frame[12:14] != b"\x08\0" or frame[23] != 17 or frame[36:38] != b"\0\x44":
            continue
        message = frame[42:]
        if struct.unpack("!I", message[4:8])[0] != transaction:
            continue
        options, at = {}, 240
        while at < len(message) and message[at] != 255:
            options[message[at]] = message[at + 2:at + 2 + message[at + 1]]
            at += 2 + message[at + 1]
        return str(IPv4Address(message[16:20])), options
    return None


def dhcp(device: str, seconds: str = "10") -> int:
    """Get a lease and print what was offered, as JSON."""
    opened = _packets(device)
    mac, transaction = _mac_of(opened), int(time.time()) & 0xFFFFFF
    deadline = time.monotonic() + float(seconds)

    def ask(kind: int, options: bytes) -> tuple[str, dict[int, bytes]] | None:
        body = dhcp_message(kind, mac, transaction, options + bytes((55, 6, 1, 3, 6, 26, 121, 51)))
        frame = ethernet(mac, "ff:ff:ff:ff:ff:ff", IPV4, udp("0.0.0.0", "255.255.255.255", 68, 67, body))
        while time.monotonic() < deadline:
            opened.send(frame)
            if answer := _answer(opened, transaction, min(deadline, time.monotonic() + 1)):
                return answer
        return None

    offer = ask(1, b"")
    lease = offer and ask(3, bytes((50, 4)) + IPv4Address(offer[0]).packed + bytes((54, 4)) + offer[1][54])
    if not lease:
        return 1
    address, options = lease
    print(json.dumps({
        "address": address, "type": options[53][0], "mask": str(IPv4Address(options[1])),
        "router": str(IPv4Address(options[3])) if 3 in options else None,
        "mtu": int.from_bytes(options.get(26, b""), "big"), "lease": int.from_bytes(options.get(51, b""), "big"),
        "dns": [str(IPv4Address(options[6][at:at + 4])) for at in range(0, len(options.get(6, b"")), 4)],
        "routes": _routes(options.get(121, b"")),
    }))
    return 0


def send(device: str, frames: str, times: str = "3") -> int:
    """Send frames (hex, comma-separated), each several times."""
    opened = _packets(device)
    for _ in range(int(times)):
        for frame in frames.split(","):
            opened.send(bytes.fromhex(frame))
            time.sleep(0.02)
    return 0


def sniff(device: str) -> int:
    """Print every frame that comes in, as hex, until killed."""
    opened = _packets(device)
    print("ready", flush=True)
    while True:
        frame, where = opened.recvfrom(4000)
        if where[2] != socket.PACKET_OUTGOING:
            print(frame.hex(), flush=True)


def serve(address: str, port: str) -> int:
    """Answer every TCP connection with the caller's address; an ``echo`` line keeps it open and echoes."""
    version = socket.AF_INET6 if ":" in address else socket.AF_INET
    listener = socket.create_server((address, int(port)), family=version)
    print("ready", flush=True)
    while True:
        connection, peer = listener.accept()
        connection.sendall(peer[0].encode() + b"\n")
        connection.close()


def named(port: str, name: str) -> int:
    """Answer every TCP connection with a name."""
    listener = socket.create_server(("0.0.0.0", int(port)))
    print("ready", flush=True)
    while True:
        connection, _ = listener.accept()
        connection.sendall(name.encode() + b"\n")
        connection.close()


def named_udp(port: str, name: str) -> int:
    """Answer every datagram with a name."""
    bound = socket.socket(socket.AF_INET, socket.SOCK_DGRAM)
    bound.bind(("0.0.0.0", int(port)))
    print("ready", flush=True)
    while True:
        _, peer = bound.recvfrom(100)
        bound.sendto(name.encode() + b"\n", peer)


def ask(address: str, port: str, times: str = "1") -> int:
    """Print who answers on each of so many connections; a dash where nobody does."""
    for _ in range(int(times)):
        try:
            with socket.create_connection((address, int(port)), 3.5) as connection:
                print(connection.recv(100).decode().strip() or "-")
        except OSError:
            print("-")
    return 0


def ask_udp(address: str, port: str, times: str = "1") -> int:
    """The same by datagrams, each from another port."""
    for _ in range(int(times)):
        with socket.socket(socket.AF_INET, socket.SOCK_DGRAM) as asker:
            asker.settimeout(1)
            try:
                asker.sendto(b"?", (address, int(port)))
                print(asker.recv(100).decode().strip())
            except OSError:
                print("-")
    return 0


def echo(address: str, port: str) -> int:
    """Echo on one TCP connection after another."""
    listener = socket.create_server((address, int(port)))
    print("ready", flush=True)
    while True:
        connection, _ = listener.accept()
        while data := connection.recv(100):
            connection.sendall(data)


def get(address: str, port: str, seconds: str = "3") -> int:
    """Connect and print what comes."""
    try:
        with socket.create_connection((address, int(port)), float(seconds)) as connection:
            print(connection.recv(100).decode().strip())
    except OSError as error:
        print(f"no: {error}")
        return 1
    return 0


def ping(address: str, seconds: str = "1") -> int:
    """One echo request."""
    six = ":" in address
    asker = socket.socket(socket.AF_INET6 if six else socket.AF_INET, socket.SOCK_RAW,
                          socket.IPPROTO_ICMPV6 if six else socket.IPPROTO_ICMP)
    mark = struct.pack("!HH", int(time.time() * 1000) & 0xFFFF, 1) + b"stackling"
    head = struct.pack("!BBH", 128 if six else 8, 0, 0)
    if not six:                                     # for ICMPv6 the kernel does it
        head = head[:2] + struct.pack("!H", checksum(head + mark))
    deadline = time.monotonic() + float(seconds)
    try:
        asker.sendto(head + mark, socket.getaddrinfo(address, 0)[0][4])
        while (left := deadline - time.monotonic()) > 0:
            asker.settimeout(left)
            answer = asker.recv(1000)
            answer = answer if six else answer[20:]
            if answer[0] == (129 if six else 0) and answer[4:] == mark:
                return 0
    except OSError:
        pass
    return 1


def chat(address: str, port: str) -> int:
    """Keep one connection: send each line of input and print the answer, or "cut"."""
    with socket.create_connection((address, int(port)), 3) as connection:
        connection.settimeout(1.5)
        for line in sys.stdin:
            connection.sendall(line.encode())
            try:
                print(connection.recv(100).decode().strip() or "cut", flush=True)
            except OSError:
                print("cut", flush=True)
    return 0


def resolve(server: str, name: str) -> int:
    """Ask a DNS server for an address and print the answers."""
    query = struct.pack("!HHHHHH", 7, 0x0100, 1, 0, 0, 0)
    query += b"".join(bytes([len(part)]) + part.encode() for part in name.split(".")) + b"\0" + struct.pack("!HH", 1, 1)
    asker = socket.socket(socket.AF_INET, socket.SOCK_DGRAM)
    asker.settimeout(2)
    asker.sendto(query, (server, 53))
    try:
        answer = asker.recv(1000)
    except OSError:
        return 1
    print(IPv4Address(answer[-4:]) if struct.unpack("!H", answer[6:8])[0] else "none")
    return 0


if __name__ == "__main__":
    sys.exit(globals()[sys.argv[1]](*sys.argv[2:]))
