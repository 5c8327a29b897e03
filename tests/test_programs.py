"""The C programs of tests/c, each a test of its own: exit code 0, or what it says is wrong."""

from __future__ import annotations

import os
import subprocess
from pathlib import Path

import pytest

from conftest import BUILD, ROOT
from harness.netns import Namespace
from harness.shim import Engine

AT_AN_ENGINE = ["api", "engine", "options", "threads"]
SOURCES = sorted(path.stem for path in (ROOT / "tests/c").glob("*.c") if path.stem != "engine")
# Most are built a second time against the kernel's sockets, which judge what they expect.
PROGRAMS = SOURCES + sorted(path.name for path in (BUILD / "tests").glob("*-kernel") if path.name[:-7] in SOURCES)
# The library that panics on demand stands before the installed one.
ENVIRONMENT = {"panic": {"LD_LIBRARY_PATH": str(BUILD / "tests/planted")}}


@pytest.mark.parametrize("program", AT_AN_ENGINE)
def test_program_at_an_engine(program: str, engine: Engine):
    """The same on libustcp as the client of an engine; where a stream of AF_UNIX cannot do as TCP does, they say ON_ENGINE."""
    command = engine.net.command(str(BUILD / "tests" / program))
    environment = {**os.environ, **engine.named}
    done = subprocess.run(command, capture_output=True, text=True, timeout=100, env=environment, check=False)
    assert done.returncode == 0, done.stdout + done.stderr


def test_an_engine_that_is_not_there_is_an_error_once_told(network: None, tmp_path: Path):
    environment = {**os.environ, "USTCP_ENGINE": str(tmp_path / "none")}
    command = [str(BUILD / "tests/engine"), "absent"]
    done = subprocess.run(command, capture_output=True, text=True, timeout=60, env=environment, check=False)
    assert done.returncode == 0, done.stdout + done.stderr
    assert done.stderr == f"ustcp: USTCP_ENGINE={tmp_path}/none: no engine runs there; ustcp up --engine {tmp_path}/none starts one\n"


@pytest.mark.parametrize("how", ["whole", "archive"])
def test_the_archive_links_with_what_pkg_config_says(how: str, network: None, tmp_path: Path):
    """Into a program that is static as a whole, and into one that has its C library from elsewhere."""
    environment = {**os.environ, "PKG_CONFIG_PATH": str(BUILD / "prefix/lib/pkgconfig")}
    flags = subprocess.check_output(["pkg-config", "--static", "--cflags", "--libs", "ustcp"], text=True, env=environment).split()
    if how == "archive":
        flags = ["-l:libustcp.a" if flag == "-lustcp" else flag for flag in flags]
    program = tmp_path / "http_get"
    compile = ["cc", *(["-static"] if how == "whole" else []), str(ROOT / "examples/http_get.c"), "-o", str(program), *flags]
    subprocess.run(compile, check=True, timeout=100)
    needed = subprocess.check_output(["readelf", "-d", str(program)], text=True)
    assert "libustcp" not in needed and ("NEEDED" in needed) == (how == "archive"), needed
    demo = [str(BUILD / "prefix/bin/ustcp"), "demo", "--time-wait", "0.1", "--", str(program), "http://10.77.0.1/"]
    done = subprocess.run(demo, capture_output=True, text=True, timeout=60, check=False)
    assert done.returncode == 0, done.stdout + done.stderr


@pytest.mark.parametrize("program", PROGRAMS)
def test_program(program: str, network: None, tmp_path: Path):
    """api-1, api-3: every call, its error numbers and its options, in C (tests/c/api.c and others), beside the kernel's."""
    net = Namespace("program")
    net.create()
    net.allow_ipv6()
    net.ip("link", "set", "lo", "up")  # for the kernel's turn; ustcp's own 127.0.0.1 does not need it
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
