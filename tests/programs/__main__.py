"""`make test-programs`: real programs with ustcp's TCP in place of the kernel's, and docs/programs.md.

    python3 -m programs [run] [--write] [--only NAME ...] [--placement kernel|server|client|both ...] [--jobs N]
    python3 -m programs cpython [--only SUITE ...]      CPython's suites alone
    python3 -m programs ... --packages                  the Debian packages that this needs, instead
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
    known = {scenario.name: scenario.program.name for scenario in scenarios().values()}
    return [scenarios()[name] for name in matching(known, patterns)]


def matching(known: dict[str, str], patterns: list[str]) -> list[str]:
    """Those names that a pattern fits, or the other name of which it does; a pattern that fits none is a mistake."""
    fit = {p: [n for n, other in known.items() if fnmatch.fnmatchcase(n, p) or fnmatch.fnmatchcase(other, p)] for p in patterns}
    for pattern, names in fit.items():
        if not names:
            sys.exit(f"{pattern}: nothing is called so; there are {', '.join(sorted(known))}")
    return [name for name in known if not patterns or any(name in names for names in fit.values())]


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
    names = matching({name: name for name in cpython.SUITES}, asked.only)
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
    parser.add_argument("what", nargs="?", choices=["run", "cpython"], default="run")
    parser.add_argument("--packages", action="store_true", help="name the Debian packages that this needs, and do nothing")
    parser.add_argument("--write", action="store_true", help="write docs/programs.md from this run")
    parser.add_argument("--only", nargs="*", default=[], help="scenarios or programs, with wildcards")
    parser.add_argument("--placement", nargs="*", default=[SERVER, CLIENT, BOTH], help="kernel alone: the baseline only")
    parser.add_argument("--with-shim-only", action="store_true", help="leave out the runs that must fail")
    parser.add_argument("--jobs", type=int, default=6)
    return parser.parse_args()


def main() -> int:
    asked = arguments()
    everything.load()
    partial = bool(asked.only) or set(asked.placement) != {SERVER, CLIENT, BOTH}
    with_suites = asked.what == "cpython" or not partial
    wanted = [] if asked.what == "cpython" else chosen(asked.only)
    if asked.packages:
        print("\n".join(packages(wanted, with_suites)))
        return 0
    reason = missing()
    if reason:
        print(f"no programs here: {reason}", file=sys.stderr)
        return 1
    start = time.monotonic()
    with Runner(asked.jobs) as runner, ThreadPoolExecutor(1) as beside:
        # They wait more than they work, so they run beside the scenarios.
        suites = beside.submit(python_suites, runner.root / "cpython", runner.shared, asked) if with_suites else None
        results = runner.all(runs(wanted, set(asked.placement), asked.with_shim_only), told)
        tested, once_more = suites.result() if suites else ([], lambda: None)
        once_more()
    wrong = report(results) + report_suites(tested)
    print(f"in {time.monotonic() - start:.0f} s")
    return (1 if wrong else 0) if partial or asked.what == "cpython" else page.settle(results, tested, asked.write)


if __name__ == "__main__":
    sys.exit(main())
