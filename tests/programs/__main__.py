"""`make test-programs`: real programs with ustcp's TCP in place of the kernel's, and docs/programs.md.

    python3 -m programs [run] [--write] [--only NAME ...] [--placement kernel|server|client|both ...] [--jobs N]
    python3 -m programs cpython [--only SUITE ...]      CPython's suites alone
    python3 -m programs packages                        the Debian packages that this needs
"""

from __future__ import annotations

import argparse
import fnmatch
import sys
import time
from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path

from harness.netns import missing 
from programs import cpython, everything, page 
from programs.catalogue import BOTH, CLIENT, KERNEL, SERVER, Scenario, packages, scenarios 
from programs.cpython import Suite
from programs.runner import Result, Runner, runs 


def chosen(patterns: list[str]) -> list[Scenario]:
    """By the name of the scenario or of its program; all of them when nothing is asked for."""
    return [
        scenario
        for scenario in scenarios().values()
        if not patterns or any(fnmatch.fnmatchcase(name, p) for p in patterns for name in (scenario.name, scenario.program.name))
    ]


def told(name: str, seconds: float, verdict: dict) -> None:
    word = "broken" if "broken" in verdict else "failed" if "failed" in verdict else "ran"
    print(f"{seconds:6.1f} s  {name}: {word}" + (" (as it should)" if name.endswith("-without-shim") and word == "failed" else ""), flush=True)


def report(results: list[Result]) -> int:
    wrong = [result for result in results if result.wrong]
    for result in wrong:
        print(f"\n== {result.run.name}\n{result.wrong}", file=sys.stderr)
    print(f"{len(results)} runs, {len(wrong)} wrong")
    return len(wrong)


def python_suites(directory: Path, shared: Path, asked: argparse.Namespace) -> tuple[list[Suite], Callable[[], None]]:
    """What they came to, and what runs again those cases that have failed."""
    directory.mkdir()
    names = [name for name in cpython.SUITES if not asked.only or any(fnmatch.fnmatchcase(name, p) for p in asked.only)]
    suites = cpython.Suites(directory, shared, asked.jobs)
    tested = suites.all(names, lambda suite: print(f"          {suite}", flush=True))
    return tested, lambda: suites.once_more(tested)


def report_suites(suites: list[Suite]) -> int:
    wrong = [(suite, line) for suite in suites for line in suite.wrong]
    for suite, line in wrong:
        print(f"\n== CPython's {suite.name}: {line}", file=sys.stderr)
    return len(wrong)


def arguments() -> argparse.Namespace:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("what", nargs="?", choices=["run", "cpython", "packages"], default="run")
    parser.add_argument("--write", action="store_true", help="write docs/programs.md from this run")
    parser.add_argument("--only", nargs="*", default=[], help="scenarios or programs, with wildcards")
    parser.add_argument("--placement", nargs="*", default=[SERVER, CLIENT, BOTH], help="kernel alone: the baseline only")
    parser.add_argument("--with-shim-only", action="store_true", help="leave out the runs that must fail")
    parser.add_argument("--jobs", type=int, default=6)
    return parser.parse_args()


def main() -> int:
    asked = arguments()
    everything.load()
    if asked.what == "packages":
        print("\n".join(packages()))
        return 0
    reason = missing()
    if reason:
        print(f"no programs here: {reason}", file=sys.stderr)
        return 1
    start = time.monotonic()
    partial = bool(asked.only) or set(asked.placement) != {SERVER, CLIENT, BOTH}
    with Runner(asked.jobs) as runner, ThreadPoolExecutor(1) as beside:
        # They wait more than they work, so they run beside the scenarios.
        suites = beside.submit(python_suites, runner.root / "cpython", runner.shared, asked) if asked.what == "cpython" or not partial else None
        wanted = [] if asked.what == "cpython" else runs(chosen(asked.only), set(asked.placement), asked.with_shim_only)
        results = runner.all(wanted, told)
        tested, once_more = suites.result() if suites else ([], lambda: None)
        once_more()
    wrong = report(results) + report_suites(tested)
    print(f"in {time.monotonic() - start:.0f} s")
    return (1 if wrong else 0) if partial or asked.what == "cpython" else page.settle(results, tested, asked.write)


if __name__ == "__main__":
    sys.exit(main())
