"""The beginning and the end of this process's stack."""

from __future__ import annotations

import errno
import os
from collections.abc import Iterable
from typing import Union

from . import _ustcp

Path = Union[str, "os.PathLike[str]"]


def init(
    *,
    tun: str | None = None,
    address: str | Iterable[str] | None = None,
    peer: str | Iterable[str] | None = None,
    offload: str | bool | None = None,
    mtu: int | None = None,
    time_wait: float | None = None,
    congestion: str | None = None,
    exit_wait: str | float | None = None,
    weather: str | None = None,
    log: Path | None = None,
    pcap: Path | tuple[Path, int] | None = None,
) -> None:
    """Starts the stack. What is not told here comes from the environment, and else from the defaults.

    Raises `OSError` with a line that says what to do: EALREADY when the stack runs, EPERM without permission, EBUSY
    when the device is in use, EINVAL for a setting that makes no sense.

    tun: name of the device. address: the stack's own as "10.77.0.2/24" or "fd77::2/64", one or several. peer: the
    kernel's end, or one of each family, set when the device is made here. offload: "auto", True or False. mtu: in bytes. time_wait: seconds that TIME-WAIT
    lasts. congestion: "cubic", "reno" or "bbr" for sockets to begin with. exit_wait: seconds that the end of the process waits for unacknowledged data, or "closed". weather: faults
    around the device, such as "loss=3%,reorder=1%". log: a file of events, "-" for text on standard error. pcap: a
    capture file, or it and the snap length.
    """
    if isinstance(offload, bool):
        offload = "on" if offload else "off"
    if address is not None and not isinstance(address, str):
        address = ",".join(address)
    if peer is not None and not isinstance(peer, str):
        peer = ",".join(peer)
    if isinstance(pcap, tuple):
        pcap = f"{_text(pcap[0])}:{pcap[1]}"
    settings = {
        "USTCP_TUN": tun,
        "USTCP_ADDRESS": address,
        "USTCP_PEER": peer,
        "USTCP_OFFLOAD": offload,
        "USTCP_MTU": mtu,
        "USTCP_TIME_WAIT": time_wait,
        "USTCP_CONGESTION": congestion,
        "USTCP_EXIT_WAIT": exit_wait,
        "USTCP_WEATHER": weather,
        "USTCP_LOG": log,
        "USTCP_PCAP": pcap,
    }
    try:
        _ustcp.init({name: _text(value) for name, value in settings.items() if value is not None})
    except OSError as error:
        name, _, rest = str(error.strerror).partition("=")
        if error.errno != errno.EINVAL or name not in settings:
            raise
        # The caller gave a keyword and no variable.
        raise OSError(errno.EINVAL, f"{name[len('USTCP_'):].lower()}={rest}") from None


def _text(value: object) -> str:
    return os.fsdecode(value) if isinstance(value, (bytes, os.PathLike)) else str(value)


def fini() -> None:
    """Ends the stack, after the time that `exit_wait` allows for what is not acknowledged yet; at the end of the
    process this happens by itself. Every socket of it fails from then on. `init` may start another."""
    _ustcp.fini()
