"""`make differential`: records the kernel's answers anew, then compares ours with them.

    python -m differential record [theme ...]              plays scripts to this kernel, writes recorded/<version>/
    python -m differential compare [theme or script ...]  plays them to our stack, prints what differs
    python -m differential show <theme or script> ...      both sides' answers to a script, step by step
"""

from __future__ import annotations

import sys
import time
from collections.abc import Iterable
from fnmatch import fnmatchcase
from typing import NoReturn

from . import answers, generator, recorder
from .compare import Comparison, allowed
from .notation import Script, load

GENERATED = 1000


def chosen(scripts: list[Script], patterns: list[str]) -> list[Script]:
    """Those whose theme or name is asked for; all, where nothing is."""
    if not patterns:
        return scripts
    of_pattern = {p: [s for s in scripts if fnmatchcase(s.name, p) or answers.theme(s) == p] for p in patterns}
    for pattern, found in of_pattern.items():
        if not found:
            refuse(pattern, "no theme and no script", scripts)
    wanted = {script.name for found in of_pattern.values() for script in found}
    return [script for script in scripts if script.name in wanted]


def refuse(name: str, why: str, scripts: list[Script]) -> NoReturn:
    themes = sorted({answers.theme(script) for script in scripts})
    sys.exit(f"{name!r}: {why}; themes are {', '.join(themes)}")


def record(patterns: list[str]) -> int:
    """Whole themes are recorded: what is not asked for is kept from the last time."""
    scripts = everything()
    for pattern in patterns:
        if pattern not in {answers.theme(script) for script in scripts}:
            refuse(pattern, "no theme", scripts)
    start, version = time.monotonic(), answers.running()
    written = [script for script in load() if not patterns or answers.theme(script) in patterns]
    stable, unstable = recorder.record(written)
    for line in recorder.told(unstable):
        print(line, file=sys.stderr)
    answers.write(version, [script for script in written if script.name in stable], stable)
    if not patterns or generator.THEME in patterns:
        record_generated(version)
    print(f"recorded {len(stable)} written scripts on Linux {version} in {time.monotonic() - start:.0f} s")
    return 1 if unstable else 0


def record_generated(version: str) -> None:
    """A seed whose conversation turns on the machine's mood is left out, and the next one taken."""
    kept: dict[str, list[str]] = {}
    seeds, tried = [], 0
    while len(seeds) < GENERATED:
        batch = [generator.script(seed) for seed in range(tried, tried + GENERATED - len(seeds) + 20)]
        tried += len(batch)
        stable, _ = recorder.record(batch)
        fresh = [script for script in batch if script.name in stable][: GENERATED - len(seeds)]
        seeds += fresh
        kept |= stable
    answers.write(version, seeds, kept)
    print(f"recorded {len(seeds)} of {tried} generated scripts")


def everything() -> list[Script]:
    """The written scripts, and the generated ones whose seeds were recorded."""
    recorded = answers.read(answers.newest())
    return load() + [generator.named(name) for name in recorded if name.startswith(f"{generator.THEME}/")]


def compare(patterns: list[str]) -> int:
    from . import ours

    start, comparison = time.monotonic(), Comparison(allowed())
    recorded = answers.read(answers.newest())
    for script in chosen(everything(), patterns):
        comparison.any_of(script, recorded[script.name][1], ours.plays(script))
    for difference in comparison.differences:
        print(difference)
    differ = {difference.script for difference in comparison.differences}
    took = f"{time.monotonic() - start:.1f} s"
    print(f"{comparison.scripts} scripts, {comparison.fields} fields, {len(differ)} scripts differ, {took}")
    return 1 if differ else 0


def show(patterns: list[str]) -> int:
    from . import ours

    recorded = answers.read(answers.newest())
    for script in chosen(everything(), patterns):
        print(f"== {script.name}")
        kernel, own = recorded.get(script.name, ("", []))[1], ours.play(script)
        for number, line in enumerate(script.lines, 1):
            print(f"{number:4}  {line}")
            theirs, mine = told(kernel, number), told(own, number)
            for answer in theirs if theirs == mine else [f"kernel {a}" for a in theirs] + [f"ours   {a}" for a in mine]:
                print(f"          {answer}")
    return 0


def told(lines: Iterable[str], number: int) -> list[str]:
    return [line.partition(" ")[2] for line in lines if line.startswith(f"{number} ")]


COMMANDS = {"record": record, "compare": compare, "show": show}

if __name__ == "__main__":
    if len(sys.argv) < 2 or sys.argv[1] not in COMMANDS or sys.argv[1:] == ["show"]:
        sys.exit(__doc__)
    sys.exit(COMMANDS[sys.argv[1]](sys.argv[2:]))
