#!/usr/bin/env python3
"""Unmodified servers on ustcp beside the same on the kernel's veth, in turns; prints a table.

    programs.py [--repetitions N] [--seconds S] [--only WORD ...] [--against PREFIX ...]

nginx, redis and iperf3 run on the stack, in one process each; the load comes from the kernel's sockets. --against adds an
installation of another build. Nothing is asserted. Ratios are taken within a repetition.
"""

from __future__ import annotations

import argparse
import json
import os
import re
import shutil
import statistics
import subprocess
import sys
import tempfile
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass, field
from pathlib import Path

sys.path.insert(0, str(Path(__file__).resolve().parent.parent))
from harness.netns import OURS, PEER, Namespace, join_by_veth, missing  # noqa: E402
from harness.puppet import until  # noqa: E402

ROOT = Path(__file__).resolve().parents[2]
WEB, STORE = 8080, 6379
TICKS = os.sysconf("SC_CLK_TCK")

NGINX = """
daemon off; pid nginx.pid; error_log stderr; user root; worker_processes 1;
events {{ worker_connections 1024; }}
http {{ access_log off; keepalive_requests 1000000000; server {{ listen {port} backlog=1024; root {directory}; }} }}
"""

Run = Callable[["Contender", int], tuple[float, float]]


@dataclass
class Figures:
    """What one load has made of one contender."""

    rates: list[float] = field(default_factory=list)
    # Of the engine, for each thing that was done.
    processor: list[float] = field(default_factory=list)
    switches: list[float] = field(default_factory=list)


class Contender:
    """One stack, with servers on it and a place where clients are."""

    def __init__(self, name: str, prefix: Path | None) -> None:
        self.name, self.prefix = name, prefix
        self.figures: dict[str, Figures] = {}
        self.clients = Namespace("bench")
        self.spaces = [self.clients]
        self.processes: list[subprocess.Popen] = []
        self.engine: subprocess.Popen | None = None
        self.directory = Path(tempfile.mkdtemp(prefix="ustcp-bench-"))

    def begin(self) -> None:
        self.clients.create()
        self.clients.sysctl("net.ipv4.tcp_max_tw_buckets", 500)
        self.prefix_of_servers = self.on_veth() if self.prefix is None else self.on_ustcp(self.prefix)
        (self.directory / "index.html").write_text("x" * 600)
        (self.directory / "nginx.conf").write_text(NGINX.format(port=WEB, directory=self.directory))
        self.serve(WEB, "nginx", "-p", str(self.directory), "-c", "nginx.conf")
        self.serve(STORE, "redis-server", "--port", str(STORE), "--protected-mode", "no", "--save", "")
        self.start(self.clients.command("iperf3", "-s"))

    def on_veth(self) -> list[str]:
        far = Namespace("bench-veth")
        self.spaces.append(far)
        far.create()
        join_by_veth(self.clients, far)
        return far.command()

    def on_ustcp(self, prefix: Path) -> list[str]:
        directory = self.directory / "engine"
        variables = {**os.environ, "USTCP_ENGINE": str(directory), "USTCP_SECRET": "none"}
        command = self.clients.command(str(prefix / "bin/ustcp"), "up")
        self.engine = self.start(command, env=variables)
        until(lambda: (directory / "engine").exists(), lambda: f"no engine: {self.engine.poll()}")
        preload = prefix / "lib/ustcp/libustcp_preload.so"
        return self.clients.command("env", f"USTCP_ENGINE={directory}", f"LD_PRELOAD={preload}")

    def start(self, command: list[str], **more) -> subprocess.Popen:
        quiet = {"stdin": subprocess.DEVNULL, "stdout": subprocess.DEVNULL, "stderr": subprocess.DEVNULL}
        process = subprocess.Popen(command, **quiet, **more)
        self.processes.append(process)
        return process

    def serve(self, port: int, *command: str) -> None:
        server = self.start([*self.prefix_of_servers, *command], cwd=self.directory)

        def answers() -> bool:
            assert server.poll() is None, f"{command[0]} ended with {server.poll()}"
            words = ["bash", "-c", f"exec 3<>/dev/tcp/{OURS}/{port}"]
            return subprocess.run(self.clients.command(*words), capture_output=True, check=False).returncode == 0

        until(answers, lambda: f"{command[0]} does not answer")

    def end(self) -> None:
        for process in reversed(self.processes):
            process.terminate()
            process.wait()
        for space in self.spaces:
            space.remove()
        shutil.rmtree(self.directory)

    def measure(self, load: Load, seconds: int) -> None:
        before = self.spent()
        rate, done = load.run(self, seconds)
        figures = self.figures.setdefault(load.name, Figures())
        figures.rates.append(rate)
        if before and (after := self.spent()):
            figures.processor.append((after[0] - before[0]) / done)
            figures.switches.append((after[1] - before[1]) / done)

    def spent(self) -> tuple[float, int] | None:
        """The engine's processor time, in microseconds, and how often it slept."""
        if self.engine is None:
            return None
        place = Path(f"/proc/{self.engine.pid}")
        fields = (place / "stat").read_text().rpartition(")")[2].split()
        slept = re.search(r"^voluntary_ctxt_switches:\s*(\d+)", (place / "status").read_text(), re.M)
        return (int(fields[11]) + int(fields[12])) * 1e6 / TICKS, int(slept[1])


@dataclass
class Load:
    """Something a client does over and over for so many seconds: how often in one of them, and in all."""

    name: str
    unit: str
    run: Run


def web(*words: str) -> Run:
    def run(on: Contender, seconds: int) -> tuple[float, float]:
        told = output(on.clients.command("wrk", "-t1", f"-d{seconds}s", *words, f"http://{OURS}:{WEB}/index.html"))
        return float(re.search(r"Requests/sec:\s*([\d.]+)", told)[1]), int(re.search(r"(\d+) requests in", told)[1])

    return run


def store(pipelined: int, in_a_second: int) -> Run:
    def run(on: Contender, seconds: int) -> tuple[float, float]:
        count = int(in_a_second * seconds)
        words = ["-h", OURS, "-p", str(STORE), "-c", "50", "-P", str(pipelined), "-n", str(count)]
        told = output(on.clients.command("redis-benchmark", *words, "-t", "get", "--csv"))
        return float(told.splitlines()[-1].split(",")[1].strip('"')), count

    return run


def flow(*words: str) -> Run:
    def run(on: Contender, seconds: int) -> tuple[float, float]:
        words_of_all = ["-c", PEER, "-C", "cubic", "-t", f"{seconds}", "--json"]
        told = json.loads(output([*on.prefix_of_servers, "iperf3", *words_of_all, *words]))["end"]["sum_received"]
        return told["bits_per_second"] / 1e9, told["bytes"] / 1e6

    return run


LOADS = [
    Load("nginx, 1 connection", "1/s", web("-c1")),
    Load("nginx, 50 connections", "1/s", web("-c50")),
    Load("nginx, 50, each for one request", "1/s", web("-c50", "-H", "Connection: close")),
    Load("redis, 50 connections", "1/s", store(1, 30_000)),
    Load("redis, 50, 16 requests at once", "1/s", store(16, 200_000)),
    Load("iperf3 to the kernel", "Gbit/s", flow()),
    Load("iperf3 from the kernel", "Gbit/s", flow("-R")),
]


def output(command: list[str]) -> str:
    done = subprocess.run(command, capture_output=True, text=True, timeout=120, check=False)
    if done.returncode != 0:
        raise SystemExit(f"{' '.join(command)}: {done.stderr or done.stdout}")
    return done.stdout


def spread(values: list[float]) -> str:
    return f"{statistics.median(values):.3g} ({min(values):.3g}–{max(values):.3g})"


def table(contenders: list[Contender], loads: list[Load]) -> Iterator[str]:
    veth, *others = contenders
    heads = ["load", veth.name]
    for other in others:
        heads += [other.name, "ratio", "engine, µs", "sleeps"]
    yield "| " + " | ".join(heads) + " |"
    yield "|---" * len(heads) + "|"
    for load in loads:
        base = veth.figures[load.name].rates
        cells = [f"{load.name}, {load.unit}", spread(base)]
        for other in others:
            figures = other.figures[load.name]
            ratios = [a / b for a, b in zip(figures.rates, base, strict=True)]
            cells += [spread(figures.rates), spread(ratios), spread(figures.processor), spread(figures.switches)]
        yield "| " + " | ".join(cells) + " |"
    first, *rest = others
    for other in rest:
        yield ""
        for load in loads:
            pair = first.figures[load.name], other.figures[load.name]
            each = [(f.rates, f.processor, f.switches) for f in pair]
            ratios = [spread([a / b for a, b in zip(*values, strict=True) if b]) for values in zip(*each, strict=True)]
            yield f"{first.name} ÷ {other.name}, {load.name}: rate {ratios[0]}, processor {ratios[1]}, sleeps {ratios[2]}"


@contextmanager
def begun(contenders: list[Contender]) -> Iterator[None]:
    try:
        for contender in contenders:
            contender.begin()
        yield
    finally:
        for contender in contenders:
            contender.end()


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--repetitions", type=int, default=5)
    parser.add_argument("--seconds", type=int, default=2)
    parser.add_argument("--only", nargs="*", default=[""])
    parser.add_argument("--against", nargs="*", type=Path, default=[])
    arguments = parser.parse_args()
    reason = missing()
    if reason:
        raise SystemExit(f"no bench here: {reason}")
    loads = [load for load in LOADS if any(word in load.name for word in arguments.only)]
    contenders = [Contender("veth", None), Contender("ustcp", ROOT / "build/prefix")]
    contenders += [Contender(str(prefix), prefix) for prefix in arguments.against]
    with begun(contenders):
        for _ in range(arguments.repetitions):
            for load in loads:
                for contender in contenders:
                    contender.measure(load, arguments.seconds)
    print("\n".join(table(contenders, loads)))


if __name__ == "__main__":
    main()
