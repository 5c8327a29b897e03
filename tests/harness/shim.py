"""An unchanged program on our TCP: an engine, and libustcp_preload.so before the program's C library."""

from __future__ import annotations

import json
import os
import subprocess
import time
from pathlib import Path

from . import hostile
from .command import USTCP, ustcp
from .netns import Namespace
from .puppet import until

PRELOAD = Path(USTCP).parent.parent / "lib/ustcp/libustcp_preload.so"


class Engine:
    """`ustcp up` in a namespace, for programs there; `within` is a command that it is started by."""

    def __init__(
        self,
        net: Namespace,
        directory: Path,
        log: Path | None = None,
        within: tuple[str, ...] = (),
        options: tuple[str, ...] = (),
        **environment: str,
    ) -> None:
        self.net, self.directory = net, directory
        self._before = self._announced()
        variables = {**os.environ, **environment, "USTCP_ENGINE": str(directory)}
        if log:
            variables["USTCP_LOG"] = str(log)
        self.process = subprocess.Popen(
            net.command(*within, USTCP, "up", *options), env=variables, stdin=subprocess.DEVNULL, stderr=subprocess.PIPE, text=True
        )
        until(self._is_up, lambda: f"no engine: {self.process.poll()}")

    def _is_up(self) -> bool:
        assert self.process.poll() is None, self.process.stderr.read()
        return self._announced() not in (None, self._before)

    def _announced(self) -> str | None:
        """What its file says; one that was killed has left its own."""
        try:
            return (self.directory / "engine").read_text()
        except FileNotFoundError:
            return None

    @property
    def environment(self) -> dict[str, str]:
        """What an unchanged program is started with."""
        return {**self.named, "LD_PRELOAD": str(PRELOAD)}

    @property
    def named(self) -> dict[str, str]:
        """What a program on libustcp or `import ustcp` is started with."""
        return {"USTCP_ENGINE": str(self.directory)}

    @property
    def token(self) -> bytes:
        """What lets a program in."""
        return bytes.fromhex((self.directory / "engine").read_text().split()[3])

    def descriptors(self) -> int:
        return len(os.listdir(f"/proc/{self.process.pid}/fd"))

    def descriptors_at_work(self) -> int:
        """How many it has, once it is at work on what programs ask."""
        with hostile.Hostile(str(self.directory), self.token, 0).connect(hostile.SEQPACKET) as control:
            control.setblocking(True)
            control.send(hostile.request(self.token, 1))
            assert control.recv(100)
            return self.descriptors() - 1

    def resident_kib(self) -> int:
        return int(self.status()["VmRSS"].split()[0])

    def status(self) -> dict[str, str]:
        """/proc/PID/status."""
        lines = Path(f"/proc/{self.process.pid}/status").read_text().splitlines()
        return {name: value.strip() for name, value in (line.split(":", 1) for line in lines)}

    def command(self, *command: str) -> list[str]:
        """The command line that runs `command` on it; the process keeps its id."""
        settings = [f"{name}={value}" for name, value in self.environment.items()]
        return self.net.command("env", *settings, *command)

    def close(self) -> list[str]:
        """Ends it, unless it was seen to end. What was wrong with that."""
        if self.process.returncode is not None:
            return []
        if self.process.poll() is None:
            ustcp("down", "--now", net=self.net, USTCP_ENGINE=str(self.directory))
        _, said = self.process.communicate(timeout=30)
        wrong = [line for line in said.splitlines() if "panic" in line.lower()]
        return wrong if self.process.returncode == 0 else [f"the engine ended with {self.process.returncode}", said]

    def kill(self) -> None:
        """SIGKILL, and gone when this returns."""
        self.process.kill()
        self.process.communicate(timeout=30)

    def run(self, *command: str, timeout: float = 60, **more) -> subprocess.CompletedProcess:
        """Runs a program on it to its end."""
        return subprocess.run(
            self.command(*command), capture_output=True, text=True, timeout=timeout, check=False, **more
        )

    def start(self, *command: str, **more) -> subprocess.Popen:
        """A program on it, in the background."""
        return subprocess.Popen(self.command(*command), **more)

    def sockets(self) -> list[dict]:
        """All that it has, TIME-WAIT among them."""
        done = ustcp("ss", "-a", "--json", net=self.net, USTCP_ENGINE=str(self.directory))
        assert done.returncode == 0, done.stderr
        return json.loads(done.stdout)

    def is_empty(self) -> None:
        """Waits until it has no socket left but in TIME-WAIT; its answers are what takes the time."""
        limit = time.monotonic() + 20
        while left := [socket for socket in self.sockets() if socket["state"] != "TIME-WAIT"]:
            assert time.monotonic() < limit, f"left in the engine: {left}"
