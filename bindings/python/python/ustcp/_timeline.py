"""What happened in a network: packets, and what became of them and of the connections, in order."""

from __future__ import annotations

import os
from collections.abc import Iterator, Sequence
from typing import TYPE_CHECKING, Any, NamedTuple, Optional, Union, overload

from . import _ustcp
from ._manual import Event

if TYPE_CHECKING:
    from ._network import Host

_Address = Union[tuple[str, int], tuple[str, int, int, int]]
_FLAGS = ((2, "SYN"), (1, "FIN"), (4, "RST"), (8, "PSH"), (16, "ACK"), (32, "URG"), (64, "ECE"), (128, "CWR"))
_WHOLE = 1 << 32


class NetworkPacket:
    """A packet that a host sent."""

    __slots__ = {
        "number": "Counted from 1 over the whole network.",
        "time": "Seconds, when it was sent.",
        "source": "The host that sent it.",
        "destination": "The host that its address is of; `None` where there is none.",
        "data": "The IP header and all that follows; of a packet that a hook changed, what the hook made of it.",
        "state": "The state of the connection that sent it, by its name in RFC 9293.",
        "retransmission": "Whether it had been sent before.",
        "lost": 'Why it never arrived: "chance", "script", "full queue", "partition", "hook", "no route".',
        "duplicated": "Whether the link made two of it.",
        "corrupted": "Whether the link flipped a bit of it.",
        "reordered": "Whether the link held it back behind later ones.",
        "arrivals": "Each time that it came; one that was duplicated came twice.",
        "source_port": "0 of what is no TCP.",
        "destination_port": "0 of what is no TCP.",
        "flags": "Control bits as on the wire: FIN 1, SYN 2, RST 4, PSH 8, ACK 16, URG 32, ECE 64, CWR 128.",
        "window": "In bytes, as on the wire, not scaled.",
        "length": "Bytes of text.",
        "seq": "Sequence number of the wire; `Timeline.relative` tells it from 0 on.",
        "ack": "Acknowledgement number of the wire; `Timeline.relative` tells it from 0 on.",
        "kinds": "The names under which `Network.drop` finds it.",
    }

    def __init__(self, number: int, time: float, source: Host, destination: Host | None, data: bytes) -> None:
        self.number = number
        self.time = time
        self.source, self.destination = source, destination
        self.data = data
        self.state: str | None = None
        self.retransmission = False
        self.lost: str | None = None
        self.duplicated = self.corrupted = self.reordered = False
        self.arrivals: list[Arrival] = []
        self.source_port = self.destination_port = self.flags = self.window = self.length = 0
        self.seq = self.ack = 0
        self.kinds: list[str] = []
        self._parse()

    def _parse(self) -> None:
        found = _ustcp.describe(self.data)
        if found is not None:
            (_, _, self.source_port, self.destination_port, self.seq, self.ack, self.flags) = found[:7]
            self.window, self.length, self.kinds = found[7:]

    @property
    def name(self) -> str:
        """Its flags: "SYN", "SYN+ACK", "PSH+ACK"; "packet" of one that is no segment of TCP."""
        return "+".join(name for bit, name in _FLAGS if self.flags & bit) or "packet"

    def __repr__(self) -> str:
        to = self.destination.name if self.destination is not None else "nowhere"
        return f"<ustcp packet {self.number} {self.source.name} to {to}: {self.name}, {self.length} bytes>"


class Arrival:
    """A packet comes to its destination; one that was duplicated comes twice."""

    __slots__ = {
        "time": "Seconds.",
        "packet": "What came.",
        "before": "The state that it found the connection in.",
        "after": "And the state that it left it in.",
        "dropped": "Why the stack dropped it.",
    }

    def __init__(self, time: float, packet: NetworkPacket) -> None:
        self.time = time
        self.packet = packet
        self.before: str | None = None
        self.after: str | None = None
        self.dropped: str | None = None


class Entry(NamedTuple):
    """Something that happened on a host."""

    time: float
    """Seconds since the network began."""
    host: str
    kind: str
    """"sent", "lost", "received", "dropped", "transition" or "expired"."""
    packet: NetworkPacket | None
    """The packet that was sent or came; of a transition, the one that caused it."""
    before: str | None
    """The state before, by its name in RFC 9293."""
    after: str | None
    cause: str | None
    """The cause of a transition, the timer that went off, the reason of a drop, or how a packet was lost."""
    local: Optional[_Address]
    remote: Optional[_Address]


class Timeline(Sequence[Entry]):
    """The entries in order, and pictures of them."""

    def __init__(self) -> None:
        self.hosts: list[str] = []
        self.packets: list[NetworkPacket] = []
        self._entries: list[Entry] = []
        self._sendings: dict[str, list[Event]] = {}
        self._first: dict[tuple[Any, ...], int] = {}

    @overload
    def __getitem__(self, index: int) -> Entry: ...
    @overload
    def __getitem__(self, index: slice) -> list[Entry]: ...
    def __getitem__(self, index: int | slice) -> Entry | list[Entry]:
        return self._entries[index]

    def __len__(self) -> int:
        return len(self._entries)

    def states(self, host: str | Host) -> list[str]:
        """The states that a host's connections went through, in order. `ValueError` for a host of another network."""
        name = self._name(host)
        return [str(entry.after) for entry in self._entries if (entry.host, entry.kind) == (name, "transition")]

    def between(self, source: str | Host, destination: str | Host) -> Iterator[NetworkPacket]:
        """The packets from one host to another."""
        ends = (self._name(source), self._name(destination))
        return (
            packet
            for packet in self.packets
            if packet.destination is not None and (packet.source.name, packet.destination.name) == ends
        )

    def _name(self, host: str | Host) -> str:
        name = host if isinstance(host, str) else host.name
        if name not in self.hosts:
            raise ValueError(f"{host!r} is no host of this network")
        return name

    def relative(self, packet: NetworkPacket) -> tuple[int, int]:
        """Sequence and acknowledgement number counted from those of the SYNs."""
        there = (packet.source.name, packet.source_port, packet.destination_port)
        back = (packet.destination.name if packet.destination else None, packet.destination_port, packet.source_port)
        seq = (packet.seq - self._first.get(there, packet.seq)) % _WHOLE
        ack = (packet.ack - self._first.get(back, packet.ack)) % _WHOLE if packet.flags & 16 else 0
        return seq, ack

    def text(self) -> str:
        """One line for each packet, and for each thing that happened without one."""
        from ._pictures import text

        return text(self)

    def mermaid(self) -> str:
        """A sequence diagram in the language of Mermaid."""
        from ._pictures import mermaid

        return mermaid(self)

    def svg(self) -> str:
        """A ladder as an SVG file: time goes down, each host is a line."""
        from ._pictures import svg

        return svg(self)

    def pcapng(self) -> bytes:
        """A capture with an interface for each host: what it sent, and what came to it."""
        from ._capture import pcapng

        return pcapng(self)

    def save(self, directory: str | os.PathLike[str], stem: str = "timeline") -> list[str]:
        """Writes all four into a directory: the names of the files."""
        os.makedirs(directory, exist_ok=True)
        files: list[tuple[str, bytes]] = [
            (".txt", self.text().encode()),
            (".mermaid", self.mermaid().encode()),
            (".svg", self.svg().encode()),
            (".pcapng", self.pcapng()),
        ]
        names = []
        for suffix, content in files:
            names.append(os.path.join(os.fspath(directory), stem + suffix))
            with open(names[-1], "wb") as file:
                file.write(content)
        return names

    # For the network.

    def sent(
        self, time: float, source: Host, destination: Host | None, data: bytes, state: str | None, again: bool
    ) -> NetworkPacket:
        packet = NetworkPacket(len(self.packets) + 1, time, source, destination, data)
        packet.state, packet.retransmission = state, again
        if packet.flags & 2:
            self._first[source.name, packet.source_port, packet.destination_port] = packet.seq
        self.packets.append(packet)
        self._enter(time, source, "sent", packet, (state, state), None)
        return packet

    def lost(self, packet: NetworkPacket) -> None:
        self._enter(packet.time, packet.source, "lost", packet, (packet.state, packet.state), packet.lost)

    def sending(self, host: Host, data: bytes) -> tuple[str | None, bool]:
        """In which state the host sent this, and whether once more."""
        found = _ustcp.describe(data)
        sendings = self._sendings.setdefault(host.name, [])
        if found is None:
            return None, False
        wanted = (found[4], found[5], found[6], found[8])
        for index, event in enumerate(sendings):
            segment = event.segment
            if segment is not None and (segment.seq, segment.ack, segment.flags, segment.len) == wanted:
                del sendings[index]
                return event.before, event.retransmission
        return None, False

    def note(self, host: Host, arrival: Arrival | None) -> None:
        """Takes the host's events; those after an arrival belong to it."""
        cause = arrival.packet if arrival is not None else None
        if arrival is not None:
            arrival.packet.arrivals.append(arrival)
        for event in host.stack.events():
            states = (event.before, event.after)
            where = {"local": event.local, "remote": event.remote}
            time = event.time / 1e9
            if event.kind == "sent":
                self._sendings.setdefault(host.name, []).append(event)
            elif event.kind == "transition":
                self._enter(time, host, "transition", cause, states, event.why, **where)
            elif event.kind == "received":
                if arrival is not None:
                    arrival.before, arrival.after = states
                self._enter(time, host, "received", cause, states, None, **where)
            elif event.kind == "dropped":
                if arrival is not None:
                    arrival.dropped = event.why
                self._enter(time, host, "dropped", cause, states, event.why, **where)
            else:
                self._enter(time, host, "expired", None, states, event.why, **where)

    def _enter(
        self,
        time: float,
        host: Host,
        kind: str,
        packet: NetworkPacket | None,
        states: tuple[str | None, str | None],
        cause: str | None,
        local: _Address | None = None,
        remote: _Address | None = None,
    ) -> None:
        self._entries.append(Entry(time, host.name, kind, packet, *states, cause, local, remote))
