"""`ustcp run --explain` and `--strict`: what will be on ustcp, what was, and why not."""

from __future__ import annotations

import os
import shutil
import subprocess
import sys
from pathlib import Path

import pytest

from harness.command import ASK, USTCP, Host, Puppet, Teller
from harness.netns import OURS, PEER

PYTHON = sys.executable
SOURCE = "int main(void) { return 0; }\n"
PASSED_BY = "passed by, or relayed unasked"


@pytest.fixture
def host(network: None, tmp_path: Path):
    with Host.alone("explain", tmp_path) as host:
        host.up()
        yield host


def compiled(directory: Path, *flags: str) -> Path:
    program = directory / "program"
    subprocess.run(["cc", "-x", "c", "-", "-o", program, *flags], input=SOURCE, text=True, check=True, timeout=60)
    return program


def test_a_dynamic_program_and_where_its_sockets_were(host: Host) -> None:
    with Teller(host.net, PEER):
        done = host.run("--explain", "--", PYTHON, "-c", ASK, PEER)
    assert (done.returncode, done.stdout) == (0, f"{OURS}\n"), done.stderr
    before, _, after = done.stderr.partition("ustcp: its TCP sockets:\n")
    assert "is dynamically linked to glibc: its TCP sockets, and those of its children" in before
    place, local, peer = after.strip().split("  ")
    assert (place, peer) == ("on ustcp", f"-> {PEER}:80") and local.startswith(f"{OURS}:")


def test_children_and_listeners_are_in_the_table(host: Host) -> None:
    listen = "import socket; s = socket.create_server(('10.77.0.2', 8080))"
    done = host.run("--explain", "--", "sh", "-c", f'{PYTHON} -c "{listen}"; exit 3')
    assert done.returncode == 3
    assert f"on ustcp  {OURS}:8080  (listener)\n" in done.stderr, done.stderr


def test_a_static_program_is_named_and_its_table_says_why(host: Host, tmp_path: Path) -> None:
    program = compiled(tmp_path, "-static")
    done = host.run("--explain", "--", str(program))
    assert done.returncode == 0
    why = "it is statically linked, so no library can be put before it"
    assert done.stderr == (
        f"ustcp: {program} stays on the kernel's TCP: {why}\nustcp: no TCP socket of it came to ustcp: {why}\n"
    )
    strict = host.run("--strict", "--", str(program))
    assert (strict.returncode, strict.stderr) == (125, f"ustcp: --strict: nothing of it can be on ustcp: {why}\n")


@pytest.mark.parametrize(
    "start",
    [
        "os.execv({0!r}, ['x'])",
        "os.execve({0!r}, ['x'], {{}})",
        "os.execvp('program', ['x'])",
        "os.waitpid(os.posix_spawn({0!r}, ['x'], {{}}), 0)",
        "os.waitpid(os.posix_spawnp('program', ['x'], {{}}), 0)",
        "subprocess.run([{0!r}]), subprocess.run([{0!r}])",
        "subprocess.run(['program'])",
        "os.system({0!r})",
        "ctypes.CDLL(None).execvp(b'program', (ctypes.c_char_p * 2)(b'x', None))",
        "ctypes.CDLL(None).execl({0!r}.encode(), b'x', None)",
        "ctypes.CDLL(None).execle({0!r}.encode(), b'x', None, None)",
        "ctypes.CDLL(None).execlp(b'program', b'x', None)",
        "os.execve(os.open({0!r}, os.O_RDONLY), ['x'], {{}})",
        "ctypes.CDLL(None).execveat(os.open({0!r}, os.O_PATH), b'', (ctypes.c_char_p * 2)(b'x', None), None, 0x1000)",
    ],
)
def test_a_static_child_is_named(host: Host, tmp_path: Path, start: str) -> None:
    program = compiled(tmp_path, "-static")
    script = "import ctypes, os, subprocess\n" + start.format(str(program))
    path = f"{tmp_path}:{os.environ['PATH']}"
    done = host.run("--explain", "--", "env", f"PATH={path}", PYTHON, "-c", script)
    assert done.returncode == 0, done.stderr
    assert f"  passed by  *  -> *  static program {program}\n" in done.stderr, done.stderr
    strict = host.run("--strict", "--", "env", f"PATH={path}", PYTHON, "-c", script)
    escaped = f"ustcp: not on ustcp:\n  passed by  *  -> *  static program {program}\n"
    assert (strict.returncode, strict.stderr) == (125, f"{escaped}ustcp: --strict: {PASSED_BY}: 1\n")


def test_a_child_that_has_other_rights_than_its_parent_is_named(host: Host) -> None:
    """The dynamic linker takes no library from the environment where the real and the effective user differ."""
    script = "import os; os.setresuid(0, 65534, 0); os.execv('/bin/{}', ['x'])"
    done = host.run("--explain", "--", PYTHON, "-c", script.format("true"))
    assert (done.returncode, "  passed by  *  -> *  other rights /bin/true\n" in done.stderr) == (0, True), done.stderr
    strict = host.run("--strict", "--", PYTHON, "-c", script.format("true"))
    escaped = "ustcp: not on ustcp:\n  passed by  *  -> *  other rights /bin/true\n"
    assert (strict.returncode, strict.stderr) == (125, f"{escaped}ustcp: --strict: {PASSED_BY}: 1\n")
    # Of one that is not there nothing is said.
    done = host.run("--explain", "--", PYTHON, "-c", script.format("none"))
    assert "other rights" not in done.stderr, done.stderr


def test_a_library_that_finds_the_c_library_first_is_named(host: Host, tmp_path: Path) -> None:
    """And it is found where its opener says, by $ORIGIN: the hook leaves no trace in who called."""
    outer, inner = tmp_path / "libouter.so", tmp_path / "inner" / "libinner.so"
    inner.parent.mkdir()
    opens = """
#define _GNU_SOURCE
#include <dlfcn.h>
int opens(int flags) { return dlopen("libinner.so", RTLD_NOW | flags) != 0; }
"""
    shared = ("cc", "-shared", "-fPIC", "-x", "c", "-", "-o")
    subprocess.run([*shared, inner], input="int inner;\n", text=True, check=True, timeout=60)
    runpath = "-Wl,--enable-new-dtags,-rpath,$ORIGIN/inner"
    subprocess.run([*shared, outer, runpath], input=opens, text=True, check=True, timeout=60)
    script = f"import ctypes, os; assert ctypes.CDLL({str(outer)!r}).opens({{}}) == 1"
    done = host.run("--explain", "--", PYTHON, "-c", script.format("os.RTLD_DEEPBIND"))
    assert done.returncode == 0, done.stderr
    assert "  passed by  *  -> *  RTLD_DEEPBIND libinner.so\n" in done.stderr, done.stderr
    done = host.run("--strict", "--", PYTHON, "-c", script.format("0"))
    assert (done.returncode, done.stderr) == (0, "")


def test_a_library_in_a_namespace_of_its_own_is_named(host: Host) -> None:
    script = """
import ctypes
open_apart = ctypes.CDLL(None).dlmopen
open_apart.argtypes, open_apart.restype = (ctypes.c_long, ctypes.c_char_p, ctypes.c_int), ctypes.c_void_p
assert open_apart({}, b"libutil.so.1", 2)
"""
    done = host.run("--explain", "--", PYTHON, "-c", script.format(-1))
    assert done.returncode == 0, done.stderr
    assert "  passed by  *  -> *  dlmopen libutil.so.1\n" in done.stderr, done.stderr
    done = host.run("--strict", "--", PYTHON, "-c", script.format(0))
    assert (done.returncode, done.stderr) == (0, "")


def test_a_dynamic_child_and_what_is_none_are_not_named(host: Host, tmp_path: Path) -> None:
    script = "import os, subprocess\nsubprocess.run(['true'])\nos.system('true; nonexistent-program 2>/dev/null')"
    done = host.run("--strict", "--", PYTHON, "-c", script)
    assert (done.returncode, done.stderr) == (0, "")


CONNECTS = "import socket; print(socket.socket().connect_ex(('{}', 80)))"


def test_what_is_relayed_unasked_has_escaped(host: Host) -> None:
    host.net.ip("addr", "add", "192.0.2.1/32", "dev", "lo")
    with Teller(host.net, "0.0.0.0"):
        for to, asked in [("127.0.0.1", True), ("192.0.2.1", True), ("198.51.100.1", False)]:
            command = ("--", PYTHON, "-c", CONNECTS.format(to))
            done = host.run("--strict", *command)
            why = "loopback" if to == "127.0.0.1" else "host" if asked else "no route"
            assert done.returncode == 125 and done.stderr.startswith("ustcp: not on ustcp:\n  relayed to the kernel's TCP  ")
            assert f"  -> {to}:80  {why}" in done.stderr and done.stderr.endswith(f"\nustcp: --strict: {PASSED_BY}: 1\n"), done.stderr
            done = host.run("--strict", "--loopback", "relay", *command)
            assert done.returncode == (0 if asked else 125), (to, done.stderr)
        done = host.run("--strict", "--", PYTHON, "-c", CONNECTS.format(PEER))
        assert (done.returncode, done.stdout, done.stderr) == (0, "0\n", "")


def test_a_run_within_a_run_is_the_outer_ones(host: Host) -> None:
    inner = (USTCP, "run", "--", PYTHON, "-c", CONNECTS.format("127.0.0.1"))
    done = host.run("--strict", "--", *inner)
    assert done.returncode == 125 and done.stderr.endswith(f"\nustcp: --strict: {PASSED_BY}: 1\n"), done.stderr
    # One that tells of its program itself does so.
    done = host.run("--strict", "--", USTCP, "run", "--explain", *inner[2:])
    assert done.returncode == 0 and "relayed to the kernel's TCP" in done.stderr, done.stderr
    # On another engine it is its own.
    other = ("--engine", str(host.directory / "other"), "--tun", "ustcp1", "--address", "10.78.0.2/24")
    done = host.run("--strict", "--", *inner[:2], *other, *inner[2:])
    assert (done.returncode, done.stderr) == (0, "")


def test_a_server_that_gets_no_address_is_in_the_table(host: Host) -> None:
    script = """
import errno, socket
held = socket.create_server(('0.0.0.0', 80))
for address in [('198.51.100.1', 80), ('0.0.0.0', 80)]:
    with socket.socket() as refused:
        try:
            refused.bind(address)
            refused.listen()
        except OSError as error:
            print(errno.errorcode[error.errno])
with socket.socket() as late:
    try:
        late.bind(('198.51.100.1', 80))
    except OSError:
        late.bind(('0.0.0.0', 82))
        late.listen()
"""
    done = host.run("--explain", "--", PYTHON, "-c", script)
    assert (done.returncode, done.stdout) == (0, "EADDRNOTAVAIL\nEADDRINUSE\n"), done.stderr
    assert done.stderr.splitlines()[-4:] == [
        "  on ustcp  198.51.100.1:80  -> *        Cannot assign requested address (os error 99)",
        "  on ustcp       0.0.0.0:80  -> *        Address already in use (os error 98)",
        "  on ustcp       0.0.0.0:82  (listener)",
        "  on ustcp       0.0.0.0:80  (listener)",
    ]


def test_a_program_that_makes_no_socket(host: Host) -> None:
    done = host.run("--explain", "--strict", "--", "true")
    assert done.returncode == 0
    assert "no TCP socket of it came to ustcp: it made none; or children of Go did" in done.stderr


def test_scripts_are_followed_to_what_runs_them(host: Host, tmp_path: Path) -> None:
    inner, outer = tmp_path / "inner", tmp_path / "outer"
    inner.write_text("#!/usr/bin/env -S sh\nexit 4\n")
    outer.write_text(f"#!{inner}\n")
    for script in (inner, outer):
        script.chmod(0o755)
    done = host.run("--explain", "--", str(outer))
    assert done.returncode == 4
    lines = done.stderr.splitlines()
    assert lines[0] == f"ustcp: {outer} is a script of {inner}"
    assert lines[1] == f"ustcp: {inner} is a script of {shutil.which('sh')}"
    assert "dynamically linked" in lines[2]


def test_a_program_of_another_users_rights_is_named(host: Host, tmp_path: Path) -> None:
    program = compiled(tmp_path)
    os.chown(program, 65534, 65534)
    program.chmod(0o4755)
    done = host.run("--explain", "--", str(program))
    assert f"{program} stays on the kernel's TCP: it is set-user-ID (user 65534), and" in done.stderr
    # Whose rights it has anyway is not held up.
    os.chown(program, 0, 0)
    program.chmod(0o4755)
    assert "is dynamically linked" in host.run("--explain", "--", str(program)).stderr


def test_another_architecture_and_no_program_at_all(host: Host, tmp_path: Path) -> None:
    program = compiled(tmp_path)
    image = bytearray(program.read_bytes())
    image[18:20] = (21).to_bytes(2, sys.byteorder)  # e_machine: 64-bit PowerPC
    program.write_bytes(image)
    done = host.run("--explain", "--", str(program))
    assert "it is for another architecture (64 bits, ELF machine 21)" in done.stderr
    # execvp(3) hands what the kernel does not know to a shell.
    assert done.returncode == subprocess.run(["env", program], capture_output=True, check=False, timeout=60).returncode
    done = host.run("--explain", "--", "nonexistent-program")
    assert done.returncode == 127
    assert done.stderr.startswith("ustcp: nonexistent-program is not found in PATH\n")


def test_what_is_passed_by_is_told_and_strict_fails_of_it(host: Host, tmp_path: Path) -> None:
    engine = {"engine": {"pid": os.getpid(), "lifetime": "stopped", "variables": {}}}
    passed = {"place": "passed by", "why": "protocol", "family": 4, "state": "CLOSED", "local": None, "peer": None}
    relayed = {**passed, "place": "relay", "why": "loopback", "peer": "127.0.0.1:80"}
    with Puppet(tmp_path / "puppet", [engine, passed, relayed]):
        done = host.run("--explain", "--engine", str(tmp_path / "puppet"), "--", "sh", "-c", "exit 5")
        assert done.returncode == 5
        assert "  passed by                    *  -> *             protocol\n" in done.stderr, done.stderr
        assert "  relayed to the kernel's TCP  *  -> 127.0.0.1:80  loopback\n" in done.stderr
        done = host.run("--strict", "--engine", str(tmp_path / "puppet"), "--", "sh", "-c", "exit 5")
        assert (done.returncode, done.stderr) == (
            125,
            "ustcp: not on ustcp:\n"
            "  passed by                    *  -> *             protocol\n"
            "  relayed to the kernel's TCP  *  -> 127.0.0.1:80  loopback\n"
            f"ustcp: --strict: {PASSED_BY}: 2\n",
        )
