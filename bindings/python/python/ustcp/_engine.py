"""What a socket inside this process cannot do, and an engine's can.

An engine is a stack as a process of its own: its sockets are native descriptors, so whatever reads and writes
descriptors itself works on them, and a child of fork may use them. The variable USTCP_ENGINE asks for one.
"""

from __future__ import annotations

import errno

from . import _ustcp


def no_uvloop() -> OSError:
    """The error of uvloop where `socket` stands for ours. It connects and listens past `socket`, on the kernel's TCP."""
    if not _ustcp.is_engine_wanted():
        return needed("uvloop", "use asyncio's own event loop")
    text = "uvloop connects and listens past socket, on the kernel's TCP: hand it connected sockets without patch(), or start the program with ustcp run"
    return OSError(errno.EOPNOTSUPP, text)


def needed(what: str, instead: str = "") -> OSError:
    """The error of something that needs a native descriptor."""
    remedy = f"{instead}, or set USTCP_ENGINE" if instead else "set USTCP_ENGINE"
    text = f"{what} reads and writes descriptors itself, past the stack in this process: {remedy} (a stack as its own process, native descriptors)"
    return OSError(errno.EOPNOTSUPP, text)
