"""Packets on the device, read one by one, and packets put onto it."""

from __future__ import annotations

import re
import socket
import struct
import subprocess
import threading
import time
from pathlib import Path

from .netns import DEVICE, OURS, Namespace
from .packet import ACK, FIN, LETTERS, SYN, Segment

ETH_P_IP = 0x0800
ETH_P_ALL = 0x0003  # a socket bound to one protocol does not see what the machine itself sends
SOL_PACKET, PACKET_STATISTICS = 263, 6
SO_TIMESTAMPNS, SO_RCVBUFFORCE = 35, 33
LINKTYPE_RAW = 101


class Wire:
    """A live capture of the IPv4 packets on the device, kept in memory and in a file for tshark, and the injector of
    forged ones. Small runs only: nothing may be lost, and `close` says if something was."""

    def __init__(self, namespace: Namespace, file: Path) -> None:
        self.file = file
        self.packets: list[bytes] = []
        self._segments: list[Segment] = []
        self._news = threading.Condition()
        self._socket = namespace.inside(self._open)
        link = namespace.links(DEVICE)
        self._hardware = bytes.fromhex(link.get("address", "").replace(":", "")) if link["link_type"] == "ether" else b""
        self._neighbour = b""
        if self._hardware:
            known = namespace.ip("neigh", "show", OURS)
            self._neighbour = bytes.fromhex(re.search(r"lladdr (\S+)", known)[1].replace(":", ""))
        self._pcap = file.open("wb")
        self._pcap.write(struct.pack("<IHHiIII", 0xA1B23C4D, 2, 4, 0, 0, 65535, LINKTYPE_RAW))
        self._thread = threading.Thread(target=self._read, daemon=True)
        self._thread.start()

    def _open(self) -> socket.socket:
        sock = socket.socket(socket.AF_PACKET, socket.SOCK_DGRAM, socket.htons(ETH_P_ALL))
        sock.setsockopt(socket.SOL_SOCKET, SO_RCVBUFFORCE, 64 << 20)
        sock.setsockopt(socket.SOL_SOCKET, SO_TIMESTAMPNS, 1)
        sock.bind((DEVICE, ETH_P_ALL))
        sock.settimeout(0.1)
        return sock

    def _read(self) -> None:
        while True:
            try:
                data, ancillary, _, origin = self._socket.recvmsg(65536, 64)
            except OSError:  # the device has gone, or the timeout: closing a socket does not wake its reader
                if self._pcap.closed:
                    return
                continue
            if origin[1] != ETH_P_IP:
                continue
            seconds, nanoseconds = struct.unpack("qq", ancillary[0][2][:16])
            with self._news:
                if self._pcap.closed:
                    return
                self._record(data, seconds, nanoseconds)

    def _record(self, data: bytes, seconds: int, nanoseconds: int) -> None:
        self.packets.append(data)
        segment = Segment.parse(data, seconds + nanoseconds / 1e9)
        if segment:
            self._segments.append(segment)
        self._pcap.write(struct.pack("<IIII", seconds, nanoseconds, len(data), len(data)) + data)
        self._news.notify_all()

    def inject(self, packet: bytes) -> None:
        """Puts a well-formed packet onto the device towards our side, and into the capture: the device does not show a
        socket what it sent itself."""
        with self._news:
            self._record(packet, *divmod(time.time_ns(), 10**9))
            self.inject_unseen(packet)

    def inject_unseen(self, packet: bytes) -> None:
        """Puts anything onto the device towards our side."""
        self._socket.sendto(packet, (DEVICE, ETH_P_IP, 0, 0, self._neighbour))

    def segments(self, port: int | None = None) -> list[Segment]:
        """The TCP segments so far; with `port` at either end."""
        with self._news:
            return [s for s in self._segments if port is None or port in (s.source_port, s.destination_port)]

    def wait(self, matches, timeout: float = 10.0, after: int = 0) -> bytes:
        """The first packet from index `after` on for which `matches(packet)` holds."""
        deadline = time.monotonic() + timeout
        with self._news:
            while True:
                while after < len(self.packets):
                    if matches(self.packets[after]):
                        return self.packets[after]
                    after += 1
                left = deadline - time.monotonic()
                if left <= 0:
                    raise TimeoutError("no such packet on the device; seen:\n" + self.text())
                self._news.wait(left)

    def wait_segment(self, matches, timeout: float = 10.0, after: int = 0) -> Segment:
        """The first TCP segment for which `matches(segment)` holds."""

        def test(packet: bytes) -> bool:
            segment = Segment.parse(packet)
            return segment is not None and matches(segment)

        return Segment.parse(self.wait(test, timeout, after))

    def text(self) -> str:
        return "\n".join(describe(s) for s in self.segments())

    def close(self) -> None:
        statistics = self._socket.getsockopt(SOL_PACKET, PACKET_STATISTICS, 8)
        dropped = struct.unpack("II", statistics)[1]
        with self._news:
            self._pcap.close()
        self._thread.join()
        self._socket.close()
        assert dropped == 0, f"the capture lost {dropped} packets"


def describe(segment: Segment) -> str:
    """One absolute line for error messages."""
    way = ">" if segment.source == OURS else "<"
    return (
        f"{segment.time:.6f} {way} {segment.source}:{segment.source_port} {segment.destination}:"
        f"{segment.destination_port} {letters(segment)} seq {segment.seq} len {segment.length} ack {segment.ack}"
    )


def letters(segment: Segment) -> str:
    """Flags as tcpdump writes them; PSH is left out, for it says nothing of the protocol's state."""
    return "".join(letter for letter, flag in LETTERS if segment.has(flag)) + ("." if segment.has(ACK) else "")


class Conversation:
    """One connection on the wire as text, ours as `>`, the peer's as `<`:

        > S 0:0(0)            < S. 0:0(0) ack 1            > . 1:1(0) ack 1

    Numbers are relative to each side's SYN. A segment that was already shown (a retransmission) is shown once.
    """

    def __init__(self, wire: Wire, port: int, peer_port: int | None = None) -> None:
        self.wire, self.port, self.peer_port = wire, port, peer_port
        self._bases: dict[bool, int] = {}
        self._shown = 0

    def segments(self) -> list[Segment]:
        def mine(s: Segment) -> bool:
            ours, theirs = (s.source_port, s.destination_port)
            if s.source != OURS:
                ours, theirs = theirs, ours
            return ours == self.port and self.peer_port in (None, theirs)

        return [s for s in self.wire.segments(self.port) if mine(s)]

    def base(self, ours: bool) -> int | None:
        """The initial sequence number of a side."""
        if ours not in self._bases:
            for s in self.segments():
                if s.has(SYN):
                    self._bases.setdefault(s.source == OURS, s.seq)
        return self._bases.get(ours)

    def lines(self) -> list[str]:
        seen: dict[str, None] = {}
        for s in self.segments():
            seen.setdefault(self.line(s))
        return list(seen)

    def line(self, s: Segment) -> str:
        """The segment in relative numbers."""
        ours = s.source == OURS
        base, other = self.base(ours), self.base(not ours)
        seq = (s.seq - base) % 2**32 if base is not None else s.seq
        text = f"{'>' if ours else '<'} {letters(s)} {seq}:{seq + s.length}({s.length})"
        if s.has(ACK) and other is not None:
            text += f" ack {(s.ack - other) % 2**32}"
        return text

    def expect(self, *expected: str, timeout: float = 10.0) -> None:
        """The next lines, exactly these."""
        deadline = time.monotonic() + timeout
        while True:
            lines = self.lines()[self._shown :]
            if len(lines) >= len(expected) or time.monotonic() > deadline:
                break
            with self.wire._news:
                self.wire._news.wait(0.05)
        got = lines[: len(expected)]
        assert got == list(expected), "expected\n  {}\nseen\n  {}\nall\n  {}".format(
            "\n  ".join(expected), "\n  ".join(lines) or "nothing", "\n  ".join(self.lines())
        )
        self._shown += len(expected)

    def skip(self) -> None:
        """Takes what was seen so far as read."""
        self._shown = len(self.lines())

    def nothing_more(self) -> None:
        """No unread line. Ask after a barrier (`Wire.wait`, an echo), not after a pause."""
        assert self.lines()[self._shown :] == []

    def wait_line(self, line: str, timeout: float = 10.0) -> None:
        """Until the line has been seen, wherever it stands."""
        deadline = time.monotonic() + timeout
        while line not in self.lines():
            assert time.monotonic() < deadline, f"no {line!r}, seen\n  " + "\n  ".join(self.lines())
            with self.wire._news:
                self.wire._news.wait(0.05)

    def fins(self, ours: bool) -> list[Segment]:
        """FINs of a side, repeats included."""
        return [s for s in self.segments() if s.has(FIN) and (s.source == OURS) == ours]


class Dump:
    """dumpcap on the device, for runs too large for `Wire`: the first 128 bytes of every packet."""

    def __init__(self, namespace: Namespace, file: Path) -> None:
        self.file = file
        command = ["dumpcap", "-q", "-i", DEVICE, "-s", "128", "-B", "64", "-w", str(file)]
        self._process = subprocess.Popen(namespace.command(*command), stderr=subprocess.PIPE, text=True)
        for line in self._process.stderr:
            if line.startswith("File:"):
                break

    def close(self) -> None:
        self._process.terminate()
        text = self._process.communicate(timeout=30)[1]
        lost = re.search(r"received/dropped on interface .*: (\d+)/(\d+)", text)
        assert lost and lost[2] == "0", f"the capture is not whole: {text}"
