"""What came before a reset is read, and then the reset is told, once and to whoever asks first: all as Linux does it."""

from __future__ import annotations

import errno
import os
import select
import signal
import socket

import pytest

from harness.netns import OURS, STRANGER
from harness.puppet import Sock, until
from harness.scripted import Scripted

ALL = select.POLLIN | select.POLLOUT | select.POLLERR | select.POLLHUP | 0x2000
CLOSED = 7  # TCP_INFO's number
TEN = b"0123456789"
FULL = ("window_full", "zero_window", "zero_window_probe", "zero_window_probe_ack", "keep_alive", "keep_alive_ack",
        "retransmission", "spurious_retransmission", "duplicate_ack", "out_of_order")  # fmt: skip

CALLS = {
    "read": lambda sock: sock.recv(),
    "read half": lambda sock: sock.recv(5),
    "look": lambda sock: sock.recv(5, socket.MSG_PEEK),
    "write": lambda sock: sock.send(b"x"),
    "error": lambda sock: sock.getsockopt(socket.SOL_SOCKET, socket.SO_ERROR),
}


def answers(sock: Sock, calls: str) -> list[object]:
    """What these calls say, one after the other."""
    return [answer(sock, CALLS[call]) for call in calls.split(", ")]


def answer(sock: Sock, call) -> object:
    try:
        return call(sock)
    except OSError as error:
        return errno.errorcode[error.errno]


class Stopped:
    """Our stack, which hears of nothing for a while and then of all at once. The kernel's hears at once."""

    def __init__(self, stage) -> None:
        process = stage.engine.process if stage.engine else stage.ours.process
        self.pid = None if stage.on_kernel else process.pid

    def __enter__(self) -> None:
        if self.pid:
            os.kill(self.pid, signal.SIGSTOP)

    def __exit__(self, *_: object) -> None:
        if self.pid:
            os.kill(self.pid, signal.SIGCONT)


READ = "read half, read half, read, read, write"
READ_SAYS = [b"01234", b"56789", "ECONNRESET", b"", "EPIPE"]
SCRIPTS = [
    (READ, READ_SAYS),
    ("look, read, look, read, error", [b"01234", TEN, "ECONNRESET", b"", 0]),
    ("write, write, read half, read half, read, error", ["ECONNRESET", "EPIPE", b"01234", b"56789", b"", 0]),
    ("error, read half, read half, read, write", [errno.ECONNRESET, b"01234", b"56789", b"", "EPIPE"]),
    ("read half, write, read half, write, read", [b"01234", "ECONNRESET", b"56789", "EPIPE", b""]),
]


@pytest.mark.parametrize(("calls", "says"), SCRIPTS, ids=[calls for calls, _ in SCRIPTS])
def test_what_came_before_a_reset_is_read(stage, calls: str, says: list):
    ours, far = stage.we_connect_by_script()
    with Stopped(stage):
        far.send(".", TEN)
        far.send("R")
    ours.wait_poll(ALL)
    assert answers(ours, calls) == says


def test_what_came_before_a_reset_is_read_where_nobody_had_accepted(stage):
    listener = stage.ours.socket()
    listener.bind(OURS, 80)
    listener.listen()
    far = Scripted(stage.wire, 7100, 80)
    far.send("S")
    far.receive("S.")
    with Stopped(stage):
        far.send(".")
        far.send(".", TEN)
        far.send("R")
    listener.wait_poll(select.POLLIN)
    ours = listener.accept()
    ours.wait_poll(ALL)
    assert answers(ours, READ) == READ_SAYS


def test_what_came_before_a_reset_is_read_by_one_who_had_not_heard_of_the_connection(stage):
    far = Scripted(stage.wire, 7100)
    ours = stage.ours.socket()
    ours.call("nonblock", 1)
    with pytest.raises(BlockingIOError):
        ours.connect(STRANGER, 7100)
    far.receive("S")
    with Stopped(stage):
        far.send("S.")
        far.send(".", TEN)
        far.send("R")
    ours.wait_poll(ALL)
    assert answers(ours, READ) == READ_SAYS


def test_a_writer_that_has_said_its_last_reads_what_came_before_a_reset(stage):
    ours, far = stage.we_connect_by_script()
    ours.shutdown()
    far.receive("F.")
    with Stopped(stage):
        far.send(".", TEN)
        far.send("R")
    ours.wait_poll(ALL)
    assert answers(ours, READ) == READ_SAYS


@pytest.mark.parametrize(("calls", "says"), [
    ("read half, read half, read, read, write", [b"01234", b"56789", b"", b"", "EPIPE"]),
    ("read, read, error, error", [TEN, b"", errno.EPIPE, 0]),
    ("error, read, read", [errno.EPIPE, TEN, b""]),
    ("write, read, read, error", ["EPIPE", TEN, b"", 0]),
])  # fmt: skip
@pytest.mark.parametrize("seen", ["the end unseen", "the end seen"])
def test_a_stream_that_is_whole_ends_although_a_reset_follows(stage, calls: str, says: list, seen: str):
    ours, far = stage.we_connect_by_script()
    if seen == "the end seen":
        far.send("F.", TEN)
        ours.wait_poll(select.POLLIN | select.POLLOUT | 0x2000)
        far.send("R")
    else:
        with Stopped(stage):
            far.send("F.", TEN)
            far.send("R")
    ours.wait_poll(ALL)
    assert answers(ours, calls) == says


@pytest.mark.flags(*FULL)
@pytest.mark.parametrize("first", ["read", "write", "error"])
def test_all_that_was_acknowledged_before_a_reset_is_read(stage, first: str):
    """More than a descriptor of AF_UNIX holds."""
    listener = stage.peer.socket()
    listener.bind(stage.peer_host, 7000)
    listener.listen()
    ours = stage.ours.socket()
    ours.setsockopt(socket.SOL_SOCKET, socket.SO_RCVBUF, 300_000)
    ours.connect(stage.peer_host, 7000)
    theirs = listener.accept()
    talk = stage.conversation(ours)
    theirs.setsockopt(socket.SOL_SOCKET, socket.SO_SNDBUF, 2_000_000)
    theirs.call("pour", 1_500_000, 1)
    until(lambda: last_of_ours(talk).window == 0, lambda: "the window stays open")
    count = last_of_ours(talk).ack - talk.base(False) - 1
    theirs.call("linger", 0)
    theirs.close()
    if first != "read":
        until(lambda: ours.call("state").value == CLOSED, lambda: "no end")
        ours.call("state")  # an engine has done by now what follows from the end
        twice = {"write": ["ECONNRESET", "EPIPE"], "error": [errno.ECONNRESET, 0]}[first]
        assert answers(ours, f"{first}, {first}") == twice
    assert sum(len(ours.recv(min(left, 65536), socket.MSG_WAITALL)) for left in range(count, 0, -65536)) == count
    assert answers(ours, "read, read") == ["ECONNRESET" if first == "read" else b"", b""]


def last_of_ours(talk):
    return [segment for segment in talk.segments() if segment.source == OURS][-1]
