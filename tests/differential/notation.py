"""Scripts as a person writes them: packets in, calls on sockets, time. docs/differential.md has the whole notation.

    == rst-in-window
    + established
    < R n+1(0)              # in the window, but not where it must be
    poll A
    recv A 100
"""

from __future__ import annotations

import re
import zlib
from collections.abc import Iterator
from dataclasses import dataclass, field
from pathlib import Path

SCRIPTS = Path(__file__).resolve().parent / "scripts"
SITUATIONS = "situations"

POSITION = re.compile(r"(?P<base>[na]?)(?P<offset>[+-]?\d+)?$")
RANGE = re.compile(r"(?P<first>[na0-9+-]+)(:(?P<end>[na0-9+-]+))?\((?P<length>\d+)\)$")
FLAGS = {"F": 0x01, "S": 0x02, "R": 0x04, "P": 0x08, ".": 0x10, "U": 0x20, "E": 0x40, "W": 0x80}
ECN = {"ect1": 1, "ect0": 2, "ce": 3}


class Wrong(Exception):
    """A script that says nothing sensible."""


@dataclass(frozen=True)
class Position:
    """A sequence number relative to a beginning: `n` is what the peer sends next, `a` all it has got, else the ISN."""

    base: str
    offset: int

    @staticmethod
    def read(text: str) -> Position:
        match = POSITION.match(text)
        if not match or not text:
            raise Wrong(f"{text!r} is no position")
        return Position(match["base"], int(match["offset"] or 0))


@dataclass(frozen=True)
class Packet:
    """A segment from the peer. What it does not say, the peer's habits fill in."""

    flow: str
    flags: int
    first: Position
    length: int
    ack: Position
    window: int = 65535
    urgent: int = 0
    ecn: int = 0
    fill: str = ""
    bad_sum: bool = False
    ttl: int = 64
    options: tuple[str, ...] = ()


@dataclass(frozen=True)
class Icmp:
    """An ICMP error that quotes a segment of ours which began at `at`."""

    flow: str
    kind: int
    code: int
    mtu: int
    at: Position


@dataclass(frozen=True)
class Sleep:
    seconds: float


@dataclass(frozen=True)
class Sysctl:
    name: str
    value: str


@dataclass(frozen=True)
class Call:
    verb: str
    arguments: tuple[str, ...]


Step = Packet | Icmp | Sleep | Sysctl | Call


@dataclass
class Script:
    """One conversation. `steps` are its lines with situations unfolded."""

    name: str
    lines: list[str] = field(default_factory=list)

    @property
    def steps(self) -> list[Step]:
        return [read_step(line) for line in self.lines]

    @property
    def digest(self) -> str:
        """Tells whether an answer was recorded for this very script."""
        return f"{zlib.crc32(chr(10).join(self.lines).encode()):08x}"

    @property
    def ipv6(self) -> bool:
        return "family 6" in self.lines

    @property
    def duration(self) -> float:
        return sum(step.seconds for step in self.steps if isinstance(step, Sleep))


def load() -> list[Script]:
    """All written scripts. Each is named after its file and its heading."""
    situations = dict(blocks(SCRIPTS / f"{SITUATIONS}.txt"))
    scripts: dict[str, Script] = {}
    for path in sorted(SCRIPTS.glob("*.txt")):
        if path.stem == SITUATIONS:
            continue
        for heading, lines in blocks(path):
            for script in unfold(f"{path.stem}/{heading}", lines, situations):
                if script.name in scripts:
                    raise Wrong(f"two scripts are called {script.name}")
                scripts[script.name] = script
    return list(scripts.values())


def blocks(path: Path) -> Iterator[tuple[str, list[str]]]:
    """The headings of a file with the lines under them."""
    heading, lines = "", []
    for number, raw in enumerate(path.read_text().splitlines(), 1):
        line = re.sub(r"\s+", " ", raw.split("#")[0]).strip()
        if line.startswith("== "):
            if heading:
                yield heading, lines
            heading, lines = line[3:], []
        elif line and not heading:
            raise Wrong(f"{path.name}:{number}: a line before the first heading")
        elif line:
            lines.append(line)
    if heading:
        yield heading, lines


def unfold(name: str, lines: list[str], situations: dict[str, list[str]]) -> Iterator[Script]:
    """`== name @ one two` is a script for each of the situations one and two; `+ one` stands for its lines."""
    title, _, beginnings = name.partition(" @ ")
    for beginning in beginnings.split() or [None]:
        whole = [f"+ {beginning}", *lines] if beginning else lines
        script = Script(f"{title}@{beginning}" if beginning else title, list(flat(whole, situations)))
        try:
            script.steps  # noqa: B018 - reading it is the test
        except (Wrong, ValueError) as error:
            raise Wrong(f"{script.name}: {error}") from None
        yield script


def flat(lines: list[str], situations: dict[str, list[str]]) -> Iterator[str]:
    for line in lines:
        if line.startswith("+ "):
            if line[2:] not in situations:
                raise Wrong(f"no situation is called {line[2:]!r}")
            yield from flat(situations[line[2:]], situations)
        else:
            yield line


def read_step(line: str) -> Step:
    verb, *arguments = line.split()
    if verb.startswith("<"):
        flow, rest = verb[1:] or "1", line.split(" ", 1)[1]
        return read_icmp(flow, rest.split()[1:]) if rest.startswith("icmp ") else read_packet(flow, rest)
    if verb == "sleep":
        return Sleep(float(arguments[0]))
    if verb == "sysctl":
        return Sysctl(arguments[0], " ".join(arguments[1:]))
    return Call(verb, tuple(arguments))


def read_packet(flow: str, text: str) -> Packet:
    """`P. n(10) ack a win 1000 urg 3 ce fill x <sack a+10:a+20>`"""
    fixed, _, options = text.partition("<")
    letters, span, *words = fixed.split()
    match = RANGE.match(span)
    if not match:
        raise Wrong(f"{span!r} is no range")
    length = int(match["length"])
    if match["end"] and int(match["end"]) - int(match["first"]) != length:
        raise Wrong(f"{span!r} contradicts itself")
    said: dict[str, object] = {}
    rest = iter(words)
    for word in rest:
        if word == "ack":
            said["ack"] = Position.read(next(rest))
        elif word in ("win", "urg", "ttl"):
            said[{"win": "window", "urg": "urgent"}.get(word, word)] = int(next(rest))
        elif word in ECN:
            said["ecn"] = ECN[word]
        elif word == "fill":
            said["fill"] = next(rest)
        elif word == "badsum":
            said["bad_sum"] = True
        else:
            raise Wrong(f"what is {word!r} in {text!r}?")
    if "ack" not in said:
        if "." in letters:
            raise Wrong(f"`.` goes with `ack`: {text}")
        said["ack"] = Position("", 0)
    if not letters.strip("-") and letters != "-":
        raise Wrong(f"no flags: {text}")
    flags = sum(FLAGS[letter] for letter in letters if letter != "-")
    listed = tuple(option.strip() for option in options.rstrip("> ").split(",") if option.strip())
    return Packet(flow, flags, Position.read(match["first"]), length, options=listed, **said)


def read_icmp(flow: str, words: list[str]) -> Icmp:
    """`icmp 3/4 mtu 1000 at 1`"""
    kind, code = words[0].split("/")
    rest = dict(zip(words[1::2], words[2::2], strict=True))
    return Icmp(flow, int(kind), int(code), int(rest.get("mtu", 0)), Position.read(rest.get("at", "0")))
