"""Between the notation and bytes: both players speak to their stack through this, so both say the very same."""

from __future__ import annotations

import socket
import struct
from dataclasses import dataclass

from harness.packet import ACK, FIN, RST, SYN, checksum

from .notation import ECN, FLAGS, Icmp, Packet, Position

OURS, PEER, OURS_V6, PEER_V6 = "10.77.0.2", "10.77.0.1", "fd77::2", "fd77::1"
LISTENING, CALLED, OURS_CALLING, PEERS_CALLING = 80, 80, 50_000, 40_000
# Just below the end of the sequence space, so that every conversation goes over it.
PEER_ISN = 2**32 - 300
MASK = 2**32 - 1


def text(position: int, length: int, fill: str = "") -> bytes:
    """The byte at each relative sequence number is the same in both directions and every script."""
    if fill:
        return fill.encode() * length
    return bytes((n * 31 + n // 251) % 251 for n in range(position, position + length))


def spell(data: bytes, position: int) -> str:
    """What bytes they are: `1:101`, or runs of one letter `x*50`."""
    runs, start = [], 0
    while start < len(data):
        end = start + 1
        if data[start] == text(position + start, 1)[0]:
            known = text(position + start, len(data) - start)
            while end < len(data) and data[end] == known[end - start]:
                end += 1
            runs.append(f"{position + start}:{position + end}")
        else:
            while end < len(data) and data[end] == data[start]:
                end += 1
            letter = chr(data[start]) if 32 < data[start] < 127 else f"\\x{data[start]:02x}"
            runs.append(f"{letter}*{end - start}")
        start = end
    return " ".join(runs)


def signed(difference: int) -> int:
    return (difference + 2**31) % 2**32 - 2**31


@dataclass
class Flow:
    """One pair of ports and how far its two sides have come, as the peer sees it."""

    our_port: int
    peer_port: int
    ipv6: bool
    irs: int = 0
    next: int = 0
    got: int = 0
    their_ts: int = 0
    first_ts: int | None = None
    cookie: bytes = b""

    @property
    def hosts(self) -> tuple[str, str]:
        return (OURS_V6, PEER_V6) if self.ipv6 else (OURS, PEER)

    def place(self, position: Position) -> int:
        return position.offset + {"n": self.next, "a": self.got, "": 0}[position.base]

    # ---- from the peer ----

    def segment(self, packet: Packet) -> bytes:
        """The bytes of a packet of the script. Sent where the peer's next byte is due, it moves the peer on."""
        first = self.place(packet.first)
        text_first = first + bool(packet.flags & SYN)
        ack = (self.irs + self.place(packet.ack)) & MASK if packet.flags & ACK else 0
        options = self.options(packet.options)
        header = struct.pack(
            "!HHIIBBHHH",
            self.peer_port,
            self.our_port,
            (PEER_ISN + first) & MASK,
            ack,
            (5 + len(options) // 4) << 4,
            packet.flags,
            packet.window,
            0,
            packet.urgent,
        )
        if first == self.next:
            self.next += packet.length + bool(packet.flags & SYN) + bool(packet.flags & FIN)
        ours, peers = self.hosts
        tcp = header + options + text(text_first, packet.length, packet.fill)
        return ip(peers, ours, socket.IPPROTO_TCP, tcp, packet.ecn, packet.ttl, packet.bad_sum)

    def icmp(self, error: Icmp) -> bytes:
        ours, peers = self.hosts
        quoted = struct.pack("!HHI", self.our_port, self.peer_port, (self.irs + self.place(error.at)) & MASK)
        quoted += struct.pack("!IBBHHH", 0, 5 << 4, ACK, 1000, 0, 0)
        # Of the segment, which had a thousand bytes of text, the headers are quoted.
        inner = ip(ours, peers, socket.IPPROTO_TCP, quoted + bytes(1000))[: 60 if self.ipv6 else 40]
        body = struct.pack("!BBHI", error.kind, error.code, 0, error.mtu) + inner
        return ip(peers, ours, socket.IPPROTO_ICMPV6 if self.ipv6 else socket.IPPROTO_ICMP, body)

    def options(self, listed: tuple[str, ...]) -> bytes:
        made = b"".join(self.option(*option.split()) for option in listed)
        return made + bytes(-len(made) % 4)

    def option(self, name: str, *values: str) -> bytes:
        match name:
            case "mss":
                return struct.pack("!BBH", 2, 4, int(values[0]))
            case "ws":
                return struct.pack("!BBB", 3, 3, int(values[0]))
            case "sackOK":
                return b"\x04\x02"
            case "sack":
                blocks = [[self.irs + self.place(Position.read(p)) for p in value.split(":")] for value in values]
                return struct.pack("!BB", 5, 2 + 8 * len(blocks)) + b"".join(
                    struct.pack("!II", start & MASK, end & MASK) for start, end in blocks
                )
            case "ts":
                return struct.pack("!BBII", 8, 10, int(values[0]) & MASK, self.echo(values[1]))
            case "fo":
                cookie = self.cookie if values == ("c",) else bytes.fromhex("".join(values))
                return struct.pack("!BB", 34, 2 + len(cookie)) + cookie
            case "nop":
                return b"\x01"
            case "eol":
                return b"\x00"
            case "raw":
                return bytes.fromhex("".join(values))
        raise ValueError(f"what is option {name!r}?")

    def echo(self, written: str) -> int:
        """`e` is the last timestamp seen from us, `e-5` one of 5 ms before, a number itself."""
        return (self.their_ts + int(written[1:] or 0)) & MASK if written[0] == "e" else int(written) & MASK

    # ---- to the peer ----

    def describe(self, tcp: bytes, tos: int) -> str:
        """A segment of ours in relative numbers."""
        _, _, seq, ack, offset, flags, window, _, urgent = struct.unpack_from("!HHIIBBHHH", tcp)
        if flags & SYN:
            self.irs = seq
        first, data = signed(seq - self.irs), tcp[(offset >> 4) * 4 :]
        length = len(data)
        words = ["".join(letter for letter, bit in FLAGS.items() if flags & bit) or "-"]
        # A reset of what has no connection carries no number of ours, RFC 9293 §3.10.7.1.
        words.append("zero" if flags & RST and seq == 0 else f"{first}:{first + length}({length})")
        if flags & ACK:
            words.append(f"ack {signed(ack - PEER_ISN)}")
        words.append(f"win {window}")
        if urgent or flags & 0x20:
            words.append(f"urg {urgent}")
        words += [name for name, value in ECN.items() if tos & 3 == value]
        spelled = spell(data, first + bool(flags & SYN))
        if data and spelled != f"{first + bool(flags & SYN)}:{first + bool(flags & SYN) + length}":
            words.append(f"bytes {spelled.replace(' ', '/')}")
        words.append(f"<{','.join(self.spell_options(tcp[20 : (offset >> 4) * 4]))}>")
        end = first + length + bool(flags & SYN) + bool(flags & FIN)
        if first <= self.got < end or flags & SYN:
            self.got = end
        return " ".join(words)

    def spell_options(self, options: bytes) -> list[str]:
        names = []
        while options:
            kind = options[0]
            if kind < 2:
                names.append("nop" if kind else "eol")
                options = options[1:] if kind else b""
                continue
            size = options[1] if len(options) > 1 and options[1] >= 2 else len(options)
            names.append(self.spell_option(kind, options[2:size]))
            options = options[size:]
        return names

    def spell_option(self, kind: int, value: bytes) -> str:
        match kind, len(value):
            case 2, 2:
                return f"mss {int.from_bytes(value)}"
            case 3, 1:
                return f"ws {value[0]}"
            case 4, 0:
                return "sackOK"
            case 5, _:
                edges = [signed(e - PEER_ISN) for e in struct.unpack(f"!{len(value) // 4}I", value)]
                return "sack " + " ".join(f"{a}:{b}" for a, b in zip(edges[::2], edges[1::2], strict=True))
            case 8, 8:
                return self.spell_timestamps(*struct.unpack("!II", value))
            case 34, _:
                self.cookie = value or self.cookie
                return f"fo {len(value)}"
        return f"kind {kind} {value.hex()}"

    def spell_timestamps(self, value: int, echoed: int) -> str:
        """Our clock has a beginning and a pace of its own: only that it does not go back is told."""
        forward = self.first_ts is None or signed(value - self.their_ts) >= 0
        self.first_ts = value if self.first_ts is None else self.first_ts
        self.their_ts = value
        return f"ts {'+' if forward else 'back'} {echoed}"


def ip(source: str, destination: str, protocol: int, body: bytes, ecn: int = 0, ttl: int = 64, bad: bool = False) -> bytes:
    """A packet with its checksums, unless the script wants a bad one."""
    ipv6 = ":" in source
    family = socket.AF_INET6 if ipv6 else socket.AF_INET
    addresses = socket.inet_pton(family, source) + socket.inet_pton(family, destination)
    where = {socket.IPPROTO_TCP: 16, socket.IPPROTO_ICMP: 2, socket.IPPROTO_ICMPV6: 2}[protocol]
    pseudo = b"" if protocol == socket.IPPROTO_ICMP else addresses + struct.pack("!II", len(body), protocol)
    total = checksum(pseudo + body) ^ (0x5555 if bad else 0)
    body = body[:where] + struct.pack("!H", total) + body[where + 2 :]
    if ipv6:
        return struct.pack("!IHBB", 6 << 28 | ecn << 20, len(body), protocol, ttl) + addresses + body
    head = struct.pack("!BBHHHBBH", 0x45, ecn, 20 + len(body), 0, 0x4000, ttl, protocol, 0) + addresses
    return head[:10] + struct.pack("!H", checksum(head)) + head[12:] + body


class Wire:
    """All flows of one script."""

    def __init__(self, ipv6: bool, calling: set[str]) -> None:
        self.ipv6, self.calling = ipv6, calling
        self.flows: dict[str, Flow] = {}

    def flow(self, name: str) -> Flow:
        """Flow 1 is ours 80 with the peer's 40001 where we listen, ours 50001 with the peer's 80 where we call."""
        if name not in self.flows:
            ours, peers = (OURS_CALLING + int(name), CALLED) if name in self.calling else (LISTENING, PEERS_CALLING + int(name))
            self.flows[name] = Flow(ours, peers, self.ipv6)
        return self.flows[name]

    def address(self, port: int, ours: bool) -> tuple[str, int]:
        hosts = (OURS_V6, PEER_V6) if self.ipv6 else (OURS, PEER)
        return hosts[0 if ours else 1], port

    def describe(self, packet: bytes) -> str | None:
        """What came from our side, None for what is not about TCP (IPv6 greets its neighbours)."""
        ipv6 = packet[0] >> 4 == 6
        protocol, body = (packet[6], packet[40:]) if ipv6 else (packet[9], packet[(packet[0] & 15) * 4 :])
        tos = struct.unpack_from("!I", packet)[0] >> 20 & 0xFF if ipv6 else packet[1]
        if protocol == socket.IPPROTO_HOPOPTS or (protocol == socket.IPPROTO_ICMPV6 and body[0] >= 128):
            return None
        if protocol != socket.IPPROTO_TCP:
            return f"icmp {body[0]}/{body[1]}"
        ttl, fixed = (packet[7], True) if ipv6 else (packet[8], bool(packet[6] & 0x40))
        told = ("" if ttl == 64 else f" ttl {ttl}") + ("" if fixed else " nodf")
        ports = struct.unpack_from("!HH", body)
        for name, flow in self.flows.items():
            if (flow.our_port, flow.peer_port) == ports:
                return ("" if name == "1" else name) + f"> {flow.describe(body, tos)}{told}"
        return f"? {ports[0]} {ports[1]}"
