#!/usr/bin/env python3
"""Unmodified iperf3 on ustcp beside iperf3 on slirp4netns, in turns; prints a table.

    iperf3.py [--repetitions N] [--seconds S]

The client is the program on the user-space stack; its server is on the kernel's TCP of the machine, as slirp4netns has it.
Nothing is asserted. Ratios are taken within a repetition.
"""

from __future__ import annotations

import argparse
import json
import os
import statistics
import subprocess
import sys
import tempfile
from collections.abc import Callable
from dataclasses import dataclass, field
from pathlib import Path

sys.path.insert(0, str(Path(__file__).resolve().parent.parent))
from harness.netns import PEER, Namespace, missing  # noqa: E402
from harness.shim import Engine  # noqa: E402

DIRECTIONS = {"to the kernel": [], "from the kernel": ["-R"]}
SLIRP_HOST = "10.0.2.2"  # the machine itself, as slirp4netns shows it


@dataclass
class Contender:
    """One way for the client, and the command line that goes before it."""

    name: str
    set_up: Callable[[Contender], list[str]]
    host: str
    figures: dict[str, list[float]] = field(default_factory=lambda: {direction: [] for direction in DIRECTIONS})
    processes: list[subprocess.Popen] = field(default_factory=list)

    def begin(self) -> None:
        self.spaces = [Namespace("iperf3")]
        self.spaces[0].create()
        self.prefix = self.set_up(self)
        server = self.start(self.spaces[0].command("iperf3", "-s", "--forceflush"))
        while "Server listening" not in server.stdout.readline():
            if server.poll() is not None:
                raise SystemExit("iperf3 -s did not start")

    def start(self, command: list[str], **more) -> subprocess.Popen:
        process = subprocess.Popen(command, stdout=subprocess.PIPE, stderr=subprocess.DEVNULL, text=True, **more)
        self.processes.append(process)
        return process

    def end(self) -> None:
        for process in self.processes:
            process.kill()
            process.wait()
        for space in self.spaces:
            space.remove()

    def measure(self, seconds: float) -> None:
        for direction, words in DIRECTIONS.items():
            command = [*self.prefix, "iperf3", "-c", self.host, "-t", str(seconds), "--json", *words]
            done = subprocess.run(command, capture_output=True, text=True, timeout=seconds + 30, check=False)
            told = json.loads(done.stdout or "{}")
            if done.returncode != 0 or "error" in told:
                raise SystemExit(f"{self.name}: {told.get('error', done.stderr)}")
            self.figures[direction].append(told["end"]["sum_received"]["bits_per_second"] / 1e9)


def ustcp(contender: Contender) -> list[str]:
    """An engine in the namespace of the server; `lo` is down."""
    directory = Path(tempfile.mkdtemp(prefix="ustcp-bench-")) / "engine"
    engine = Engine(contender.spaces[0], directory, USTCP_SECRET="none")
    contender.processes.append(engine.process)
    return engine.command()


def slirp(mtu: int) -> Callable[[Contender], list[str]]:
    def set_up(contender: Contender) -> list[str]:
        machine, inner = contender.spaces[0], Namespace("iperf3-slirp")
        machine.ip("link", "set", "lo", "up")
        inner.create()
        contender.spaces.append(inner)
        ready, told = os.pipe()
        words = ["slirp4netns", "--configure", f"--mtu={mtu}", f"--ready-fd={told}", "--netns-type=path"]
        process = contender.start(machine.command(*words, f"/run/netns/{inner.name}", "tap0"), pass_fds=[told])
        os.close(told)
        if os.read(ready, 1) != b"1":
            raise SystemExit(f"slirp4netns ended with {process.wait()}")
        os.close(ready)
        return inner.command()

    return set_up


def spread(values: list[float]) -> str:
    return f"{statistics.median(values):.3g} ({min(values):.3g}–{max(values):.3g})"


def table(ours: Contender, others: list[Contender], repetitions: int, seconds: float) -> str:
    lines = ["| iperf3 on | " + " | ".join(f"{d}, Gbit/s" for d in DIRECTIONS) + " |", "|---" * (len(DIRECTIONS) + 1) + "|"]
    for contender in (ours, *others):
        lines.append(f"| {contender.name} | " + " | ".join(spread(contender.figures[d]) for d in DIRECTIONS) + " |")
    for other in others:
        ratios = [spread([a / b for a, b in zip(ours.figures[d], other.figures[d], strict=True)]) for d in DIRECTIONS]
        lines.append(f"| ustcp ÷ {other.name} | " + " | ".join(ratios) + " |")
    lines += ["", f"One connection; medians of {repetitions} interleaved repetitions of {seconds:g} s (least–most)."]
    return "\n".join(lines)


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--repetitions", type=int, default=5)
    parser.add_argument("--seconds", type=float, default=2.0)
    arguments = parser.parse_args()
    reason = missing()
    if reason:
        raise SystemExit(f"no bench here: {reason}")
    ours = Contender("ustcp, MTU 1500", ustcp, PEER)
    others = [Contender(f"slirp4netns, MTU {mtu}", slirp(mtu), SLIRP_HOST) for mtu in (1500, 65520)]
    begun: list[Contender] = []
    try:
        for contender in (ours, *others):
            begun.append(contender)
            contender.begin()
        for _ in range(arguments.repetitions):
            for contender in begun:
                contender.measure(arguments.seconds)
    finally:
        for contender in begun:
            contender.end()
    print(table(ours, others, arguments.repetitions, arguments.seconds))


if __name__ == "__main__":
    main()
