"""Stacks on devices: the one of the process, and further ones."""

from __future__ import annotations

import contextlib
import errno
import os
import pathlib
import re
import socket as _host
import weakref
from collections.abc import Callable, Iterable, Iterator, Mapping
from types import TracebackType
from typing import TYPE_CHECKING, Any, Optional, TypedDict, TypeVar, Union

from . import _native, _socket, _ustcp
from ._socket import Address, create_connection, create_server

if TYPE_CHECKING:
    from typing_extensions import Self, Unpack

T = TypeVar("T")
Path = Union[str, "os.PathLike[str]"]
_Kind = Optional[type[BaseException]]


class _Further(TypedDict, total=False):
    """What a stack is told besides its address."""

    tun: str | None
    peer: str | Iterable[str] | None
    offload: str | bool | None
    mtu: int | None
    time_wait: float | None
    congestion: str | None
    sysctl: str | Mapping[str, str | int] | None
    exit_wait: str | float | None
    weather: str | None
    log: Path | None
    pcap: Path | tuple[Path, int] | None


class _Settings(_Further, total=False):
    """What a stack is told; each stands for the variable of the environment of that name."""

    address: str | Iterable[str] | None


def init(**settings: Unpack[_Settings]) -> None:
    """Starts the stack of the process. What is not told here comes from the environment, and else from the defaults.

    Raises `OSError` with a line that says what to do: EALREADY when the stack runs, EPERM without permission, EBUSY
    when the device is in use, EADDRINUSE when another device has the network, EINVAL for a setting that makes no sense;
    with its name for a file of log or pcap that cannot be written.

    tun: name of the device. address: the stack's own as "10.77.0.2/24" or "fd77::2/64", one or several. peer: the
    kernel's end, or one of each family, set when the device is made here. offload: "auto", True or False. mtu: in
    bytes. time_wait: seconds that TIME-WAIT lasts. congestion: "cubic", "reno" or "bbr" for sockets to begin with.
    sysctl: knobs of the stack by the names of Linux's sysctls, such as {"tcp_sack": 0}.
    exit_wait: seconds that the end of the process waits for unacknowledged data, or "closed". weather: faults around
    the device, such as "loss=3%,reorder=1%". log: a file of events, "-" for text on standard error. pcap: a capture
    file, or it and the snap length.

    With `USTCP_ENGINE` set it makes sure of that engine, which has its own settings: EOPNOTSUPP for any given here.
    """
    variables = _variables("init", settings)
    if _native.of_process() is None:
        with _files(settings):
            _started(_ustcp.init, variables)
    elif variables:
        raise OSError(errno.EOPNOTSUPP, f"the engine of USTCP_ENGINE has settings of its own: {_listed(variables)}")


def fini() -> None:
    """Ends the stack of the process, after the time that `exit_wait` allows for what is not acknowledged yet; at the end
    of the process this happens by itself. Every socket of it fails from then on. `init` may start another."""
    _ustcp.fini()


class Stack:
    r"""A further stack in this process, on a TUN device of its own; the keywords are those of `init`.

        with ustcp.Stack("10.9.0.2/24", tun="ust0") as stack, stack.create_connection(("10.9.0.1", 80)) as sock:
            sock.sendall(b"GET / HTTP/1.0\r\n\r\n")

    It ends with the `with` statement, with `close`, or with the process, and waits then as `exit_wait` says.

    `Stack(engine="name")` is an engine that runs already, by its name or its directory: a stack as a process of its own,
    whose sockets are native descriptors. It has its own settings, and nothing of it ends here.
    """

    __slots__ = ("__weakref__", "_finalizer", "_running")
    _running: _ustcp.Stack | _ustcp.Engine

    def __init__(
        self,
        address: str | Iterable[str] | None = None,
        *,
        engine: Path | None = None,
        **settings: Unpack[_Further],
    ) -> None:
        variables = _variables("Stack", {"address": address, **settings})
        if engine is not None:
            if variables:
                raise TypeError(f"an engine has settings of its own: {_listed(variables)}")
            self._running = _ustcp.Engine(os.fsencode(engine))
            self._finalizer = weakref.finalize(self, lambda: None)
            return
        with _files(settings):
            self._running = running = _started(_ustcp.Stack, variables)
        self._finalizer = weakref.finalize(self, running.stop)

    def socket(self, family: int = -1, type: int = -1, proto: int = -1) -> _socket.socket:
        """A new TCP socket of this stack."""
        return _socket.made(family, type, proto, stack=self._running)

    def create_connection(
        self,
        address: _socket.RemoteAddress,
        timeout: float | None = _socket.DEFAULT_TIMEOUT,
        source_address: Address | None = None,
        *,
        all_errors: bool = False,
    ) -> _socket.socket:
        """As `ustcp.create_connection`, from this stack."""
        return create_connection(address, timeout, source_address, all_errors=all_errors, stack=self._running)

    def create_server(
        self,
        address: Address,
        *,
        family: int = _host.AF_INET,
        backlog: int | None = None,
        reuse_port: bool = False,
        dualstack_ipv6: bool = False,
    ) -> _socket.socket:
        """As `ustcp.create_server`, on this stack."""
        return create_server(
            address,
            family=family,
            backlog=backlog,
            reuse_port=reuse_port,
            dualstack_ipv6=dualstack_ipv6,
            stack=self._running,
        )

    def close(self) -> None:
        """Ends the stack; every socket of it fails from then on. Once more does nothing."""
        self._finalizer()

    def __enter__(self) -> Self:
        return self

    def __exit__(self, kind: _Kind, value: BaseException | None, traceback: TracebackType | None) -> None:
        self.close()


def _variables(caller: str, settings: Mapping[str, Any]) -> dict[str, str]:
    """Keywords as the variables of the environment that they stand for."""
    for name in settings:
        if name not in _Settings.__annotations__:
            raise TypeError(f"{caller}() got an unexpected keyword argument {name!r}")
    given = ((name, value) for name, value in settings.items() if value is not None)
    return {f"USTCP_{name.upper()}": _value(name, value) for name, value in given}


def _value(name: str, value: Any) -> str:
    if isinstance(value, bool):
        return "on" if value else "off"
    if name in ("address", "peer") and not isinstance(value, str):
        return ",".join(value)
    if name == "sysctl" and not isinstance(value, str):
        return ",".join(f"{knob}={int(it) if isinstance(it, bool) else it}" for knob, it in value.items())
    if name == "pcap" and isinstance(value, tuple):
        path, snap_length = value
        if not (isinstance(snap_length, int) and snap_length > 0):
            raise OSError(errno.EINVAL, f"pcap={value!r} is malformed: the snap length is a number of bytes")
        return f"{os.fsdecode(path)}:{snap_length}"
    return os.fsdecode(value) if isinstance(value, (bytes, os.PathLike)) else str(value)


@contextlib.contextmanager
def _files(settings: Mapping[str, Any]) -> Iterator[None]:
    """`OSError` with the file's name for a log or a capture that cannot be written: the stack itself would do without. What
    was made to see it is gone again where the stack does not start."""
    with contextlib.ExitStack() as made:
        for path in _paths(settings):
            if _make(path):
                made.callback(pathlib.Path(path).unlink, missing_ok=True)
        yield
        made.pop_all()


def _paths(settings: Mapping[str, Any]) -> Iterator[str]:
    for name in ("log", "pcap"):
        told = settings.get(name)
        path = os.fsdecode(told[0] if isinstance(told, tuple) else told or "-")
        if name == "pcap" and not isinstance(told, tuple):
            path = re.sub(r":\d+$", "", path)  # the snap length
        if path != "-":
            yield path


def _make(path: str) -> bool:
    """Makes a file, or finds it and leaves it as it is: whether it made it."""
    if pathlib.Path(path).is_fifo():
        raise OSError(errno.EINVAL, "a pipe is no file", path)
    flags = os.O_WRONLY | os.O_CREAT | os.O_CLOEXEC
    try:
        os.close(os.open(path, flags | os.O_EXCL, 0o600))
    except FileExistsError:
        os.close(os.open(path, flags, 0o600))
        return False
    return True


def _started(start: Callable[[dict[str, str]], T], variables: dict[str, str]) -> T:
    try:
        return start(variables)
    except OSError as error:
        raise _named(error) from None


def _named(error: OSError) -> OSError:
    return OSError(error.errno, _as_keywords(str(error.strerror)))


def _listed(variables: Iterable[str]) -> str:
    return _as_keywords(", ".join(variables))


def _as_keywords(text: str) -> str:
    """The caller gives keywords and no variables."""
    return re.sub(r"\bUSTCP_([A-Z_]+)", _keyword, text)


def _keyword(variable: re.Match[str]) -> str:
    keyword = variable[1].lower()
    return keyword if keyword in _Settings.__annotations__ else variable[0]
