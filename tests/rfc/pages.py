#!/usr/bin/env python3
"""docs/rfc9293.md, docs/requirements.md and docs/attacks.md: every requirement with the tests that show it.

The tables beside this file say what is asked; the doc comments of tests say which of it they show, by label.

    pages.py write    writes the pages anew
    pages.py measure  runs the tests of attacks, takes the figures that they print over into their table, and writes
    pages.py check    exits with 1 and says why when a page is stale, when a label of RFC 9293 or an attack has neither
                      test nor waiver, when a test names a label that no table has, or when a labelled test is not among
                      those that cargo and pytest run
"""

from __future__ import annotations

import re
import sys
from collections.abc import Iterator
from dataclasses import dataclass, field
from pathlib import Path

import tests_of
from tests_of import ROOT, Test

HERE = Path(__file__).resolve().parent


@dataclass
class Row:
    label: str
    clause: str
    text: str
    notes: dict[str, str] = field(default_factory=dict)

    @property
    def waiver(self) -> str | None:
        return self.notes.get("waiver")


@dataclass
class Page:
    table: str
    path: str
    title: str
    lead: str
    complete: bool
    """Whether a row without test and waiver is a fault."""
    columns: tuple[str, str] = ("clause", "asked")

    def chapters(self) -> Iterator[tuple[str, list[Row]]]:
        title, rows = "", []
        for line in (HERE / self.table).read_text().splitlines():
            if line.startswith("== "):
                if rows:
                    yield title, rows
                title, rows = line[3:], []
            elif line.startswith("    "):
                key, _, value = line.strip().partition(": ")
                rows[-1].notes[key] = value
            elif line and not line.startswith("#"):
                rows.append(Row(*(part.strip() for part in line.split(" | ", 2))))
        yield title, rows

    def rows(self) -> list[Row]:
        return [row for _, rows in self.chapters() for row in rows]


PAGES = [
    Page(
        "rfc9293.txt",
        "docs/rfc9293.md",
        "RFC 9293, requirement by requirement",
        "Every MUST, SHOULD (SHLD) and MAY of RFC 9293 under the RFC's own label, with the tests that show it or the reason\n"
        "why there is none. The labels FSM-1 to FSM-11 are ours, for the state machine of §3.10.7.",
        True,
    ),
    Page(
        "others.txt",
        "docs/requirements.md",
        "The other RFCs, requirement by requirement",
        "What the RFCs beside RFC 9293 ask of TCP and of what carries it, under labels of our own: the RFC and a number.",
        False,
    ),
    Page(
        "attacks.txt",
        "docs/attacks.md",
        "Attacks",
        "What others have tried against TCP stacks, what must come of it here, and what the tests measured. Figures are counts\n"
        "of packets, bytes and entries, so they do not depend on the machine; `make attacks` measures them anew.",
        True,
        ("class", "what must come of it"),
    ),
]

Shown = dict[str, list[Test]]


def shown() -> Shown:
    tests: Shown = {}
    for test, labels in tests_of.labelled():
        for label in dict.fromkeys(labels):
            tests.setdefault(label, []).append(test)
    return tests


def render(page: Page, tests: Shown) -> str:
    rows = page.rows()
    parts = [
        f"# {page.title}",
        "<!-- Made by `make requirements` from tests/rfc and the doc comments of tests. Do not edit. -->",
        page.lead + "\n`make test` fails when one of these tests is missing.",
        census(rows, tests),
    ]
    for title, chapter in page.chapters():
        lines = [f"## {title}", "", f"| label | {' | '.join(page.columns)} | shown by |", "|---|---|---|---|"]
        lines += [f"| {row.label} | {row.clause} | {row.text} | {proof(row, tests)} |" for row in chapter]
        parts.append("\n".join(lines))
    return "\n\n".join(parts) + "\n"


def census(rows: list[Row], tests: Shown) -> str:
    kinds: dict[str, list[Row]] = {}
    for row in rows:
        kinds.setdefault(re.sub(r"-\d+$", "", row.label) if row.label[0].isupper() else "all", []).append(row)
    lines = ["| | labels | with tests | waived | not shown |", "|---|---|---|---|---|"]
    for kind, members in kinds.items():
        waived = sum(row.waiver is not None for row in members)
        with_tests = sum(row.label in tests and row.waiver is None for row in members)
        lines.append(f"| {kind} | {len(members)} | {with_tests} | {waived} | {len(members) - waived - with_tests} |")
    return "\n".join(lines)


def proof(row: Row, tests: Shown) -> str:
    links = ", ".join(test.link() for test in tests.get(row.label, []))
    if row.waiver is None:
        seen = row.notes.get("seen")
        nothing = f"*Missing.* {row.notes['missing']}" if "missing" in row.notes else "*not shown*"
        return (links or nothing) + (f"<br>seen: {seen}" if seen and links else "")
    return f"*Waived.* {row.waiver}" + (f" What happens instead: {links}" if links else "")


def faults(tests: Shown) -> Iterator[str]:
    known = {row.label: page for page in PAGES for row in page.rows()}
    for label, its in tests.items():
        if label not in known:
            yield f"{its[0].file}: {its[0].name} names {label}, which no table in tests/rfc has"
    for page in PAGES:
        for row in page.rows():
            if page.complete and row.label not in tests and not row.notes.keys() & {"waiver", "missing"}:
                yield f"{page.table}: {row.label} has neither a test nor a waiver"
        path = ROOT / page.path
        if not path.exists() or path.read_text() != render(page, tests):
            yield f"{page.path} is stale: make requirements"
    existing = tests_of.built() | tests_of.collected()
    for test in sorted({test for its in tests.values() for test in its}):
        if not test.is_among(existing):
            yield f"{test.file}: {test.name} carries labels and does not run"


def measure() -> None:
    """Takes over what the tests print as `ATTACK-1 seen: 3 answers`."""
    command = ["cargo", "test", "--locked", "--quiet", "-p", "ustcp-proto", "-p", "ustcp-wire", "--", "--nocapture"]
    figures = dict(re.findall(r"(ATTACK-\d+) seen: (.+)", tests_of.output(command)))
    table = HERE / "attacks.txt"
    lines, label = [], ""
    for line in table.read_text().splitlines():
        if line.startswith("    seen: ") and label in figures:
            continue
        lines.append(line)
        if not line.startswith("    "):
            label = line.split(" | ")[0]
            if label in figures:
                lines.append(f"    seen: {figures[label]}")
    table.write_text("\n".join(lines) + "\n")


def main() -> int:
    tests = shown()
    if sys.argv[1:] == ["measure"]:
        measure()
    if sys.argv[1:] in (["write"], ["measure"]):
        for page in PAGES:
            (ROOT / page.path).write_text(render(page, tests))
        return 0
    if sys.argv[1:] != ["check"]:
        sys.exit(__doc__)
    found = list(faults(tests))
    print(f"requirements: {len(tests)} labels shown by tests, {len(found)} faults")
    for fault in found:
        print(fault, file=sys.stderr)
    return 1 if found else 0


if __name__ == "__main__":
    sys.exit(main())
