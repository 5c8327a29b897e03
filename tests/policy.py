#!/usr/bin/env python3
"""The project's own rules that no compiler checks: licences and sources of dependencies, which crate may import which,
where unsafe may stand, and what must not be in the tree. Prints every breach; exit code 1 when there is one."""

from __future__ import annotations

import json
import re
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path

ROOT = Path(__file__).resolve().parent.parent
CRATES_IO = "registry+https://github.com/rust-lang/crates.io-index"

# Every dependency offers at least one of these (or several joined by AND, all of them here).
LICENCES = {
    "MIT", "MIT-0", "Apache-2.0", "Apache-2.0 WITH LLVM-exception", "BSD-2-Clause", "BSD-3-Clause", "ISC", "Zlib",
    "Unicode-3.0", "Unlicense", "0BSD", "CC0-1.0", "BSL-1.0", "MPL-2.0",
}  # fmt: skip

# Who imports whom; never up, never sideways.
IMPORTS = {
    "ustcp-wire": set(),
    "ustcp-proto": {"ustcp-wire"},
    "ustcp-sim": {"ustcp-proto", "ustcp-wire"},
    "ustcp-client": set(),
    "ustcp-runtime": {"ustcp-proto", "ustcp-sim", "ustcp-wire"},
    "ustcp-engine": {"ustcp-client", "ustcp-proto", "ustcp-runtime"},
    "ustcp-preload": {"ustcp-client"},
    "ustcp-capi": {"ustcp-client", "ustcp-runtime"},
    "ustcp-cli": {"ustcp-client", "ustcp-engine", "ustcp-proto", "ustcp-runtime", "ustcp-sim", "ustcp-wire"},
    "ustcp-python": {"ustcp-client", "ustcp-runtime", "ustcp-sim", "ustcp-wire"},
}

# Where unsafe has its place: system calls, the tests that judge by them, and what other languages hand in.
UNSAFE = ("crates/ustcp-runtime/src/sys/", "crates/ustcp-runtime/tests/", "crates/ustcp-capi/", "crates/ustcp-client/src/sys",
          "crates/ustcp-preload/", "crates/ustcp-cli/src/sys", "bindings/python/src/")
# The pure crates promise it to the compiler as well.
FORBIDDING = ("crates/ustcp-wire", "crates/ustcp-proto", "crates/ustcp-sim")

FORBIDDEN = {
    r"\b(TODO|FIXME|XXX)\b": "unfinished",
    r"#\[ignore": "a test that does not run",
    r"(?<![\w.])/(home|root|Users|work)/": "an absolute path of some machine",
}
TEXT = {".rs", ".c", ".h", ".py", ".pyi", ".toml", ".md", ".mk", ".ini", ".sh", ".in", ""}


def metadata() -> dict:
    command = ["cargo", "metadata", "--locked", "--format-version", "1", "--all-features"]
    return json.loads(subprocess.run(command, cwd=ROOT, check=True, capture_output=True, text=True).stdout)


def permitted(expression: str) -> bool:
    """Whether an SPDX expression can be satisfied from LICENCES."""
    alternatives = re.split(r" OR |/", expression.replace("(", "").replace(")", ""))
    return any(all(part.strip() in LICENCES for part in option.split(" AND ")) for option in alternatives)


def dependencies(packages: list[dict]) -> Iterator[str]:
    for package in packages:
        if package["source"] is None:
            continue
        name = f"{package['name']} {package['version']}"
        if package["source"] != CRATES_IO:
            yield f"{name} comes from {package['source']}"
        if not permitted(package["license"] or ""):
            yield f"{name} has the licence {package['license']}"


def imports(packages: list[dict]) -> Iterator[str]:
    for package in packages:
        if package["source"] is not None:
            continue
        if package["name"] not in IMPORTS:
            yield f"{package['name']} is not in the table of who imports whom"
            continue
        ours = {d["name"] for d in package["dependencies"] if d.get("path") and d["kind"] != "dev"}
        for name in sorted(ours - IMPORTS[package["name"]]):
            yield f"{package['name']} imports {name}"


def tree() -> Iterator[tuple[str, str]]:
    listed = subprocess.run(["git", "ls-files"], cwd=ROOT, check=True, capture_output=True, text=True).stdout
    for name in listed.splitlines():
        path = ROOT / name
        if path.suffix in TEXT and path.is_file() and name not in ("LICENSE", "tests/policy.py"):
            yield name, path.read_text(encoding="utf-8")


def contents() -> Iterator[str]:
    for name, text in tree():
        for number, line in enumerate(text.splitlines(), 1):
            for pattern, why in FORBIDDEN.items():
                if re.search(pattern, line):
                    yield f"{name}:{number}: {why}: {line.strip()[:80]}"
            code = line.split("//")[0]
            if name.endswith(".rs") and re.search(r"\bunsafe\s*(\{|fn|impl|extern)", code) and not name.startswith(UNSAFE):
                yield f"{name}:{number}: unsafe outside of its place"


def promises() -> Iterator[str]:
    for crate in FORBIDDING:
        if "#![forbid(unsafe_code)]" not in (ROOT / crate / "src/lib.rs").read_text():
            yield f"{crate} does not forbid unsafe"
    for manifest in [*ROOT.glob("crates/*/Cargo.toml"), ROOT / "bindings/python/Cargo.toml"]:
        if "[lints]\nworkspace = true" not in manifest.read_text():
            yield f"{manifest.relative_to(ROOT)} does not take the workspace's lints"


def main() -> int:
    packages = metadata()["packages"]
    breaches = [*dependencies(packages), *imports(packages), *promises(), *contents()]
    for breach in breaches:
        print(breach, file=sys.stderr)
    print(f"policy: {len(packages)} packages, {len(breaches)} breaches")
    return 1 if breaches else 0


if __name__ == "__main__":
    sys.exit(main())
