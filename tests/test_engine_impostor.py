"""Who takes an engine's name after its end hears nothing of its programs, unless it is of the engine's own user."""

from __future__ import annotations

import errno
import os
import subprocess
import sys
from collections.abc import Iterator
from contextlib import contextmanager

import pytest

from conftest import COMMANDS
from harness import impostor
from harness.command import USTCP, ustcp
from harness.netns import PEER
from harness.puppet import Puppet
from harness.shim import Engine

NOBODY = 65534

CONNECTS = f"""
import errno, os, socket, sys
"".encode("idna")  # its module may be out of reach afterwards
if len(sys.argv) > 1:
    os.setresuid(*[int(sys.argv[1])] * 3)
try:
    socket.create_connection(("{PEER}", 80), 10)
except OSError as error:
    print(errno.errorcode[error.errno])
"""


@contextmanager
def taken(engine: Engine, user: int, *how: str) -> Iterator[list[int]]:
    """The engine is dead, and `user` has its names. Afterwards: how many came, how many bytes they said."""
    name = (engine.directory / "engine").read_text().split()[2]
    engine.kill()
    pipe = subprocess.PIPE
    command = engine.net.command(sys.executable, impostor.__file__, str(user), name, *how)
    counts: list[int] = []
    with subprocess.Popen(command, stdin=pipe, stdout=pipe, text=True) as process:
        assert process.stdout.readline() == "ready\n"
        yield counts
        counts += map(int, process.communicate(timeout=20)[0].split())


def test_a_program_that_runs_tells_nothing_to_another_user(engine):
    ours = Puppet(COMMANDS["shim"], engine.net, **engine.environment)
    sock = ours.socket()
    with taken(engine, NOBODY) as counts:
        with pytest.raises(OSError) as error:
            sock.connect(PEER, 80)
        assert error.value.errno == errno.ENETDOWN
        with pytest.raises(OSError):
            sock.send(b"text")
    assert counts[0] >= 1 and counts[1] == 0
    assert ours.close() == 0


def test_nor_does_the_command(engine):
    with taken(engine, NOBODY) as counts:
        for words in (("ss",), ("down",)):
            done = ustcp(*words, net=engine.net, USTCP_ENGINE=str(engine.directory))
            assert (done.returncode, done.stderr) == (1, f"ustcp: no engine runs in {engine.directory}\n")
    assert counts == [2, 0]


@pytest.mark.parametrize("privileges", ["kept", "dropped"])
def test_nor_one_that_has_the_token(engine, privileges: str):
    """One that has dropped its privileges least of all: the engine is not of its user, and the impostor is."""
    _, _, name, token, _ = (engine.directory / "engine").read_text().split()
    environment = {"USTCP_TOKEN": f"{name}:{token}:{os.geteuid()}", "USTCP_RUN": "1"}
    words = [f"{key}={value}" for key, value in environment.items()]
    user = [str(NOBODY)] if privileges == "dropped" else []
    with taken(engine, NOBODY) as counts:
        done = engine.run(*words, sys.executable, "-c", CONNECTS, *user)
        assert (done.stdout, done.stderr) == ("ENETDOWN\n", "")
    assert counts[0] >= 1 and counts[1] == 0


@pytest.mark.parametrize("knows", ["its file", "the token"])
def test_nor_one_to_whom_the_impostor_and_the_engine_are_both_nobody(engine, knows: str):
    """In a user namespace without a map every user shows as the same."""
    _, _, name, token, _ = (engine.directory / "engine").read_text().split()
    words = [f"USTCP_TOKEN={name}:{token}:{NOBODY}", "USTCP_RUN=1"] if knows == "the token" else []
    words += [f"{key}={value}" for key, value in engine.environment.items()]
    command = ["unshare", "--user", "env", *words, sys.executable, "-c", CONNECTS]
    with taken(engine, NOBODY) as counts:
        done = subprocess.run(engine.net.command(*command), capture_output=True, text=True, timeout=60, check=False)
        assert done.stdout == ("ENETDOWN\n" if knows == "the token" else "ENETUNREACH\n")
    assert counts[0] >= 1 and counts[1] == 0


def test_a_program_of_user_nobody_that_may_have_no_more_descriptors_is_told_so(engine):
    """Whether that number is of one user alone is in a file, which it cannot open."""
    _, _, name, token, _ = (engine.directory / "engine").read_text().split()
    script = f"""
import errno, os, resource, socket
"".encode("idna")  # its module may be out of reach afterwards
os.setresuid(*[{NOBODY}] * 3)
sock = socket.socket()
resource.setrlimit(resource.RLIMIT_NOFILE, (sock.fileno() + 1,) * 2)
for call in (socket.socket, lambda: sock.connect(("{PEER}", 80)), lambda: sock.bind(("{PEER}", 80))):
    try:
        call()
    except OSError as error:
        print(errno.errorcode[error.errno])
"""
    with taken(engine, NOBODY):
        done = engine.run(f"USTCP_TOKEN={name}:{token}:{NOBODY}", "USTCP_RUN=1", sys.executable, "-c", script)
        assert (done.stdout.split(), done.stderr) == (["EMFILE"] * 3, "")


def test_one_whose_queue_is_full_holds_nobody_up(engine):
    ours = Puppet(COMMANDS["shim"], engine.net, **engine.environment)
    waits, never_waits = ours.socket(), ours.socket()
    never_waits.call("nonblock", 1)
    with taken(engine, NOBODY, "full"):
        command = subprocess.Popen(
            engine.net.command(USTCP, "ss", "--engine", str(engine.directory)), stderr=subprocess.PIPE, text=True
        )
        for attempt in [sock.start("connect", PEER, 80) for sock in (waits, never_waits)]:
            with pytest.raises(OSError) as error:
                attempt.result()
            assert error.value.errno == errno.ENETDOWN
        assert command.communicate(timeout=30)[1] == f"ustcp: no engine runs in {engine.directory}\n"
        assert command.returncode == 1
    assert ours.close() == 0


def test_nor_one_that_is_sent_signals(engine):
    """Each of them ends the wait for room in the queue, and none begins it anew."""
    script = f"""
import errno, signal, socket
"".encode("idna")
signal.signal(signal.SIGALRM, lambda *_: None)
signal.setitimer(signal.ITIMER_REAL, 0.5, 0.5)
print(errno.errorcode[socket.socket().connect_ex(("{PEER}", 80))])
"""
    _, _, name, token, _ = (engine.directory / "engine").read_text().split()
    words = [f"USTCP_TOKEN={name}:{token}:{os.geteuid()}", "USTCP_RUN=1"]
    with taken(engine, NOBODY, "full"):
        assert engine.run(*words, sys.executable, "-c", script, timeout=40).stdout == "ENETDOWN\n"


def test_one_of_the_engines_own_user_is_believed(engine):
    ours = Puppet(COMMANDS["shim"], engine.net, **engine.environment)
    sock = ours.socket()
    with taken(engine, os.geteuid()) as counts, pytest.raises(OSError):
        sock.connect(PEER, 80)
    assert counts[1] > 0
    assert ours.close() == 0
