"""What there is to run: programs, and the scenarios that exercise them."""

from __future__ import annotations

import re
import subprocess
from collections.abc import Callable
from dataclasses import dataclass, field
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from .stage import Stage

# Which ends of a scenario are on ustcp. `KERNEL` is the baseline that the others are compared with.
KERNEL, SERVER, CLIENT, BOTH = "kernel", "server", "client", "both"


# Debian's programs, not what else this machine may have under their names.
PATH = "/usr/sbin:/usr/bin:/sbin:/bin"
# What any scenario may ask whether a server accepts: `Side.answers`.
PROBE = "netcat-openbsd"


@dataclass
class Scenario:
    """One story with a server and a client in it, played once for each placement."""

    name: str
    program: Program
    placements: tuple[str, ...]
    play: Callable[[Stage], None]
    # What escapes the shim by its nature runs without it as well: there is no run that must fail.
    falls_through: bool = False


@dataclass
class Program:
    """One row of docs/programs.md."""

    name: str
    packages: tuple[str, ...]
    version: tuple[str, ...]
    exercised: str
    differs: str = ""
    scenarios: list[Scenario] = field(default_factory=list)

    def scenario(self, *placements: str, **more) -> Callable[[Callable[[Stage], None]], Callable[[Stage], None]]:
        def add(play: Callable[[Stage], None]) -> Callable[[Stage], None]:
            self.scenarios.append(Scenario(play.__name__, self, placements, play, **more))
            return play

        return add

    def running_version(self) -> str:
        """The first thing like a version in what the program says of itself."""
        done = subprocess.run(self.version, env={"PATH": PATH}, capture_output=True, text=True, timeout=30, check=False)
        found = re.search(r"\d+(\.\d+)+(p\d+)?", done.stdout + done.stderr)
        return found[0] if found else "?"


PROGRAMS: list[Program] = []


def program(name: str, packages: str, version: str, exercised: str, differs: str = "") -> Program:
    made = Program(name, tuple(packages.split()), tuple(version.split()), exercised, differs)
    PROGRAMS.append(made)
    return made


def scenarios() -> dict[str, Scenario]:
    return {scenario.name: scenario for program in PROGRAMS for scenario in program.scenarios}


def packages(wanted: list[Scenario], with_suites: bool) -> list[str]:
    """Debian's names."""
    programs = {package for scenario in wanted for package in (*scenario.program.packages, PROBE)}
    return sorted(programs | ({suites()} if with_suites else set()))


def suites() -> str:
    """The package of CPython's own suites, which has the version in its name."""
    said = subprocess.run(["/usr/bin/python3", "--version"], capture_output=True, text=True, check=True).stdout
    return f"libpython{'.'.join(said.split()[1].split('.')[:2])}-testsuite"
