"""The stage of a scenario: a server's side and a client's side, each on the kernel's TCP or on ustcp.

Everything here runs inside the namespaces that worker.py has made; nothing of it outlives them.
"""

from __future__ import annotations

import hashlib
import re
import signal
import subprocess
import threading
import time
from collections.abc import Callable, Sequence
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path

from .catalogue import PATH

HERE = Path(__file__).resolve().parent
SCRIPTS = HERE / "scripts"
# Seconds after which a program hangs: no wait comes near, also where many others are busy.
HANGS = 100


class Failed(Exception):
    """The programs did not do what the scenario asks; anything else is the harness's own fault."""


class Done:
    """A command that has ended, with what it wrote."""

    def __init__(self, code: int, out: bytes, err: bytes) -> None:
        self.code, self.out, self.err = code, out, err

    @property
    def text(self) -> str:
        return self.out.decode(errors="replace")

    @property
    def everything(self) -> str:
        return self.text + self.err.decode(errors="replace")


class Running:
    """A program that was started and goes on; its output is read line by line as it comes."""

    def __init__(self, label: str, command: Sequence[str], stage: Stage, **more) -> None:
        self.label, self.stage = label, stage
        self.lines: list[str] = []
        self._more = threading.Condition()
        self.process = subprocess.Popen(
            command, stdin=subprocess.PIPE, stdout=subprocess.PIPE, stderr=subprocess.STDOUT, start_new_session=True, **more
        )  # its standard input stays open: openssl s_server ends with it
        self._reader = threading.Thread(target=self._read, daemon=True)
        self._reader.start()

    def _read(self) -> None:
        for line in self.process.stdout:
            with self._more:
                self.lines.append(line.decode(errors="backslashreplace").rstrip()[:300])
                self._more.notify_all()
        with self._more:
            self._more.notify_all()

    def says(self, pattern: str, times: int = 1) -> Running:
        """Waits until that many lines match; a program that ends before has failed."""

        def settled() -> bool:
            return self._count(pattern) >= times or not self._reader.is_alive()

        with self._more:
            # The limit on one wait is for the reader that ends between two lines.
            limit = time.monotonic() + self.stage.patience
            while not settled() and time.monotonic() < limit:
                self._more.wait(0.1)
            if self._count(pattern) >= times:
                return self
        raise Failed(f"{self.label} never said {pattern!r}:\n" + "\n".join(self.lines[-20:]))

    def _count(self, pattern: str) -> int:
        return sum(re.search(pattern, line) is not None for line in self.lines)

    def ends(self, expected: int | None = 0) -> Running:
        """Waits for its end by itself; its exit code is a fact."""
        try:
            code = self.process.wait(self.stage.patience)
        except subprocess.TimeoutExpired:
            raise Failed(f"{self.label} does not end:\n" + "\n".join(self.lines[-20:])) from None
        self._reader.join(self.stage.patience)
        self.stage.fact(self.label, code)
        if expected is not None and code != expected:
            raise Failed(f"{self.label} ended with {code}:\n" + "\n".join(self.lines[-20:]))
        return self

    def stop(self, number: int = signal.SIGTERM, expected: int | None = None) -> Running:
        """Ends it as an administrator does. Which exit code that gives is the kernel's run to say."""
        if self.process.poll() is not None:
            raise Failed(f"{self.label} has ended by itself with {self.process.returncode}:\n" + "\n".join(self.lines[-20:]))
        self.signal(number)
        return self.ends(expected)

    def catches(self, number: int) -> Running:
        """Waits until it has a handler for the signal, for those that say that they are ready before."""

        def caught() -> bool:
            status = Path(f"/proc/{self.process.pid}/status").read_text()
            return bool(int(re.search(r"SigCgt:\s*([0-9a-f]+)", status)[1], 16) >> (number - 1) & 1)

        self.stage.until(caught, f"{self.label} handles signal {number}")
        return self

    def signal(self, number: int) -> None:
        self.process.send_signal(number)


class Side:
    """One end: what its programs are started by, and the address that the other end uses."""

    def __init__(self, stage: Stage, host: str, prefix: Sequence[str] = (), environment: dict[str, str] | None = None) -> None:
        self.stage, self.host = stage, host
        self._prefix, self._environment = list(prefix), environment or {}
        self.shimmed = "run" in self._prefix

    def command(self, words: Sequence[object], user: str | None = None, explain: bool = False) -> list[str]:
        if explain and self.shimmed:
            before, after = self._prefix[:-1], self._prefix[-1:]
            return [*before, "--explain", *after, *map(str, words)]
        drop = ["setpriv", f"--reuid={user}", f"--regid={user}", "--clear-groups"] if user else []
        return [*self._prefix, *drop, *map(str, words)]

    def _settings(self, cwd: Path | None, env: dict[str, str] | None) -> dict:
        return {"cwd": cwd or self.stage.directory, "env": {**self.stage.environment, **self._environment, **(env or {})}}

    def start(self, *words: object, ready: str | None = None, user: str | None = None, env=None, cwd=None) -> Running:
        """Starts a program that stays, and waits for the line that says it is ready."""
        running = Running(Path(str(words[0])).name, self.command(words, user), self.stage, **self._settings(cwd, env))
        self.stage.running.append(running)
        return running.says(ready) if ready else running

    def run(
        self, *words: object, code: int | None = 0, input: bytes | Path | None = None, fact: bool = True, explain: bool = False, user=None, env=None, cwd=None
    ) -> Done:
        """Runs a program to its end. Its exit code is a fact (but for one that is asked again and again), and must be `code`."""
        stdin = open(input, "rb") if isinstance(input, Path) else subprocess.PIPE if input is not None else subprocess.DEVNULL
        process = subprocess.Popen(
            self.command(words, user, explain), stdin=stdin, stdout=subprocess.PIPE, stderr=subprocess.PIPE, **self._settings(cwd, env)
        )
        try:
            out, err = process.communicate(input if isinstance(input, bytes) else None, self.stage.patience)
        except subprocess.TimeoutExpired:
            process.kill()
            out, err = process.communicate()
            raise Failed(f"{' '.join(map(str, words))} does not end: {(out + err)[-2000:].decode(errors='replace')}") from None
        done = Done(process.returncode, out, err)
        if fact:
            self.stage.fact(Path(str(words[0])).name, done.code)
        if code is not None and done.code != code:
            raise Failed(f"{' '.join(map(str, words))} ended with {done.code}: {done.everything[-2000:]}")
        return done

    def answers(self, port: int, server: Running) -> None:
        """Waits until the server accepts connections, for those that do not say when they are ready."""
        limit = time.monotonic() + self.stage.patience
        while time.monotonic() < limit and server.process.poll() is None:
            probe = subprocess.run(
                self.command(["nc", "-z", "-w", "2", self.stage.server.host, port]),
                **self._settings(None, None), capture_output=True, timeout=HANGS, check=False,
            )  # fmt: skip
            if probe.returncode == 0:
                return
        raise Failed(f"{server.label} accepts no connection:\n" + "\n".join(server.lines[-20:]))


class Stage:
    """Both sides, the files they move, and the facts of this run that must be those of the kernel's run."""

    def __init__(self, directory: Path, shared: Path, patience: float) -> None:
        self.directory, self.shared, self.patience = directory, shared, patience
        self.facts: list[list[object]] = []
        self.running: list[Running] = []
        self.server: Side
        self.client: Side
        self.environment = {"PATH": PATH, "LC_ALL": "C.UTF-8", "HOME": str(directory), "TMPDIR": str(directory)}

    def here(self, *words: object, user: str | None = None, cwd: Path | None = None) -> str:
        """Prepares something with a command that has no part in the network."""
        drop = ["setpriv", f"--reuid={user}", f"--regid={user}", "--clear-groups"] if user else []
        command = [*drop, *map(str, words)]
        return subprocess.run(
            command, cwd=cwd or self.directory, env=self.environment, check=True, capture_output=True, text=True, timeout=HANGS
        ).stdout

    def until(self, condition: Callable[[], bool], what: str) -> None:
        """Asks until it is so; the asking is what takes the time."""
        limit = time.monotonic() + self.patience
        while not condition():
            if time.monotonic() > limit:
                raise Failed(f"never came: {what}")

    def together(self, deed: Callable[[int], object], count: int) -> None:
        """Does it so many times at once. Which is done first is chance, so their facts are put in order."""
        before = len(self.facts)
        with ThreadPoolExecutor(count) as pool:
            list(pool.map(deed, range(count)))
        self.facts[before:] = sorted(self.facts[before:], key=str)

    def fact(self, label: str, value: object) -> None:
        self.facts.append([label, value])

    def text(self, mebibytes: int) -> Path:
        """As much in lines that no program takes for a command."""
        path = self.directory / f"text-{mebibytes}"
        if not path.exists():
            half = self.sample(mebibytes).read_bytes()[: mebibytes << 19]
            path.write_text(half.hex("\n", 31))
        return path

    def file(self, name: str, text: str) -> Path:
        path = self.directory / name
        path.parent.mkdir(parents=True, exist_ok=True)
        path.write_text(text)
        return path

    def sample(self, mebibytes: int) -> Path:
        """A file of bytes that no compression shortens; the same in every run."""
        return self.shared / f"sample-{mebibytes}"

    def same(self, got: Path | bytes, wanted: Path | bytes, what: str) -> None:
        """Byte for byte, by SHA-256."""
        ours, theirs = digest(got), digest(wanted)
        self.fact(what, ours)
        if ours != theirs:
            raise Failed(f"{what} has arrived as {ours}, and was {theirs}")

    def holds(self, condition: object, what: str) -> None:
        if not condition:
            raise Failed(f"does not hold: {what}")


def digest(what: Path | bytes) -> str:
    if isinstance(what, bytes):
        return hashlib.sha256(what).hexdigest()
    if not what.exists():
        raise Failed(f"{what.name} is not there")
    state = hashlib.sha256()
    with what.open("rb") as file:
        while block := file.read(1 << 20):
            state.update(block)
    return state.hexdigest()

