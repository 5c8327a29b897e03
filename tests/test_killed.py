"""Programs on the engine that end in the middle of something: the peer is told, and the engine keeps nothing of them."""

from __future__ import annotations

import signal
import socket
import subprocess
import sys

import pytest

from harness.netns import PEER
from harness.puppet import until
from harness.shim import Engine

PORT = 7000
ROUNDS, TOGETHER = 4, 8
# KiB. A round has some 10 MB in flight.
GROWTH = 512

SENDER = f"""
import socket
s = socket.create_connection(("{PEER}", {PORT}))
while True:
    s.sendall(bytes(1 << 16))
"""
RECEIVER = f"""
import socket
s = socket.create_connection(("{PEER}", {PORT}))
while True:
    s.recv(1 << 16)
"""
# It never reads: what has come lies in its descriptor when it dies.
SLEEPER = f"""
import signal, socket
s = socket.create_connection(("{PEER}", {PORT}))
signal.pause()
"""

# It writes more than its connection and its peer take, and less than its descriptor does; it is killed with the rest in there.
FILLER = f"""
import os, signal, socket
s = socket.socket()
s.setsockopt(socket.SOL_SOCKET, socket.SO_SNDBUF, 4096)
s.connect(("{PEER}", {PORT}))
s.sendall(bytes(1 << 17))
os.kill(os.getpid(), signal.SIGKILL)
"""


def listener(engine: Engine) -> socket.socket:
    def listen() -> socket.socket:
        made = socket.create_server((PEER, PORT), backlog=64)
        made.settimeout(20)
        return made

    return engine.net.inside(listen)


def connected(engine: Engine, server: socket.socket, program: str) -> tuple[subprocess.Popen, socket.socket]:
    process = engine.start(sys.executable, "-c", program, stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL)
    connection = server.accept()[0]
    connection.settimeout(20)
    return process, connection


def kill(process: subprocess.Popen) -> None:
    process.send_signal(signal.SIGKILL)
    assert process.wait(20) == -signal.SIGKILL


def the_end(connection: socket.socket) -> str:
    """How reading ends."""
    try:
        while connection.recv(1 << 16):
            pass
    except ConnectionResetError:
        return "reset"
    return "end of file"


def sends_until_told(connection: socket.socket) -> str:
    try:
        while True:
            connection.sendall(bytes(1 << 16))
    except (ConnectionResetError, BrokenPipeError):
        return "reset"


def test_a_sender_is_killed(engine: Engine):
    """What it had written still comes, and then its FIN."""
    with listener(engine) as server:
        process, connection = connected(engine, server, SENDER)
        with connection:
            for _ in range(100):
                connection.recv(1 << 16)
            kill(process)
            assert the_end(connection) == "end of file"


def test_a_receiver_is_killed(engine: Engine):
    """Text for a program that is no more is answered with RST."""
    with listener(engine) as server:
        process, connection = connected(engine, server, RECEIVER)
        with connection:
            for _ in range(100):
                connection.sendall(bytes(1 << 16))
            kill(process)
            assert sends_until_told(connection) == "reset"


def test_a_program_is_killed_that_has_not_read(engine: Engine):
    """Its peer has filled every buffer on the way, and is reset at once."""
    with listener(engine) as server:
        process, connection = connected(engine, server, SLEEPER)
        with connection:
            fill(connection)
            kill(process)
            assert the_end(connection) == "reset"


def fill(connection: socket.socket) -> None:
    connection.settimeout(0.5)
    with pytest.raises(TimeoutError):
        while True:
            connection.sendall(bytes(1 << 16))
    connection.settimeout(20)


@pytest.fixture
def impatient(monkeypatch: pytest.MonkeyPatch) -> None:
    """Connections whose program has gone probe a closed window once and no more."""
    monkeypatch.setenv("USTCP_SYSCTL", "tcp_orphan_retries=1")


def test_a_peer_that_takes_nothing_does_not_hold_what_was_left_for_it(impatient: None, engine: Engine):
    """Sockstress: it answers each probe of its closed window, and the program has gone."""
    descriptors = engine.descriptors_at_work()
    with listener(engine) as server:
        server.setsockopt(socket.SOL_SOCKET, socket.SO_RCVBUF, 4096)
        process, connection = connected(engine, server, FILLER)
        with connection:
            assert process.wait(20) == -signal.SIGKILL
            engine.is_empty()
            until(lambda: engine.descriptors() == descriptors, lambda: f"{engine.descriptors()} descriptors, not {descriptors}")


@pytest.fixture
def exact_engine(exact_memory: None, engine: Engine) -> Engine:
    """One whose resident memory is what it holds."""
    return engine


@pytest.fixture
def exact_memory(monkeypatch: pytest.MonkeyPatch) -> None:
    """glibc gives back at once what is not in its heap, where holes stay."""
    monkeypatch.setenv("MALLOC_MMAP_THRESHOLD_", "4096")


def test_nothing_is_left_in_the_engine(exact_engine: Engine):
    """Descriptors and memory come back to what they were, round after round of killed programs."""
    engine = exact_engine
    descriptors = engine.descriptors_at_work()
    with listener(engine) as server:
        a_round(engine, server)  # the tables grow to their size
        resident = engine.resident_kib()
        for _ in range(ROUNDS):
            a_round(engine, server)
            until(lambda: engine.descriptors() == descriptors, lambda: f"{engine.descriptors()} descriptors, not {descriptors}")
        until(lambda: engine.resident_kib() - resident < GROWTH, lambda: f"{engine.resident_kib()} KiB, and {resident} before")


def a_round(engine: Engine, server: socket.socket) -> None:
    pairs = [connected(engine, server, program) for program in (SENDER, RECEIVER, SLEEPER) for _ in range(TOGETHER)]
    for number, (_, connection) in enumerate(pairs):
        if number >= TOGETHER:
            connection.sendall(bytes(1 << 16))
        else:
            connection.recv(1 << 16)
    for process, connection in pairs:
        kill(process)
        connection.close()
    engine.is_empty()
