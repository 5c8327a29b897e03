"""What single calls do under libustcp_preload.so, in C: errors, options, signals, cancellation; and whom it leaves alone."""

from __future__ import annotations

import os
import shutil
import socket
import stat
import subprocess
import sys

import pytest

from conftest import BUILD
from harness.netns import OURS, PEER, STRANGER, Namespace, join_by_veth
from harness.shim import PRELOAD

PROGRAM = str(BUILD / "preload")
NOBODY = 65534


@pytest.mark.parametrize("program", ["api-kernel", "options-kernel", "threads-kernel"])
def test_the_programs_that_linux_judges_pass_on_an_engine(engine, program):
    """Every call, its errors and its options; where a stream of AF_UNIX cannot do as TCP does, they say ON_ENGINE."""
    done = engine.run(str(BUILD / "tests" / program), timeout=100)
    assert done.returncode == 0, done.stdout + done.stderr


WAYS = pytest.mark.parametrize("words", [("signals", OURS, STRANGER), ("calls", OURS)], ids=["signals", "calls"])


@WAYS
def test_signals_cancellation_and_single_calls(engine, words):
    done = engine.run(f"{PROGRAM}/{words[0]}", *words[1:])
    assert done.returncode == 0, done.stdout + done.stderr


@WAYS
def test_signals_cancellation_and_single_calls_as_linux_has_them(network, words):
    """The judge of the test above."""
    peer, ours = Namespace("peer"), Namespace("ours")
    try:
        peer.create()
        ours.create()
        join_by_veth(peer, ours)
        ours.ip("link", "set", "lo", "up")
        command = ours.command(f"{PROGRAM}/{words[0]}", *words[1:])
        done = subprocess.run(command, capture_output=True, text=True, timeout=60, check=False)
        assert done.returncode == 0, done.stdout + done.stderr
    finally:
        peer.remove()
        ours.remove()


def test_a_socket_is_wrapped_in_tls_before_it_connects(engine):
    """Python reads from it once to see that there is no connection."""
    script = """
import socket, ssl
sock = socket.socket()
sock.setsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY, 1)
context = ssl.SSLContext(ssl.PROTOCOL_TLS_CLIENT)
context.check_hostname = False
wrapped = context.wrap_socket(sock)
print(wrapped.getsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY))
"""
    done = engine.run("python3", "-c", script)
    assert (done.returncode, done.stdout) == (0, "1\n"), done.stderr


def test_options_outlast_those_of_thousands_of_others(engine):
    """Of sockets that were never connected: the engine does not hear of their end."""
    script = f"""
import socket
def made(count):
    sock = socket.socket()
    sock.setsockopt(socket.IPPROTO_TCP, socket.TCP_KEEPCNT, count)
    return sock
first = made(7)
for _ in range(8200):
    made(8).close()
last = made(9)
for sock, count in (first, 7), (last, 9):
    assert sock.getsockopt(socket.IPPROTO_TCP, socket.TCP_KEEPCNT) == count
try:
    last.recv(1, socket.MSG_DONTWAIT)
except OSError as error:
    print(error.strerror)
last.bind(("{OURS}", 0))
last.listen()
first.connect(last.getsockname())
print(last.accept()[0].getsockopt(socket.IPPROTO_TCP, socket.TCP_KEEPCNT))
"""
    done = engine.run("python3", "-c", script)
    assert (done.returncode, done.stdout) == (0, "Transport endpoint is not connected\n9\n"), done.stderr


def test_no_call_allocates(engine):
    done = engine.run(f"{PROGRAM}/frugal", OURS)
    assert (done.returncode, done.stdout) == (0, "0 allocations\n"), done.stderr


def test_a_handler_on_a_small_stack_connects(engine):
    done = engine.run(f"{PROGRAM}/frugal", "connect", OURS)
    assert (done.returncode, done.stdout) == (0, ""), done.stderr


def test_other_sockets_stay_the_kernels(engine):
    """UDP and AF_UNIX pass by: the kernel answers 10.77.0.1, which an engine's socket of UDP could not bind."""
    script = f"""
import socket
one, other = (socket.socket(socket.AF_INET, socket.SOCK_DGRAM) for _ in range(2))
one.bind(("{PEER}", 0))
other.sendto(b"datagram", one.getsockname())
text, name = one.recvfrom(64)
assert name[0] == "{PEER}" and text == b"datagram", name
left, right = socket.socketpair()
left.sendmsg([b"unix"])
assert right.recvmsg(16)[0] == b"unix"
"""
    engine.net.ip("link", "set", "lo", "up")  # a host speaks with its own addresses by it
    done = engine.run("python3", "-c", script)
    assert done.returncode == 0, done.stderr


# ---- whom it leaves alone ----


@pytest.fixture
def elsewhere(tmp_path):
    """A directory that every user may enter, which pytest's own are not."""
    path = f"/tmp/ustcp-test-{os.getpid()}"
    os.mkdir(path, 0o755)
    yield path
    shutil.rmtree(path)


def test_a_program_with_borrowed_rights_is_left_alone(engine, elsewhere):
    """AT_SECURE. The library is linked in here, as the loader does not preload it for such a program anyway."""
    program, library = f"{elsewhere}/linked", f"{elsewhere}/libustcp_preload.so"
    shutil.copy(f"{PROGRAM}/linked", program)
    shutil.copy(PRELOAD, library)
    # Its runpath is in a directory that this user may not be able to enter; an absolute one may be given anew.
    words = ["env", "-u", "LD_PRELOAD", f"LD_LIBRARY_PATH={elsewhere}"]
    token = (engine.directory / "engine").read_text().split()
    words.append(f"USTCP_TOKEN={token[2]}:{token[3]}:{os.geteuid()}")
    os.chmod(program, 0o755)
    assert engine.run(*words, program).stdout == "engine\n"
    assert engine.run(*words, "setpriv", f"--reuid={NOBODY}", "--clear-groups", program).stdout == "engine\n"
    os.chmod(program, 0o755 | stat.S_ISGID)
    os.chown(program, 0, 12345)
    os.chmod(program, 0o755 | stat.S_ISGID)
    done = engine.run(*words, program)
    assert done.stdout == "kernel\n", done.stderr


def test_without_an_engine_it_says_so_once_and_the_kernel_serves(network, tmp_path):
    environment = {**os.environ, "LD_PRELOAD": str(PRELOAD), "USTCP_ENGINE": str(tmp_path / "none")}
    listener = socket.create_server(("127.0.0.1", 0))
    connect = f"socket.create_connection(('127.0.0.1', {listener.getsockname()[1]}))"
    script = f"import socket; print({connect}.family.name); {connect}"
    done = subprocess.run(
        [sys.executable, "-c", script], env=environment, capture_output=True, text=True, timeout=60, check=False
    )
    listener.close()
    assert (done.returncode, done.stdout) == (0, "AF_INET\n")
    assert done.stderr == (
        f"ustcp: no engine runs there; ustcp up --engine {tmp_path}/none starts one: this program stays on the kernel's TCP\n"
    )
    # Nor where it makes no difference, as to most programs of a script; nor to who has been told by `ustcp run`.
    for script, more in [("import socket; socket.socket(socket.AF_UNIX)", {}), ("import socket; socket.socket()", {"USTCP_RUN": "1"})]:
        quiet = subprocess.run(
            [sys.executable, "-c", script], env={**environment, **more}, capture_output=True, text=True, timeout=60, check=False
        )
        assert (quiet.returncode, quiet.stderr) == (0, ""), script


def test_an_engine_file_of_one_that_is_gone_names_no_engine(network, tmp_path):
    place = tmp_path / "gone"
    place.mkdir(mode=0o700)
    (place / "engine").write_text(f"ustcp-engine 1 {'ab' * 16} {'cd' * 16} 1\n")
    environment = {**os.environ, "LD_PRELOAD": str(PRELOAD), "USTCP_ENGINE": str(place)}
    script = "import socket; socket.socket()"
    done = subprocess.run([sys.executable, "-c", script], env=environment, capture_output=True, text=True, timeout=60, check=False)
    assert done.stderr == (
        f"ustcp: no engine runs there; ustcp up --engine {place} starts one: this program stays on the kernel's TCP\n"
    )
