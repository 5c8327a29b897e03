"""`ustcp.ManualStack`: a stack without device, thread or clock, and its sockets."""

from __future__ import annotations

import errno
import os
import socket as _host
from collections.abc import Iterable, Iterator
from types import TracebackType
from typing import TYPE_CHECKING, Any, NamedTuple, Optional, Union, overload

from . import _ustcp

if TYPE_CHECKING:
    from _typeshed import ReadableBuffer, WriteableBuffer

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

    `knobs` are set as by `set`: `ManualStack(seed=1, address="10.0.0.1/24", mtu=1400, trace=True)`.
    """

    __slots__ = ()

    def __init__(self, *, seed: int | None = None, **knobs: str | int | Iterable[str]) -> None:
        for name, value in knobs.items():
            self.set(name, value)

    def set(self, name: str, value: str | int | Iterable[str]) -> None:
        """Sets a knob from now on. Names and units are those of Linux's sysctls, where there is one: "tcp_syn_retries",
        "tcp_rto_min_us"; our own are named in the documentation. `OSError` ENOENT for an unknown name, EINVAL for a value
        that is malformed or out of range."""
        try:
            self._set(name, _text(value))
        except OSError as error:
            if error.errno not in (errno.ENOENT, errno.EINVAL):
                raise
            raise OSError(error.errno, f"{name}={value!r}: {error.strerror}") from None

    def get(self, name: str) -> str:
        """A knob, in the form that `set` takes."""
        return self._knob(name)

    def socket(
        self, family: int = _host.AF_INET, type: int = _host.SOCK_STREAM, proto: int = _host.IPPROTO_TCP
    ) -> ManualSocket:
        """A new TCP socket."""
        if type & ~(_host.SOCK_NONBLOCK | _host.SOCK_CLOEXEC) != _host.SOCK_STREAM:
            raise _error(errno.ESOCKTNOSUPPORT)
        if proto not in (0, _host.IPPROTO_TCP):
            raise _error(errno.EPROTONOSUPPORT)
        return ManualSocket(self, self._socket(family), family)

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

    def __repr__(self) -> str:
        return f"<ustcp.ManualStack now={self.now}>"


class ManualSocket:
    """A TCP socket of a `ManualStack`, with the methods and errors of a non-blocking `socket.socket`.

    What would wait is `BlockingIOError`. The socket lives until `close`, or as long as its stack.
    """

    __slots__ = ("__weakref__", "_family", "_number", "_stack")

    def __init__(self, stack: ManualStack, number: int, family: int) -> None:
        """For the stack: use `ManualStack.socket`."""
        self._stack = stack
        self._number = number
        self._family = family

    def fileno(self) -> int:
        """The socket's number in its stack, from 0 on, and no descriptor of the system; -1 once closed."""
        return self._number

    def bind(self, address: _Address) -> None:
        self._stack._bind(self._number, address)

    def listen(self, backlog: int = 128) -> None:
        self._stack._listen(self._number, backlog)

    def accept(self) -> tuple[ManualSocket, _Address]:
        """The oldest connection that waits, and the peer's address."""
        number, peer = self._stack._accept(self._number)
        return ManualSocket(self._stack, number, self._family), peer

    def connect(self, address: _Address) -> None:
        """Begins a connection, which is `BlockingIOError` EINPROGRESS; once it is made, returns."""
        number = self.connect_ex(address)
        if number:
            raise _error(number)

    def connect_ex(self, address: _Address) -> int:
        """As connect, with the error's number as its value."""
        return self._stack._connect(self._number, address)

    def send(self, data: ReadableBuffer, flags: int = 0, /) -> int:
        return self._stack._send(self._number, data, flags)

    def sendto(self, data: ReadableBuffer, *flags_and_address: Any) -> int:
        """`sendto(data, address)` or `sendto(data, flags, address)`: as send, for a connection has one peer. With
        `MSG_FASTOPEN` it is connect and send in one."""
        *flags, address = flags_and_address
        if flags and flags[0] & _host.MSG_FASTOPEN:
            return self._stack._open_with(self._number, data, flags[0], address)
        return self.send(data, *flags)

    def sendmsg(
        self,
        buffers: Iterable[ReadableBuffer],
        ancdata: Iterable[Any] | None = None,
        flags: int = 0,
        address: _Address | None = None,
        /,
    ) -> int:
        """send of several buffers as one; there is no ancillary data on TCP."""
        if ancdata:
            raise _error(errno.EOPNOTSUPP)
        return self._stack._sendmsg(self._number, buffers, flags)

    def recv(self, bufsize: int, flags: int = 0, /) -> bytes:
        """At most so many bytes; b"" at the end of the stream. With `MSG_TRUNC` they are dropped, and zeros returned."""
        return self._stack._recv(self._number, bufsize, flags)

    def recvfrom(self, bufsize: int, flags: int = 0, /) -> tuple[bytes, None]:
        """As recv; a connection tells no address here."""
        return self.recv(bufsize, flags), None

    def recv_into(self, buffer: WriteableBuffer, nbytes: int = 0, flags: int = 0) -> int:
        if nbytes < 0:
            raise ValueError("negative buffersize in recv_into")
        room = memoryview(buffer).nbytes
        if nbytes > room:
            raise ValueError("buffer too small for requested bytes")
        return self._stack._recv_into(self._number, buffer, nbytes or room, flags)

    def recvmsg(self, bufsize: int, ancbufsize: int = 0, flags: int = 0, /) -> tuple[bytes, list[Any], int, None]:
        """As recv, in the form of recvmsg: no ancillary data, no address, and no flags but `MSG_OOB` with an urgent byte."""
        data = self.recv(bufsize, flags)
        return data, [], flags & _host.MSG_OOB if data else 0, None

    def shutdown(self, how: int) -> None:
        self._stack._shutdown(self._number, how)

    def close(self) -> None:
        """Closes it, at once also with SO_LINGER; once more does nothing."""
        number, self._number = self._number, -1
        if number != -1:
            self._stack._close(number)

    def getsockname(self) -> _Address:
        return self._stack._getsockname(self._number)

    def getpeername(self) -> _Address:
        return self._stack._getpeername(self._number)

    def setsockopt(self, level: int, option: int, value: int | ReadableBuffer, /) -> None:
        """With an int, or the bytes of the struct that the option takes."""
        self._stack._setsockopt(self._number, level, option, value)

    @overload
    def getsockopt(self, level: int, option: int, /) -> int: ...
    @overload
    def getsockopt(self, level: int, option: int, buflen: int, /) -> bytes: ...
    def getsockopt(self, level: int, option: int, buflen: int = 0, /) -> int | bytes:
        """An int, or with `buflen` the bytes of the option's struct, at most so many."""
        return self._stack._getsockopt(self._number, level, option, buflen)

    def ioctl(self, request: int, /) -> int:
        """The number that ioctl(2) would write: of `termios.FIONREAD` (SIOCINQ) the bytes that can be read, of
        `termios.TIOCOUTQ` (SIOCOUTQ) those written and not acknowledged, of 0x8905 (SIOCATMARK) whether the next one
        is urgent."""
        return self._stack._ioctl(self._number, request)

    def poll(self, events: int, /) -> int:
        """What poll(2) would answer now: those of `events` that hold, and unasked POLLERR, POLLHUP and, once closed,
        POLLNVAL."""
        return self._stack._poll(self._number, events)

    @property
    def state(self) -> str:
        """The connection's state, by its name in RFC 9293; "LISTEN" of a listener, "CLOSED" before and after."""
        return self._stack._state(self._number)

    @property
    def family(self) -> _host.AddressFamily:
        """`AF_INET` or `AF_INET6`."""
        return _host.AddressFamily(self._family)

    @property
    def type(self) -> _host.SocketKind:
        """`SOCK_STREAM`."""
        return _host.SOCK_STREAM

    @property
    def proto(self) -> int:
        """`IPPROTO_TCP`."""
        return _host.IPPROTO_TCP

    def __enter__(self) -> ManualSocket:
        return self

    def __exit__(self, kind: _Kind, value: BaseException | None, traceback: TracebackType | None) -> None:
        self.close()

    def __repr__(self) -> str:
        if self._number == -1:
            return "<ustcp.ManualSocket [closed]>"
        return f"<ustcp.ManualSocket {self._number} {self.state} laddr={self.getsockname()}>"


def _text(value: str | int | Iterable[str]) -> str:
    if isinstance(value, str):
        return value
    return str(int(value)) if isinstance(value, int) else ",".join(value)


def _error(number: int) -> OSError:
    return OSError(number, os.strerror(number))
