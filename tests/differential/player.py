"""Plays one script to one stack and writes down what it answers. Which stack, a `Side` decides."""

from __future__ import annotations

import errno
from collections.abc import Iterator
from typing import Any, Protocol

from . import calls
from .notation import Call, Icmp, Packet, Script, Sleep, Step, Sysctl
from .wire import Wire

# What every step takes: two ticks of the kernel's clock, by one of which it delays what it does at once.
TICK = 0.008


class Side(Protocol):
    """A stack under test at 10.77.0.2, behind a device of its own."""

    def inject(self, packet: bytes) -> None: ...

    def collect(self) -> list[bytes]:
        """What the stack has sent since the last time."""

    def sleep(self, seconds: float) -> None: ...

    def sysctl(self, name: str, value: str) -> None: ...

    def socket(self, ipv6: bool) -> Any:
        """A non-blocking TCP socket with the methods of `socket.socket`."""

    def poll(self, sock: Any) -> int: ...

    def ioctl(self, sock: Any, request: int) -> int: ...


class Player:
    def __init__(self, script: Script, side: Side) -> None:
        self.script, self.side = script, side
        steps = script.steps
        calling = {flow for step in steps if isinstance(step, Call) for flow in calls.flows_called(step)}
        self.wire = Wire(script.ipv6, calling)
        self.steps = steps
        self.sockets = calls.Sockets(side, self.wire)

    def play(self) -> list[str]:
        """The answers: the number of the step, then what was returned or sent."""
        return [f"{number} {answer}" for number, step in enumerate(self.steps, 1) for answer in self.answers(step)]

    def answers(self, step: Step) -> Iterator[str]:
        match step:
            case Packet():
                self.side.inject(self.wire.flow(step.flow).segment(step))
            case Icmp():
                self.side.inject(self.wire.flow(step.flow).icmp(step))
            case Sysctl():
                yield from self.sysctl(step)
            case Call():
                yield result(self.sockets, step)
        self.side.sleep(step.seconds if isinstance(step, Sleep) else TICK)
        for packet in self.side.collect():
            told = self.wire.describe(packet)
            if told:
                yield told

    def sysctl(self, step: Sysctl) -> Iterator[str]:
        """Nothing to tell, unless the stack does not know it."""
        try:
            self.side.sysctl(step.name, step.value)
        except OSError as error:
            yield f"! {errno.errorcode[error.errno]}"


def result(sockets: calls.Sockets, step: Call) -> str:
    try:
        return f"= {sockets.call(step)}"
    except calls.NoSocket:
        return "! none"
    except OSError as error:
        return f"! {errno.errorcode.get(error.errno or 0, error)}"

