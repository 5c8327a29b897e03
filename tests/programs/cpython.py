"""CPython's own suites of the socket API, under the shim.

Each suite runs on the kernel first, with `lo` up. Of the cases that pass there, those that make a TCP socket run on ustcp
with `--loopback ustcp` and `lo` down; the others run under the shim with `lo` up, where they must be unharmed. cpython.txt
names the cases that need not pass, each with its reason. A case that has failed is run once more when everything else is
done, as `regrtest --rerun` does: some of them look at the clock, which on a busy machine proves nothing.
"""

from __future__ import annotations

import fnmatch
import json
import subprocess
import sys
from collections.abc import Callable, Sequence
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass, field
from pathlib import Path

if __name__ == "__main__":
    sys.path.insert(0, str(Path(__file__).resolve().parent.parent))
from programs import worker
from programs.catalogue import PATH
from programs.runner import LIMIT
from programs.stage import SCRIPTS, Failed

EXCLUSIONS = Path(__file__).resolve().parent / "cpython.txt"
PYTHON = "/usr/bin/python3"
SUITES = (
    "test_socket", "test_socketserver", "test_epoll", "test_select", "test_ftplib", "test_urllib2_localnet",
    *(f"test_asyncio.test_{name}" for name in (
        "events", "sendfile", "server", "sock_lowlevel", "ssl", "streams", "buffered_proto", "base_events", "unix_events", "sslproto")),
)  # fmt: skip
KERNEL, USTCP, BESIDE = "kernel", "ustcp", "beside"


@dataclass
class Suite:
    name: str
    counted: int = 0
    excluded: int = 0
    # What is wrong with the run as a whole, and with each case by place and name.
    broken: list[str] = field(default_factory=list)
    failed: dict[tuple[str, str], str] = field(default_factory=dict)

    @property
    def wrong(self) -> list[str]:
        return self.broken + [f"{place}: {case}: {why}" for (place, case), why in self.failed.items()]

    def __str__(self) -> str:
        wrong = "".join(f"\n              {line.splitlines()[0]}" for line in self.wrong)
        return f"{self.name}: {self.counted} cases with TCP sockets, {self.excluded} excluded, {len(self.wrong)} wrong{wrong}"


def exclusions() -> dict[str, str]:
    """Patterns of cases, and why."""
    lines = (line.split(maxsplit=1) for line in EXCLUSIONS.read_text().splitlines() if line and not line.startswith("#"))
    return {pattern: reason for pattern, reason in lines}


class Suites:
    def __init__(self, directory: Path, shared: Path, jobs: int) -> None:
        self.directory, self.shared, self.jobs = directory, shared, jobs
        self.excluded = exclusions()
        self.met: set[str] = set()

    def all(self, names: Sequence[str], told: Callable[[Suite], None]) -> list[Suite]:
        with ThreadPoolExecutor(self.jobs) as pool:
            suites = list(pool.map(lambda name: self._suite(name, told), names))
        stale = sorted(set(self.excluded) - self.met)
        if stale and len(names) == len(SUITES):
            suites[0].broken.append(f"excluded, but there is no such case with a TCP socket: {', '.join(stale)}")
        return suites

    def _suite(self, name: str, told) -> Suite:
        suite = Suite(name)
        on_kernel = self._run(name, KERNEL, [f"test.{name}"])
        # Also where it fails on the kernel: some of them look at the clock.
        excluded = {case for case, line in on_kernel.items() if line["tcp"] and self._is_excluded(case)}
        passing = {case: line for case, line in on_kernel.items() if line["outcome"] == "passed"}
        suite.broken += [f"on the kernel: {case}: {line['why']}" for case, line in on_kernel.items() if line["outcome"] == "hangs"]
        tcp = [case for case, line in passing.items() if line["tcp"]]
        wanted = [case for case in tcp if case not in excluded]
        self._compare(suite, USTCP, wanted)
        self._compare(suite, BESIDE, [case for case in passing if case not in tcp])
        suite.counted, suite.excluded = len(wanted), len(excluded)
        told(suite)
        return suite

    def _is_excluded(self, case: str) -> bool:
        patterns = [pattern for pattern in self.excluded if fnmatch.fnmatchcase(case, pattern)]
        self.met.update(patterns)
        return bool(patterns)

    def once_more(self, suites: list[Suite]) -> None:
        """What has failed may pass alone."""
        for suite in suites:
            again, suite.failed = suite.failed, {}
            for place in (USTCP, BESIDE):
                self._compare(suite, place, [case for there, case in again if there == place], " again")

    def _compare(self, suite: Suite, place: str, wanted: list[str], turn: str = "") -> None:
        results = self._run(suite.name + turn, place, wanted) if wanted else {}
        suite.broken += [f"{place}: {line['why']}" for case, line in results.items() if case == ""]
        for case in wanted:
            line = results.get(case, {"outcome": "did not run", "why": ""})
            if line["outcome"] != "passed":
                suite.failed[place, case] = f"{line['outcome']}\n{line['why']}"

    def _run(self, name: str, place: str, cases: list[str]) -> dict[str, dict]:
        """What each case came to; under the empty name, what is wrong with the run as a whole."""
        base = self.directory / f"{name}-{place}"
        base.mkdir()
        (base / "cases").write_text("\n".join(cases) + "\n")
        with open(base / "log", "wb") as log:
            process = subprocess.Popen(
                [*worker.UNSHARE, sys.executable, __file__, place, str(base), str(self.shared)],
                stdin=subprocess.DEVNULL, stdout=log, stderr=log,
            )  # fmt: skip
            try:
                process.wait(LIMIT)
            except subprocess.TimeoutExpired:
                process.kill()
                process.wait()
        found = outcomes(base / "report")
        if process.returncode != 0:
            found[""] = {"outcome": "failed", "why": (base / "log").read_text(errors="replace")[-3000:]}
        return found


def outcomes(report: Path) -> dict[str, dict]:
    found: dict[str, dict] = {}
    for line in map(json.loads, report.read_text().splitlines() if report.exists() else []):
        if "began" in line:
            found[line["began"]] = {"outcome": "hangs", "tcp": True, "why": f"not done when the run ended, {LIMIT} s after it began"}
        else:
            found[line["case"]] = line
    return found


def inside(place: str, base: Path, shared: Path) -> int:
    """The part that runs in the namespaces."""
    work = base / "work"
    work.mkdir()
    worker.private_places(work)
    if place != USTCP:
        subprocess.run(["ip", "link", "set", "lo", "up"], check=True, timeout=10)
    prefix, environment = [], {"PATH": PATH, "LC_ALL": "C.UTF-8", "HOME": str(work), "TMPDIR": str(work)}
    engine = None
    if place != KERNEL:
        engine = worker.Engine(worker.installed(shared), "--loopback", "ustcp")
        prefix, environment = [str(engine.command), "run", "--"], environment | engine.environment
    words = [*prefix, PYTHON, str(SCRIPTS / "cpython_cases.py"), str(base / "report"), f"@{base / 'cases'}"]
    code = subprocess.run(words, cwd=work, env=environment, stdin=subprocess.DEVNULL, check=False).returncode
    if code == 0 and engine:
        try:
            engine.is_idle()
        except Failed as failed:
            print(failed, file=sys.stderr)
            return 1
    return code


if __name__ == "__main__":
    sys.exit(inside(sys.argv[1], *map(Path, sys.argv[2:])))
