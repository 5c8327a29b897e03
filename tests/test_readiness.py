"""What poll, select and epoll say of a socket, as one table, the same for the kernel's sockets and for ours."""

from __future__ import annotations

import select
from collections.abc import Callable
from dataclasses import dataclass

import pytest

from harness.netns import OURS, PEER, STRANGER
from harness.puppet import Sock, names, until

IN, OUT, ERR, HUP, RDHUP = select.POLLIN, select.POLLOUT, select.POLLERR, select.POLLHUP, 0x2000
EDGE = 1 << 31
WATCHED = IN | OUT | RDHUP
READABLE, WRITABLE = 1, 2


def fresh(stage) -> Sock:
    return stage.ours.socket()


def connecting(stage) -> Sock:
    sock = stage.ours.socket()
    sock.call("nonblock", 1)
    with pytest.raises(BlockingIOError):
        sock.connect(STRANGER, 80)
    return sock


def refused(stage) -> Sock:
    sock = stage.ours.socket()
    sock.call("nonblock", 1)
    with pytest.raises(BlockingIOError):
        sock.connect(PEER, 9)
    return sock


def connected(stage) -> Sock:
    return stage.we_connect()[0]


def accepted(stage) -> Sock:
    return stage.we_accept()[0]


def readable(stage) -> Sock:
    ours, theirs = stage.we_connect()
    theirs.send(b"data")
    return ours


def data_and_fin(stage) -> Sock:
    ours, theirs = stage.we_connect()
    theirs.send(b"data")
    theirs.shutdown()
    return ours


def fin(stage) -> Sock:
    ours, theirs = stage.we_connect()
    theirs.shutdown()
    return ours


def own_shut_wr(stage) -> Sock:
    ours, _ = stage.we_connect()
    ours.shutdown()
    return ours


def both_fins(stage) -> Sock:
    ours, theirs = stage.we_connect()
    theirs.shutdown()
    ours.shutdown()
    return ours


def own_shut_rdwr(stage) -> Sock:
    ours, _ = stage.we_connect()
    ours.shutdown(2)
    return ours


def own_shut_rd(stage) -> Sock:
    ours, _ = stage.we_connect()
    ours.shutdown(0)
    return ours


def reset(stage) -> Sock:
    ours, theirs = stage.we_connect()
    theirs.call("linger", 0)
    theirs.close()
    return ours


def reset_with_unread_data(stage) -> Sock:
    ours, theirs = stage.we_connect()
    theirs.send(b"data")
    ours.wait_poll(IN | OUT)
    theirs.call("linger", 0)
    theirs.close()
    return ours


def reset_and_error_fetched(stage) -> Sock:
    ours = reset(stage)
    ours.wait_poll(IN | OUT | RDHUP | HUP | ERR)
    with pytest.raises(ConnectionResetError):
        ours.recv()
    return ours


def send_buffer_full(stage) -> Sock:
    ours, _ = stage.we_connect()
    ours.call("nonblock", 1)
    with pytest.raises(BlockingIOError):
        ours.call("pour", 1 << 30, 1)
    # What the peer's buffer still takes may open ours again: fill until nothing moves.
    until(lambda: full(ours), lambda: "the buffers never fill")
    return ours


def full(sock: Sock) -> bool:
    if sock.poll(milliseconds=200) & OUT == 0:
        return True
    with pytest.raises(BlockingIOError):
        sock.call("pour", 1 << 30, 1)
    return False


def listening(stage) -> Sock:
    sock = stage.ours.socket()
    sock.bind(OURS, 7000)
    sock.listen()
    return sock


def listening_with_a_connection(stage) -> Sock:
    sock = listening(stage)
    stage.peer.socket().connect(OURS, 7000)
    return sock


def listening_after_accept(stage) -> Sock:
    sock = listening_with_a_connection(stage)
    sock.accept()
    return sock


@dataclass(frozen=True)
class Row:
    """How a state is made, its poll mask and what select says; and our mask where it cannot be the kernel's: the
    descriptor under our sockets never shows HUP without IN."""

    make: Callable[[object], Sock]
    mask: int
    select: int
    ours: int | None = None

    def mask_on(self, stage) -> int:
        return self.mask if stage.on_kernel or stage.on_engine or self.ours is None else self.ours


TABLE = [
    Row(fresh, OUT | HUP, READABLE | WRITABLE, ours=OUT),
    Row(connecting, 0, 0),
    Row(refused, IN | OUT | RDHUP | HUP | ERR, READABLE | WRITABLE),
    Row(connected, OUT, WRITABLE),
    Row(accepted, OUT, WRITABLE),
    Row(readable, IN | OUT, READABLE | WRITABLE),
    Row(data_and_fin, IN | OUT | RDHUP, READABLE | WRITABLE),
    Row(fin, IN | OUT | RDHUP, READABLE | WRITABLE),
    Row(own_shut_wr, OUT, WRITABLE),
    Row(both_fins, IN | OUT | RDHUP | HUP, READABLE | WRITABLE),
    Row(own_shut_rdwr, IN | OUT | RDHUP | HUP, READABLE | WRITABLE),
    Row(own_shut_rd, IN | OUT | RDHUP, READABLE | WRITABLE),
    Row(reset, IN | OUT | RDHUP | HUP | ERR, READABLE | WRITABLE),
    Row(reset_with_unread_data, IN | OUT | RDHUP | HUP | ERR, READABLE | WRITABLE),
    Row(reset_and_error_fetched, IN | OUT | RDHUP | HUP, READABLE | WRITABLE),
    Row(send_buffer_full, 0, 0),
    Row(listening, 0, 0),
    Row(listening_with_a_connection, IN, READABLE),
    Row(listening_after_accept, 0, 0),
]


@pytest.mark.no_wire
@pytest.mark.parametrize("row", TABLE, ids=lambda row: row.make.__name__)
def test_poll_select_and_epoll_tell_the_truth(stage, row):
    """api-2: level."""
    sock = row.make(stage)
    mask = row.mask_on(stage)
    sock.wait_poll(mask)
    assert sock.call("select").value == (row.select if mask == row.mask else WRITABLE)
    level = sock.call("watch", WATCHED).value
    assert names(stage.ours.call("events", level, 0).value) == names(mask)
    assert names(stage.ours.call("events", level, 0).value) == names(mask), "level: it stays"
    edge = sock.call("watch", WATCHED | EDGE).value
    assert names(stage.ours.call("events", edge, 0).value) == names(mask)
    # Once for each thing that happens, and what the state tells may come in more than one: our FIN is acknowledged later.
    until(lambda: stage.ours.call("events", edge, 0).value == 0, lambda: "edge: told again and again")
    if stage.stack in ("c", "c-engine"):
        assert names(sock.call("upoll", IN | OUT | RDHUP, 0).value) == names(row.mask), "ustcp_poll tells it all"


class Edges:
    """An epoll with EPOLLET on one socket."""

    def __init__(self, sock: Sock) -> None:
        self.sock = sock
        self.fd = sock.call("watch", WATCHED | EDGE).value

    def expect(self, mask: int) -> None:
        seen = self.sock.puppet.call("events", self.fd, 10_000).value
        assert names(seen) == names(mask)

    def expect_in_steps(self, mask: int) -> None:
        """A mirror is steered by more than one system call, and a fast reader sees an edge of each; never what is not so."""
        seen = self.sock.puppet.call("events", self.fd, 10_000).value
        while seen != mask and seen and seen & ~mask == 0:
            seen = self.sock.puppet.call("events", self.fd, 10_000).value
        assert names(seen) == names(mask)

    def none(self) -> None:
        assert self.sock.puppet.call("events", self.fd, 0).value == 0


@pytest.mark.no_wire
def test_every_arrival_is_an_edge(stage):
    """api-2: edge."""
    ours, theirs = stage.we_connect()
    edges = Edges(ours)
    edges.expect(OUT)
    edges.none()
    theirs.send(b"one")
    edges.expect(IN | OUT)
    theirs.send(b"two, while the first is unread")
    edges.expect(IN | OUT)
    edges.none()
    assert ours.recv().startswith(b"one")
    theirs.send(b"three, after all was read")
    edges.expect(IN | OUT)


@pytest.mark.no_wire
def test_a_fin_and_a_reset_are_edges(stage):
    ours, theirs = stage.we_connect()
    edges = Edges(ours)
    edges.expect(OUT)
    theirs.shutdown()
    edges.expect(IN | OUT | RDHUP)
    edges.none()
    theirs.call("linger", 0)
    theirs.close()
    edges.expect_in_steps(IN | OUT | RDHUP | HUP | ERR)


@pytest.mark.no_wire
def test_completing_a_connect_is_an_edge(stage):
    listener = stage.peer.socket()
    listener.bind(PEER, 7000)
    listener.listen()
    ours = stage.ours.socket()
    ours.call("nonblock", 1)
    edges = Edges(ours)
    edges.expect(OUT | HUP if stage.on_kernel or stage.on_engine else OUT)
    with pytest.raises(BlockingIOError):
        ours.connect(PEER, 7000)
    edges.expect(OUT)


@pytest.mark.no_wire
def test_room_in_the_send_buffer_is_an_edge(stage):
    listener = stage.peer.socket()
    listener.bind(PEER, 7000)
    listener.listen()
    ours = stage.ours.socket()
    ours.connect(PEER, 7000)
    theirs = listener.accept()
    ours.call("nonblock", 1)
    with pytest.raises(BlockingIOError):
        ours.call("pour", 1 << 30, 1)
    until(lambda: full(ours), lambda: "the buffers never fill")
    edges = Edges(ours)
    edges.none()
    draining = theirs.start("drain")
    edges.expect(OUT)
    ours.close()
    assert draining.result().value > 0


@pytest.mark.no_wire
def test_each_pending_connection_is_an_edge(stage):
    listener = listening(stage)
    edges = Edges(listener)
    edges.none()
    for _ in range(2):
        stage.peer.socket().connect(OURS, 7000)
        edges.expect(IN)
    edges.none()


def test_connecting_ends_in_writable_without_a_call_of_ours(stage):
    """Native epoll alone drives the handshake: nobody is inside the library."""
    ours, far = stage.we_connect_by_script()
    level = ours.call("watch", IN).value
    waiting = stage.ours.start("events", level, 10_000)
    far.send(".", b"wake")
    assert names(waiting.result().value) == names(IN)
