"""Which tests there are, and which labels of requirements stand in their doc comments."""

from __future__ import annotations

import ast
import json
import re
import subprocess
import sys
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path

ROOT = Path(__file__).resolve().parents[2]

LABEL = re.compile(r"(?<![\w.-])(?:MUST|SHLD|MAY|REC|FSM|ATTACK|api|\d{4})-\d+\b")
RUST_TEST = re.compile(r"\s*#\[test\]")
RUST_FUNCTION = re.compile(r"\s*(?:pub(?:\([a-z]+\))? )?fn (\w+)")


@dataclass(frozen=True, order=True)
class Test:
    """One test: the program it is part of (`ustcp-proto/tcp`, or `pytest`), its file, its path there and its name."""

    program: str
    file: str
    module: str
    name: str

    def link(self) -> str:
        return f"[`{self.name}`](../{self.file})"

    def is_among(self, built: set[tuple[str, str]]) -> bool:
        """Modules inside of a file are not looked at: `module` is where the path begins, `name` where it ends."""
        prefix = f"{self.module}::" if self.module else ""
        return any(
            program == self.program and path.startswith(prefix) and path.split("::")[-1] == self.name
            for program, path in built
        )


def labelled() -> Iterator[tuple[Test, list[str]]]:
    """Every test with a label in its doc comment, and its labels."""
    for path in sorted([*ROOT.glob("crates/*/src/**/*.rs"), *ROOT.glob("crates/*/tests/**/*.rs")]):
        program, module = place(path.relative_to(ROOT))
        for name, doc in rust_tests(path):
            if labels := LABEL.findall(doc):
                yield Test(program, str(path.relative_to(ROOT)), module, name), labels
    for path in sorted((ROOT / "tests").glob("test_*.py")):
        for node in ast.parse(path.read_text()).body:
            if isinstance(node, ast.FunctionDef) and node.name.startswith("test_"):
                if labels := LABEL.findall(ast.get_docstring(node) or ""):
                    yield Test("pytest", str(path.relative_to(ROOT)), path.stem, node.name), labels


def place(file: Path) -> tuple[str, str]:
    """The test program that `file` is compiled into, and its module path there."""
    crate, kind, *rest = file.with_suffix("").parts[1:]
    if kind == "src":
        program = f"{crate}/lib" if rest[0] != "main" else f"{crate}/bin"
    else:
        program = f"{crate}/{rest.pop(0)}"
    if rest and rest[-1] in ("lib", "main", "mod"):
        rest.pop()
    return program, "::".join(rest)


def rust_tests(path: Path) -> Iterator[tuple[str, str]]:
    """Names and doc comments of the functions under `#[test]`."""
    doc: list[str] = []
    is_test = False
    for line in path.read_text().splitlines():
        text = line.strip()
        if text.startswith("///"):
            doc.append(text[3:])
        elif RUST_TEST.match(line):
            is_test = True
        elif found := RUST_FUNCTION.match(line):
            if is_test:
                yield found[1], "\n".join(doc)
            doc, is_test = [], False
        elif not text.startswith(("#[", "//")):
            doc, is_test = [], False


def built() -> set[tuple[str, str]]:
    """Program and path of every test that `cargo test` and pytest would run: asked of the programs themselves."""
    command = ["cargo", "test", "--locked", "--workspace", "--exclude", "ustcp-python", "--no-run", "--quiet"]
    lines = output([*command, "--message-format=json"]).splitlines()
    tests = set()
    for message in map(json.loads, lines):
        executable = message.get("executable")
        if message["reason"] == "compiler-artifact" and executable and message["profile"]["test"]:
            program = program_of(message["manifest_path"], message["target"])
            for line in output([executable, "--list", "--format", "terse"]).splitlines():
                if line.endswith(": test"):
                    tests.add((program, line.removesuffix(": test")))
    return tests


def program_of(manifest: str, target: dict) -> str:
    crate = Path(manifest).parent.name
    return f"{crate}/{target['name'] if 'test' in target['kind'] else 'bin' if 'bin' in target['kind'] else 'lib'}"


def collected() -> set[tuple[str, str]]:
    """The same of pytest."""
    lines = output([sys.executable, "-m", "pytest", "--collect-only", "-q", "tests"]).splitlines()
    found = (re.match(r"(?:tests/)?(\w+)\.py::(\w+)", line) for line in lines)
    return {("pytest", f"{match[1]}::{match[2]}") for match in found if match}


def output(command: list[str]) -> str:
    return subprocess.run(command, cwd=ROOT, check=True, stdout=subprocess.PIPE, text=True).stdout
