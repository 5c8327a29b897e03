"""A peer made of single packets, at an address that no kernel answers for: it sends exactly what the script says."""

from __future__ import annotations

from .capture import Wire, describe, letters
from .netns import OURS, STRANGER
from .packet import ACK, FIN, PSH, RST, SYN, Segment

FLAGS = {"S": SYN, "F": FIN, "R": RST, "P": PSH, ".": ACK}


class Scripted:
    """The far end of one connection. Its own numbers begin at 1,000."""

    def __init__(self, wire: Wire, port: int, their_port: int = 0) -> None:
        self.wire, self.port, self.their_port = wire, port, their_port
        self.iss, self.snd_nxt, self.rcv_nxt, self.irs = 1000, 1000, 0, 0
        self._read = len(wire.packets)

    def send(self, flags: str, payload: bytes = b"", seq: int | None = None, ack: int | None = None) -> Segment:
        """Sends with the numbers that are due, or with others. Only the former move this end on."""
        segment = Segment(
            STRANGER,
            self.port,
            OURS,
            self.their_port,
            self.snd_nxt if seq is None else seq,
            self.rcv_nxt if ack is None else ack,
            sum(FLAGS[f] for f in flags),
            payload=payload,
            length=len(payload),
        )
        self.wire.inject(segment.bytes())
        if seq is None:
            self.snd_nxt += segment.occupied
        return segment

    def again(self, segment: Segment) -> None:
        """The same packet once more."""
        self.wire.inject(segment.bytes())

    def _from_them(self, packet: bytes) -> bool:
        s = Segment.parse(packet)
        if not s or (s.source, s.destination, s.destination_port) != (OURS, STRANGER, self.port):
            return False
        return self.their_port in (0, s.source_port)

    def receive(self, flags: str, timeout: float = 10.0) -> Segment:
        """Their next segment. It must carry these flags (PSH apart), and this end takes it as received."""
        found = self.wire.wait(self._from_them, timeout, self._read)
        self._read = next(i for i in range(self._read, len(self.wire.packets)) if self.wire.packets[i] is found) + 1
        s = Segment.parse(found)
        assert letters(s) == flags, f"expected {flags}, got {describe(s)}\n{self.wire.text()}"
        self.their_port = s.source_port
        if s.has(SYN):
            self.irs, self.rcv_nxt = s.seq, s.seq
        if s.seq == self.rcv_nxt:
            self.rcv_nxt = (self.rcv_nxt + s.occupied) % 2**32
        return s

    def connect(self, port: int) -> None:
        """The handshake from this end."""
        self.their_port = port
        self.send("S")
        synack = self.receive("S.")
        assert synack.ack == self.snd_nxt
        self.send(".")

    def accept(self) -> None:
        """The handshake as the end that was called."""
        self.receive("S")
        self.send("S.")
        assert self.receive(".").ack == self.snd_nxt
