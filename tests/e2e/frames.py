"""Raw Ethernet frames, and two tiny programs that send and record them inside a guest.

The guest has neither a compiler nor Python, so the programs are static x86-64 machine code, written out here.
"""

from __future__ import annotations

import ipaddress
import struct

_BASE, _BUFFER, _SIZE = 0x400000, 0x401000, 2048
_SOCKADDR = 64 + 56


def program(*, sends: bool, interface: int = 2) -> bytes:
    """An ELF file. *sends*: one frame from standard input to the interface with index *interface*; otherwise every
    frame that the interface hears goes to standard output, for ever."""
    everything = 0x0300                                                     # ETH_P_ALL, in network order
    address = struct.pack("<HHiHBB8x", 17, 0 if sends else everything, interface, 0, 0, 0)
    code = _call(41, 17, 3, 0 if sends else everything) + b"\x89\xc3"      # socket(AF_PACKET, SOCK_RAW); ebx = it
    code += _call(49, None, _BASE + _SOCKADDR, len(address))                # bind
    if sends:
        code += _call(0, 0, _BUFFER, _SIZE) + _write(None)
        code += b"\x89\xc7\xc1\xef\x1f\xb8" + struct.pack("<I", 60) + b"\x0f\x05"       # exit(result < 0)
    else:
        loop = _call(0, None, _BUFFER, _SIZE) + _write(1)
        code += loop + b"\xe9" + struct.pack("<i", -len(loop) - 5)
    start = _SOCKADDR + len(address)
    header = b"\x7fELF\x02\x01\x01" + bytes(9) + struct.pack(
        "<HHIQQQIHHHHHH", 2, 62, 1, _BASE + start, 64, 0, 0, 64, 56, 1, 0, 0, 0)
    size = start + len(code)
    segment = struct.pack("<IIQQQQQQ", 1, 7, 0, _BASE, _BASE, size, 0x2000, 0x1000)
    return header + segment + address + code


def _call(number: int, first: int | None, second: int, third: int) -> bytes:
    """A system call; *first* None: the socket (ebx)."""
    load = b"\x89\xdf" if first is None else b"\xbf" + struct.pack("<I", first)
    return (load + b"\xbe" + struct.pack("<I", second) + b"\xba" + struct.pack("<I", third)
            + b"\xb8" + struct.pack("<I", number) + b"\x0f\x05")


def _write(descriptor: int | None) -> bytes:
    """write(descriptor, buffer, what the last call returned)."""
    load = b"\x89\xdf" if descriptor is None else b"\xbf" + struct.pack("<I", descriptor)
    return (b"\x89\xc2" + load + b"\xbe" + struct.pack("<I", _BUFFER) + b"\xb8" + struct.pack("<I", 1) + b"\x0f\x05")


# -- frames

def ethernet(target: str, source: str, kind: int, payload: bytes) -> bytes:
    """A frame."""
    return mac(target) + mac(source) + struct.pack("!H", kind) + payload


def arp(target: str, source: str, *, operation: int, sender: tuple[str, str], asked: tuple[str, str],
        mark: bytes) -> bytes:
    """ARP (RFC 826) with *mark* in the padding; *sender* and *asked* are (MAC, address)."""
    body = struct.pack("!HHBBH", 1, 0x0800, 6, 4, operation)
    for hardware, address in (sender, asked):
        body += mac(hardware) + ipaddress.ip_address(address).packed
    return ethernet(target, source, 0x0806, body + mark.ljust(18, b"."))


def udp(target: str, source: str, addresses: tuple[str, str], ports: tuple[int, int], payload: bytes) -> bytes:
    """UDP from and to *addresses* (IPv4 or IPv6)."""
    sender, receiver = map(ipaddress.ip_address, addresses)
    head = struct.pack("!HHH", *ports, 8 + len(payload))
    check = _checksum(sender.packed + receiver.packed + struct.pack("!HH", 17, 8 + len(payload)) + head + bytes(2)
                      + payload) or 0xFFFF
    body = head + struct.pack("!H", check) + payload
    if sender.version == 6:
        return ethernet(target, source, 0x86DD, _ipv6(sender.packed, receiver.packed, 17, 64, body))
    header = struct.pack("!BBHHHBBH4s4s", 0x45, 0, 20 + len(body), 7, 0, 64, 17, 0, sender.packed, receiver.packed)
    header = header[:10] + struct.pack("!H", _checksum(header)) + header[12:]
    return ethernet(target, source, 0x0800, header + body)


def icmp6(target: str, source: str, addresses: tuple[str, str], kind: int, body: bytes, mark: bytes) -> bytes:
    """ICMPv6 of *kind* from and to *addresses*, with *mark* (up to 14 bytes) as a nonce option (RFC 3971)."""
    sender, receiver = (ipaddress.ip_address(address).packed for address in addresses)
    content = body + b"\x0e\x02" + mark.ljust(14, b".")
    pseudo = sender + receiver + struct.pack("!I3xB", 4 + len(content), 58)
    check = _checksum(pseudo + struct.pack("!BBH", kind, 0, 0) + content)
    return ethernet(target, source, 0x86DD,
                    _ipv6(sender, receiver, 58, 255, struct.pack("!BBH", kind, 0, check) + content))


def advertisement(address: str, hardware: str) -> bytes:
    """The body of a neighbour advertisement (RFC 4861): override, with the target's link-layer address."""
    return struct.pack("!I", 0x20000000) + ipaddress.ip_address(address).packed + b"\x02\x01" + mac(hardware)


def solicitation(address: str, hardware: str) -> bytes:
    """The body of a neighbour solicitation, with the source's link-layer address."""
    return bytes(4) + ipaddress.ip_address(address).packed + b"\x01\x01" + mac(hardware)


def router_advertisement(prefix: str, hardware: str) -> bytes:
    """The body of a router advertisement (RFC 4861) that offers to be the router, for *prefix*/64."""
    option = struct.pack("!BBBBIII", 3, 4, 64, 0xC0, 86400, 14400, 0) + ipaddress.ip_address(prefix).packed
    return struct.pack("!BBHII", 64, 0, 1800, 0, 0) + option + b"\x01\x01" + mac(hardware)


def tagged(frame: bytes, vlan: int) -> bytes:
    """The frame with an 802.1Q tag."""
    return frame[:12] + struct.pack("!HH", 0x8100, vlan) + frame[12:]


def offer(server: str, address: str, hardware: str, mark: bytes) -> bytes:
    """A DHCP offer (RFC 2131) of *address* by *server*, its gateway and name server."""
    fixed = struct.pack("!BBBBIHH", 2, 1, 6, 0, 0x5EED5EED, 0, 0x8000)
    fixed += bytes(4) + ipaddress.ip_address(address).packed + ipaddress.ip_address(server).packed + bytes(4)
    fixed += mac(hardware).ljust(16, b"\0") + mark.ljust(64, b"\0") + bytes(128)
    own = ipaddress.ip_address(server).packed
    options = b"\x35\x01\x02\x36\x04" + own + b"\x33\x04\x00\x00\x0e\x10\x03\x04" + own + b"\x06\x04" + own + b"\xff"
    return fixed + b"\x63\x82\x53\x63" + options


def mac(text: str) -> bytes:
    """Its six bytes."""
    return bytes.fromhex(text.replace(":", ""))


def link_local(hardware: str) -> str:
    """The link-local address that an interface derives from its MAC."""
    parts = mac(hardware)
    return str(ipaddress.IPv6Address(b"\xfe\x80" + bytes(6) + bytes([parts[0] ^ 2]) + parts[1:3] + b"\xff\xfe"
                                     + parts[3:]))


def multicast(address: str) -> str:
    """The MAC of an IPv6 multicast group (RFC 2464)."""
    return "33:33:" + ipaddress.ip_address(address).packed[-4:].hex(":")


def _ipv6(sender: bytes, receiver: bytes, following: int, hops: int, body: bytes) -> bytes:
    return struct.pack("!IHBB", 0x60000000, len(body), following, hops) + sender + receiver + body


def _checksum(data: bytes) -> int:
    """RFC 1071."""
    data += b"\0" * (len(data) % 2)
    total = sum(struct.unpack(f"!{len(data) // 2}H", data))
    while total >> 16:
        total = (total & 0xFFFF) + (total >> 16)
    return ~total & 0xFFFF
