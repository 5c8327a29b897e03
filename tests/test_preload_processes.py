"""Sockets that go from process to process, on an engine: tests/preload/processes.py, an unchanged Python program."""

from __future__ import annotations

import errno
import os
import signal
import socket
import subprocess
import sys
from pathlib import Path

import pytest

from conftest import COMMANDS, ROOT
from harness.netns import OURS, PEER
from harness.puppet import Puppet, until

PROGRAM = [sys.executable, str(ROOT / "tests/preload/processes.py")]


@pytest.mark.timeout(300)
def test_a_thousand_children_come_and_go_while_bytes_flow(engine):
    done = engine.run(*PROGRAM, "forks", "1000", timeout=280)
    assert (done.returncode, done.stdout) == (0, "the same\n"), done.stderr


@pytest.mark.parametrize(
    ("name", "said"),
    [
        ("executes", "through another program\n"),
        ("passes", "noitcennoc a yb\nrenetsil a yb\n"),
        ("closes", "True\n"),
    ],
)
def test_a_socket_outlives_the_hands_it_goes_through(engine, name, said):
    done = engine.run(*PROGRAM, name)
    assert (done.returncode, done.stdout) == (0, said), done.stderr


def test_without_the_shim_they_have_no_network(engine):
    """What the tests above pass for is the engine: `lo` is down, and 10.77.0.2 is nobody's."""
    assert engine.run("env", "-u", "LD_PRELOAD", *PROGRAM, "executes").returncode != 0


def test_no_connection_is_lost_when_descriptors_run_out(engine):
    count = 40
    program = start(engine, "exhausts", str(count))
    assert program.stdout.readline() == "listens\n"
    clients = [engine.net.inside(lambda: socket.create_connection((OURS, 7000))) for _ in range(count)]
    for number, client in enumerate(clients):
        client.sendall(b"%d" % number)
    said, errors = program.communicate("\n", timeout=60)
    assert (program.returncode, said) == (0, f"True {count}\n"), errors
    for client in clients:
        client.close()


def test_an_engine_that_is_stopped_holds_no_program_up_that_makes_no_socket(engine):
    """Programs of a run, which are told its token."""
    words = (engine.directory / "engine").read_text().split()
    token = f"USTCP_TOKEN={words[2]}:{words[3]}:{os.geteuid()}"
    engine.process.send_signal(signal.SIGSTOP)
    try:
        done = engine.run(token, "echo", "on its way")
    finally:
        engine.process.send_signal(signal.SIGCONT)
    assert (done.returncode, done.stdout) == (0, "on its way\n"), done.stderr


def start(engine, *words):
    pipe = subprocess.PIPE
    return subprocess.Popen(engine.command(*PROGRAM, *words), stdin=pipe, stdout=pipe, stderr=pipe, text=True)


@pytest.fixture
def puppets(engine):
    """A program on the engine, and one on the kernel."""
    ours = Puppet(COMMANDS["shim"], engine.net, **engine.environment)
    theirs = Puppet(COMMANDS["kernel"], engine.net)
    try:
        yield ours, theirs
    finally:
        for puppet in (ours, theirs):
            puppet.close()


def connected(ours: Puppet, theirs: Puppet, port: int = 7000):
    listener = theirs.socket()
    listener.bind(PEER, port)
    listener.listen()
    sock = ours.socket()
    sock.connect(PEER, port)
    peer = listener.accept()
    listener.close()
    return sock, peer


def test_the_death_of_the_engine_is_a_reset_and_no_hang(engine, puppets):
    ours, theirs = puppets
    sock, _ = connected(ours, theirs)
    listener = ours.socket()
    listener.bind(OURS, 80)
    listener.listen()
    connecting = ours.socket()
    waiting = [sock.start("recv", 1), listener.start("accept"), connecting.start("connect", "10.77.0.3", 80)]
    until(lambda: asleep(ours) >= 3, lambda: "they do not wait")
    engine.kill()
    for pending, expected in zip(waiting, (errno.ECONNRESET, errno.ENETDOWN, errno.ENETDOWN), strict=True):
        with pytest.raises(OSError) as error:
            pending.result(10)
        assert error.value.errno == expected, pending.what
    with pytest.raises(BrokenPipeError):
        sock.send(b"more")
    fresh = ours.socket()
    for call in (lambda: fresh.connect(PEER, 7000), lambda: fresh.bind(OURS, 81), fresh.listen):
        with pytest.raises(OSError) as error:
            call()
        assert error.value.errno == errno.ENETDOWN


def asleep(puppet: Puppet) -> int:
    """Threads of it that wait for the network."""
    waits = ("unix_stream_read_generic", "unix_wait_for_peer", "__skb_wait_for_more_packets")
    tasks = Path(f"/proc/{puppet.pid}/task").iterdir()
    return sum((task / "wchan").read_text() in waits for task in tasks)
