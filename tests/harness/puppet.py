"""The hand in the puppet: a program in a namespace whose sockets the test uses as if they were its own."""

from __future__ import annotations

import errno
import itertools
import json
import os
import queue
import select
import socket
import subprocess
import threading
import time
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path

from .netns import Namespace

TIMEOUT = 60.0


@dataclass(frozen=True)
class Answer:
    """A call's value and the words after it."""

    value: int
    words: list[str]


class Pending:
    """A call in a thread of the puppet's own."""

    def __init__(self, what: str) -> None:
        self.what = what
        self.answers: queue.Queue[str] = queue.Queue()

    def result(self, timeout: float = TIMEOUT) -> Answer:
        try:
            line = self.answers.get(timeout=timeout)
        except queue.Empty:
            raise TimeoutError(f"{self.what} did not return within {timeout} s") from None
        kind, first, *words = line.split()
        if kind == "ok":
            return Answer(int(first), words)
        if kind == "gone":
            raise EOFError(f"the program ended during {self.what}: {first} {' '.join(words)}")
        raise OSError(getattr(errno, first, 0), f"{self.what}: {first}")

    @property
    def done(self) -> bool:
        return not self.answers.empty()


class Puppet:
    """A program under the test's hand."""

    def __init__(self, command: list[str], namespace: Namespace, log: Path | None = None, **environment: str) -> None:
        self.log = log
        self._tags = itertools.count(1)
        self._waiting: dict[str, Pending] = {}
        self._write_lock = threading.Lock()
        variables = {**os.environ, **environment}
        if log:
            variables["USTCP_LOG"] = str(log)
        self.process = subprocess.Popen(
            namespace.command(*command),
            stdin=subprocess.PIPE,
            stdout=subprocess.PIPE,
            stderr=subprocess.PIPE,
            text=True,
            env=variables,
        )
        self.errors: list[str] = []
        self._threads = [
            threading.Thread(target=self._read_answers, daemon=True),
            threading.Thread(target=self._read_errors, daemon=True),
        ]
        for thread in self._threads:
            thread.start()

    @property
    def pid(self) -> int:
        return self.process.pid

    def start(self, name: str, *words: object) -> Pending:
        """The call in the background."""
        return self._request("& ", name, words)

    def call(self, name: str, *words: object, timeout: float = TIMEOUT) -> Answer:
        """The call; OSError with its errno when it fails."""
        return self._request("", name, words).result(timeout)

    def socket(self, family: int = socket.AF_INET) -> Sock:
        return Sock(self, self.call("socket", 0, int(family)).value)

    def kill(self) -> None:
        """SIGKILL, and gone when this returns."""
        self.process.kill()
        self.process.wait(TIMEOUT)

    def close(self) -> int:
        """Ends the program by the end of its input. Its exit code."""
        if self.process.poll() is None:
            self.process.stdin.close()
            try:
                self.process.wait(TIMEOUT)
            except subprocess.TimeoutExpired:
                self.kill()
                raise
        for thread in self._threads:
            thread.join(TIMEOUT)
        return self.process.returncode

    def file_descriptors(self) -> int:
        return len(os.listdir(f"/proc/{self.pid}/fd"))

    def resident_kib(self) -> int:
        status = Path(f"/proc/{self.pid}/status").read_text()
        return next(int(line.split()[1]) for line in status.splitlines() if line.startswith("VmRSS"))

    def _request(self, mark: str, name: str, words: tuple[object, ...]) -> Pending:
        tag = str(next(self._tags))
        pending = Pending(" ".join(str(w)[:60] for w in (name, *words)))
        self._waiting[tag] = pending
        with self._write_lock:
            try:
                self.process.stdin.write(f"{tag} {mark}{name} {' '.join(map(str, words))}\n")
                self.process.stdin.flush()
            except (BrokenPipeError, ValueError):
                pending.answers.put("gone before")
        return pending

    def _read_answers(self) -> None:
        for line in self.process.stdout:
            tag, rest = line.rstrip("\n").split(" ", 1)
            self._waiting.pop(tag).answers.put(rest)
        code = self.process.wait()
        for pending in list(self._waiting.values()):
            pending.answers.put(f"gone exit {code}")

    def _read_errors(self) -> None:
        for line in self.process.stderr:
            self.errors.append(line.rstrip("\n"))


class Sock:
    """A socket of a puppet's. The names and errors are socket.socket's."""

    def __init__(self, puppet: Puppet, fd: int) -> None:
        self.puppet, self.fd = puppet, fd

    def call(self, name: str, *words: object, timeout: float = TIMEOUT) -> Answer:
        return self.puppet.call(name, self.fd, *words, timeout=timeout)

    def start(self, name: str, *words: object) -> Pending:
        return self.puppet.start(name, self.fd, *words)

    def bind(self, host: str, port: int) -> None:
        self.call("bind", host, port)

    def listen(self, backlog: int = 128) -> None:
        self.call("listen", backlog)

    def accept(self) -> Sock:
        return Sock(self.puppet, self.call("accept").value)

    def connect(self, host: str, port: int) -> None:
        self.call("connect", host, port)

    def send(self, data: bytes, flags: int = 0) -> int:
        return self.call("send", data.hex() or "-", flags).value

    def recv(self, most: int = 65536, flags: int = 0) -> bytes:
        answer = self.call("recv", most, flags)
        return bytes.fromhex(answer.words[0]) if answer.words else b""

    def shutdown(self, how: int = socket.SHUT_WR) -> None:
        self.call("shutdown", how)

    def close(self) -> None:
        self.call("close")

    def setsockopt(self, level: int, name: int, value: int) -> None:
        self.call("setsockopt", level, name, value)

    def getsockopt(self, level: int, name: int) -> int:
        return self.call("getsockopt", level, name).value

    def sockname(self) -> tuple[str, int]:
        host, port = self.call("sockname").words
        return host, int(port)

    def poll(self, events: int = 0x201F, milliseconds: int = 0) -> int:
        """Native poll, by default for everything there is: IN PRI OUT ERR HUP RDHUP."""
        return self.call("poll", events, milliseconds).value

    def wait_poll(self, mask: int) -> None:
        """Until native poll shows exactly this mask."""
        until(lambda: self.poll() == mask, lambda: f"poll shows {names(self.poll())}, not {names(mask)}")


def names(mask: int) -> str:
    """A poll or epoll mask in words."""
    known = {
        select.POLLIN: "IN", select.POLLPRI: "PRI", select.POLLOUT: "OUT",
        select.POLLERR: "ERR", select.POLLHUP: "HUP", 0x2000: "RDHUP",
    }  # fmt: skip
    return "|".join(name for bit, name in known.items() if mask & bit) or "0"


def until(true: Callable[[], bool], otherwise: Callable[[], str], timeout: float = 10.0) -> None:
    """Asks again and again until the answer is yes."""
    deadline = time.monotonic() + timeout
    while not true():
        assert time.monotonic() < deadline, otherwise()
        select.select([], [], [], 0.005)


def events(log: Path) -> list[dict]:
    """USTCP_LOG as it stands; a line still being written is left out."""
    text = log.read_text() if log.exists() else ""
    return [json.loads(line) for line in text.split("\n")[:-1] if line]
