"""What reading and writing say in each state, as one table: on the kernel, and with an unchanged program on an engine.

Where a stream of AF_UNIX cannot do as TCP does, the table has what it does instead, and why."""

from __future__ import annotations

import errno
import socket
from collections.abc import Callable
from dataclasses import dataclass, field

import pytest

import test_readiness as states
from harness.netns import OURS, PEER
from harness.packet import FIN, icmp_echo, icmp_host_unreachable
from harness.puppet import Sock, names
from test_readiness import ERR, HUP, IN, OUT, RDHUP, Edges

NOW = socket.MSG_DONTWAIT | socket.MSG_NOSIGNAL
BROKEN = IN | OUT | RDHUP | HUP | ERR
EOF = "end of file"


@dataclass(frozen=True)
class Difference:
    """What an engine's socket says instead, and why that is so."""

    says: str
    why: str


@dataclass(frozen=True)
class Row:
    """A state, its poll mask, and calls with what they say, one after the other."""

    make: Callable[[object], Sock]
    mask: int
    calls: tuple[tuple[str, str], ...]
    on_engine: dict[int, Difference] = field(default_factory=dict)

    def says(self, stage) -> list[str]:
        kernel = [says for _, says in self.calls]
        if stage.on_engine:
            for index, difference in self.on_engine.items():
                kernel[index] = difference.says
        return kernel


def reset_before_a_write(stage) -> Sock:
    return states.reset(stage)


def own_shut_rd_and_more_comes(stage) -> Sock:
    ours, theirs = stage.we_connect()
    ours.shutdown(socket.SHUT_RD)
    theirs.send(b"data")
    return ours


def data(text: str) -> str:
    return f"data {text}"


TABLE = [
    Row(states.fresh, OUT | HUP, (("recv", "ENOTCONN"), ("send", "EPIPE"), ("error", "0"))),
    Row(states.connecting, 0, (("recv", "EAGAIN"), ("send", "EAGAIN"), ("error", "0"))),
    Row(states.refused, BROKEN, (("error", "ECONNREFUSED"), ("error", "0"), ("recv", EOF), ("send", "EPIPE"))),
    Row(states.connected, OUT, (("recv", "EAGAIN"), ("send", "sent"), ("error", "0"))),
    Row(states.accepted, OUT, (("recv", "EAGAIN"), ("send", "sent"), ("error", "0"))),
    Row(states.readable, IN | OUT, (("recv", data("data")), ("recv", "EAGAIN"), ("send", "sent"))),
    Row(states.data_and_fin, IN | OUT | RDHUP, (("recv", data("data")), ("recv", EOF), ("send", "sent"))),
    Row(states.fin, IN | OUT | RDHUP, (("recv", EOF), ("recv", EOF), ("send", "sent"))),
    Row(states.own_shut_wr, OUT, (("recv", "EAGAIN"), ("send", "EPIPE"))),
    Row(states.own_shut_wr, OUT, (("urgent", "EPIPE"), ("recv", "EAGAIN"))),
    Row(states.both_fins, IN | OUT | RDHUP | HUP, (("recv", EOF), ("send", "EPIPE"), ("error", "0"))),
    Row(states.own_shut_rdwr, IN | OUT | RDHUP | HUP, (("recv", EOF), ("send", "EPIPE"), ("error", "0"))),
    Row(states.own_shut_rd, IN | OUT | RDHUP, (("recv", EOF), ("send", "sent"))),
    Row(
        own_shut_rd_and_more_comes,
        IN | OUT | RDHUP,
        (("recv", data("data")), ("recv", EOF)),
        {0: Difference(EOF, "a stream of AF_UNIX whose reading is shut takes nothing any more")},
    ),
    Row(states.reset, BROKEN, (("recv", "ECONNRESET"), ("recv", EOF), ("send", "EPIPE"), ("error", "0"))),
    Row(reset_before_a_write, BROKEN, (("send", "ECONNRESET"), ("send", "EPIPE"), ("recv", EOF))),
    Row(states.reset, BROKEN, (("error", "ECONNRESET"), ("error", "0"), ("recv", EOF), ("send", "EPIPE"))),
    Row(
        states.reset_with_unread_data,
        BROKEN,
        (("recv", data("data")), ("recv", "ECONNRESET"), ("recv", EOF), ("send", "EPIPE")),
    ),
    Row(
        states.send_buffer_full,
        0,
        (("recv", "EAGAIN"), ("send", "EAGAIN"), ("error", "0")),
        {1: Difference("EAGAIN or sent", "poll of AF_UNIX wants three quarters free, a short write less")},
    ),
    Row(states.listening, 0, (("recv", "ENOTCONN"), ("send", "EPIPE"), ("accept", "EAGAIN"))),
    Row(states.listening_with_a_connection, IN, (("accept", "accepted"), ("accept", "EAGAIN"), ("recv", "ENOTCONN"))),
]


def said(sock: Sock, call: str) -> str:
    try:
        match call:
            case "recv":
                text = sock.recv(65536, NOW)
                return data(text.decode()) if text else EOF
            case "send":
                sock.send(b"text", NOW)
                return "sent"
            case "urgent":
                sock.send(b"!", NOW | socket.MSG_OOB)
                return "sent"
            case "accept":
                sock.call("nonblock", 1)
                sock.accept()
                return "accepted"
            case "error":
                value = sock.getsockopt(socket.SOL_SOCKET, socket.SO_ERROR)
                return errno.errorcode[value] if value else "0"
    except OSError as error:
        return errno.errorcode[error.errno]
    raise AssertionError(call)


@pytest.mark.no_wire
@pytest.mark.stacks("engine", "kernel")
@pytest.mark.parametrize("row", TABLE, ids=lambda row: f"{row.make.__name__}-{row.calls[0][0]}")
def test_calls_say_the_same_in_each_state(stage, row):
    sock = row.make(stage)
    sock.wait_poll(row.mask)
    for (call, _), says in zip(row.calls, row.says(stage), strict=True):
        assert said(sock, call) in says.split(" or "), call


@pytest.mark.no_wire
@pytest.mark.stacks("engine", "kernel")
@pytest.mark.parametrize("ways", ["wr", "rd", "rdwr", "wr rd", "wr rdwr"])
def test_a_listener_that_is_shut_for_reading_is_none_and_may_be_one_again(stage, ways: str):
    sock = stage.ours.socket()
    sock.bind(OURS, 7000)
    sock.listen()
    for way in ways.split():
        sock.shutdown({"rd": socket.SHUT_RD, "wr": socket.SHUT_WR, "rdwr": socket.SHUT_RDWR}[way])
    theirs = stage.peer.socket()
    if ways == "wr":
        assert said(sock, "accept") == "EAGAIN"
        theirs.connect(OURS, 7000)
        assert sock.poll(IN, 10_000) == IN
        assert said(sock, "accept") == "accepted"
        return
    assert said(sock, "accept") == "EINVAL"
    assert sock.sockname() == (OURS, 7000)
    with pytest.raises(ConnectionRefusedError):
        theirs.connect(OURS, 7000)
    sock.listen()
    assert said(sock, "accept") == "EAGAIN"
    again = stage.peer.socket()
    again.connect(OURS, 7000)
    assert sock.poll(IN, 10_000) == IN
    assert said(sock, "accept") == "accepted"


@pytest.mark.no_wire
@pytest.mark.stacks("engine", "kernel")
def test_what_waits_at_a_listener_that_is_shut_is_reset_and_does_not_count_later(stage):
    sock = stage.ours.socket()
    sock.bind(OURS, 7000)
    for _ in range(5):
        sock.listen()
        waiting = stage.peer.socket()
        waiting.connect(OURS, 7000)
        assert sock.poll(IN, 10_000) == IN
        sock.shutdown(socket.SHUT_RD)
        waiting.wait_poll(IN | OUT | RDHUP | ERR | HUP)
    sock.listen()
    for _ in range(2):
        stage.peer.socket().connect(OURS, 7000)
        assert sock.poll(IN, 10_000) == IN
        assert said(sock, "accept") == "accepted"


@pytest.mark.no_wire
@pytest.mark.stacks("engine", "kernel")
def test_a_read_of_a_listener_takes_no_connection_away(stage):
    """An engine's listener is a stream of records with descriptors: what a program's own read takes is offered again."""
    sock = states.listening_with_a_connection(stage)
    sock.wait_poll(IN)
    if stage.stack == "shim":
        assert sock.recv(65536, NOW)
        sock.wait_poll(IN)
    else:
        assert said(sock, "recv") == "ENOTCONN"
    assert said(sock, "accept") == "accepted"


@pytest.mark.no_wire
@pytest.mark.stacks("engine", "kernel")
def test_a_peer_that_acknowledges_is_no_edge(stage):
    """While there is room. An engine's socket tells of it: to AF_UNIX every read of the engine's is news for EPOLLOUT."""
    ours, theirs = stage.we_connect()
    edges = Edges(ours)
    edges.expect(OUT)
    ours.send(b"text")
    assert theirs.recv() == b"text"
    theirs.send(b"answer")
    seen = stage.ours.call("events", edges.fd, 10_000).value
    while stage.on_engine and seen == OUT:
        seen = stage.ours.call("events", edges.fd, 10_000).value
    assert names(seen) == names(IN | OUT)


@pytest.mark.no_wire
@pytest.mark.stacks("engine", "kernel")
def test_closing_with_bytes_unread_resets_the_peer(stage):
    ours, theirs = stage.we_connect()
    theirs.send(b"unread")
    ours.wait_poll(IN | OUT)
    ours.close()
    theirs.wait_poll(BROKEN)
    assert said(theirs, "recv") == "ECONNRESET"


@pytest.mark.no_wire
@pytest.mark.stacks("engine", "kernel")
def test_closing_with_nothing_unread_is_the_end_for_the_peer(stage):
    ours, theirs = stage.we_connect()
    ours.close()
    theirs.wait_poll(IN | OUT | RDHUP)
    assert said(theirs, "recv") == EOF


@pytest.mark.stacks("ours", "kernel")
def test_what_icmp_says_of_a_connection_that_goes_on_is_for_so_error_alone(stage):
    ours, _ = stage.we_connect()
    ours.shutdown(socket.SHUT_WR)
    fin = stage.wire.wait_segment(lambda s: s.source == OURS and s.has(FIN))
    next_one = fin.with_(seq=fin.seq + 1)
    stage.wire.wait_segment(lambda s: s.source == PEER and s.ack == next_one.seq)  # an acknowledgement takes it back
    stage.wire.inject(icmp_host_unreachable(PEER, OURS, next_one.bytes()))
    stage.wire.inject(icmp_echo(PEER, OURS, 77, 1))
    stage.wire.wait(lambda p: p[9] == 1 and p[20] == 0)
    for call, says in (("send", "EPIPE"), ("error", "EHOSTUNREACH"), ("error", "0"), ("send", "EPIPE"), ("recv", "EAGAIN")):
        assert said(ours, call) == says, call
