"""Our stack as a `Side`: the manual port, in virtual time. No device, no privilege, and the same answers every time."""

from __future__ import annotations

import select
import socket
from typing import Any

import ustcp

from .notation import Script
from .player import Player
from .wire import OURS, OURS_V6

SECOND = 1_000_000_000
# As `kernel.SYSCTLS` has them: the window scale follows the largest buffer. And as the kernel does without being asked:
# soft ICMP errors end an attempt to connect, which RFC 9293 MUST-56 forbids, and we do not by default.
KNOBS = {"tcp_rmem": "4096 131072 6291456", "tcp_wmem": "4096 16384 4194304", "soft_errors_end_connect": "1"}


def play(script: Script) -> list[str]:
    return Player(script, Ours()).play()


class Ours:
    def __init__(self) -> None:
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
        while (due := self.stack.deadline()) is not None and due < end:
            self.now = max(self.now, due)
            self.stack.advance(self.now)
        self.now = end
        self.stack.input(b"", end)  # no packet: only the clock moves

    def sysctl(self, name: str, value: str) -> None:
        self.stack.set(name.rpartition(".")[2], value)

    def socket(self, ipv6: bool) -> Any:
        return self.stack.socket(socket.AF_INET6 if ipv6 else socket.AF_INET)

    def poll(self, sock: Any) -> int:
        return sock.poll(select.POLLIN | select.POLLPRI | select.POLLOUT | select.POLLRDHUP)

    def ioctl(self, sock: Any, request: int) -> int:
        return sock.ioctl(request)
