#!/usr/bin/env python3
"""The tests judged: each rule of mutations.toml is taken out of a copy of the tree, and its test must fail.

    mutate.py check         every rule's text stands where the list says, once, and its test carries its clause
    mutate.py run [CLAUSE]  takes the rules out, all or those named, in a temporary folder, and writes docs/mutations.md

Exit code 1 when something is wrong: a test that passes without its rule, a text that is not found, code that does not
compile without it."""

from __future__ import annotations

import json
import os
import shutil
import subprocess
import sys
import tempfile
import tomllib
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path

import tests_of
from tests_of import ROOT

HERE = Path(__file__).resolve().parent
PAGE = ROOT / "docs/mutations.md"

# A rule taken out may make a stack that never rests.
PATIENCE_S = 120


@dataclass(frozen=True)
class Mutation:
    clause: str
    rule: str
    file: str
    text: str
    instead: str
    test: str
    program: str = "ustcp-proto/tcp"

    def without(self, source: str) -> str:
        return source.replace(self.text.strip("\n"), self.instead.strip("\n"))

    def build_arguments(self) -> list[str]:
        crate, target = self.program.split("/")
        return ["-p", crate, *(["--lib"] if target == "lib" else ["--test", target])]


def mutations() -> list[Mutation]:
    table = tomllib.loads((HERE / "mutations.toml").read_text())
    return [Mutation(**entry) for entry in table["mutation"]]


def faults() -> Iterator[str]:
    labels = {(test.program, f"{test.module}::{test.name}"): its for test, its in tests_of.labelled()}
    for mutation in mutations():
        count = (ROOT / mutation.file).read_text().count(mutation.text.strip("\n"))
        if count != 1:
            yield f"{mutation.clause}: its text stands {count} times in {mutation.file}: {mutation.text.strip()}"
        if mutation.clause not in labels.get((mutation.program, mutation.test), []):
            yield f"{mutation.clause}: {mutation.program} has no {mutation.test} that carries the label"


def copy_of_the_tree(into: Path) -> None:
    command = ["git", "ls-files", "-z", "--cached", "--others", "--exclude-standard"]
    for name in tests_of.output(command).split("\0"):
        if name and (ROOT / name).is_file():
            (into / name).parent.mkdir(parents=True, exist_ok=True)
            shutil.copyfile(ROOT / name, into / name)


def outcome(tree: Path, mutation: Mutation) -> str:
    """`passes`, `fails`, or why there is no outcome."""
    environment = os.environ | {
        "CARGO_TARGET_DIR": os.environ.get("USTCP_MUTATION_TARGET", str(tree / "target")),
        "CARGO_PROFILE_TEST_OPT_LEVEL": "0",
        "CARGO_PROFILE_TEST_DEBUG": "0",
    }
    command = ["cargo", "test", "--locked", "--quiet", "--no-run", "--message-format=json", *mutation.build_arguments()]
    built = subprocess.run(command, cwd=tree, env=environment, capture_output=True, text=True)
    if built.returncode != 0:
        return "does not compile"
    messages = [json.loads(line) for line in built.stdout.splitlines()]
    executable = next(message["executable"] for message in messages if message.get("executable"))
    try:
        run = subprocess.run(
            [executable, "--exact", mutation.test], cwd=tree, capture_output=True, text=True, timeout=PATIENCE_S
        )
    except subprocess.TimeoutExpired:
        return "fails"
    if "running 1 test\n" not in run.stdout:
        return "has no such test"
    return "passes" if run.returncode == 0 else "fails"


def judge(tree: Path, mutation: Mutation) -> str:
    """What comes of the test without the rule; the tree is afterwards as before."""
    path = tree / mutation.file
    source = path.read_text()
    path.write_text(mutation.without(source))
    try:
        return outcome(tree, mutation)
    finally:
        path.write_text(source)


def run(chosen: list[Mutation]) -> list[str]:
    """Whether each test passes with its rule, and fails without."""
    with tempfile.TemporaryDirectory(prefix="ustcp-mutations-") as folder:
        tree = Path(folder)
        copy_of_the_tree(tree)
        whole = [outcome(tree, mutation) for mutation in chosen]
        verdicts = []
        for mutation, before in zip(chosen, whole):
            after = judge(tree, mutation) if before == "passes" else "not tried"
            verdicts.append(f"{before} with the rule, {after} without")
            print(f"{mutation.clause:10} {mutation.rule}: {verdicts[-1]}", flush=True)
        return verdicts


GOOD = "passes with the rule, fails without"


def written() -> dict[str, str]:
    """What the page says already: verdicts by clause."""
    rows = [line.split(" | ") for line in PAGE.read_text().splitlines()] if PAGE.exists() else []
    return {row[0].removeprefix("| "): row[-1].removesuffix(" |") for row in rows if len(row) == 4}


def write(verdicts: dict[str, str]) -> None:
    known = written() | verdicts
    chosen = [mutation for mutation in mutations() if mutation.clause in known]
    caught = sum(known[mutation.clause] == GOOD for mutation in chosen)
    lines = [
        "# The tests judged",
        "",
        "<!-- Made by `make mutations` from tests/rfc/mutations.toml. Do not edit. -->",
        "",
        "Each of these rules was taken out of the code, one at a time; the test beside it must fail then. `make mutations`",
        "does it anew, in a copy of the tree; `make check` sees to it that the list still fits the code.",
        "",
        f"{len(chosen)} rules taken out, {caught} of them noticed.",
        "",
        "| clause | rule taken out | test | the test |",
        "|---|---|---|---|",
    ]
    lines += [
        f"| {mutation.clause} | [{mutation.rule}](../{mutation.file}) | `{mutation.test}` | {known[mutation.clause]} |"
        for mutation in chosen
    ]
    PAGE.write_text("\n".join(lines) + "\n")


def main() -> int:
    found = list(faults())
    for fault in found:
        print(fault, file=sys.stderr)
    if found or sys.argv[1:] == ["check"]:
        print(f"mutations: {len(mutations())} rules, {len(found)} faults in the list")
        return 1 if found else 0
    if sys.argv[1:2] != ["run"]:
        sys.exit(__doc__)
    wanted = sys.argv[2:]
    chosen = [mutation for mutation in mutations() if not wanted or mutation.clause in wanted]
    verdicts = run(chosen)
    write(dict(zip((mutation.clause for mutation in chosen), verdicts)))
    print(f"{verdicts.count(GOOD)} of {len(chosen)} rules are missed when they are gone")
    return 0 if chosen and verdicts.count(GOOD) == len(chosen) else 1


if __name__ == "__main__":
    sys.exit(main())
