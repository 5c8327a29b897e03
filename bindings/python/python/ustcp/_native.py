"""`ustcp.socket` at an engine: the standard library's own socket, on a native descriptor.

Reading, writing, polling, files, timeouts, `dup`, `close`, fork are the kernel's and the standard library's. What the
kernel does not know of the descriptor, which for it is a stream to another process, is asked of the engine.
"""

from __future__ import annotations

import errno
import fcntl
import functools
import os
import select
import socket as _host
import struct
import time
from collections.abc import Callable, Iterable
from typing import TYPE_CHECKING, Any, ClassVar, TypeVar, cast

from . import _socket, _ustcp

if TYPE_CHECKING:
    from _typeshed import ReadableBuffer, WriteableBuffer

T = TypeVar("T")
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

    `fileno()` is a whole descriptor: `os.read`, `os.sendfile`, uvloop, a child of fork or exec may use it. What the methods
    take, tell and raise is that of `ustcp.socket` in the process, besides ENETDOWN and ECONNRESET when the engine ends.

    `stack` is another stack to make it on: an engine, or one of this process.
    """

    __slots__ = ("_carries", "_engine")
    __module__ = "ustcp"
    _kind: ClassVar[type[socket]]  # of the connections that it accepts

    def __new__(cls, *arguments: Any, stack: Any = None, **options: Any) -> Any:
        here = _socket.here.stack if stack is None else stack
        if here is None or isinstance(here, _ustcp.Engine):
            return super().__new__(cls)
        return _socket.socket(*arguments, stack=here, **options)

    def __init__(
        self,
        family: int = -1,
        type: int = -1,
        proto: int = -1,
        fileno: int | None = None,
        *,
        stack: _ustcp.Engine | None = None,
    ) -> None:
        _is_handed_on(cast(Any, self.__class__))
        self._engine = _ustcp.Engine() if stack is None else stack
        self._carries = False  # as far as is known
        kind = _host.SOCK_STREAM if type == -1 else type & ~_host.SOCK_CLOEXEC
        if fileno is not None:
            super().__init__(_family_of(fileno), kind, _host.IPPROTO_TCP if proto == -1 else proto, fileno)
            return
        if stack is None:
            _socket.here.check()
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
        self._carries = False

    def listen(self, backlog: int = 128, /) -> None:
        """Takes connections from now on."""
        self._engine.listen(self.fileno(), backlog)
        self._carries = False

    def accept(self) -> tuple[socket, Any]:
        """A connection, blocking unless there is a default timeout, and the peer's address."""
        fd, address = self._wait(select.POLLIN, lambda: self._engine.accept(self.fileno()))
        sock = self._kind(self.family, self.type, self.proto, fileno=fd, stack=self._engine)
        if _host.getdefaulttimeout() is None and self.gettimeout():
            sock.setblocking(True)
        return sock, address

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
        return int(self.getsockopt(_host.SOL_SOCKET, _host.SO_ERROR))

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

    def setsockopt(self, level: int, option: int, value: Any, optlen: int | None = None, /) -> None:
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
        return self._told(super().recv, bufsize, flags)

    def recv_into(self, buffer: WriteableBuffer, nbytes: int = 0, flags: int = 0) -> int:
        """As recv, into the buffer: how many."""
        if flags & _host.MSG_TRUNC:
            view = memoryview(buffer).cast("B")
            count = self._discard(nbytes or len(view), flags)
            view[:count] = bytes(count)
            return count
        return self._told(super().recv_into, buffer, nbytes, flags)

    def recvfrom(self, bufsize: int, flags: int = 0, /) -> tuple[bytes, None]:
        """As recv; a connection tells no address here."""
        return self.recv(bufsize, flags), None

    def recvfrom_into(self, buffer: WriteableBuffer, nbytes: int = 0, flags: int = 0) -> tuple[int, None]:
        """As recv_into; a connection tells no address here."""
        return self.recv_into(buffer, nbytes, flags), None

    def recvmsg(self, bufsize: int, ancbufsize: int = 0, flags: int = 0, /) -> tuple[bytes, list[Any], int, Any]:
        """As recv, in the form of recvmsg."""
        return self._told(super().recvmsg, bufsize, ancbufsize, flags)

    def recvmsg_into(
        self, buffers: Iterable[WriteableBuffer], ancbufsize: int = 0, flags: int = 0, /
    ) -> tuple[int, list[Any], int, Any]:
        """As recvmsg, into several buffers, one after the other."""
        return self._told(super().recvmsg_into, buffers, ancbufsize, flags)

    def send(self, data: ReadableBuffer, flags: int = 0, /) -> int:
        """Sends what there is room for: how many bytes."""
        if flags & _host.MSG_OOB:
            urgent = functools.partial(self._engine.send_urgent, self.fileno(), data, flags)
            return int(self._told(self._wait, select.POLLOUT, urgent, writes=True))
        return self._told(super().send, data, flags, writes=True)

    def sendall(self, data: ReadableBuffer, flags: int = 0, /) -> None:
        """Sends all of it."""
        if flags & _host.MSG_OOB:
            rest = memoryview(data).cast("B")
            while rest:
                rest = rest[self.send(rest, flags) :]
            return
        self._told(super().sendall, data, flags, writes=True)

    def sendto(self, data: ReadableBuffer, *flags_and_address: Any) -> int:
        """`sendto(data, address)` or `sendto(data, flags, address)`: as send, for a connection has one peer. With
        `MSG_FASTOPEN` it is connect and send in one."""
        if len(flags_and_address) not in (1, 2):
            raise TypeError(f"sendto() takes 2 or 3 arguments ({len(flags_and_address) + 1} given)")
        flags = flags_and_address[0] if len(flags_and_address) == 2 else 0
        if flags & _host.MSG_FASTOPEN:
            self.connect(flags_and_address[-1])
        return self.send(data, flags & ~_host.MSG_FASTOPEN)

    def sendmsg(
        self, buffers: Iterable[ReadableBuffer], ancdata: Iterable[Any] = (), flags: int = 0, address: Any = None, /
    ) -> int:
        """send of several buffers as one. There is no ancillary data on TCP."""
        buffers = list(buffers)
        if self._engine.look_at(self.fileno(), ancdata, address):
            raise OSError(errno.EOPNOTSUPP, os.strerror(errno.EOPNOTSUPP))
        if address is not None and flags & _host.MSG_FASTOPEN:
            self.connect(address)
        flags &= ~_host.MSG_FASTOPEN
        if flags & _host.MSG_OOB:
            return self.send(b"".join(buffers), flags)
        return self._told(super().sendmsg, buffers, (), flags, writes=True)

    def _discard(self, most: int, flags: int) -> int:
        if most < 0:
            raise ValueError("negative buffersize in recv")
        return int(self._told(self._wait, select.POLLIN, lambda: self._engine.discard(self.fileno(), most, flags)))

    def _told(self, call: Callable[..., T], *arguments: Any, writes: bool = False) -> T:
        """The standard library's call. Where it fails, the errno of a stream of AF_UNIX becomes what TCP would say; and where
        nothing was ever connected it would not fail, but wait."""
        if not self._carries:
            self._carries = self._engine.carries(self.fileno())
            if not self._carries:
                missing = errno.EPIPE if writes else errno.ENOTCONN
                raise OSError(missing, os.strerror(missing))
        try:
            return call(*arguments)
        except OSError as error:
            number = error.errno and self._engine.fault(self.fileno(), error.errno, writes)
            if number == error.errno:
                raise
        if number == 0:
            return call(*arguments)  # the end of the stream, now that the descriptor's error is told
        raise OSError(number, os.strerror(number or 0))

    def _wait(self, event: int, call: Callable[[], T]) -> T:
        """Calls until there is nothing to wait for, as the timeout says; again after signals (PEP 475)."""
        timeout = self.gettimeout()
        end = time.monotonic() + (timeout or 0)
        while True:
            try:
                return call()
            except InterruptedError:
                continue
            except BlockingIOError:
                if not timeout:
                    raise
            if not _ready(self.fileno(), event, end - time.monotonic()):
                raise _host.timeout("timed out")


socket._kind = socket


@functools.cache
def _is_handed_on(kind: type[socket]) -> None:
    """multiprocessing hands one of this class on as it does the standard library's, whose class it knows by itself."""
    from multiprocessing import reduction

    def reduced(sock: socket) -> Any:
        return _rebuilt, (cast(Any, reduction).DupFd(sock.fileno()), kind, sock.family, sock.type, sock.proto)

    cast(Any, reduction).register(kind, reduced)


def _rebuilt(handed: Any, kind: type[socket], family: int, type: int, proto: int) -> socket:
    return kind(family, type, proto, fileno=handed.detach())


def _ready(fd: int, event: int, timeout: float | None) -> bool:
    poller = select.poll()
    poller.register(fd, event)
    return bool(poller.poll(None if timeout is None else max(timeout * 1000, 0)))


def _family_of(fd: int) -> int:
    family = _ustcp.family_at_engine(fd)
    if family is None:
        raise OSError(errno.EBADF, os.strerror(errno.EBADF))
    return family


def _check(family: int, kind: int, proto: int) -> None:
    """As the kernel judges the arguments, and a socket of this process's stack."""
    if family not in _FAMILIES:
        number = errno.EAFNOSUPPORT
    elif kind & ~_host.SOCK_NONBLOCK != _host.SOCK_STREAM:
        number = errno.ESOCKTNOSUPPORT
    elif proto not in _TCP:
        number = errno.EPROTONOSUPPORT
    else:
        return
    raise OSError(number, os.strerror(number))
