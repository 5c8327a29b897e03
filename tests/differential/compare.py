"""What our stack answers beside what the kernel has answered, field by field."""

from __future__ import annotations

import re
from collections import Counter
from collections.abc import Iterable, Iterator
from dataclasses import dataclass
from fnmatch import fnmatchcase
from itertools import zip_longest
from pathlib import Path

from .notation import Script

ALLOWED = Path(__file__).resolve().parent / "allowed.txt"
LIMIT = 30
# Characters of an answer that a report shows.
LONGEST = 300

SEGMENT = re.compile(
    r"(?P<flow>\d?)> (?P<flags>\S+) (?P<seq>\S+)( ack (?P<ack>\S+))? win (?P<win>\d+)( urg (?P<urg>\d+))?"
    r"( (?P<ecn>ect0|ect1|ce))?( bytes (?P<bytes>\S+))? <(?P<options>[^>]*)>(?P<ip>.*)$"
)


@dataclass(frozen=True)
class Difference:
    script: str
    step: int
    line: str
    field: str
    kernel: str
    ours: str

    def __str__(self) -> str:
        kernel, ours = self.kernel[:LONGEST], self.ours[:LONGEST]
        head = f"{self.script}, step {self.step}: {self.line}"
        return f"{head}\n  {self.field}: kernel {kernel}\n  {' ' * len(self.field)}  ours   {ours}"


@dataclass(frozen=True)
class Allowed:
    """One line of the reviewed file: in these scripts (by name, or with `*`) this field may differ, for one reason.
    `state=CLOSED/TIME-WAIT` says that it may differ so and not otherwise; `packets...` that the two go different ways
    from there on, so that nothing of the script behind it can be compared."""

    scripts: str
    field: str
    reason: str

    @property
    def parts_ways(self) -> bool:
        return self.field.endswith("...")

    def covers(self, difference: Difference) -> bool:
        field, _, answers = self.field.removesuffix("...").partition("=")
        exactly = not answers or answers == f"{difference.kernel.lstrip('=! ')}/{difference.ours.lstrip('=! ')}"
        named = any(fnmatchcase(difference.script, script) for script in self.scripts.split())
        return exactly and field == difference.field and named


def allowed() -> list[Allowed]:
    lines = [line for line in ALLOWED.read_text().splitlines() if line and not line.startswith("#")]
    return [Allowed(*(part.strip() for part in line.split("|", 2))) for line in lines]


def segment_fields(told: str) -> dict[str, str]:
    """A segment's fields by name; for anything else that was sent, the whole of it."""
    match = SEGMENT.match(told)
    if not match:
        return {"packets": told}
    fields = {name: value for name, value in match.groupdict().items() if value}
    options = [option for option in match["options"].split(",") if option]
    fields["options"] = " ".join(option.split(" ")[0] for option in options)
    fields |= {name: value for name, _, value in (option.partition(" ") for option in options) if value}
    # How much of a window is open is buffer policy, of which each stack has its own; that it is shut is protocol.
    # Nor does a reset have one.
    fields["win"] = "shut" if match["win"] == "0" else "open"
    if "R" in match["flags"]:
        del fields["win"]
    return fields


def result_field(line: str, kernel: str, ours: str) -> str:
    """What a call's answers are compared as."""
    if "!" in (kernel[0], ours[0]):
        return "errno"
    return {"poll": "poll", "recv": "bytes", "state": "state"}.get(line.split(" ")[0], "result")


def by_step(answers: list[str]) -> dict[int, tuple[list[str], list[str]]]:
    """What a call returned (at most one), and what was sent."""
    steps: dict[int, tuple[list[str], list[str]]] = {}
    for answer in answers:
        number, _, told = answer.partition(" ")
        results, sent = steps.setdefault(int(number), ([], []))
        (results if told[0] in "=!" else sent).append(told)
    return steps


class Comparison:
    """Over all scripts: the differences that nothing allows, and which of the allowed ones there were."""

    def __init__(self, permitted: list[Allowed]) -> None:
        self.permitted = permitted
        self.used: Counter[Allowed] = Counter()
        self.fields = 0
        self.scripts = 0
        self.differences: list[Difference] = []

    def any_of(self, script: Script, kernel: list[str], plays: Iterable[list[str]]) -> list[Difference]:
        """As `script`, where ours may have been played in several ways: the first that does not differ, or else the first."""
        trials: list[Comparison] = []
        for ours in plays:
            trials.append(Comparison(self.permitted))
            if not trials[-1].script(script, kernel, ours):
                break
        trial = trials[0] if trials[-1].differences else trials[-1]
        self.used += trial.used
        self.fields += trial.fields
        self.scripts += 1
        self.differences += trial.differences
        return trial.differences

    def script(self, script: Script, kernel: list[str], ours: list[str]) -> list[Difference]:
        """The first step with differences that are not allowed: what follows it, follows from it."""
        self.scripts += 1
        theirs, own = by_step(kernel), by_step(ours)
        for number, line in enumerate(script.lines, 1):
            found = list(self.step(script.name, number, line, theirs.get(number, ([], [])), own.get(number, ([], []))))
            permissions = [self.permission(difference) for difference in found]
            self.used.update(line for line in permissions if line)
            if permissions and permissions[0] and permissions[0].parts_ways:
                return []
            refused = [difference for difference, line in zip(found, permissions, strict=True) if not line]
            if refused:
                self.differences += refused
                return refused
        return []

    def step(self, name: str, number: int, line: str, kernel: tuple, ours: tuple) -> Iterator[Difference]:
        for theirs, own in zip_longest(kernel[0], ours[0], fillvalue="= nothing"):
            self.fields += 1
            if theirs != own:
                yield Difference(name, number, line, result_field(line, theirs, own), theirs, own)
        if len(kernel[1]) != len(ours[1]):
            yield Difference(name, number, line, "packets", "; ".join(kernel[1]) or "none", "; ".join(ours[1]) or "none")
            return
        for theirs, own in zip(kernel[1], ours[1], strict=True):
            yield from self.segment(name, number, line, theirs, own)

    def segment(self, name: str, number: int, line: str, theirs: str, own: str) -> Iterator[Difference]:
        kernel, ours = segment_fields(theirs), segment_fields(own)
        if kernel.get("flags") != ours.get("flags"):
            # Another segment altogether: that says it all.
            yield Difference(name, number, line, "flags", theirs, own)
            return
        for field in sorted(kernel.keys() | ours.keys()):
            self.fields += 1
            if kernel.get(field) != ours.get(field):
                yield Difference(name, number, line, field, theirs, own)

    def permission(self, difference: Difference) -> Allowed | None:
        return next((line for line in self.permitted if line.covers(difference)), None)
