"""`ustcp.ManualStack`: a stack without device, thread or clock."""

from __future__ import annotations

import errno
import socket as _host
from collections.abc import Iterable, Iterator
from types import TracebackType
from typing import TYPE_CHECKING, NamedTuple, Optional, Union

from . import _socket, _ustcp

if TYPE_CHECKING:
    from typing_extensions import Self

_Address = Union[tuple[str, int], tuple[str, int, int, int]]
_Kind = Optional[type[BaseException]]


class Packet(NamedTuple):
    """A packet to be sent."""

    time: int
    """Nanoseconds: the time of the call that made it."""
    data: bytes
    """IP header and all that follows."""
    segment_size: int
    """Bytes of text in each of the packets that this one is to be split into; 0: it is one packet."""
    checksum_start: int
    """Where the TCP header begins, whose checksum is to be completed by who splits the packet; 0: it is complete."""


class Segment(NamedTuple):
    """A segment in figures."""

    flags: int
    """FIN 1, SYN 2, RST 4, PSH 8, ACK 16, URG 32, ECE 64, CWR 128."""
    seq: int
    ack: int
    len: int
    """Bytes of text."""
    window: int
    """Bytes, scaled."""
    segment_size: int
    """Bytes of text of each packet when this is a super-segment; 0: one packet."""


class Event(NamedTuple):
    """Something that happened in a stack."""

    time: int
    """Nanoseconds."""
    kind: str
    """"transition", "received", "sent", "expired" or "dropped"."""
    local: _Address | None
    remote: _Address | None
    before: str | None
    """The state before, by its name in RFC 9293: "SYN-SENT"."""
    after: str | None
    """The state after it; of a segment that was sent, the state it was sent in."""
    why: str | None
    """The cause of a transition, the timer that went off, or the reason of a drop."""
    segment: Segment | None
    retransmission: bool


class ManualStack(_ustcp.ManualStack):
    """A TCP/IP stack as a value: packets and the time go in, packets come out, and its sockets never wait.

    Times are integers of nanoseconds, since a moment of the caller's choice, and never go back. Every call happens at
    the time that was handed in last (0 at first). With the same `seed` the same calls give the same packets; without
    one, everything random comes from the system, as it must where packets come from strangers.

    `knobs` are set as by `set`: `ManualStack(seed=1, address="10.0.0.1/24", mtu=1400, trace=True)`; a keyword that is none
    is `TypeError`.
    """

    __slots__ = ()

    def __init__(self, *, seed: int | None = None, **knobs: str | int | Iterable[str]) -> None:
        for name, value in knobs.items():
            try:
                self.set(name, value)
            except FileNotFoundError as error:
                raise TypeError(f"unexpected keyword argument {name!r}: {error.strerror}") from None

    def set(self, name: str, value: str | int | Iterable[str]) -> None:
        """Sets a knob from now on. Names and units are those of Linux's sysctls, where there is one: "tcp_syn_retries",
        "tcp_rto_min_us"; our own are named in the documentation. `OSError` ENOENT for an unknown name, EINVAL for a value
        that is malformed or out of range."""
        try:
            self._set(name, _text(name, value))
        except OSError as error:
            if error.errno != errno.EINVAL:
                raise
            raise OSError(errno.EINVAL, f"{name}={value!r}: {error.strerror}") from None

    def get(self, name: str) -> str:
        """A knob, in the form that `set` takes. `OSError` ENOENT for an unknown name."""
        return self._knob(name)

    def socket(
        self, family: int = _host.AF_INET, type: int = _host.SOCK_STREAM, proto: int = _host.IPPROTO_TCP
    ) -> _socket.socket:
        """A new TCP socket. None of its calls waits: what would is `BlockingIOError`."""
        return _socket.socket(family, type, proto, stack=self)

    def output(self) -> Packet | None:
        """The next packet to be sent, in the order in which they were made; `None` when there is none now."""
        packet = self._output()
        return None if packet is None else Packet(*packet)

    def packets(self) -> Iterator[Packet]:
        """All packets to be sent now."""
        while (packet := self.output()) is not None:
            yield packet

    def event(self) -> Event | None:
        """The oldest event not yet fetched; there are events while the knob "trace" is 1."""
        event = self._event()
        if event is None:
            return None
        time, kind, local, remote, before, after, why, segment, again = event
        summary = None if segment is None else Segment(*segment)
        return Event(time, kind, local, remote, before, after, why, summary, again)

    def events(self) -> Iterator[Event]:
        """All events not yet fetched."""
        while (event := self.event()) is not None:
            yield event

    def ready(self) -> int | None:
        """The number (`fileno()`) of a socket whose readiness has changed since it was last named here, as an edge of epoll:
        new arrivals are a change, bytes that were left unread are none."""
        return self._ready()

    def __enter__(self) -> Self:
        return self

    def __exit__(self, kind: _Kind, value: BaseException | None, traceback: TracebackType | None) -> None:
        """Nothing has to be closed: a stack by hand is gone with its last reference."""

    def __repr__(self) -> str:
        return f"<ustcp.ManualStack now={self.now}>"


def _text(name: str, value: str | int | Iterable[str]) -> str:
    if isinstance(value, str):
        return value
    if isinstance(value, int):
        return str(int(value))
    try:
        return ",".join(value)
    except TypeError:
        raise TypeError(f"{name}={value!r}: a knob takes an int, a str, or several str") from None
