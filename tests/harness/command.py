"""The command `ustcp` as a test runs it, and an engine that says what the test has it say."""

from __future__ import annotations

import fcntl
import json
import os
import selectors
import socket
import struct
import subprocess
import threading
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path

from harness.netns import Namespace

ROOT = Path(__file__).resolve().parent.parent.parent
USTCP = os.environ.get("USTCP_COMMAND", str(ROOT / "build/prefix/bin/ustcp"))
TOKEN = bytes(range(16))
MAGIC = 0x75737463
LEASE, LIST = 14, 16


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
        """One connection is the lease, which lasts, and the program asks by others meanwhile."""
        with selectors.DefaultSelector() as selector:
            selector.register(self._listener, selectors.EVENT_READ)
            while True:
                for key, _ in selector.select(10):
                    if key.fileobj is self._listener:
                        selector.register(self._listener.accept()[0], selectors.EVENT_READ)
                        continue
                    packet = key.fileobj.recv(8192)
                    if packet == b"end":
                        self._close_all(selector)
                        return
                    if packet:
                        self._answer(key.fileobj, packet)
                    else:
                        selector.unregister(key.fileobj)
                        key.fileobj.close()

    def _close_all(self, selector: selectors.BaseSelector) -> None:
        for key in list(selector.get_map().values()):
            if key.fileobj is not self._listener:
                key.fileobj.close()

    def _answer(self, connection: socket.socket, packet: bytes) -> None:
        magic, version, operation, token, _, _, _ = struct.unpack("=IHH16sQII", packet[:40])
        assert (magic, version, token) == (MAGIC, 1, TOKEN)
        self.asked.append(operation)
        payloads = {
            LEASE: [struct.pack("=I", 1)],
            LIST: [*(json.dumps(line).encode() for line in self.lines), b""],
        }
        for payload in payloads.get(operation, [b""]):
            connection.send(struct.pack("=Ii", MAGIC, 0) + payload)


class Teller:
    """A server on the kernel's TCP that tells each client the address it sees it at, and keeps the connection until the
    client's end."""

    def __init__(self, net: Namespace, host: str, port: int = 80) -> None:
        def listen() -> socket.socket:
            listener = socket.socket()
            listener.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
            listener.bind((host, port))
            listener.listen(64)
            return listener

        self._listener = net.inside(listen)
        self._clients: list[socket.socket] = []
        self._thread = threading.Thread(target=self._serve)
        self._thread.start()

    def __enter__(self) -> Teller:
        return self

    def __exit__(self, *_) -> None:
        self._listener.shutdown(socket.SHUT_RDWR)
        self._thread.join(10)
        self._listener.close()

    def let_go(self) -> None:
        """Ends the connections itself: of an engine that is no more there comes no end."""
        for client in self._clients:
            client.shutdown(socket.SHUT_RDWR)

    def _serve(self) -> None:
        threads = []
        while True:
            try:
                client, address = self._listener.accept()
            except OSError:
                break
            self._clients.append(client)
            thread = threading.Thread(target=self._tell, args=(client, address[0]))
            thread.start()
            threads.append(thread)
        for thread in threads:
            thread.join(10)

    @staticmethod
    def _tell(client: socket.socket, seen: str) -> None:
        with client:
            client.settimeout(30)
            try:
                client.sendall(f"{seen}\n".encode())
                client.recv(1)
            except OSError:
                pass  # a client may be killed


# Prints what a Teller says.
ASK = ("import socket, sys; s = socket.create_connection((sys.argv[1], 80), 20); print(s.recv(100).decode().strip())")


class Host:
    """A network namespace with engines of its own: their directories, and an environment that finds them."""

    def __init__(self, net: Namespace, directory: Path, **environment: str) -> None:
        self.net, self.directory = net, directory
        self.environment = {
            "USTCP_ENGINE": str(directory / "engine"),
            "USTCP_TIME_WAIT": "0.1",
            "USTCP_EXIT_WAIT": "1",
            **environment,
        }

    @classmethod
    @contextmanager
    def alone(cls, name: str, directory: Path) -> Iterator[Host]:
        """In a namespace of its own, which goes with its engine afterwards."""
        net = Namespace(name)
        net.create()
        net.ip("link", "set", "lo", "up")
        host = cls(net, directory)
        yield host
        if host.is_up():
            host.ustcp("down", "--now")
        net.remove()

    def ustcp(self, *arguments: str, timeout: float = 60, **environment: str) -> subprocess.CompletedProcess:
        return ustcp(*arguments, net=self.net, timeout=timeout, **{**self.environment, **environment})

    def run(self, *arguments: str, **environment: str) -> subprocess.CompletedProcess:
        return self.ustcp("run", *arguments, **environment)

    def popen(self, *arguments: str, **how: object) -> subprocess.Popen:
        environment = {**os.environ, **self.environment}
        how = {"stdin": subprocess.DEVNULL, "stdout": subprocess.PIPE, "stderr": subprocess.PIPE, "text": True, **how}
        return subprocess.Popen(self.net.command(USTCP, *arguments), env=environment, **how)

    def up(self, *options: str, **environment: str) -> None:
        done = self.ustcp("up", "--detach", *options, **environment)
        assert done.returncode == 0, done.stderr

    def is_up(self) -> bool:
        """Whether an engine holds the lock."""
        try:
            with (self.directory / "engine/lock").open() as file:
                fcntl.flock(file, fcntl.LOCK_SH | fcntl.LOCK_NB)
        except FileNotFoundError:  # it goes with the engine
            return False
        except BlockingIOError:
            return True
        return False

    def wait_for_end(self) -> None:
        wait_until(lambda: not self.is_up())

    def devices(self) -> list[str]:
        return [link["ifname"] for link in json.loads(self.net.ip("-j", "link"))]


def wait_until(holds: Callable[[], bool], seconds: float = 20) -> None:
    """What another process does shows after a time that nobody tells."""
    deadline = time.monotonic() + seconds
    while not holds():
        assert time.monotonic() < deadline, "it does not come"
        time.sleep(0.01)


def read_until(fd: int, word: bytes) -> None:
    """A terminal may hand a line on in pieces."""
    text = b""
    while word not in text:
        text += os.read(fd, 1000)
