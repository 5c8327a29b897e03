"""Runs scenarios side by side, each run in a process and namespaces of its own, and compares with the kernel's run."""

from __future__ import annotations

import json
import os
import random
import shutil
import subprocess
import tempfile
import time
from collections.abc import Iterable
from concurrent.futures import ThreadPoolExecutor, as_completed
from dataclasses import dataclass
from pathlib import Path

from . import worker
from .catalogue import KERNEL, Scenario

SAMPLES = (1, 2, 8, 100)
# Longer than any wait of a scenario: what it ends is the harness gone astray.
LIMIT = 400


@dataclass
class Run:
    scenario: Scenario
    placement: str
    with_shim: bool = True

    @property
    def name(self) -> str:
        return f"{self.scenario.name}-{self.placement}" + ("" if self.with_shim else "-without-shim")


@dataclass
class Result:
    run: Run
    wrong: str


def runs(scenarios: Iterable[Scenario], placements: set[str], with_shim_only: bool) -> list[Run]:
    """The kernel's run first, for the others are compared with it."""
    found = []
    for scenario in scenarios:
        found.append(Run(scenario, KERNEL))
        for placement in scenario.placements:
            if placement not in placements:
                continue
            found.append(Run(scenario, placement))
            if not (scenario.falls_through or with_shim_only):
                found.append(Run(scenario, placement, with_shim=False))
    return found


class Runner:
    def __init__(self, jobs: int) -> None:
        self.jobs = jobs
        # Not below TMPDIR, which may be one user's own.
        self.root = Path(tempfile.mkdtemp(prefix="ustcp-programs-", dir="/tmp"))
        self.shared = self.root / "shared"
        self.verdicts: dict[str, dict] = {}

    def __enter__(self) -> Runner:
        self.root.chmod(0o755)
        os.umask(0o022)
        self.shared.mkdir()
        worker.install(self.shared)
        for mebibytes in SAMPLES:
            (self.shared / f"sample-{mebibytes}").write_bytes(random.Random(mebibytes).randbytes(mebibytes << 20))
        (self.shared / "small").write_text("a small page\n" * 20)
        return self

    def __exit__(self, *_: object) -> None:
        shutil.rmtree(self.root, ignore_errors=True)

    def all(self, wanted: list[Run], told) -> list[Result]:
        """Runs them; `told` hears of each as it ends."""
        with ThreadPoolExecutor(self.jobs) as pool:
            for done in as_completed([pool.submit(self._one, run) for run in wanted]):
                name, seconds = done.result()
                told(name, seconds, self.verdicts[name])
        return [Result(run, self._judged(run)) for run in wanted]

    def _one(self, run: Run) -> tuple[str, float]:
        directory, verdict, log = (self.root / (run.name + suffix) for suffix in ("", ".json", ".log"))
        directory.mkdir()
        start = time.monotonic()
        command = worker.command(run.scenario.name, run.placement, (directory, self.shared, verdict), not run.with_shim)
        with open(log, "wb") as output:
            process = subprocess.Popen(command, stdin=subprocess.DEVNULL, stdout=output, stderr=output)
            try:
                process.wait(LIMIT)
            except subprocess.TimeoutExpired:
                process.kill()  # and with it, by --kill-child, everything inside
                process.wait()
        if verdict.exists():
            self.verdicts[run.name] = json.loads(verdict.read_text())
        else:
            said = log.read_text(errors="replace")[-2000:]
            self.verdicts[run.name] = {"broken": f"no verdict within {LIMIT} s: {said}", "output": {}}
        return run.name, time.monotonic() - start

    def _judged(self, run: Run) -> str:
        """What is wrong with a run; empty: nothing."""
        verdict = self.verdicts[run.name]
        if "broken" in verdict:
            return verdict["broken"]
        if not run.with_shim:
            return "" if "failed" in verdict else "it passes without the shim, so that its pass proves nothing"
        if "failed" in verdict:
            return verdict["failed"] + outputs(verdict)
        kernel = self.verdicts[f"{run.scenario.name}-{KERNEL}"]
        if verdict["facts"] != kernel.get("facts"):
            return f"facts differ: {verdict['facts']}\non the kernel: {kernel.get('facts')}"
        return ""


def outputs(verdict: dict) -> str:
    return "".join(f"\n--- {label}\n" + "\n".join(lines[-30:]) for label, lines in verdict["output"].items())
