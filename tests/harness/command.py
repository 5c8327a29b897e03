"""The command `ustcp` as a test runs it, and an engine that says what the test has it say."""

from __future__ import annotations

import json
import os
import socket
import struct
import subprocess
import threading
from pathlib import Path

from harness.netns import Namespace

ROOT = Path(__file__).resolve().parent.parent.parent
USTCP = os.environ.get("USTCP_COMMAND", str(ROOT / "build/prefix/bin/ustcp"))
TOKEN = bytes(range(16))
MAGIC = 0x75737463
HELLO, LEASE, LIST, STOP = 1, 14, 16, 17


def ustcp(*arguments: str, net: Namespace | None = None, timeout: float = 60, **environment: str) -> subprocess.CompletedProcess:
    """Runs it to its end; standard input is empty."""
    command = [USTCP, *arguments]
    return subprocess.run(
        net.command(*command) if net else command,
        env={**os.environ, **environment},
        stdin=subprocess.DEVNULL,
        capture_output=True,
        text=True,
        timeout=timeout,
        check=False,
    )


class Puppet:
    """Speaks the engine's control protocol in this process: a list that a test has written."""

    def __init__(self, directory: Path, lines: list[dict]) -> None:
        self.directory, self.lines = directory, lines
        self.asked: list[int] = []
        directory.mkdir(mode=0o700)
        self._listener = socket.socket(socket.AF_UNIX, socket.SOCK_SEQPACKET)
        self._listener.bind(str(directory / "control"))
        self._listener.listen()
        file = directory / "engine"
        file.touch(mode=0o600)
        file.write_text(f"ustcp-engine 1 {'ab' * 16} {TOKEN.hex()} {os.getpid()}\n")
        self._thread = threading.Thread(target=self._serve)
        self._thread.start()

    def __enter__(self) -> Puppet:
        return self

    def __exit__(self, *_) -> None:
        # Wakes the accept.
        with socket.socket(socket.AF_UNIX, socket.SOCK_SEQPACKET) as last:
            last.connect(str(self.directory / "control"))
            last.send(b"end")
        self._thread.join(10)
        self._listener.close()

    def _serve(self) -> None:
        while True:
            connection, _ = self._listener.accept()
            with connection:
                connection.settimeout(10)
                while packet := connection.recv(8192):
                    if packet == b"end":
                        return
                    self._answer(connection, packet)

    def _answer(self, connection: socket.socket, packet: bytes) -> None:
        magic, version, operation, token, _, _, _ = struct.unpack("=IHH16sQII", packet[:40])
        assert (magic, version, token) == (MAGIC, 1, TOKEN)
        self.asked.append(operation)
        payloads = [json.dumps(line).encode() for line in self.lines] if operation == LIST else []
        for payload in [*payloads, b""]:
            connection.send(struct.pack("=Ii", MAGIC, 0) + payload)
