"""Clients of an engine that do what none should: they get nothing by it, and the others notice nothing."""

from __future__ import annotations

import os
import re
import resource
import socket
import subprocess
import sys
from contextlib import suppress
from pathlib import Path

import pytest

from conftest import COMMANDS
from harness import hostile
from harness.command import USTCP, ustcp
from harness.netns import OURS, PEER, Namespace, run
from harness.puppet import Puppet, until
from harness.shim import Engine

MEBIBYTE = 1 << 20
NOBODY = 65534
# What the tables of the departed and of options may still grow by, and the transfer's buffers. A fifth of a kilobyte kept of
# each message is more.
GROWTH_KIB = 3 * 1024
BUFFER = 128 * 1024
STRANGERS_OF_PROCESS = 512


def command(engine: Engine, *words: object) -> list[str]:
    own = [sys.executable, hostile.__file__, str(engine.directory), engine.token.hex()]
    return engine.net.command(*own, *map(str, words))


def send(engine: Engine, seed: int, messages: int) -> subprocess.Popen:
    return subprocess.Popen(command(engine, seed, messages), stderr=subprocess.PIPE, text=True)


def finish(process: subprocess.Popen) -> None:
    _, errors = process.communicate(timeout=120)
    assert process.returncode == 0, errors


class Innocents:
    """A program on the engine and one on the kernel."""

    def __init__(self, engine: Engine) -> None:
        self.ours = Puppet(COMMANDS["shim"], engine.net, **engine.environment)
        self.theirs = Puppet(COMMANDS["kernel"], engine.net)

    def __enter__(self) -> Innocents:
        return self

    def __exit__(self, *_) -> None:
        for puppet in (self.ours, self.theirs):
            assert puppet.close() == 0

    def connected(self, buffer: int | None = None):
        listener = self.theirs.socket()
        listener.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
        listener.bind(PEER, 7000)
        listener.listen()
        sock = self.ours.socket()
        for option in (socket.SO_SNDBUF, socket.SO_RCVBUF) if buffer else ():
            sock.setsockopt(socket.SOL_SOCKET, option, buffer)
        sock.connect(PEER, 7000)
        peer = listener.accept()
        listener.close()
        return sock, peer

    def exchange(self, size: int, buffer: int | None = None) -> None:
        """So much each way, byte for byte, through buffers that grow or are of that size."""
        sock, peer = self.connected(buffer)
        out, back = sock.start("pour", size, 11), peer.start("pour", size, 12)
        there, here = peer.start("drain", size), sock.start("drain", size)
        assert out.result() == there.result()
        assert back.result() == here.result()
        for end in (sock, peer):
            end.close()


@pytest.mark.timeout(300)
def test_a_hostile_message_harms_only_its_sender(engine):
    """Greetings and requests that are random, cut, flipped, too long, of another version, with a wrong token, with
    descriptors beside them, or right and about sockets that others have made up. Each round is of other seeds."""
    base = engine.descriptors_at_work()
    with Innocents(engine) as innocents:
        before, *_, after = (send_round(engine, innocents, seed, base) for seed in range(6))
    assert after - before < GROWTH_KIB


def send_round(engine: Engine, innocents: Innocents, seed: int, base: int) -> int:
    """KiB that the engine holds after it."""
    senders = [send(engine, seed * 100 + number, 1500) for number in range(2)]
    # Buffers that grow have ten times as much on a busy machine, and where that ends nobody knows.
    innocents.exchange(16 * MEBIBYTE, BUFFER)
    for sender in senders:
        finish(sender)
    until(lambda: engine.descriptors() == base, lambda: f"{engine.descriptors()} descriptors, not {base}")
    return engine.resident_kib()


def test_descriptors_that_nobody_asked_for_are_not_kept(engine):
    """The kernel refuses them (Linux 6.16), or the engine closes them."""
    for kind, words in (
        (hostile.STREAM, hostile.greeting(engine.token, 7)),
        (hostile.STREAM, b"no greeting"),
        (hostile.SEQPACKET, hostile.request(engine.token, 1)),
        (hostile.SEQPACKET, b"no request"),
    ):
        reader, writer = os.pipe()
        client = hostile.Hostile(str(engine.directory), engine.token, 0).connect(kind)
        with suppress(PermissionError):
            socket.send_fds(client, [words], [writer])
        os.close(writer)
        client.close()
        assert os.read(reader, 1) == b"", "the engine has the other end"
        os.close(reader)


@pytest.mark.timeout(120)
def test_one_who_only_connects_takes_no_place_of_others(engine):
    """There is a limit for a process, and a time for all."""
    base = engine.descriptors_at_work()
    pipe = subprocess.PIPE
    holder = subprocess.Popen(
        command(engine, "hold", 400, 400, STRANGERS_OF_PROCESS), stdin=pipe, stdout=pipe, stderr=pipe, text=True
    )
    assert holder.stdout.readline().split() == [str(STRANGERS_OF_PROCESS), "EMFILE"]
    with Innocents(engine) as innocents:
        innocents.exchange(MEBIBYTE)
    until(lambda: engine.descriptors() == base, lambda: "they stay", timeout=30)  # it has said nothing for ten seconds
    holder.communicate(timeout=20)
    assert holder.returncode == 0
    # Nor has it lost the connection by which a signal ends it.
    engine.process.terminate()
    assert engine.process.wait(20) == 0


# ---- memory ----

SHARE = 4 * MEBIBYTE  # of one process: a quarter of tcp_mem
SOCKETS = 20
MUCH = 2 * MEBIBYTE  # for each
DESCRIPTOR = 320 * 1024  # what one may hold beside TCP, which the kernel accounts to the program, and a segment


@pytest.fixture
def frugal(network, tmp_path):
    """An engine that may have 16 MiB in buffers."""
    net = Namespace("frugal")
    net.create()
    try:
        engine = Engine(net, tmp_path / "engine", USTCP_SYSCTL=f"tcp_mem={4 * SHARE}", USTCP_TIME_WAIT="1")
        yield engine
        wrong = engine.close()
    finally:
        net.remove()
    assert not wrong, wrong


@pytest.mark.timeout(300)
@pytest.mark.parametrize("queue", ["recv_q", "send_q"])
def test_one_who_lets_everything_lie_has_its_share_of_memory_and_others_have_theirs(frugal, queue: str):
    with Innocents(frugal) as greedy, Innocents(frugal) as innocents:
        pairs = [greedy.connected(MUCH) for _ in range(SOCKETS)]
        ends = [pair if queue == "send_q" else pair[::-1] for pair in pairs]
        poured = [writer.start("pour", MUCH, 5) for writer, _ in ends]
        held = lambda: sum(sock[queue] for sock in frugal.sockets())  # noqa: E731
        until(lambda: held() > SHARE * 3 // 4, lambda: f"{held()} bytes", timeout=30)
        innocents.exchange(16 * MEBIBYTE)
        assert held() < SHARE + SOCKETS * DESCRIPTOR
        # It goes on as it reads, or its peers do.
        drained = [reader.start("drain", MUCH) for _, reader in ends]
        assert [call.result(120) for call in drained] == [call.result(120) for call in poured]
        for end in (end for pair in pairs for end in pair):
            end.close()


@pytest.mark.timeout(300)
def test_who_has_its_share_of_memory_goes_on_with_what_it_reads(frugal):
    """One more connection of a program that lets all its others lie: the kernel is told how much there is room for, and hardly
    anything is sent in vain, nor left to a timer. (Not nothing: an engine that is kept from the processor is late as well.)"""
    with Innocents(frugal) as greedy:
        idle = [greedy.connected(MUCH) for _ in range(SOCKETS)]
        poured = [peer.start("pour", MUCH, 5) for _, peer in idle]
        held = lambda: sum(sock["recv_q"] for sock in frugal.sockets())  # noqa: E731
        until(lambda: held() > SHARE * 3 // 4, lambda: f"{held()} bytes", timeout=30)
        sock, peer = greedy.connected()
        pour = peer.start("pour", 2 * MUCH, 6)
        assert sock.call("drain", 2 * MUCH, timeout=120) == pour.result(120)
        _, port = sock.sockname()
        shown = run(*frugal.net.command("ss", "-tnHi", f"dport = :{port}"))
        again = re.search(r"bytes_retrans:(\d+)", shown)
        assert again is None or int(again[1]) < MUCH // 10, shown
        drained = [sock.start("drain", MUCH) for sock, _ in idle]
        assert [call.result(120) for call in drained] == [call.result(120) for call in poured]
        for end in (end for pair in [*idle, (sock, peer)] for end in pair):
            end.close()


# ---- descriptors that run out ----

HOLDS = """
import errno, os, socket, sys
call, host, port, count, user = sys.argv[1:]
host.encode("idna")  # its module may be out of reach afterwards
os.setresuid(*[int(user)] * 3)
held, told = [], set()
for _ in range(int(count)):
    sock = socket.socket()
    try:
        getattr(sock, call)((host, int(port)))
        held.append(sock)
    except OSError as error:
        told.add(errno.errorcode[error.errno])
print(len(held), *sorted(told), flush=True)
sys.stdin.read()
for sock in held:
    sock.getsockname()
"""


@pytest.fixture
def small(network, tmp_path):
    """An engine that may have 128 descriptors: 112 for sockets, 64 for those of one program, 80 for those of one user."""
    net = Namespace("small")
    net.create()
    net.ip("link", "set", "lo", "up")
    try:
        engine = Engine(net, tmp_path / "engine", within=("prlimit", "--nofile=64:128"), USTCP_TIME_WAIT="1")
        yield engine
        wrong = engine.close()
    finally:
        net.remove()
    assert not wrong, wrong


def test_as_many_descriptors_as_there_may_be(small):
    limits = Path(f"/proc/{small.process.pid}/limits").read_text()
    assert re.search(r"Max open files +128 +128", limits), limits


def binds(engine: Engine, count: int, user: int = 0) -> tuple[subprocess.Popen, list[str]]:
    return holds(engine, "bind", (OURS, 0), count, user)


def holds(engine: Engine, call: str, to: tuple[str, int], count: int, user: int = 0) -> tuple[subprocess.Popen, list[str]]:
    """A program with so many sockets; how many it has got, and what it was told of the others."""
    pipe = subprocess.PIPE
    words = engine.command(sys.executable, "-c", HOLDS, call, *map(str, (*to, count, user)))
    process = subprocess.Popen(words, stdin=pipe, stdout=pipe, stderr=pipe, text=True)
    return process, process.stdout.readline().split()


def let_go(*holders: subprocess.Popen) -> None:
    for holder in holders:
        holder.communicate(timeout=20)
        assert holder.returncode == 0


def sleeps(engine: Engine) -> None:
    """Waits until the engine waits: one that goes round and round never does."""
    until(lambda: engine.status()["State"].startswith("S"), lambda: "it does not sleep")


def test_one_program_has_its_share_and_the_next_is_told_when_there_are_no_more(small):
    with Innocents(small) as innocents:
        sock, peer = innocents.connected()
        first, said = binds(small, 80)
        assert said == ["64", "EMFILE"]
        # What its user has left is none the more for another process: one socket is the Innocents'.
        child, said = binds(small, 80)
        assert said == ["15", "EMFILE"]
        second, (count, *told) = binds(small, 60, NOBODY)
        assert told == ["ENFILE"] and 5 < int(count) < 32
        # Who has a socket goes on with it, requests and all.
        sock.send(b"still here")
        assert peer.recv() == b"still here"
        assert sock.getsockopt(socket.SOL_SOCKET, socket.SO_ERROR) == 0
        let_go(first, child, second)
        third, said = binds(small, 30)
        assert said == ["30"]
        let_go(third)


def test_connections_that_come_meanwhile_wait(small):
    with Innocents(small) as innocents:
        listener = innocents.ours.socket()
        listener.bind(OURS, 80)
        listener.listen()
        taken = [holder for holder, _ in (binds(small, 64), binds(small, 64, NOBODY))]
        theirs = [innocents.theirs.socket() for _ in range(20)]
        for number, sock in enumerate(theirs):
            sock.connect(OURS, 80)
            sock.send(b"%d" % number)
        let_go(*taken)
        found = {listener.accept().recv() for _ in theirs}
        assert found == {b"%d" % number for number in range(20)}


@pytest.fixture
def elsewhere(small):
    """A listener of the kernel's on loopback, where the engine relays."""

    def listen() -> socket.socket:
        return socket.create_server(("127.0.0.1", 0), backlog=200)

    with small.net.inside(listen) as listener:
        yield listener.getsockname()[1]


def test_descriptors_of_relayed_connections_count(small, elsewhere):
    """Each is two, of a program's share too. When they are all taken the engine has some left to say so, and sleeps."""
    holder, said = holds(small, "connect", ("127.0.0.1", elsewhere), 100)
    assert said == ["32", "EMFILE"]
    second, (count, *told) = holds(small, "connect", ("127.0.0.1", elsewhere), 100, NOBODY)
    assert 5 < int(count) < 24 and told == ["ENFILE"]
    sleeps(small)
    assert ustcp("ss", net=small.net, USTCP_ENGINE=str(small.directory)).returncode == 0
    let_go(holder, second)


def test_relayed_connections_that_come_meanwhile_wait(small):
    with Innocents(small) as innocents:
        listener = innocents.ours.socket()
        listener.bind("127.0.0.1", 8080)
        listener.listen()
        taken = [holder for holder, _ in (binds(small, 64), binds(small, 64, NOBODY))]
        theirs = [innocents.theirs.socket() for _ in range(40)]
        for number, sock in enumerate(theirs):
            sock.connect("127.0.0.1", 8080)
            sock.send(b"%02d" % number)
        sleeps(small)
        let_go(*taken)
        found = set()
        for _ in theirs:
            accepted = listener.accept()
            found.add(accepted.recv())
            accepted.close()
        assert found == {b"%02d" % number for number in range(40)}


def test_without_any_descriptor_it_waits_and_serves_later(small):
    """The limit is below what it has: it cannot even turn anybody away."""
    resource.prlimit(small.process.pid, resource.RLIMIT_NOFILE, (5, 128))
    program = small.start(sys.executable, "-c", HOLDS, "bind", OURS, "0", "1", "0", stdin=subprocess.PIPE, stdout=subprocess.PIPE, text=True)
    command = subprocess.Popen(small.net.command(USTCP, "ss", "--engine", str(small.directory)), stdout=subprocess.DEVNULL)
    until(lambda: is_asked(small), lambda: "nobody has come")
    sleeps(small)
    resource.prlimit(small.process.pid, resource.RLIMIT_NOFILE, (128, 128))
    assert command.wait(20) == 0
    assert program.communicate(timeout=20)[0] == "1\n"


def is_asked(engine: Engine) -> bool:
    """Whether somebody waits to be taken in: Recv-Q of a listener."""
    listed = run(*engine.net.command("ss", "-xlH")).splitlines()
    return any(f"{engine.directory}/control " in line and int(line.split()[2]) > 0 for line in listed)
