"""`ustcp.socket` and the two functions that make one ready for use."""

from __future__ import annotations

import socket as _host
import warnings
from collections.abc import Callable
from types import TracebackType
from typing import Any, Optional, Union

from . import _ustcp

Address = Union[tuple[str, int], tuple[str, int, int, int]]
_Kind = Optional[type[BaseException]]


class socket(_ustcp.Socket):
    """A TCP socket of this process's own stack, with the methods and errors of `socket.socket`.

    `fileno()` is good for select, poll, epoll and `selectors`; reading or writing goes through the methods. After a
    fork the child's copy answers `OSError` EBADF.
    """

    __slots__ = ("__weakref__",)

    def accept(self) -> tuple[socket, Address]:
        """A connection, blocking and without timeout, and the peer's address."""
        fd, address = self._accept()
        return socket(fileno=fd), address

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

    @property
    def timeout(self) -> float | None:
        """What `settimeout` set, in seconds."""
        return self.gettimeout()

    def __enter__(self) -> socket:
        return self

    def __exit__(self, kind: _Kind, value: BaseException | None, traceback: TracebackType | None) -> None:
        self.close()

    def __repr__(self) -> str:
        text = f"<ustcp.socket fd={self.fileno()}"
        if self.fileno() == -1:
            return text + " [closed]>"
        text += f", family={self._family}, type={int(self.type)}, proto={self.proto}"
        return text + _end("laddr", self.getsockname) + _end("raddr", self.getpeername) + ">"

    def __reduce__(self) -> Any:
        raise TypeError("cannot pickle 'ustcp.socket' object")

    def __del__(self, _warn: Callable[..., None] = warnings.warn) -> None:
        if self.fileno() == -1:
            return
        _warn(f"unclosed {self!r}", ResourceWarning, source=self)
        try:
            self.close()
        except OSError:
            pass


def _end(name: str, ask: Callable[[], Any]) -> str:
    try:
        return f", {name}={ask()}"
    except OSError:
        return ""


def create_connection(
    address: tuple[str, int], timeout: float | None = None, source_address: tuple[str, int] | None = None
) -> socket:
    """A connection to the first of the host's addresses that answers, or the error of the last. `timeout` holds for
    each attempt and stays set on the socket; `source_address` is bound to before."""
    host, port = address

    def attempt(candidate: str) -> socket:
        return _make(lambda sock: prepare(sock, candidate))

    def prepare(sock: socket, candidate: str) -> None:
        sock.settimeout(timeout)
        if source_address is not None:
            sock.bind(source_address)
        sock.connect((candidate, port))

    *others, last = _candidates(host)
    for candidate in others:
        try:
            return attempt(candidate)
        except OSError:
            continue
    return attempt(last)


def create_server(address: tuple[str, int], *, backlog: int = 128) -> socket:
    """A listener at the address; host "" is every address of the stack."""

    def prepare(sock: socket) -> None:
        sock.setsockopt(_host.SOL_SOCKET, _host.SO_REUSEADDR, 1)
        sock.bind(address)
        sock.listen(backlog)

    return _make(prepare)


def _make(prepare: Callable[[socket], None]) -> socket:
    """A socket made ready, or closed again."""
    sock = socket()
    try:
        prepare(sock)
    except BaseException:
        sock.close()
        raise
    return sock


def _candidates(host: str) -> list[str]:
    """The host's IPv4 addresses; what the stack itself knows is left to it."""
    if host in ("", "localhost"):
        return ["localhost"]
    answers = _host.getaddrinfo(host, None, _host.AF_INET, _host.SOCK_STREAM)
    return [str(answer[4][0]) for answer in answers]
