"""Stacks on devices: the one of the process, and further ones."""

from __future__ import annotations

import errno
import os
import weakref
from collections.abc import Iterable, Mapping
from types import TracebackType
from typing import Any, Optional, Union

from . import _socket, _ustcp
from ._socket import Address, create_connection, create_server

Path = Union[str, "os.PathLike[str]"]
_Kind = Optional[type[BaseException]]


def init(
    *,
    tun: str | None = None,
    address: str | Iterable[str] | None = None,
    peer: str | Iterable[str] | None = None,
    offload: str | bool | None = None,
    mtu: int | None = None,
    time_wait: float | None = None,
    congestion: str | None = None,
    sysctl: str | Mapping[str, str | int] | None = None,
    exit_wait: str | float | None = None,
    weather: str | None = None,
    log: Path | None = None,
    pcap: Path | tuple[Path, int] | None = None,
) -> None:
    """Starts the stack of the process. What is not told here comes from the environment, and else from the defaults.

    Raises `OSError` with a line that says what to do: EALREADY when the stack runs, EPERM without permission, EBUSY
    when the device is in use, EINVAL for a setting that makes no sense.

    tun: name of the device. address: the stack's own as "10.77.0.2/24" or "fd77::2/64", one or several. peer: the
    kernel's end, or one of each family, set when the device is made here. offload: "auto", True or False. mtu: in
    bytes. time_wait: seconds that TIME-WAIT lasts. congestion: "cubic", "reno" or "bbr" for sockets to begin with.
    sysctl: knobs of the stack by the names of Linux's sysctls, such as {"tcp_sack": 0}.
    exit_wait: seconds that the end of the process waits for unacknowledged data, or "closed". weather: faults around
    the device, such as "loss=3%,reorder=1%". log: a file of events, "-" for text on standard error. pcap: a capture
    file, or it and the snap length.
    """
    variables = _variables(
        tun=tun,
        address=address,
        peer=peer,
        offload=offload,
        mtu=mtu,
        time_wait=time_wait,
        congestion=congestion,
        sysctl=sysctl,
        exit_wait=exit_wait,
        weather=weather,
        log=log,
        pcap=pcap,
    )
    try:
        _ustcp.init(variables)
    except OSError as error:
        raise _named(error) from None


def fini() -> None:
    """Ends the stack of the process, after the time that `exit_wait` allows for what is not acknowledged yet; at the end
    of the process this happens by itself. Every socket of it fails from then on. `init` may start another."""
    _ustcp.fini()


class Stack:
    """A further stack in this process, on a TUN device of its own; the keywords are those of `init`.

        with ustcp.Stack("10.9.0.2/24", tun="ust0") as stack, stack.create_connection(("10.9.0.1", 80)) as sock:
            sock.sendall(b"GET / HTTP/1.0\r\n\r\n")

    It ends with the `with` statement, with `close`, or with the process, and waits then as `exit_wait` says.
    """

    __slots__ = ("__weakref__", "_finalizer", "_running")

    def __init__(
        self,
        address: str | Iterable[str] | None = None,
        *,
        tun: str | None = None,
        peer: str | Iterable[str] | None = None,
        offload: str | bool | None = None,
        mtu: int | None = None,
        time_wait: float | None = None,
        congestion: str | None = None,
        sysctl: str | Mapping[str, str | int] | None = None,
        exit_wait: str | float | None = None,
        weather: str | None = None,
        log: Path | None = None,
        pcap: Path | tuple[Path, int] | None = None,
    ) -> None:
        variables = _variables(
            tun=tun,
            address=address,
            peer=peer,
            offload=offload,
            mtu=mtu,
            time_wait=time_wait,
            congestion=congestion,
            sysctl=sysctl,
            exit_wait=exit_wait,
            weather=weather,
            log=log,
            pcap=pcap,
        )
        try:
            self._running = _ustcp.Stack(variables)
        except OSError as error:
            raise _named(error) from None
        self._finalizer = weakref.finalize(self, self._running.stop)

    def socket(self, family: int = -1, type: int = -1, proto: int = -1) -> _socket.socket:
        """A new TCP socket of this stack."""
        return _socket.socket(family, type, proto, stack=self._running)

    def create_connection(self, address: tuple[str | None, int] | Address, **options: Any) -> _socket.socket:
        """As `ustcp.create_connection`, from this stack."""
        return create_connection(address, stack=self._running, **options)

    def create_server(self, address: Address, **options: Any) -> _socket.socket:
        """As `ustcp.create_server`, on this stack."""
        return create_server(address, stack=self._running, **options)

    def close(self) -> None:
        """Ends the stack; every socket of it fails from then on. Once more does nothing."""
        self._finalizer()

    def __enter__(self) -> Stack:
        return self

    def __exit__(self, kind: _Kind, value: BaseException | None, traceback: TracebackType | None) -> None:
        self.close()


def _variables(**settings: Any) -> dict[str, str]:
    """Keywords as the variables of the environment that they stand for."""
    variables = {}
    for name, value in settings.items():
        if value is not None:
            variables[f"USTCP_{name.upper()}"] = _value(name, value)
    return variables


_SETTINGS = frozenset(
    "tun address peer offload mtu time_wait congestion sysctl exit_wait weather log pcap".split()
)


def _value(name: str, value: Any) -> str:
    if isinstance(value, bool):
        return "on" if value else "off"
    if name in ("address", "peer") and not isinstance(value, str):
        return ",".join(value)
    if name == "sysctl" and not isinstance(value, str):
        return ",".join(f"{knob}={int(it) if isinstance(it, bool) else it}" for knob, it in value.items())
    if name == "pcap" and isinstance(value, tuple):
        return f"{os.fsdecode(value[0])}:{value[1]}"
    return os.fsdecode(value) if isinstance(value, (bytes, os.PathLike)) else str(value)


def _named(error: OSError) -> OSError:
    """The caller gave a keyword and no variable."""
    name, _, rest = str(error.strerror).partition("=")
    keyword = name[len("USTCP_") :].lower()
    if error.errno != errno.EINVAL or keyword not in _SETTINGS:
        return error
    return OSError(errno.EINVAL, f"{keyword}={rest}")
