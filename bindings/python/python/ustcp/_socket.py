"""`ustcp.socket`, and the two functions that make one ready for use."""

from __future__ import annotations

import builtins
import contextlib
import os
import socket as _host
import sys
import threading
import warnings
from collections.abc import Callable, Iterable
from types import TracebackType
from typing import IO, TYPE_CHECKING, Any, Optional, Union, cast, overload

from . import _engine, _native, _ustcp

if TYPE_CHECKING:
    from _typeshed import ReadableBuffer, WriteableBuffer
    from typing_extensions import Self

    OwnStack = Union[_ustcp.Stack, _ustcp.ManualStack]
    Stack = Union[OwnStack, _ustcp.Engine]

Address = Union[tuple[str, int], tuple[str, int, int, int]]
RemoteAddress = Union[tuple[Union[str, bytes, None], Union[int, str, bytes, None]], Address]
_Kind = Optional[type[BaseException]]

# Of <netinet/tcp.h>: what TCP_INQ has recvmsg tell.
_TCP_CM_INQ = 36
_BACKLOG = 128

# What CPython's own class does in Python over the calls of a socket is the same here.
_HOST = cast(Any, _host.socket)
DEFAULT_TIMEOUT = cast(Any, _host)._GLOBAL_DEFAULT_TIMEOUT


class _Here(threading.local):
    """The stack of this thread's new sockets; `None` is the process's own. A host of a `Network` sets it."""

    stack: OwnStack | None = None
    is_in_network = False

    def check(self) -> None:
        """`RuntimeError` where a task of a network that is on no host would make a socket, of the real network."""
        if self.is_in_network and self.stack is None:
            raise RuntimeError(
                "a TCP socket made by a task of a Network that is on none of its hosts would be one of the real network: "
                "make it in a `with host:` block, in a task of host.run, or by host.socket or host.create_connection "
                "(one of the real network: before the Network is entered)"
            )


here = _Here()


class socket(_ustcp.Socket):
    """A TCP socket of a stack of this process, with the methods and errors of `socket.socket`.

    `fileno()` is good for select, poll, epoll and `selectors`; reading or writing goes through the methods. After a
    fork the child's copy may be closed; everything else is `OSError` EBADF there.

    `stack` is the `Stack` or `ManualStack` to make it on; without one, it is the stack of the process.

    Every method may be called from any thread, and releases the GIL while it works or waits; `close` ends the waits of the
    other threads with EBADF. `OSError` of any of them: EBADF once it is closed, ENETDOWN once the stack has ended. Of the
    constructor: EAFNOSUPPORT, ESOCKTNOSUPPORT, EPROTONOSUPPORT: no TCP; EMFILE, ENFILE, ENOMEM; what `init` raises, where the
    stack has yet to start; EBADF: `fileno` is no socket of ours.
    """

    __slots__ = ("__weakref__", "_closed", "_io_refs")
    __module__ = "ustcp"
    _closed: bool
    _io_refs: int

    def __new__(cls, *arguments: Any, **options: Any) -> Self:
        """Not open: `__init__` does that, so that a class derived from it may have arguments of its own."""
        self = super().__new__(cls)
        self._io_refs = 0
        self._closed = False
        return self

    def __init__(
        self,
        family: int = -1,
        type: int = -1,
        proto: int = -1,
        fileno: int | None = None,
        *,
        stack: OwnStack | None = None,
        _take: _ustcp.Socket | None = None,
    ) -> None:
        stack = here.stack if stack is None else stack
        if _take is not None:
            self._take_over(_take)
        elif fileno is not None:
            self._adopt(fileno, proto, stack)
        else:
            if stack is None:
                here.check()
            self._open(family, type, proto, stack)
        default = _host.getdefaulttimeout()
        if default is not None and _take is None and not (type > 0 and type & _host.SOCK_NONBLOCK):
            self.settimeout(default)

    def accept(self) -> tuple[socket, Address]:
        """Takes the oldest established connection that waits, for which it waits: a socket, blocking unless there is a default
        timeout and with the listener's options, and the peer's address.

        `OSError`: EAGAIN: non-blocking, and nobody waits; EINVAL: it does not listen; EMFILE, ENFILE, ENOMEM: nothing is left
        to make it of, and the connection stays. `socket.timeout`.
        """
        accepted, address = self._accept()
        sock = socket(_take=accepted)
        sock.settimeout(_host.getdefaulttimeout())
        return sock, address

    def dup(self) -> socket:
        """The same connection once more, under another descriptor; it ends when both are closed. `OSError` EMFILE, ENFILE."""
        return self.__class__(_take=self._dup())

    def makefile(
        self,
        mode: str = "r",
        buffering: int | None = None,
        *,
        encoding: str | None = None,
        errors: str | None = None,
        newline: str | None = None,
    ) -> IO[Any]:
        """A file over the socket, as of `open`; the connection is closed with the last of them."""
        made = _HOST.makefile(self, mode, buffering, encoding=encoding, errors=errors, newline=newline)
        return cast("IO[Any]", made)

    def _decref_socketios(self) -> None:
        _HOST._decref_socketios(self)

    def close(self) -> None:
        """Closes it, and the connection once no file of `makefile` is open; once more does nothing. What was written is still
        delivered, and FIN follows (RFC 9293 §3.9.1.4); RST instead where received bytes were not read (RFC 2525 §2.17), or with
        `SO_LINGER` of 0 seconds."""
        self._closed = True
        if self._io_refs <= 0:
            self._real_close()

    def detach(self) -> int:
        """Closes the object and nothing else: `socket(fileno=...)` has the connection again."""
        if _is_asked_by("multiprocessing.connection"):
            self.close()
            raise _engine.needed("multiprocessing.connection", "use AF_UNIX")
        self._closed = True
        return super().detach()

    def recvfrom(self, bufsize: int, flags: int = 0, /) -> tuple[bytes, None]:
        """As recv; a connection tells no address here."""
        return self.recv(bufsize, flags), None

    def recvfrom_into(self, buffer: WriteableBuffer, nbytes: int = 0, flags: int = 0) -> tuple[int, None]:
        """As recv_into; a connection tells no address here."""
        return self.recv_into(buffer, nbytes, flags), None

    def recvmsg(
        self, bufsize: int, ancbufsize: int = 0, flags: int = 0, /
    ) -> tuple[bytes, list[tuple[int, int, bytes]], int, None]:
        """As recv, in the form of recvmsg: with the option TCP_INQ what is left to read, and `MSG_OOB` with an urgent
        byte."""
        if ancbufsize < 0:
            raise ValueError("invalid ancillary data buffer length")
        data = self.recv(bufsize, flags)
        ancillary, told = self._ancillary(ancbufsize, bool(data), flags)
        return data, ancillary, told, None

    def recvmsg_into(
        self, buffers: Iterable[WriteableBuffer], ancbufsize: int = 0, flags: int = 0, /
    ) -> tuple[int, list[tuple[int, int, bytes]], int, None]:
        """As recvmsg, into several buffers, one after the other."""
        if ancbufsize < 0:
            raise ValueError("invalid ancillary data buffer length")
        views = [_writable(buffer) for buffer in buffers]
        data = memoryview(self.recv(sum(map(len, views)), flags))
        at = 0
        for view in views:
            piece = data[at : at + len(view)]
            view[: len(piece)] = piece
            at += len(piece)
        ancillary, told = self._ancillary(ancbufsize, bool(data), flags)
        return len(data), ancillary, told, None

    def _ancillary(self, room: int, some: bool, flags: int) -> tuple[list[tuple[int, int, bytes]], int]:
        told = flags & _host.MSG_OOB if some else 0
        left = self._left_to_read()
        if left is None:
            return [], told
        if room < _host.CMSG_LEN(4):
            return [], told | _host.MSG_CTRUNC
        return [(_host.IPPROTO_TCP, _TCP_CM_INQ, left.to_bytes(4, sys.byteorder, signed=True))], told

    def sendfile(self, file: IO[bytes], offset: int = 0, count: int | None = None) -> int:
        """Sends a file from `offset` on, all or `count` bytes, by send: how many; the file's position is behind them."""
        return self._sendfile_use_send(file, offset, count)

    def _sendfile_use_send(self, file: IO[bytes], offset: int = 0, count: int | None = None) -> int:
        return cast(int, _HOST._sendfile_use_send(self, file, offset, count))

    def _check_sendfile_params(self, file: IO[bytes], offset: int, count: int | None) -> None:
        _HOST._check_sendfile_params(self, file, offset, count)

    @overload
    def getsockopt(self, level: int, option: int, /) -> int: ...
    @overload
    def getsockopt(self, level: int, option: int, buflen: int, /) -> bytes: ...
    def getsockopt(self, level: int, option: int, buflen: int = 0, /) -> int | bytes:
        """An int, or with `buflen` the bytes of the option's struct, at most so many."""
        if option == _host.SO_TYPE and level == _host.SOL_SOCKET and _is_asked_by("ssl"):
            # The first thing that ssl's own class asks of a socket whose descriptor it is to take over.
            raise _engine.needed(
                "wrap_socket of ssl", "set the context's sslsocket_class to ustcp.SSLSocket, or call ustcp.patch()"
            )
        return super().getsockopt(level, option, buflen)

    def get_inheritable(self) -> bool:
        """Whether programs that are executed get the descriptor, of which they have no use."""
        return os.get_inheritable(self.fileno())

    def set_inheritable(self, inheritable: bool) -> None:
        """Sets the descriptor's flag; the connection is this process's all the same."""
        os.set_inheritable(self.fileno(), inheritable)

    @property
    def family(self) -> _host.AddressFamily:
        """`AF_INET` or `AF_INET6`."""
        return _host.AddressFamily(self._family)

    @property
    def type(self) -> _host.SocketKind:
        """`SOCK_STREAM`."""
        return _host.SOCK_STREAM

    @property
    def timeout(self) -> float | None:
        """What `settimeout` set, in seconds."""
        return self.gettimeout()

    def __enter__(self) -> Self:
        return self

    def __exit__(self, kind: _Kind, value: BaseException | None, traceback: TracebackType | None) -> None:
        if not self._closed:
            self.close()

    def __repr__(self) -> str:
        kind = builtins.type(self)
        text = f"<{kind.__module__}.{kind.__qualname__}{' [closed]' if self._closed else ''} fd={self.fileno()}"
        text += f", family={int(self.family)}, type={int(self.type)}, proto={self.proto}"
        return text + _end("laddr", self.getsockname) + _end("raddr", self.getpeername) + ">"

    def __reduce__(self) -> Any:
        raise TypeError(f"cannot pickle {self.__class__.__name__!r} object")

    def __del__(self, _warn: Callable[..., None] = warnings.warn) -> None:
        if self.fileno() == -1:
            return
        try:
            _warn(f"unclosed {self!r}", ResourceWarning, stacklevel=2, source=self)
        finally:  # it may be an exception, by -W error
            with contextlib.suppress(OSError):
                self._real_close()


def _end(name: str, ask: Callable[[], Any]) -> str:
    try:
        return f", {name}={ask()}"
    except OSError:
        return ""


def _writable(buffer: WriteableBuffer) -> memoryview:
    view = memoryview(buffer)
    if view.readonly:
        raise TypeError(f"a read-write bytes-like object is required, not {type(buffer).__name__!r}")
    return view.cast("B")


def _is_asked_by(module: str) -> bool:
    return sys._getframe(2).f_globals.get("__name__") == module


def made(family: int = -1, type: int = -1, proto: int = -1, *, stack: Stack | None) -> socket:
    """A new socket where it belongs: on the stack that is told, else on this thread's, else on the process's own, which
    is an engine where `USTCP_ENGINE` names one."""
    stack = here.stack if stack is None else stack
    stack = _native.of_process() if stack is None else stack
    if isinstance(stack, _ustcp.Engine):
        return cast(socket, _native.socket(family, type, proto, stack=stack))
    return socket(family, type, proto, stack=stack)


def fromfd(fd: int, family: int, type: int, proto: int = 0) -> socket:
    """One more object of the connection under a descriptor of ours."""
    if _ustcp.family_at_engine(fd) is not None:
        return cast(socket, _native.socket(family, type, proto, fileno=os.dup(fd)))
    there = socket(family, type, proto, fileno=fd)
    try:
        return there.dup()
    finally:
        there.detach()


def close(fd: int) -> None:
    """Closes the socket under a descriptor of ours."""
    if _ustcp.family_at_engine(fd) is not None:
        os.close(fd)
        return
    socket(fileno=fd).close()


def create_connection(
    address: RemoteAddress,
    timeout: float | None = DEFAULT_TIMEOUT,
    source_address: Address | None = None,
    *,
    all_errors: bool = False,
    stack: Stack | None = None,
) -> socket:
    """A connection to the first of the host's addresses, of either family, that answers, or the error of the last;
    with `all_errors` (Python 3.11 and later) an ExceptionGroup of all. `timeout` holds for each attempt and stays set on
    the socket; `source_address` is bound to before."""
    host, port, *_ = address
    errors: list[Exception] = []
    for family, candidate in _candidates(host or "localhost", port):
        sock = None
        try:
            sock = made(family, stack=stack)
            if timeout is not DEFAULT_TIMEOUT:
                sock.settimeout(timeout)
            if source_address:
                sock.bind(source_address)
            sock.connect(candidate)
            return sock
        except OSError as error:
            errors.append(error)
            if sock is not None:
                sock.close()
        except BaseException:
            if sock is not None:
                sock.close()
            raise
    try:
        if all_errors and errors:
            raise cast(Any, builtins).ExceptionGroup("create_connection failed", errors)
        raise errors[-1] if errors else OSError("getaddrinfo returns an empty list")
    finally:
        errors.clear()  # a reference cycle less


def create_server(
    address: Address | tuple[str, int],
    *,
    family: int = _host.AF_INET,
    backlog: int | None = None,
    reuse_port: bool = False,
    dualstack_ipv6: bool = False,
    stack: Stack | None = None,
) -> socket:
    """A listener at the address; host "" is every address of the stack. With `AF_INET6`, IPv4 is taken too where
    `dualstack_ipv6` says so."""
    if dualstack_ipv6 and family != _host.AF_INET6:
        raise ValueError("dualstack_ipv6 requires AF_INET6 family")
    sock = made(family, stack=stack)
    try:
        sock.setsockopt(_host.SOL_SOCKET, _host.SO_REUSEADDR, 1)
        if reuse_port:
            sock.setsockopt(_host.SOL_SOCKET, _host.SO_REUSEPORT, 1)
        if family == _host.AF_INET6:
            sock.setsockopt(_host.IPPROTO_IPV6, _host.IPV6_V6ONLY, not dualstack_ipv6)
        try:
            sock.bind(address)
        except OSError as error:
            if error.errno is None:
                raise
            raise OSError(error.errno, f"{error.strerror} (while attempting to bind on address {address!r})") from None
        sock.listen(_BACKLOG if backlog is None else backlog)
        return sock
    except BaseException:
        sock.close()
        raise


def has_dualstack_ipv6() -> bool:
    """One listener can serve both families."""
    return True


def _candidates(host: str | bytes, port: int | str | bytes | None) -> list[tuple[int, tuple[str, int]]]:
    """The host's addresses and their families; what the stack itself knows is left to it. A port may be a service's name."""
    service = None if isinstance(port, int) else port
    if host in ("localhost", b"localhost"):
        found = [(family, "localhost") for family in (_host.AF_INET, _host.AF_INET6)]
        answers = _host.getaddrinfo(None, service, type=_host.SOCK_STREAM) if service else []
    else:
        answers = _host.getaddrinfo(host, service, _host.AF_UNSPEC, _host.SOCK_STREAM)
        found = [(answer[0], str(answer[4][0])) for answer in answers]
    number = port if isinstance(port, int) else int(answers[0][4][1]) if answers else 0
    return [(family, (address, number)) for family, address in found]
