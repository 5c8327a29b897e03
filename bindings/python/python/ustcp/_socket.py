"""`ustcp.socket` and the two functions that make one ready for use."""

from __future__ import annotations

import socket as _host
import warnings
from collections.abc import Callable
from functools import partial
from types import TracebackType
from typing import Any, Optional, Union

from . import _ustcp

Address = Union[tuple[str, int], tuple[str, int, int, int]]
_Kind = Optional[type[BaseException]]


class socket(_ustcp.Socket):
    """A TCP socket of this process's own stack, with the methods and errors of `socket.socket`.

    `fileno()` is good for select, poll, epoll and `selectors`; reading or writing goes through the methods. After a
    fork the child's copy may be closed; everything else is `OSError` EBADF there.
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


def create_connection(address: Address, timeout: float | None = None, source_address: Address | None = None) -> socket:
    """A connection to the first of the host's addresses, of either family, that answers, or the error of the first.
    `timeout` holds for each attempt and stays set on the socket; `source_address` is bound to before."""
    host, port, *_ = address

    def prepare(candidate: str, sock: socket) -> None:
        sock.settimeout(timeout)
        if source_address is not None:
            sock.bind(source_address)
        sock.connect((candidate, port))

    first: OSError | None = None
    for family, candidate in _candidates(host):
        try:
            return _make(family, partial(prepare, candidate))
        except OSError as error:
            first = first or error
    raise first or OSError(f"{host} has no address")


def create_server(
    address: Address, *, family: int = _host.AF_INET, backlog: int = 128, dualstack_ipv6: bool = False
) -> socket:
    """A listener at the address; host "" is every address of the stack. With `AF_INET6`, IPv4 is taken too where
    `dualstack_ipv6` says so."""
    if dualstack_ipv6 and family != _host.AF_INET6:
        raise ValueError("dualstack_ipv6 goes with AF_INET6")

    def prepare(sock: socket) -> None:
        sock.setsockopt(_host.SOL_SOCKET, _host.SO_REUSEADDR, 1)
        if family == _host.AF_INET6:
            sock.setsockopt(_host.IPPROTO_IPV6, _host.IPV6_V6ONLY, not dualstack_ipv6)
        sock.bind(address)
        sock.listen(backlog)

    return _make(family, prepare)


def _make(family: int, prepare: Callable[[socket], None]) -> socket:
    """A socket made ready, or closed again."""
    sock = socket(family)
    try:
        prepare(sock)
    except BaseException:
        sock.close()
        raise
    return sock


def _candidates(host: str) -> list[tuple[int, str]]:
    """The host's addresses and their families; what the stack itself knows is left to it."""
    if host in ("", "localhost"):
        return [(_host.AF_INET, "localhost"), (_host.AF_INET6, "localhost")]
    answers = _host.getaddrinfo(host, None, _host.AF_UNSPEC, _host.SOCK_STREAM)
    return [(answer[0], str(answer[4][0])) for answer in answers]
