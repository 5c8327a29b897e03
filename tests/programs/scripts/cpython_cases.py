"""Runs test cases of CPython's own suites, and writes a line of JSON for each as it begins and as it ends.

    cpython_cases.py REPORT NAME ...       names of modules, classes or cases, as unittest takes them; @FILE: one a line

A case's outcome is one of passed, failed, skipped; `tcp` says whether it made a TCP socket.
"""

import json
import socket
import sys
import unittest
from collections.abc import Iterator

from test import support

STREAM = socket.SOCK_STREAM
made_tcp = False
# On a kernel with AF_VSOCK and without a hypervisor's end of it these wait for ever.
LEFT_OUT = ("VSOCK",)


def audit(event: str, arguments: tuple) -> None:
    """Sees every socket that Python makes, those of accept among them."""
    global made_tcp
    if event == "socket.__new__":
        _, family, kind, protocol = arguments
        inet = family in (socket.AF_INET, socket.AF_INET6)
        made_tcp |= inet and kind & 0xF == STREAM and protocol in (0, socket.IPPROTO_TCP)


class Report(unittest.TestResult):
    def __init__(self, file) -> None:
        super().__init__()
        self.file = file

    def write(self, **line) -> None:
        self.file.write(json.dumps(line) + "\n")
        self.file.flush()

    def startTest(self, test) -> None:
        global made_tcp
        super().startTest(test)
        made_tcp, self.outcome, self.why = False, "passed", ""
        self.write(began=test.id())

    def stopTest(self, test) -> None:
        super().stopTest(test)
        self.write(case=test.id(), outcome=self.outcome, tcp=made_tcp, why=self.why)

    def _failed(self, test, error) -> None:
        self.outcome, self.why = "failed", self._exc_info_to_string(error, test)
        if not isinstance(test, unittest.TestCase):  # setUpClass and the like: no case began
            self.write(case=test.id(), outcome="failed", tcp=True, why=self.why)

    addError = addFailure = _failed

    def addSubTest(self, test, subtest, error) -> None:
        if error is not None:
            self._failed(test, error)

    def addSkip(self, test, reason) -> None:
        self.outcome, self.why = "skipped", reason

    def addExpectedFailure(self, test, error) -> None:
        self.outcome = "skipped"

    def addUnexpectedSuccess(self, test) -> None:
        self.outcome = "failed"


def wanted(names: list[str]) -> Iterator[unittest.TestSuite]:
    for suite in unittest.defaultTestLoader.loadTestsFromNames(names):
        yield from (case for case in cases(suite) if not any(part in case.id() for part in LEFT_OUT))


def cases(suite: unittest.TestSuite) -> Iterator[unittest.TestCase]:
    for part in suite:
        yield from cases(part) if isinstance(part, unittest.TestSuite) else [part]


def names(words: list[str]) -> list[str]:
    found = []
    for word in words:
        found += open(word[1:]).read().split() if word.startswith("@") else [word]
    return found


if __name__ == "__main__":
    support.use_resources = ["network"]  # test_socketserver asks for it
    sys.addaudithook(audit)
    with open(sys.argv[1], "w") as file:
        unittest.TestSuite(wanted(names(sys.argv[2:]))).run(Report(file))
