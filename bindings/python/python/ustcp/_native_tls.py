"""TLS at an engine: the standard library's own, on a native descriptor."""

from __future__ import annotations

import errno
import os
import ssl
from socket import MSG_DONTWAIT, MSG_PEEK
from typing import Any, cast

from . import _native


class NativeSSLSocket(ssl.SSLSocket, _native.socket):  # type: ignore[misc]
    """A socket of an engine with TLS: the standard library's own, on the descriptor."""

    __module__ = "ustcp"

    def recv(self, buflen: int = 1024, flags: int = 0) -> bytes:
        """ssl looks by it whether what is not connected has bytes of before TLS."""
        if cast(Any, self)._sslobj is None and self._has_nothing_to_read():
            raise OSError(errno.ENOTCONN, os.strerror(errno.ENOTCONN))
        return super().recv(buflen, flags)

    def _has_nothing_to_read(self) -> bool:
        """What arrives at a listener's descriptor is the engine's word of connections, and one that is only bound has
        nothing to wait for. The state is asked last: that alone would tell the engine of the socket."""
        try:
            super().recv(1, MSG_PEEK | MSG_DONTWAIT)
        except BlockingIOError:
            return self.state == "CLOSED"
        return self.state == "LISTEN"
