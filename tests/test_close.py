"""The close in every order, packet by packet, against RFC 9293 §3.6."""

from __future__ import annotations

import errno
import select
import socket

import pytest

from harness.netns import OURS, PEER
from harness.packet import RST
from harness.puppet import until

ALL = select.POLLIN | select.POLLOUT | select.POLLERR | select.POLLHUP | 0x2000
# On a busy machine a side may wait long enough for its tail loss probe.
BUSY = ("retransmission", "spurious_retransmission", "duplicate_ack", "out_of_order")
# Where the peer does not read.
FULL = ("window_full", "zero_window", "zero_window_probe", "zero_window_probe_ack", "keep_alive", "keep_alive_ack",
        "retransmission")  # fmt: skip
FIN_WAIT2, CLOSE_WAIT = 5, 8  # TCP_INFO's numbers


def opened(stage, role="we connect"):
    """A connection whose handshake has been read."""
    ours, theirs = stage.pair(role)
    talk = stage.conversation(ours)
    talk.wait_line("> . 1:1(0) ack 1" if role == "we connect" else "< . 1:1(0) ack 1")
    talk.skip()
    return ours, theirs, talk


def test_we_close_first(stage, role):
    ours, theirs, talk = opened(stage, role)
    port = talk.port
    ours.close()
    talk.expect("> F. 1:1(0) ack 1", "< . 1:1(0) ack 2")
    assert theirs.recv() == b""
    theirs.close()
    talk.expect("< F. 1:1(0) ack 2", "> . 2:2(0) ack 2")
    if not stage.on_kernel:
        walk = ["Established", "FinWait1", "FinWait2", "TimeWait"]
        until(
            lambda: stage.transitions(port)[-3:] == list(zip(walk, walk[1:])),
            lambda: f"states {stage.transitions(port)}",
        )


def test_the_peer_closes_first(stage, role):
    ours, theirs, talk = opened(stage, role)
    port = talk.port
    theirs.close()
    talk.expect("< F. 1:1(0) ack 1", "> . 1:1(0) ack 2")
    assert ours.recv() == b""
    assert ours.call("state").value == CLOSE_WAIT
    ours.close()
    talk.expect("> F. 1:1(0) ack 2", "< . 2:2(0) ack 2")
    if not stage.on_kernel:
        walk = ["Established", "CloseWait", "LastAck", "Closed"]
        until(
            lambda: stage.transitions(port)[-3:] == list(zip(walk, walk[1:])),
            lambda: f"states {stage.transitions(port)}",
        )


def test_both_close_at_once(stage):
    ours, far = stage.we_connect_by_script()
    port = far.their_port
    ours.close()
    ours_fin = far.receive("F.")
    # Their FIN crosses ours: it acknowledges nothing of it. CLOSING.
    far.send("F.", ack=ours_fin.seq)
    crossed = far.receive(".")
    assert (crossed.seq, crossed.ack) == (ours_fin.seq + 1, far.snd_nxt)
    far.send(".")
    if not stage.on_kernel:
        walk = ["Established", "FinWait1", "Closing", "TimeWait"]
        until(
            lambda: stage.transitions(port)[-3:] == list(zip(walk, walk[1:])),
            lambda: f"states {stage.transitions(port)}",
        )


def test_both_programs_close_at_once(stage, role):
    ours, theirs, talk = opened(stage, role)
    closing = [ours.start("close"), theirs.start("close")]
    for call in closing:
        call.result()
    # Whichever came first, or if they crossed: each FIN once, each acknowledged, and no reset.
    until(
        lambda: any(s.ack == talk.base(False) + 2 for s in talk.segments() if s.source == OURS)
        and any(s.ack == talk.base(True) + 2 for s in talk.segments() if s.source == PEER),
        lambda: "\n".join(talk.lines()),
    )
    assert not any(s.has(RST) for s in talk.segments())


@pytest.mark.flags(*BUSY)
def test_our_half_close_leaves_the_other_direction_open(stage, role):
    ours, theirs, talk = opened(stage, role)
    ours.shutdown()
    talk.expect("> F. 1:1(0) ack 1", "< . 1:1(0) ack 2")
    assert theirs.recv() == b""
    # The wire shows the acknowledgement before our stack has read it.
    until(lambda: ours.call("state").value == FIN_WAIT2, lambda: f"state {ours.call('state').value}")
    poured = theirs.start("pour", 10 << 20, 3)
    drained = ours.call("drain", 10 << 20)
    assert poured.result() == drained
    theirs.close()
    assert ours.recv() == b""
    ours.close()
    talk.wait_line(f"< F. {1 + (10 << 20)}:{1 + (10 << 20)}(0) ack 2")
    talk.wait_line(f"> . 2:2(0) ack {2 + (10 << 20)}")


@pytest.mark.flags(*BUSY)
def test_the_peers_half_close_leaves_our_direction_open(stage, role):
    ours, theirs, talk = opened(stage, role)
    theirs.shutdown()
    talk.expect("< F. 1:1(0) ack 1")
    assert ours.recv() == b""
    assert ours.call("state").value == CLOSE_WAIT
    poured = ours.start("pour", 10 << 20, 4)
    drained = theirs.call("drain", 10 << 20)
    assert poured.result() == drained
    ours.close()
    assert theirs.recv() == b""
    until(
        lambda: any(s.ack == (talk.base(True) + 2 + (10 << 20)) % 2**32 for s in talk.segments() if s.source == PEER),
        lambda: "the peer never acknowledged our FIN",
    )


def test_data_and_fin_travel_together_in_order(stage, role):
    ours, theirs, talk = opened(stage, role)
    ours.send(b"last words")
    ours.close()
    assert theirs.recv(10, socket.MSG_WAITALL) == b"last words"
    assert theirs.recv() == b""
    theirs.close()
    talk.wait_line("< F. 1:1(0) ack 12")
    talk.wait_line("> . 12:12(0) ack 2")


def test_linger_zero_resets(stage, role):
    ours, theirs, talk = opened(stage, role)
    ours.call("linger", 0)
    ours.close()
    talk.expect("> R. 1:1(0) ack 1")
    with pytest.raises(ConnectionResetError):
        theirs.recv()


def test_a_close_over_unread_data_resets(stage, role):
    ours, theirs, talk = opened(stage, role)
    theirs.send(b"unread")
    talk.expect("< . 1:7(6) ack 1", "> . 1:1(0) ack 7")
    ours.close()
    talk.expect("> R. 1:1(0) ack 7")
    with pytest.raises(ConnectionResetError):
        theirs.recv()


def test_data_for_a_closed_socket_is_answered_by_a_reset(stage, role):
    ours, theirs, talk = opened(stage, role)
    ours.close()
    talk.expect("> F. 1:1(0) ack 1", "< . 1:1(0) ack 2")
    theirs.send(b"too late")
    talk.expect("< . 1:9(8) ack 2")
    until(lambda: any(s.has(RST) and s.source == OURS for s in talk.segments()), lambda: "\n".join(talk.lines()))
    theirs.wait_poll(ALL)


@pytest.mark.flags(*FULL)
@pytest.mark.parametrize("then", ["stays", "closes"])
def test_text_for_one_who_has_shut_both_halves_is_answered_by_a_reset(stage, then: str):
    """Although what it has written is still on its way."""
    listener = stage.peer.socket()
    listener.setsockopt(socket.SOL_SOCKET, socket.SO_RCVBUF, 4096)
    listener.bind(stage.peer_host, 7000)
    listener.listen()
    ours = stage.ours.socket()
    ours.setsockopt(socket.SOL_SOCKET, socket.SO_SNDBUF, 4096)
    ours.connect(stage.peer_host, 7000)
    theirs = listener.accept()
    ours.call("nonblock", 1)
    with pytest.raises(BlockingIOError):
        while True:
            ours.send(bytes(16384))
    ours.shutdown(socket.SHUT_RDWR)
    if then == "closes":
        ours.close()
    theirs.send(b"too late")
    theirs.wait_poll(ALL)


def test_a_reset_by_the_peer_is_econnreset_then_end_of_stream(stage, role):
    ours, theirs, _ = opened(stage, role)
    theirs.call("linger", 0)
    theirs.close()
    with pytest.raises(ConnectionResetError):
        ours.recv()
    assert ours.recv() == b""
    with pytest.raises(BrokenPipeError):
        ours.send(b"x")


def test_data_before_a_reset_is_lost_or_read_as_on_linux(stage, role):
    ours, theirs, talk = opened(stage, role)
    theirs.send(b"first")
    talk.wait_line("> . 1:1(0) ack 6")
    theirs.call("linger", 0)
    theirs.close()
    ours.wait_poll(ALL)
    # Linux keeps what arrived in order before the reset.
    assert ours.recv() == b"first"
    with pytest.raises(ConnectionResetError):
        ours.recv()


@pytest.mark.flags("retransmission", "spurious_retransmission", "duplicate_ack", "keep_alive", "keep_alive_ack")
def test_a_peer_that_vanishes_is_asked_again_and_again(stage, role):
    ours, theirs, talk = opened(stage, role)
    stage.net.ip("route", "add", "blackhole", f"{OURS}/32")
    ours.send(b"anybody?")
    line = "> . 1:9(8) ack 1"

    def gaps():
        times = [s.time for s in talk.segments() if talk.line(s) == line]
        return [later - time for time, later in zip(times, times[1:])]

    # First transmission, tail loss probe if the stack has one, then timeouts that double: however late a busy machine has one
    # of them, a later one is longer.
    until(lambda: len(gaps()) >= 3 and max(gaps()[2:]) > 1.5 * gaps()[1], lambda: f"the timeout does not back off: {gaps()}")
    stage.net.ip("route", "del", "blackhole", f"{OURS}/32")
    assert theirs.recv() == b"anybody?"
    talk.wait_line("< . 1:1(0) ack 9")


@pytest.mark.flags("retransmission", "keep_alive", "keep_alive_ack")
def test_keepalive_finds_a_peer_that_vanished(stage, role):
    ours, _, _ = opened(stage, role)
    ours.setsockopt(socket.SOL_SOCKET, socket.SO_KEEPALIVE, 1)
    ours.setsockopt(socket.IPPROTO_TCP, socket.TCP_KEEPIDLE, 1)
    ours.setsockopt(socket.IPPROTO_TCP, socket.TCP_KEEPINTVL, 1)
    ours.setsockopt(socket.IPPROTO_TCP, socket.TCP_KEEPCNT, 2)
    stage.net.ip("route", "add", "blackhole", f"{OURS}/32")
    with pytest.raises(TimeoutError):
        ours.recv()
    assert ours.poll() == ALL & ~select.POLLERR


def test_a_killed_peer_closes_as_the_kernel_does_for_it(stage, role):
    ours, theirs, talk = opened(stage, role)
    stage.peer.kill()
    talk.expect("< F. 1:1(0) ack 1", "> . 1:1(0) ack 2")
    assert ours.recv() == b""
    # Our data finds nobody: reset.
    ours.send(b"hello?")
    talk.wait_line("> . 1:7(6) ack 2")
    ours.wait_poll(ALL)
    assert ours.getsockopt(socket.SOL_SOCKET, socket.SO_ERROR) == errno.EPIPE


@pytest.mark.flags("duplicate_ack", "out_of_order")  # the challenge, and a reset far behind
def test_a_reset_out_of_the_window_is_ignored_and_one_inside_it_challenged(stage):
    ours, far = stage.we_connect_by_script()
    far.send("R", seq=far.snd_nxt - 100000)
    # RFC 5961 §3.2: inside the window, but not at RCV.NXT.
    far.send("R", seq=far.snd_nxt + 100)
    challenge = far.receive(".")
    assert challenge.ack == far.snd_nxt
    far.send(".", b"alive")
    assert far.receive(".").ack == far.snd_nxt
    assert ours.recv() == b"alive"
    far.send("R", seq=far.snd_nxt)
    with pytest.raises(ConnectionResetError):
        ours.recv()
