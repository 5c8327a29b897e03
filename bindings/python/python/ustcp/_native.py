"""`ustcp.socket` at an engine: the standard library's own socket, on a native descriptor.

Reading, writing, polling, files, timeouts, `dup`, `close`, fork are the kernel's and the standard library's. What the
kernel does not know of the descriptor, which for it is a stream to another process, is asked of the engine.
"""

from __future__ import annotations

import errno
import fcntl
import os
import select
import socket as _host
import struct
import time
from collections.abc import Callable, Iterable
from typing import TYPE_CHECKING, Any, TypeVar, cast

from . import _ustcp

if TYPE_CHECKING:
    from _typeshed import ReadableBuffer, WriteableBuffer

T = TypeVar("T")
_HOST = cast(Any, _host.socket)
_INT = struct.Struct("i")
_TCP = (_host.IPPROTO_IP, _host.IPPROTO_TCP)
_FAMILIES = (_host.AF_INET, _host.AF_INET6)

# As `struct tcp_info` numbers the states.
_STATES = (
    "CLOSED", "ESTABLISHED", "SYN-SENT", "SYN-RECEIVED", "FIN-WAIT-1", "FIN-WAIT-2", "TIME-WAIT", "CLOSED", "CLOSE-WAIT",
    "LAST-ACK", "LISTEN", "CLOSING",
)  # fmt: skip


def of_process() -> _ustcp.Engine | None:
    """The engine of this process's sockets; `None` where `USTCP_ENGINE` names none, and their stack is in the process."""
    return _ustcp.Engine() if _ustcp.is_engine_wanted() else None


class socket(_host.socket):
    """A TCP socket of an engine, a stack as a process of its own, with everything that `socket.socket` has.

    `fileno()` is a whole descriptor: `os.read`, `os.sendfile`, uvloop, a child of fork or exec may use it.

    `stack` is another stack to make it on: an engine, or one of this process.
    """

    __slots__ = ("_engine",)
    __module__ = "ustcp"

    def __init__(
        self,
        family: int = -1,
        type: int = -1,
        proto: int = -1,
        fileno: int | None = None,
        *,
        stack: _ustcp.Engine | None = None,
    ) -> None:
        self._engine = _ustcp.Engine() if stack is None else stack
        kind = _host.SOCK_STREAM if type == -1 else type & ~_host.SOCK_CLOEXEC
        if fileno is not None:
            super().__init__(_family_of(fileno), kind, _host.IPPROTO_TCP if proto == -1 else proto, fileno)
            return
        family, proto = _host.AF_INET if family == -1 else family, max(proto, 0)
        _check(family, kind, proto)
        made = self._engine.socket(family, kind & _host.SOCK_NONBLOCK)
        try:
            super().__init__(family, kind, proto, made)
        except BaseException:
            os.close(made)
            raise

    # Life.

    def bind(self, address: Any, /) -> None:
        """Gives it a local address."""
        self._engine.bind(self.fileno(), address)

    def listen(self, backlog: int = 128, /) -> None:
        """Takes connections from now on."""
        self._engine.listen(self.fileno(), backlog)

    def accept(self) -> tuple[socket, Any]:
        """A connection, blocking unless there is a default timeout, and the peer's address."""
        fd, address = self._wait(select.POLLIN, lambda: self._engine.accept(self.fileno()))
        sock = self._accepted(fd)
        if _host.getdefaulttimeout() is None and self.gettimeout():
            sock.setblocking(True)
        return sock, address

    def _accepted(self, fd: int) -> socket:
        return socket(self.family, self.type, self.proto, fileno=fd, stack=self._engine)

    def connect(self, address: Any, /) -> None:
        """Opens a connection."""
        number = self._attempt(address)
        if number:
            raise OSError(number, os.strerror(number))

    def connect_ex(self, address: Any, /) -> int:
        """As connect, with the error's number as its value; 0 when connected."""
        try:
            return self._attempt(address)
        except _host.timeout:
            return errno.EAGAIN

    def _attempt(self, address: Any) -> int:
        number, timeout = self._engine.connect(self.fileno(), address), self.gettimeout()
        if not (number == errno.EINPROGRESS and timeout or number == errno.EINTR and timeout != 0):
            return number
        if not _ready(self.fileno(), select.POLLOUT, timeout):
            raise _host.timeout("timed out")
        return self.getsockopt(_host.SOL_SOCKET, _host.SO_ERROR)

    def shutdown(self, how: int, /) -> None:
        """Ends one direction or both."""
        self._engine.shutdown(self.fileno(), how)

    def dup(self) -> socket:
        """The same connection once more, under another descriptor; it ends when all of them are closed."""
        copy = self.__class__(self.family, self.type, self.proto, fileno=os.dup(self.fileno()), stack=self._engine)
        copy.settimeout(self.gettimeout())
        return copy

    # Names, options.

    def getsockname(self) -> Any:
        """The local address."""
        return self._engine.local(self.fileno())

    def getpeername(self) -> Any:
        """The peer's address."""
        return self._engine.peer(self.fileno())

    def setsockopt(self, level: int, option: int, value: Any, optlen: int | None = None, /) -> None:  # type: ignore[override]
        """With an int, or the bytes of the struct that the option takes."""
        value = bytes(optlen or 0) if value is None else value
        if not self._engine.set_option(self.fileno(), level, option, value):
            super().setsockopt(level, option, value)

    def getsockopt(self, level: int, option: int, buflen: int = 0, /) -> Any:
        """An int, or with `buflen` the bytes of the option's struct, at most so many."""
        told = self._engine.option(self.fileno(), level, option, buflen)
        return super().getsockopt(level, option, buflen) if told is None else told

    def ioctl(self, request: int, /) -> int:
        """The number that ioctl(2) writes (`SIOCINQ`, `SIOCOUTQ`, `SIOCATMARK`)."""
        told = self._engine.number(self.fileno(), request)
        if told is not None:
            return told
        (number,) = _INT.unpack(fcntl.ioctl(self.fileno(), request, bytes(_INT.size)))
        return int(number)

    def poll(self, events: int, /) -> int:
        """What poll(2) answers now."""
        if self.fileno() < 0:
            return select.POLLNVAL
        poller = select.poll()
        poller.register(self.fileno(), events)
        return dict(poller.poll(0)).get(self.fileno(), 0)

    @property
    def state(self) -> str:
        """The connection's state, by its name in RFC 9293; "LISTEN" of a listener, "CLOSED" before and after."""
        if self.fileno() < 0:
            return "CLOSED"
        info = self.getsockopt(_host.IPPROTO_TCP, _host.TCP_INFO, 104)
        return _STATES[info[0]]

    # Bytes: where the kernel's call fails, the errno becomes TCP's.

    def recv(self, bufsize: int, flags: int = 0, /) -> bytes:
        """Receives at most so many bytes; `b""` at the end of the stream."""
        if flags & _host.MSG_TRUNC:
            return bytes(self._discard(bufsize, flags))
        return self._told(lambda: super(socket, self).recv(bufsize, flags), False)
