"""A path between two namespaces over a relay: one line with rate, queue, delay and faults, the same for every stack.

The near side sends: the kernel's TCP from 10.77.0.17, or a program on libustcp from 10.77.0.2, whose packets the near
kernel forwards. The far side, 10.77.0.33, is the kernel's TCP and receives.

    ustcp 10.77.0.2 -- ustcp0 --.
                                near kernel -- near0 == relay == far0 -- far kernel 10.77.0.33
      (or its own TCP 10.77.0.17) '
"""

from __future__ import annotations

import functools
import json
import os
import subprocess
from dataclasses import dataclass
from pathlib import Path

from harness.netns import Namespace

ROOT = Path(__file__).resolve().parents[2]
RELAY = ROOT / "build/prefix/bin/ustcp"
FLOWS = {stack: ROOT / f"build/bench/flow-{stack}" for stack in ("kernel", "ustcp")}

NEAR, FAR = "10.77.0.17", "10.77.0.33"
# The largest window that a path here can use is twice 625 kB; more room than that on every side.
BUFFERS = "4096 8388608 33554432"


@functools.cache
def promptly() -> tuple[str, ...]:
    """Runs a program by the real-time scheduler where that is permitted: others who run on this machine shall not be
    what is measured."""
    command = ("chrt", "--fifo", "1")
    permitted = subprocess.run([*command, "true"], capture_output=True, check=False).returncode == 0
    return command if permitted else ()


@dataclass(frozen=True)
class Flow:
    """What came of one flow."""

    sent: int  # bytes that the program wrote
    received: int  # bytes that arrived, each checked
    in_time: int  # of these within the time that counts


class Relayed:
    """The path, while it stands."""

    def __init__(self, there: str, back: str) -> None:
        self.near, self.far = Namespace("near"), Namespace("far")
        self._weather = ["--there", there, "--back", back]
        self._relay: subprocess.Popen[str] | None = None

    def __enter__(self) -> Relayed:
        try:
            self._lay()
        except BaseException:
            self._remove()
            raise
        return self

    def __exit__(self, *_: object) -> None:
        self._remove()

    def _lay(self) -> None:
        for namespace in (self.near, self.far):
            namespace.create()
            namespace.sysctl("net.ipv4.tcp_wmem", BUFFERS)
            namespace.sysctl("net.ipv4.tcp_rmem", BUFFERS)
        self.near.sysctl("net.ipv4.ip_forward", 1)
        command = self.near.command(*promptly(), str(RELAY), "relay", "near0", "far0", *self._weather)
        self._relay = subprocess.Popen(command, stdin=subprocess.PIPE, stdout=subprocess.PIPE, text=True)
        if self._relay.stdout.readline() != "up\n":
            raise RuntimeError(f"the relay did not start: {command}")
        self.near.ip("link", "set", "far0", "netns", self.far.name)
        self.near.ip("addr", "add", f"{NEAR}/28", "dev", "near0")
        self.near.ip("route", "add", "10.77.0.32/28", "dev", "near0", "src", NEAR)
        self.far.ip("addr", "add", f"{FAR}/28", "dev", "far0")
        self.far.ip("link", "set", "far0", "txqueuelen", "5000", "up")
        self.far.ip("route", "add", "10.77.0.0/27", "dev", "far0")

    def _remove(self) -> None:
        if self._relay and self._relay.poll() is None:
            self._relay.kill()
            self._relay.wait()
        for namespace in (self.near, self.far):
            namespace.remove()

    def flow(self, stack: str, algorithm: str, seconds: float, whole: bool = False, **environment: str) -> Flow:
        """One flow from the stack, `kernel` or `ustcp`. The receiver breaks it off when the time is over; a whole one
        ends with the sender's FIN then."""
        end = ["whole"] if whole else []
        receive = self.far.command(*promptly(), str(FLOWS["kernel"]), "receive", FAR, str(seconds), *end)
        send = self.near.command(*promptly(), str(FLOWS[stack]), "send", FAR, str(seconds), algorithm, *end)
        ours = {"USTCP_ADDRESS": "10.77.0.2/28", "USTCP_OFFLOAD": "off", "USTCP_EXIT_WAIT": "30", **environment}
        limit = seconds + 60
        with subprocess.Popen(receive, stdout=subprocess.PIPE, text=True) as receiver:
            try:
                if receiver.stdout.readline() != "up\n":
                    raise RuntimeError("the receiver did not start")
                sent = subprocess.run(
                    send, check=True, text=True, stdout=subprocess.PIPE, timeout=limit, env={**os.environ, **ours}
                )
                out, _ = receiver.communicate(timeout=limit)
            finally:
                receiver.kill()
        if receiver.returncode != 0:
            raise RuntimeError(f"the receiver ended with {receiver.returncode}: {out}")
        received, in_time = map(int, out.split())
        return Flow(int(sent.stdout), received, in_time)

    def finish(self) -> dict[str, dict[str, int]]:
        """Ends the relay: what it did `there` and `back`, in packets, and how late it was at worst."""
        out, _ = self._relay.communicate(timeout=30)
        if self._relay.returncode != 0:
            raise RuntimeError(f"the relay ended with {self._relay.returncode}")
        return json.loads(out)
