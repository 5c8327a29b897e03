#!/usr/bin/env python3
"""Measures ustcp beside the kernel, in turns, and prints a table.

    run.py [--repetitions N] [--seconds S] [--write FILE]

One repetition runs every stack once before the next begins, so that a slow minute of the machine touches all of them;
ratios are taken within a repetition. Each stack serves in a network namespace; the load comes from kernel sockets.
"""

from __future__ import annotations

import argparse
import datetime
import os
import platform
import statistics
import subprocess
import sys
from collections.abc import Callable
from dataclasses import dataclass, field
from pathlib import Path

sys.path.insert(0, str(Path(__file__).resolve().parent.parent))
from harness.netns import DEVICE, OURS, PEER, Namespace, join_by_veth, missing  # noqa: E402

ROOT = Path(__file__).resolve().parents[2]
LOAD, SERVER = ROOT / "build/bench/load", ROOT / "build/bench/server"
PYTHON, SERVER_PY = ROOT / ".venv/bin/python", ROOT / "tests/bench/server.py"
# A responder without any TCP logic: what a TUN device can carry at most. An instrument from outside this repository.
CEILING_SOURCE = ROOT.parent / "shared/yardstick/ceil.c"
CEILING = ROOT / "build/bench/ceil"

COLUMNS = ("tx", "rx", "rr p50", "rr p99")
UNITS = {"tx": "Gbit/s", "rx": "Gbit/s", "rr p50": "µs", "rr p99": "µs"}


@dataclass
class Contender:
    """One stack in its namespaces, serving."""

    name: str
    set_up: Callable[[Contender], list[str]]
    environment: dict[str, str] = field(default_factory=dict)
    figures: dict[str, list[float]] = field(default_factory=lambda: {column: [] for column in COLUMNS})

    def begin(self) -> None:
        self.net = Namespace("bench")
        self.spaces = [self.net]
        self.net.create()
        command = self.set_up(self)
        self.server = subprocess.Popen(
            command, stdout=subprocess.PIPE, stderr=subprocess.DEVNULL, text=True, env={**os.environ, **self.environment}
        )
        if "up" not in self.server.stdout.readline():
            raise SystemExit(f"{self.name} did not start")
        if DEVICE in self.net.ip("link") and PEER not in self.net.ip("addr"):
            self.net.ip("addr", "add", f"{PEER}/24", "dev", DEVICE)
            self.net.ip("link", "set", DEVICE, "mtu", "1500", "txqueuelen", "5000", "up")

    def end(self) -> None:
        self.server.kill()
        self.server.wait()
        for space in self.spaces:
            space.remove()

    def measure(self, seconds: float) -> None:
        for kind, columns in (("tx", ["tx"]), ("rx", ["rx"]), ("rr", ["rr p50", "rr p99"])):
            command = self.net.command(str(LOAD), kind, OURS, str(seconds))
            done = subprocess.run(command, check=True, capture_output=True, text=True, timeout=seconds + 30)
            for column, value in zip(columns, done.stdout.split(), strict=True):
                self.figures[column].append(float(value))


def kernel(contender: Contender) -> list[str]:
    far = Namespace("bench-kernel")
    contender.spaces.append(far)
    far.create()
    join_by_veth(contender.net, far)
    return far.command(str(LOAD), "serve", OURS)


def ceiling(contender: Contender) -> list[str]:
    return contender.net.command(str(CEILING), DEVICE, "1")


def ustcp(contender: Contender) -> list[str]:
    return contender.net.command(str(SERVER))


def ustcp_by_mebibytes(contender: Contender) -> list[str]:
    return contender.net.command(str(SERVER), str(1 << 20))


def python(contender: Contender) -> list[str]:
    return contender.net.command(str(PYTHON), str(SERVER_PY))


def contenders() -> list[Contender]:
    found = [Contender("kernel TCP over veth", kernel)]
    if CEILING_SOURCE.exists():
        subprocess.run(["gcc", "-O2", "-w", "-o", str(CEILING), str(CEILING_SOURCE)], check=True)
        found.append(Contender("ceiling of the TUN device", ceiling))
    return [
        *found,
        Contender("ustcp, C API", ustcp, {"USTCP_OFFLOAD": "on"}),
        Contender("ustcp, C API, 1 MiB a call", ustcp_by_mebibytes, {"USTCP_OFFLOAD": "on"}),
        Contender("ustcp, Python, 1 MiB a call", python, {"USTCP_OFFLOAD": "on"}),
        Contender("ustcp, C API, no offload", ustcp, {"USTCP_OFFLOAD": "off"}),
    ]


def spread(values: list[float]) -> str:
    return f"{statistics.median(values):.3g} ({min(values):.3g}–{max(values):.3g})"


def ratio(of: Contender, to: Contender, column: str) -> str:
    return spread([a / b for a, b in zip(of.figures[column], to.figures[column], strict=True)])


def table(measured: list[Contender], repetitions: int, seconds: float) -> str:
    by_name = {c.name: c for c in measured}
    head = " | ".join(f"{column} {UNITS[column]}" for column in COLUMNS)
    lines = [f"| stack | {head} |", "|---" * (len(COLUMNS) + 1) + "|"]
    for contender in measured:
        lines.append(f"| {contender.name} | " + " | ".join(spread(contender.figures[c]) for c in COLUMNS) + " |")
    ours = by_name["ustcp, C API"]
    for base in ("kernel TCP over veth", "ceiling of the TUN device"):
        if base in by_name:
            cells = " | ".join(ratio(ours, by_name[base], column) for column in COLUMNS)
            lines.append(f"| ustcp ÷ {base} | {cells} |")
    cells = " | ".join(ratio(by_name["ustcp, Python, 1 MiB a call"], by_name["ustcp, C API, 1 MiB a call"], column) for column in COLUMNS)
    lines.append(f"| Python ÷ C API, 1 MiB a call | {cells} |")
    model = next((line.split(":")[1].strip() for line in open("/proc/cpuinfo") if line.startswith("model name")), "?")
    lines += [
        "",
        f"{os.cpu_count()} CPUs ({model}), Linux {platform.release()}, {datetime.date.today()}. MTU 1500, one TUN queue, "
        f"cubic; medians of {repetitions} interleaved repetitions of {seconds:g} s (least–most); ratios within a "
        "repetition. tx: kernel client to stack; rx: stack to kernel client; rr: one byte there and back.",
    ]
    if "ceiling of the TUN device" not in by_name:
        lines.append("The ceiling column is left out: its program is not beside this checkout.")
    return "\n".join(lines)


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--repetitions", type=int, default=5)
    parser.add_argument("--seconds", type=float, default=2.0)
    parser.add_argument("--write", type=Path, help="also write the table to this file")
    arguments = parser.parse_args()
    reason = missing()
    if reason:
        raise SystemExit(f"no bench here: {reason}")
    measured = contenders()
    try:
        for contender in measured:
            contender.begin()
        for repetition in range(arguments.repetitions):
            print(f"repetition {repetition + 1} of {arguments.repetitions}", file=sys.stderr)
            for contender in measured:
                contender.measure(arguments.seconds)
    finally:
        for contender in measured:
            if hasattr(contender, "server"):
                contender.end()
    text = table(measured, arguments.repetitions, arguments.seconds)
    print(text)
    if arguments.write:
        arguments.write.write_text(f"# Speed\n\nBy `make bench`.\n\n{text}\n")


if __name__ == "__main__":
    main()
