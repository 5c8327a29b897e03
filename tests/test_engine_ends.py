"""How an engine ends before its programs do: what they hear, what their peers hear, what is said."""

from __future__ import annotations

import errno
import os
import signal
import socket
import subprocess
import sys
from pathlib import Path

import pytest

from conftest import COMMANDS
from harness.command import Host, Teller, ustcp, wait_until
from harness.netns import OURS, PEER, Namespace
from harness.puppet import Puppet
from harness.shim import Engine

# What the Teller says, and the end.
READS_ON = f"""
import socket
s = socket.create_connection(("{PEER}", 80))
print(s.recv(100).decode(), end="", flush=True)
s.recv(1)
"""


@pytest.mark.stacks("engine")
def test_down_now_is_fin_to_the_peer_and_a_reset_to_the_program(stage):
    """As at the end of a process what was written is sent; a program that lives must not take it for the peer's end."""
    ours, theirs = stage.we_connect()
    listener = stage.ours.socket()
    listener.bind(stage.our_host, 7001)
    listener.listen()
    talk = stage.conversation(ours)
    ours.send(b"last words")
    assert stage.engine.close() == []
    assert theirs.recv() == b"last words"
    assert theirs.recv() == b""
    assert len(talk.fins(ours=True)) == 1
    assert not any("R" in line.split()[1] for line in talk.lines() if line.startswith(">"))
    with pytest.raises(OSError) as error:
        ours.recv()
    assert error.value.errno == errno.ECONNRESET
    for _ in range(3):
        with pytest.raises(OSError) as error:
            listener.accept()
        assert error.value.errno == errno.ENETDOWN


@pytest.mark.stacks("engine")
def test_a_listener_that_was_shut_down_is_none_when_the_engine_has_ended(stage):
    listener = stage.ours.socket()
    listener.bind(stage.our_host, 7001)
    listener.listen()
    listener.shutdown(socket.SHUT_RD)
    assert stage.engine.close() == []
    with pytest.raises(OSError) as error:
        listener.accept()
    assert error.value.errno == errno.EINVAL


# A server with a loop of its own: poll shows its listener for ever, once the engine has ended.
LOOPS = f"""
import errno, resource, select, socket, sys
listeners = [socket.create_server(("{OURS}", port)) for port in (80, 81)]
epoll = select.epoll()
for listener in listeners:
    listener.setblocking(False)
    epoll.register(listener, select.EPOLLIN)
print("up", flush=True)
sys.stdin.readline()
told = []
for turn in range(4):
    assert len(epoll.poll()) == 2
    for listener in listeners:
        before = resource.getrusage(resource.RUSAGE_THREAD).ru_nvcsw
        try:
            listener.accept()
        except OSError as error:
            told.append(error.errno == errno.ENETDOWN)
        assert turn == 0 or resource.getrusage(resource.RUSAGE_THREAD).ru_nvcsw > before, "it did not sleep"
print(told.count(True), len(told))
"""


def test_a_server_that_loops_sleeps_and_is_told_once_that_the_engine_has_ended(engine):
    command = (sys.executable, "-c", LOOPS)
    pipes = {"stdin": subprocess.PIPE, "stdout": subprocess.PIPE, "stderr": subprocess.PIPE}
    with engine.start(*command, text=True, **pipes) as server:
        assert server.stdout.readline() == "up\n"
        engine.kill()
        assert server.communicate("\n", timeout=30) == (
            "8 8\n",
            f"ustcp: the engine {engine.directory} has ended: listeners of this program on it take no connection any more\n",
        )
        assert server.returncode == 0


@pytest.mark.stacks("engine")
def test_the_end_by_a_signal_is_the_same(stage):
    ours, theirs = stage.we_accept()
    talk = stage.conversation(ours)
    stage.engine.process.send_signal(signal.SIGTERM)
    assert theirs.recv() == b""
    assert stage.engine.close() == []
    assert len(talk.fins(ours=True)) == 1
    with pytest.raises(OSError) as error:
        ours.recv()
    assert error.value.errno == errno.ECONNRESET


def test_without_its_device_an_engine_ends_and_says_why(engine):
    ours, theirs = Puppet(COMMANDS["shim"], engine.net, **engine.environment), Puppet(COMMANDS["kernel"], engine.net)
    listener = theirs.socket()
    listener.bind(PEER, 7000)
    listener.listen()
    sock, connecting, accepting = ours.socket(), ours.socket(), ours.socket()
    sock.connect(PEER, 7000)
    accepting.bind(OURS, 80)
    accepting.listen()
    pouring = sock.start("pour", 1 << 30, 1)
    waiting = [connecting.start("connect", "10.77.0.3", 80), accepting.start("accept")]
    peer = listener.accept()
    assert peer.recv()
    engine.net.ip("link", "delete", "ustcp0")
    for pending in waiting:
        with pytest.raises(OSError) as error:
            pending.result(10)
        assert error.value.errno == errno.ENETDOWN, pending.what
    with pytest.raises((ConnectionResetError, BrokenPipeError)):  # in a send, or between two
        pouring.result(10)
    _, said = engine.process.communicate(timeout=10)
    assert engine.process.returncode == 1
    assert said.splitlines()[-1] == "ustcp: the engine: its device is gone"
    fresh = ours.socket()
    with pytest.raises(OSError) as error:
        fresh.connect(PEER, 7000)
    assert error.value.errno == errno.ENETDOWN
    assert [puppet.close() for puppet in (ours, theirs)] == [0, 0]


@pytest.fixture
def host(network: None, tmp_path: Path):
    with Host.alone("ends", tmp_path) as host:
        yield host


@pytest.mark.parametrize("how", ["killed", "without its device"])
def test_run_says_that_the_engine_ended_first(host: Host, how: str):
    command = ("run", "--explain", "--", sys.executable, "-c", READS_ON)
    with Teller(host.net, "0.0.0.0") as teller, host.popen(*command) as run:
        assert OURS in run.stdout.readline()
        if how == "killed":
            pid = int((host.directory / "engine/engine").read_text().split()[4])
            subprocess.run(["kill", "-KILL", str(pid)], check=True)
        else:
            host.net.ip("link", "delete", "ustcp0")
        said = run.stderr.read()
        assert run.wait(30) == 125
        teller.let_go()
    assert "ConnectionResetError" in said
    assert said.splitlines()[-1].startswith("ustcp: the engine ended before the program"), said


@pytest.mark.parametrize("options", [[], ["--nat"]], ids=["alone", "with its guard"])
def test_the_log_of_one_in_the_background_says_why_it_ended(host: Host, options: list[str]):
    host.up(*options)
    host.net.ip("link", "delete", "ustcp0")
    host.wait_for_end()
    wait_until(lambda: (host.directory / "engine/log").read_text() == "ustcp: the engine: its device is gone\n")


@pytest.mark.parametrize("options", [[], ["--nat"]], ids=["alone", "with its guard"])
def test_without_its_device_the_command_fails(host: Host, options: list[str]):
    with host.popen("up", *options) as up:
        assert up.stderr.readline().endswith("is up; Ctrl-C ends it\n")
        host.net.ip("link", "delete", "ustcp0")
        assert up.stderr.read() == "ustcp: the engine: its device is gone\n"
    assert up.returncode == 1


def test_of_one_that_stands_still_it_is_said_that_it_does_not_answer(host: Host):
    host.up()
    engine = int((host.directory / "engine/engine").read_text().split()[4])
    os.kill(engine, signal.SIGSTOP)
    commands = [host.popen(*words) for words in (["ss"], ["up"], ["run", "--", "true"], ["down"])]
    for command in commands:
        assert command.communicate(timeout=60)[1] == f"ustcp: the engine {host.directory}/engine: it does not answer\n"
    assert [command.returncode for command in commands] == [1, 1, 125, 1]
    os.kill(engine, signal.SIGCONT)
    host.wait_for_end()  # it has read what it was told


# Its number among the system calls.
RECVFROM = {"x86_64": "45", "aarch64": "207"}[os.uname().machine]


@pytest.mark.parametrize("words", [["ss"], ["run", "--", "true"], ["run", "--explain", "--", "true"], ["down"]], ids=" ".join)
def test_a_command_that_is_stopped_while_it_waits_goes_on(host: Host, words: list[str]):
    """Linux ends a wait that has a limit with EINTR where its process is stopped and goes on, though no handler has run."""
    host.up()
    engine = int((host.directory / "engine/engine").read_text().split()[4])
    os.kill(engine, signal.SIGSTOP)
    with host.popen(*words) as command:
        place = Path(f"/proc/{command.pid}")
        try:
            wait_until(lambda: place.joinpath("syscall").read_text().split()[0] == RECVFROM)
            command.send_signal(signal.SIGSTOP)
            wait_until(lambda: "State:\tT" in place.joinpath("status").read_text())
            command.send_signal(signal.SIGCONT)
            wait_until(lambda: "State:\tT" not in place.joinpath("status").read_text())
        finally:
            for stopped in (command.pid, engine):
                os.kill(stopped, signal.SIGCONT)
        said = command.communicate(timeout=60)[1]
    assert command.returncode == 0, said


def test_down_waits_for_the_engine_and_not_for_whoever_has_its_number_here(network: None, tmp_path: Path):
    """In its own process namespace the engine is process 1, which outside never ends."""
    net = Namespace("numbers")
    net.create()
    try:
        engine = Engine(net, tmp_path / "engine", within=("unshare", "--pid", "--fork"))
        assert (engine.directory / "engine").read_text().split()[4] == "1"
        done = ustcp("down", "--now", net=net, timeout=30, USTCP_ENGINE=str(engine.directory))
        assert (done.returncode, done.stderr) == (0, "")
        assert engine.process.wait(30) == 0
    finally:
        net.remove()


# Where its connection went, or the error.
ASKS = f"""
import errno, socket
try:
    print(socket.create_connection(("{PEER}", 80), 10).getsockname()[0])
except OSError as error:
    print(errno.errorcode[error.errno])
"""


def asks(engine: Engine, *variables: str) -> str:
    done = engine.run(*variables, sys.executable, "-c", ASKS)
    assert done.stderr == ""
    return done.stdout.strip()


def test_a_token_of_one_that_has_ended_is_not_believed(network: None, tmp_path: Path):
    """The engine that is there now is looked for; where there is none the program does not go by the kernel unasked."""
    net = Namespace("stale")
    net.create()
    try:
        engine = Engine(net, tmp_path / "engine")
        _, _, name, token, _ = (engine.directory / "engine").read_text().split()
        stale = (f"USTCP_TOKEN={name}:{token}:{os.geteuid()}", "USTCP_RUN=1")
        with Teller(net, "0.0.0.0"):
            assert asks(engine, *stale) == OURS
            engine.kill()
            assert asks(engine, *stale) == "ENETDOWN"
            engine = Engine(net, tmp_path / "engine")
            assert asks(engine, *stale) == OURS
        assert engine.close() == []
    finally:
        net.remove()



def test_what_one_has_said_before_it_died_is_kept(host: Host):
    """Its log may tell why. The next engine adds to that, and shows its user only what it has to say itself."""
    log = host.directory / "engine/log"
    host.directory.joinpath("engine").mkdir(0o700)
    log.write_text("thread 'engine' panicked\n")
    done = host.run("--", "true")
    assert (done.returncode, done.stderr) == (0, "")
    host.wait_for_end()
    assert log.read_text() == "thread 'engine' panicked\n"
    long = "x" * (256 << 10) + "\n"
    log.write_text(long)
    assert host.run("--", "true").returncode == 0
    host.wait_for_end()
    assert (log.with_name("log.old").read_text(), log.exists()) == (long, False)
