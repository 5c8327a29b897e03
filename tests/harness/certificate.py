"""A certificate of the tests' own, made when it is asked for: no key lies in the tree."""

from __future__ import annotations

import functools
import select
import ssl
import subprocess
import tempfile
import threading
from pathlib import Path

from .netns import OURS, PEER


_making = threading.Lock()


def files() -> tuple[Path, Path]:
    """Certificate and key of both ends, good for a day."""
    with _making:
        return _files()


@functools.cache
def _files() -> tuple[Path, Path]:
    directory = Path(tempfile.mkdtemp(prefix="ustcp-certificate-"))
    certificate, key = directory / "certificate.pem", directory / "key.pem"
    names = f"subjectAltName=IP:{OURS},IP:{PEER},IP:10.77.0.1,IP:10.77.0.2,DNS:localhost,DNS:server"
    command = "openssl req -x509 -newkey ec -pkeyopt ec_paramgen_curve:prime256v1 -nodes -days 1 -subj /CN=ustcp"
    extra = ["-addext", names, "-keyout", str(key), "-out", str(certificate)]
    subprocess.run([*command.split(), *extra], check=True, capture_output=True, timeout=60)
    return certificate, key


def of_server() -> ssl.SSLContext:
    context = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
    context.load_cert_chain(*files())
    return context


def of_client() -> ssl.SSLContext:
    return ssl.create_default_context(cafile=str(files()[0]))


def exchange(sock: ssl.SSLSocket, text: bytes, size: int) -> bytes:
    """Sends `text` and receives `size` bytes at once, in one thread: two in one `ssl.SSLSocket` can crash the
    interpreter."""
    sock.setblocking(False)
    rest, heard = memoryview(text), bytearray()
    while rest or len(heard) < size:
        moved = 0
        try:
            moved = sock.send(rest[:65536]) if rest else 0
            rest = rest[moved:]
        except (ssl.SSLWantWriteError, ssl.SSLWantReadError):
            pass
        try:
            if len(heard) < size:
                piece = sock.recv(65536)
                if not piece:
                    raise EOFError(f"the end after {len(heard)} bytes of {size}")
                heard += piece
                moved += len(piece)
        except (ssl.SSLWantWriteError, ssl.SSLWantReadError):
            pass
        if not moved:
            select.select([sock], [sock] if rest else [], [], 20)
    sock.setblocking(True)
    return bytes(heard)
