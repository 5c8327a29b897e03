"""Runs classes of the interpreter's own test package with `ustcp` in place of `socket`, and says how each test ended.

    run.py MODULE CLASS...      a line for each test: its name, and "ok", "skipped", "FAILED" or "ERROR"

The stack is this process's own, or that of the engine of USTCP_ENGINE; 127.0.0.1 and "localhost" are inside it. It runs
where the kernel's loopback is down, so a connection that went past ustcp would fail."""

from __future__ import annotations

import gc
import importlib
import os
import sys
import unittest
from collections.abc import Iterator
from fnmatch import fnmatchcase
from pathlib import Path
from test import support

import ustcp

# Where the sockets are decides what else is not run.
AT_ENGINE = bool(os.environ.get("USTCP_ENGINE"))


def exclusions(at_engine: bool) -> dict[str, str]:
    """Patterns of the tests that are not run, with their reasons."""
    names = ("excluded.txt", "excluded-at-engine.txt" if at_engine else "excluded-in-process.txt")
    text = "".join(Path(__file__).with_name(name).read_text() for name in names)
    lines = [line.split(maxsplit=1) for line in text.splitlines()]
    return {line[0]: line[1] for line in lines if line and not line[0].startswith("#")}


class Verdicts(unittest.TextTestResult):
    """Tells each verdict by the test's name."""

    def say(self, test: unittest.TestCase, verdict: str) -> None:
        print(name_of(test), verdict, flush=True)

    def startTest(self, test):
        """What the last test has left, a connection that was not closed yet, is no warning of this one."""
        gc.collect()
        super().startTest(test)

    def addSuccess(self, test):
        super().addSuccess(test)
        self.say(test, "ok")

    def addSkip(self, test, reason):
        super().addSkip(test, reason)
        self.say(test, "skipped")

    def addFailure(self, test, error):
        super().addFailure(test, error)
        self.say(test, "FAILED")

    def addError(self, test, error):
        super().addError(test, error)
        self.say(test, "ERROR")

    def addSubTest(self, test, subtest, error):
        super().addSubTest(test, subtest, error)
        if error is not None:
            self.say(test, "FAILED")


def name_of(test: unittest.TestCase) -> str:
    return test.id().removeprefix("test.")


def flat(suite: unittest.TestSuite) -> Iterator[unittest.TestCase]:
    for part in suite:
        if isinstance(part, unittest.TestSuite):
            yield from flat(part)
        else:
            yield part


def main(module: str, names: list[str]) -> int:
    ustcp.patch()
    support.verbose = 0  # what else is printed would come between the verdicts
    tests = importlib.import_module(module)
    loaded = unittest.TestSuite(unittest.defaultTestLoader.loadTestsFromName(name, tests) for name in names)
    patterns = list(exclusions(AT_ENGINE))
    kept = [test for test in flat(loaded) if not any(fnmatchcase(name_of(test), pattern) for pattern in patterns)]
    result = unittest.TextTestRunner(resultclass=Verdicts, verbosity=0).run(unittest.TestSuite(kept))
    return 0 if result.wasSuccessful() else 1


if __name__ == "__main__":
    sys.exit(main(sys.argv[1], sys.argv[2:]))
