"""Our stack as a `Side`: the manual port, in virtual time. No device, no privilege, and the same answers every time."""

from __future__ import annotations

import select
import socket
from collections.abc import Iterator
from typing import Any, NamedTuple

import ustcp

from .notation import Script
from .player import Player
from .wire import OURS, OURS_V6

SECOND = 1_000_000_000
# As `kernel.SYSCTLS` has them: the window scale follows the largest buffer. And as the kernel does without being asked:
# soft ICMP errors end an attempt to connect, which RFC 9293 MUST-56 forbids, and we do not by default.
KNOBS = {"tcp_rmem": "4096 131072 6291456", "tcp_wmem": "4096 16384 4194304", "soft_errors_end_connect": "1"}


class Lateness(NamedTuple):
    """How long after its moment a timer goes off."""

    short: int
    long: int


MS = 1_000_000
EXACT = Lateness(0, 0)
# As the kernel's wheel has them (HZ 250): a timer of less than 64 ticks is late by up to two ticks, a longer one by up to
# nine. One that goes off for a probe which is out already is set again for the timeout, and so late twice: 12. Of the long
# ones every other tick is tried.
LONG = 63 * 4 * MS
LATENESS = [EXACT] + [Lateness(short * MS, long * MS) for short in (4, 8, 12) for long in (0, 8, 16, 24, 32)]


def play(script: Script, lateness: Lateness = EXACT) -> list[str]:
    return Player(script, Ours(lateness)).play()


def plays(script: Script) -> Iterator[list[str]]:
    """What we may answer, for a judge who cannot know how late the kernel's timers were: exact first."""
    return (play(script, lateness) for lateness in LATENESS)


class Ours:
    def __init__(self, lateness: Lateness = EXACT) -> None:
        self.lateness = lateness
        # The deadline last seen, and when it was seen first.
        self.seen: tuple[int | None, int] = (None, 0)
        self.stack = ustcp.ManualStack(seed=1, address=(f"{OURS}/24", f"{OURS_V6}/64"), **KNOBS)
        # Past the first second, as any machine is: a clock at 0 would make even a timestamp of 0 plausible.
        self.now = 1000 * SECOND
        self.stack.advance(self.now)

    def inject(self, packet: bytes) -> None:
        self.stack.input(packet, self.now)

    def collect(self) -> list[bytes]:
        return [packet.data for packet in self.stack.packets()]

    def sleep(self, seconds: float) -> None:
        """Every timer goes off at its own moment. One that is due at the end waits for what the next step does: the
        kernel's clock ticks, and serves it a little later."""
        end = self.now + round(seconds * SECOND)
        while (due := self.due()) is not None and due < end:
            self.now = max(self.now, due)
            self.stack.advance(self.now)
        self.now = end
        self.stack.input(b"", end)  # no packet: only the clock moves

    def due(self) -> int | None:
        """When the next timer goes off."""
        deadline = self.stack.deadline()
        if deadline is None:
            return None
        if deadline != self.seen[0]:
            self.seen = (deadline, self.now)
        return deadline + (self.lateness.long if deadline - self.seen[1] >= LONG else self.lateness.short)

    def sysctl(self, name: str, value: str) -> None:
        self.stack.set(name.rpartition(".")[2], value)

    def socket(self, ipv6: bool) -> Any:
        return self.stack.socket(socket.AF_INET6 if ipv6 else socket.AF_INET)

    def poll(self, sock: Any) -> int:
        return sock.poll(select.POLLIN | select.POLLPRI | select.POLLOUT | select.POLLRDHUP)

    def ioctl(self, sock: Any, request: int) -> int:
        return sock.ioctl(request)
