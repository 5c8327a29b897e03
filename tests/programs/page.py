"""docs/programs.md: one row for each program, from what a run showed."""

from __future__ import annotations

import difflib
import re
import sys
from pathlib import Path

from . import cpython
from .catalogue import BOTH, CLIENT, KERNEL, PROGRAMS, SERVER, Program
from .cpython import Suite
from .runner import Result

PAGE = Path(__file__).resolve().parents[2] / "docs/programs.md"
COLUMNS = {SERVER: "as server", CLIENT: "as client", BOTH: "both ends"}

HEAD = """# Programs on ustcp

Written by `make test-programs WRITE=1`; `make test-programs` runs everything anew and fails where it differs.

Unmodified Debian programs, started by `ustcp run`, with ustcp's TCP in place of the kernel's: *as server*, with the other
end on the kernel's TCP behind the TUN device; *as client* of a server on the kernel's TCP; and with *both ends* on ustcp.
`lo` is down. *Passed* means:

- every transfer arrived byte for byte (SHA-256),
- every exit code and every sum is that of the same run between two namespaces on the kernel's TCP,
- the same run without the shim fails, so that nothing has fallen through to the kernel (but where the row says otherwise),
- the engine has no connection left afterwards but in TIME-WAIT, and ends when it is told to.

| program | version | what was exercised | as server | as client | both ends | what differs |
|---|---|---|---|---|---|---|
"""


CPYTHON = """
## CPython's own suites

Debian's python3 and its installed test package, with `--loopback ustcp` and `lo` down: every case that makes a TCP socket
and passes on the kernel. The cases that make none run under the shim too, with `lo` up, and pass as on the kernel.

| suite | cases with TCP sockets | excluded |
|---|---|---|
"""


def settle(results: list[Result], suites: list[Suite], write: bool) -> int:
    """Writes the page, or compares it with the one that is committed. Versions may differ: they are the machine's."""
    text = HEAD + "".join(row(program, results) for program in PROGRAMS) + CPYTHON + "".join(map(suite_row, suites)) + excluded()
    broken = any(result.wrong for result in results if result.run.placement == KERNEL)
    if write:
        PAGE.write_text(text)
        return 1 if broken else 0
    committed = PAGE.read_text() if PAGE.exists() else ""
    differs = list(difflib.unified_diff(*(without_versions(t).splitlines() for t in (committed, text)), "committed", "this run", lineterm="", n=0))
    print("\n".join(differs) if differs else f"{PAGE.name} says what this run showed", file=sys.stderr if differs else sys.stdout)
    return 1 if differs or broken else 0


def row(program: Program, results: list[Result]) -> str:
    cells = [cell(program, placement, results) for placement in COLUMNS]
    return f"| {' | '.join([program.name, program.running_version(), program.exercised, *cells, program.differs])} |\n"


def cell(program: Program, placement: str, results: list[Result]) -> str:
    concerned = [result for result in results if result.run.scenario.program is program and result.run.placement == placement]
    if not concerned:
        return ""
    return "fails" if any(result.wrong for result in concerned) else "passed"


def suite_row(suite: Suite) -> str:
    told = "fail" if suite.wrong else "pass" if suite.counted else "has none"
    return f"| `{suite.name}` | {told} | {suite.excluded or ''} |\n"


def excluded() -> str:
    lines = [f"| `{pattern}` | {why} |\n" for pattern, why in cpython.exclusions().items()]
    return "\nExcluded:\n\n| case | why |\n|---|---|\n" + "".join(lines) if lines else "\nNo case is excluded.\n"


def without_versions(page: str) -> str:
    return re.sub(r"^(\| [^|]+ \|) [^|]+ \|", r"\1 |", page, flags=re.MULTILINE)
