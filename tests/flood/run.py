#!/usr/bin/env python3
"""Floods a listener of ustcp with SYNs while a flow runs and clients connect, and prints what becomes of them.

    run.py [--rate SYNS] [--seconds S] [--repetitions N] [--check] [--compare]

A flow of 1 Gbit/s is measured without and with the flood, which 200 clients connect all through. `--check` fails when fewer
SYNs were sent than asked for, when the flow alone is no such flow, when it keeps less than 90 % of its rate, when a client is
not served, when p99 of their time is above 1.2 s, or when the server has grown by more than 2 MiB in the end.

`--compare` floods two more in turn, and judges neither. "nobody": an address behind ustcp's device that is not ustcp's,
so that every SYN is dropped at once; what the flow does not keep then is the generator's and the device's. "linux": the
kernel's own listener behind a veth pair.

A busy machine stops the server for longer than the device's queue holds out (50 ms), and then segments are lost with
the SYNs: `nice -n -15` keeps the others away.
"""

from __future__ import annotations

import argparse
import os
import re
import subprocess
import sys
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

sys.path.insert(0, str(Path(__file__).resolve().parent.parent))
from harness.netns import DEVICE, OURS, PEER, Namespace, join_by_veth, missing  # noqa: E402

ROOT = Path(__file__).resolve().parents[2]
FLOOD, SERVER = ROOT / "build/flood/flood", ROOT / "build/bench/server"
STRANGERS = "198.18.0.0/15"
NOBODY = "10.77.0.99"
ECHO = 7003
CLIENTS = 200
FLOW = 1e9


def start(net: Namespace, *arguments: object) -> subprocess.Popen[str]:
    command = net.command(str(FLOOD), *map(str, arguments))
    return subprocess.Popen(command, stdout=subprocess.PIPE, text=True)


def output(process: subprocess.Popen[str]) -> list[float]:
    text, _ = process.communicate(timeout=120)
    if process.returncode != 0:
        raise SystemExit(f"{process.args}: {process.returncode}")
    return [float(word) for word in text.split()]


def resident(pid: int) -> int:
    """KiB."""
    return int(re.search(r"VmRSS:\s+(\d+)", Path(f"/proc/{pid}/status").read_text())[1])


def once(net: Namespace, server: int, target: str, rate: float, seconds: float) -> dict[str, float]:
    output(start(net, "connects", OURS, CLIENTS, 0))  # whatever the server's threads take, they have by now
    (alone,) = output(start(net, "flow", OURS, seconds / 2, FLOW))
    before, dropped = resident(server), net.links(DEVICE)["stats64"]["tx"]["dropped"]
    flow = start(net, "flow", OURS, seconds, FLOW)
    syns = start(net, "syns", target, ECHO, rate, seconds)
    clients = start(net, "connects", OURS, CLIENTS, 0.9 * seconds)
    served, p50, p99 = output(clients)
    (beside,) = output(flow)
    sent, took = output(syns)
    return {
        "SYN/s": sent / took,
        "dropped by the device": net.links(DEVICE)["stats64"]["tx"]["dropped"] - dropped,
        "flow alone, Mbit/s": alone,
        "beside the flood": beside,
        "kept": beside / alone,
        "clients served": served,
        "p50 ms": p50,
        "p99 ms": p99,
        "memory KiB": resident(server) - before,
        "load": os.getloadavg()[0],
    }


def misses(figures: dict[str, float], rate: float) -> list[str]:
    goals = {
        "SYN/s": figures["SYN/s"] >= 0.95 * rate,
        "flow alone, Mbit/s": figures["flow alone, Mbit/s"] * 1e6 >= 0.9 * FLOW,
        "kept": figures["kept"] >= 0.9,
        "clients served": figures["clients served"] == CLIENTS,
        "p99 ms": figures["p99 ms"] <= 1200,
        "memory KiB": figures["memory KiB"] <= 2048,
    }
    return [f"{name}: {figures[name]:.2f}" for name, reached in goals.items() if not reached]


@contextmanager
def running(net: Namespace, *command: str) -> Iterator[int]:
    """A server's id, once it is up."""
    server = subprocess.Popen(net.command(*command), stdout=subprocess.PIPE, stderr=subprocess.DEVNULL, text=True)
    try:
        if "up" not in server.stdout.readline():
            raise SystemExit("the server did not start")
        yield server.pid
    finally:
        server.kill()
        server.wait()


@contextmanager
def ustcp() -> Iterator[tuple[Namespace, int]]:
    net = Namespace("flood")
    net.create()
    try:
        with running(net, str(SERVER)) as server:
            net.ip("route", "add", "blackhole", STRANGERS)  # nobody answers the SYN-ACKs
            yield net, server
    finally:
        net.remove()


@contextmanager
def linux() -> Iterator[tuple[Namespace, int]]:
    net, ours = Namespace("flood"), Namespace("linux")
    net.create()
    ours.create()
    try:
        join_by_veth(net, ours)
        ours.ip("route", "add", STRANGERS, "via", PEER)
        net.ip("route", "add", "blackhole", STRANGERS)
        with running(ours, str(FLOOD), "serve") as server:
            yield net, server
    finally:
        ours.remove()
        net.remove()


def main() -> None:
    parser = argparse.ArgumentParser()
    parser.add_argument("--rate", type=float, default=100_000)
    parser.add_argument("--seconds", type=float, default=10)
    parser.add_argument("--repetitions", type=int, default=3)
    parser.add_argument("--check", action="store_true")
    parser.add_argument("--compare", action="store_true")
    options = parser.parse_args()
    if reason := missing():
        raise SystemExit(f"not run: {reason}")
    rows = [("ustcp", ustcp, OURS), ("nobody", ustcp, NOBODY), ("linux", linux, OURS)]
    missed: list[str] = []
    for name, place, target in rows if options.compare else rows[:1]:
        with place() as (net, server):
            for _ in range(options.repetitions):
                figures = once(net, server, target, options.rate, options.seconds)
                print(f"{name}: " + "  ".join(f"{what} {value:.2f}" for what, value in figures.items()), flush=True)
                missed += misses(figures, options.rate) if name == "ustcp" else []
    if options.check and missed:
        raise SystemExit("missed: " + ", ".join(missed))


if __name__ == "__main__":
    main()
