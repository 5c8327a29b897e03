"""IPv4, TCP and ICMP as the tests read and forge them. Independent of the code under test on purpose."""

from __future__ import annotations

import socket
import struct
from dataclasses import dataclass, field, replace

FIN, SYN, RST, PSH, ACK, URG = 0x01, 0x02, 0x04, 0x08, 0x10, 0x20
LETTERS = (("S", SYN), ("F", FIN), ("R", RST))


def checksum(data: bytes) -> int:
    """RFC 1071. Over data that holds its own right checksum the answer is 0."""
    if len(data) % 2:
        data += b"\0"
    total = sum(struct.unpack(f"!{len(data) // 2}H", data))
    while total >> 16:
        total = (total & 0xFFFF) + (total >> 16)
    return total ^ 0xFFFF


def ipv4(source: str, destination: str, protocol: int, payload: bytes, **header: int) -> bytes:
    """An IPv4 packet without options. `header` may lie: total_length, version, header_words, fragment, ttl."""
    head = struct.pack(
        "!BBHHHBBH4s4s",
        header.get("version", 4) << 4 | header.get("header_words", 5),
        0,
        header.get("total_length", 20 + len(payload)),
        0,
        header.get("fragment", 0x4000),
        header.get("ttl", 64),
        protocol,
        0,
        socket.inet_aton(source),
        socket.inet_aton(destination),
    )
    return head[:10] + struct.pack("!H", checksum(head)) + head[12:] + payload


def icmp_echo(source: str, destination: str, identifier: int, sequence: int) -> bytes:
    """An echo request."""
    body = struct.pack("!BBHHH", 8, 0, 0, identifier, sequence) + b"ustcp tests"
    body = body[:2] + struct.pack("!H", checksum(body)) + body[4:]
    return ipv4(source, destination, socket.IPPROTO_ICMP, body)


def icmp_host_unreachable(source: str, destination: str, about: bytes) -> bytes:
    """What a router says of a packet that found no way."""
    body = struct.pack("!BBHI", 3, 1, 0, 0) + about[:28]
    body = body[:2] + struct.pack("!H", checksum(body)) + body[4:]
    return ipv4(source, destination, socket.IPPROTO_ICMP, body)


@dataclass(frozen=True)
class Segment:
    """A TCP segment with its addresses. `length` is the text's as the headers say, even where a capture cut it off."""

    source: str
    source_port: int
    destination: str
    destination_port: int
    seq: int
    ack: int
    flags: int
    window: int = 65535
    options: bytes = b""
    payload: bytes = b""
    length: int = 0
    time: float = field(default=0.0, compare=False)

    @staticmethod
    def parse(packet: bytes, time: float = 0.0) -> Segment | None:
        """None for whatever is not TCP over IPv4."""
        if len(packet) < 40 or packet[0] >> 4 != 4 or packet[9] != socket.IPPROTO_TCP:
            return None
        start = (packet[0] & 15) * 4
        total = struct.unpack_from("!H", packet, 2)[0]
        sport, dport, seq, ack, offset, flags, window = struct.unpack_from("!HHIIBBH", packet, start)
        text = start + (offset >> 4) * 4
        return Segment(
            socket.inet_ntoa(packet[12:16]),
            sport,
            socket.inet_ntoa(packet[16:20]),
            dport,
            seq,
            ack,
            flags,
            window,
            packet[start + 20 : text],
            packet[text:total],
            total - text,
            time,
        )

    def bytes(self, **header: int) -> bytes:
        """The packet, checksums right. `data_offset` may lie, as may the fields of `ipv4`."""
        options = self.options + bytes(-len(self.options) % 4)
        words = header.pop("data_offset", 5 + len(options) // 4)
        tcp = struct.pack(
            "!HHIIBBHHH",
            self.source_port,
            self.destination_port,
            self.seq % 2**32,
            self.ack % 2**32,
            words << 4,
            self.flags,
            self.window,
            0,
            0,
        )
        tcp += options + self.payload
        pseudo = socket.inet_aton(self.source) + socket.inet_aton(self.destination)
        pseudo += struct.pack("!HH", socket.IPPROTO_TCP, len(tcp))
        tcp = tcp[:16] + struct.pack("!H", checksum(pseudo + tcp)) + tcp[18:]
        return ipv4(self.source, self.destination, socket.IPPROTO_TCP, tcp, **header)

    def has(self, flag: int) -> bool:
        return bool(self.flags & flag)

    @property
    def occupied(self) -> int:
        """Sequence space: text plus SYN plus FIN."""
        return self.length + self.has(SYN) + self.has(FIN)

    def with_(self, **changes: object) -> Segment:
        return replace(self, **changes)


def option(options: bytes, kind: int) -> bytes | None:
    """The value of one TCP option, None when it is not there."""
    while options and options[0] != 0:
        if options[0] == 1:
            options = options[1:]
            continue
        size = options[1]
        if options[0] == kind:
            return options[2:size]
        options = options[size:]
    return None


def timestamps(options: bytes) -> tuple[int, int] | None:
    """TSval and TSecr."""
    value = option(options, 8)
    return struct.unpack("!II", value) if value else None
