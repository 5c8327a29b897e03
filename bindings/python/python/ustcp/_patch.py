"""`ustcp.patch()`: programs that use `socket` get sockets of ours."""

from __future__ import annotations

import importlib.abc
import importlib.machinery
import os
import socket as _host
import ssl
import sys
import threading
from collections.abc import Sequence
from types import ModuleType
from typing import Any

from . import _engine, _native, _ustcp
from ._socket import Address, close, fromfd, here, socket
from ._tls import SSLSocket

_TCP = (0, -1, _host.IPPROTO_TCP)
# A socket of a stack by hand has a number from here on, and no descriptor.
_MANUAL = _ustcp.FIRST_HANDLE


_SYSTEM = _host.socket
_SYSTEM_TYPE = _host.SocketType
_sendfile, _fromfd, _close = os.sendfile, _host.fromfd, _host.close


class _Choice(type):
    """The kind of the class that stands for `socket.socket`: of its instances those of TCP are ours, any other the
    system's."""

    def __call__(cls, *arguments: Any, **options: Any) -> Any:
        if cls not in _STAND_INS or options.keys() & {"stack", "_take"} or _is_ours(*arguments, **options):
            kind = Socket if cls is NativeSocket and here.stack is not None else cls
            return super(_Choice, kind).__call__(*arguments, **options)
        return _SYSTEM(*arguments, **options)

    def __instancecheck__(cls, instance: object) -> bool:
        return super().__instancecheck__(instance) or (cls in _STAND_INS and isinstance(instance, (_SYSTEM, socket)))

    def __subclasscheck__(cls, subclass: type) -> bool:
        return super().__subclasscheck__(subclass) or (cls in _STAND_INS and issubclass(subclass, (_SYSTEM, socket)))


class Socket(socket, metaclass=_Choice):
    """Stands for `socket.socket`; a class derived from it is one of sockets of ours."""

    __slots__ = ()
    __module__ = "ustcp"

    def accept(self) -> tuple[socket, Address]:
        """A connection, of the class that stands for `socket.socket`: some look at the very type."""
        sock, address = super().accept()
        return Socket(_take=sock), address


class NativeSocket(_native.socket, metaclass=_Choice):
    """The same where the sockets of the process are an engine's."""

    __slots__ = ()
    __module__ = "ustcp"


NativeSocket._kind = NativeSocket  # of accepted connections too: some look at the very type
_STAND_INS = (Socket, NativeSocket)
for _kind in _STAND_INS:
    _kind.__name__ = _kind.__qualname__ = "socket"


def _is_ours(family: int = -1, type: int = -1, proto: int = -1, fileno: int | None = None) -> bool:
    if fileno is not None:
        return isinstance(fileno, int) and fileno >= 0 and (fileno >= _MANUAL or _knows(fileno))
    kind = _host.SOCK_STREAM if type == -1 else type & ~(_host.SOCK_NONBLOCK | _host.SOCK_CLOEXEC)
    tcp = family in (-1, _host.AF_INET, _host.AF_INET6) and kind == _host.SOCK_STREAM and proto in _TCP
    if tcp:
        here.check()
    return tcp and (standing.whole_process or here.stack is not None)


def _knows(fd: int) -> bool:
    """Whether a descriptor is a socket of ours, in this process or at an engine."""
    return _ustcp.knows(fd) or _ustcp.family_at_engine(fd) is not None


def _sendfile_of_the_system(out_fd: int, in_fd: int, *arguments: Any, **options: Any) -> int:
    if isinstance(out_fd, int) and out_fd >= 0 and (_ustcp.knows(out_fd) or here.stack is not None):
        raise _engine.needed("os.sendfile", "use the sendfile of the socket or of the event loop")
    return _sendfile(out_fd, in_fd, *arguments, **options)


def _fromfd_of_the_system(fd: int, family: int, type: int, proto: int = 0) -> Any:
    find = fromfd if _knows(fd) else _fromfd
    return find(fd, family, type, proto)


def _close_of_the_system(fd: Any) -> None:
    find = close if isinstance(fd, int) and fd >= 0 and _ustcp.knows(fd) else _close
    find(fd)


class _NoUvloop(importlib.abc.MetaPathFinder, importlib.abc.Loader):
    """uvloop would go to the kernel's TCP for every connection, without a word. It is found where it is, by whoever looks
    whether it is there; to import it is the error."""

    def find_spec(
        self, fullname: str, path: Sequence[str] | None, target: ModuleType | None = None
    ) -> importlib.machinery.ModuleSpec | None:
        if fullname != "uvloop":
            return None
        spec = importlib.machinery.PathFinder.find_spec(fullname, path, target)
        if spec is not None:
            spec.loader = self
        return spec

    def exec_module(self, module: ModuleType) -> None:
        raise ImportError(str(_engine.no_uvloop()), name="uvloop")


class _Standing:
    """Who wants the patches to stand: the process as a whole, and networks at work."""

    def __init__(self) -> None:
        self.lock = threading.Lock()
        self.whole_process = False
        self.users = 0
        self.finder = _NoUvloop()

    def enter(self) -> None:
        self.users += 1
        if self.users == 1:
            kind = NativeSocket if _ustcp.is_engine_wanted() else Socket
            _set(_host, "socket", kind)
            _set(_host, "SocketType", kind)
            _set(_host, "fromfd", _fromfd_of_the_system)
            _set(_host, "close", _close_of_the_system)
            _set(ssl.SSLContext, "sslsocket_class", SSLSocket)
            _set(os, "sendfile", _sendfile_of_the_system)
            sys.meta_path.insert(0, self.finder)

    def leave(self) -> None:
        self.users -= 1
        if self.users == 0:
            _set(_host, "socket", _SYSTEM)
            _set(_host, "SocketType", _SYSTEM_TYPE)
            _set(_host, "fromfd", _fromfd)
            _set(_host, "close", _close)
            _set(ssl.SSLContext, "sslsocket_class", ssl.SSLSocket)
            _set(os, "sendfile", _sendfile)
            sys.meta_path.remove(self.finder)


standing = _Standing()


def _set(place: Any, name: str, value: Any) -> None:
    setattr(place, name, value)


def patch() -> None:
    """Puts the users of `socket` on ustcp: from now on `socket.socket` makes TCP sockets of ours (any other stay the
    system's), and with it `socket.create_connection`, `http.client`, `urllib`, `requests`, `smtplib`, `http.server`,
    `asyncio` and their like; TLS too, for `SSLContext.wrap_socket` makes `ustcp.SSLSocket`.

    What goes past `socket` to the descriptor fails with a word on USTCP_ENGINE, where that is not set: `os.sendfile`. What
    makes its connections past `socket` fails: uvloop. Call it before the modules are imported that say
    `from socket import socket`. Once more does nothing.
    """
    if sys.modules.get("uvloop") is not None:
        raise RuntimeError(str(_engine.no_uvloop()))
    with standing.lock:
        if not standing.whole_process:
            standing.whole_process = True
            standing.enter()


def unpatch() -> None:
    """Undoes `patch`; sockets that were made meanwhile stay what they are. Once more does nothing."""
    with standing.lock:
        if standing.whole_process:
            standing.whole_process = False
            standing.leave()
