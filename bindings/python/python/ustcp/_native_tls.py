"""TLS at an engine: the standard library's own, on a native descriptor."""

from __future__ import annotations

import ssl

from . import _native


class NativeSSLSocket(ssl.SSLSocket, _native.socket):  # type: ignore[misc]
    """A socket of an engine with TLS: the standard library's own, on the descriptor."""

    __module__ = "ustcp"
