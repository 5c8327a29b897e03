"""The C programs of tests/c, each a test of its own: exit code 0, or what it says is wrong."""

from __future__ import annotations

import os
import subprocess
from pathlib import Path

import pytest

from conftest import BUILD, ROOT
from harness.netns import Namespace

PROGRAMS = sorted(path.stem for path in (ROOT / "tests/c").glob("*.c"))
# The library that panics on demand stands before the installed one.
ENVIRONMENT = {"panic": {"LD_LIBRARY_PATH": str(BUILD / "tests/planted")}}


@pytest.mark.parametrize("program", PROGRAMS)
def test_program(program: str, network: None, tmp_path: Path):
    net = Namespace("program")
    net.create()
    try:
        done = subprocess.run(
            net.command(str(BUILD / "tests" / program)),
            capture_output=True,
            text=True,
            timeout=100,
            cwd=tmp_path,
            env={**os.environ, **ENVIRONMENT.get(program, {})},
            check=False,
        )
        assert done.returncode == 0, done.stdout + done.stderr
    finally:
        net.remove()
