"""Opening, talking, and the ways it can fail."""

from __future__ import annotations

import errno
import socket

import pytest

from harness.netns import OURS, PEER, STRANGER
from harness.packet import SYN, icmp_echo, option
from harness.scripted import Scripted


def test_the_handshake_is_three_segments(stage, role):
    ours, _ = stage.pair(role)
    talk = stage.conversation(ours)
    us, them = (">", "<") if role == "we connect" else ("<", ">")
    talk.expect(f"{us} S 0:0(0)", f"{them} S. 0:0(0) ack 1", f"{us} . 1:1(0) ack 1")


def test_our_syn_carries_the_options(stage, role):
    stage.pair(role)
    syn = stage.wire.wait_segment(lambda s: s.has(SYN) and s.source == OURS)
    assert option(syn.options, 2) == (1460).to_bytes(2, "big"), "MSS is MTU minus 40"
    assert option(syn.options, 3), "window scale"
    assert option(syn.options, 4) is not None, "SACK permitted"


def test_a_word_each_way(stage, role):
    ours, theirs = stage.pair(role)
    talk = stage.conversation(ours)
    talk.wait_line("> . 1:1(0) ack 1" if role == "we connect" else "< . 1:1(0) ack 1")
    talk.skip()
    assert ours.send(b"hello") == 5
    talk.expect("> . 1:6(5) ack 1", "< . 1:1(0) ack 6")
    assert theirs.recv() == b"hello"
    assert theirs.send(b"hi") == 2
    talk.expect("< . 1:3(2) ack 6")
    assert ours.recv() == b"hi"
    talk.expect("> . 6:6(0) ack 3")


def test_names_of_both_ends(stage, role):
    ours, theirs = stage.pair(role)
    assert ours.sockname()[0] == OURS
    assert ours.call("peername").words == theirs.call("sockname").words
    assert theirs.call("peername").words == ours.call("sockname").words


@pytest.mark.no_wire
def test_an_echo_of_a_mebibyte(stage, role):
    ours, theirs = stage.pair(role)
    echo = ours.start("echo")
    poured = theirs.start("pour", 1 << 20, 1)
    drained = theirs.call("drain", 1 << 20)
    assert poured.result() == drained
    theirs.shutdown()
    assert echo.result().value == 1 << 20


def test_a_port_without_listener_refuses_us(stage):
    ours = stage.ours.socket()
    with pytest.raises(OSError) as refused:
        ours.connect(PEER, 9)
    assert refused.value.errno == errno.ECONNREFUSED
    reset = stage.wire.wait_segment(lambda s: s.source == PEER)
    syn = stage.wire.wait_segment(lambda s: s.source == OURS)
    assert reset.ack == syn.seq + 1


def test_our_port_without_listener_refuses_the_peer(stage):
    theirs = stage.peer.socket()
    with pytest.raises(OSError) as refused:
        theirs.connect(OURS, 9)
    assert refused.value.errno == errno.ECONNREFUSED


@pytest.mark.flags("retransmission")
def test_a_connect_into_the_void_repeats_its_syn_until_the_timeout(stage):
    ours = stage.ours.socket()
    ours.call("timeout", socket.SO_SNDTIMEO, 1500)
    with pytest.raises(OSError) as timed_out:
        ours.connect(STRANGER, 80)
    # Linux: a connect that SO_SNDTIMEO ends goes on in the background.
    assert timed_out.value.errno in (errno.EINPROGRESS, errno.ETIMEDOUT)
    syns = [s for s in stage.wire.segments() if s.has(SYN)]
    assert len(syns) == 2 and syns[0].seq == syns[1].seq
    ours.close()


def test_a_listener_hands_out_connections_in_order(stage):
    listener = stage.ours.socket()
    listener.bind(OURS, 7000)
    listener.listen(8)
    theirs = []
    for _ in range(8):
        theirs.append(stage.peer.socket())
        theirs[-1].connect(OURS, 7000)
    for sock in theirs:
        assert listener.accept().call("peername").words == sock.call("sockname").words


def test_two_listeners_on_one_port_are_one_too_many(stage):
    first, second = stage.ours.socket(), stage.ours.socket()
    first.bind(OURS, 7000)
    first.listen()
    with pytest.raises(OSError) as in_use:
        second.bind(OURS, 7000)
    assert in_use.value.errno == errno.EADDRINUSE


@pytest.mark.flags("retransmission")  # the SYN-ACK repeats the SYN's number, as it must
def test_a_simultaneous_open_makes_one_connection(stage):
    far = Scripted(stage.wire, 7100)
    ours = stage.ours.socket()
    connecting = ours.start("connect", STRANGER, 7100)
    far.receive("S")
    far.rcv_nxt = far.irs
    far.send("S", ack=0)
    synack = far.receive("S.")
    assert (synack.seq, synack.ack) == (far.irs, far.iss + 1)
    far.rcv_nxt = far.irs + 1
    far.send("S.", seq=far.iss)
    connecting.result()
    ours.send(b"both")
    far.wire.wait_segment(lambda s: s.source == OURS and s.payload == b"both")


def test_an_echo_request_is_answered(stage):
    stage.wire.inject(icmp_echo(PEER, OURS, 77, 1))
    stage.wire.wait(lambda p: p[9] == 1 and p[20] == 0 and p[24:28] == bytes([0, 77, 0, 1]))


def test_conversations_do_not_mix(stage):
    one, far_one = stage.we_connect(7001)
    two, far_two = stage.we_connect(7002)
    one.send(b"one")
    two.send(b"two")
    assert (far_one.recv(), far_two.recv()) == (b"one", b"two")


@pytest.mark.no_wire
@pytest.mark.ipv6
def test_a_conversation_over_ipv6(stage, role):
    ours, theirs = stage.pair(role)
    assert ours.sockname()[0] == stage.our_host
    assert ours.call("peername").words == theirs.call("sockname").words
    assert theirs.call("peername").words == ours.call("sockname").words
    assert ours.send(b"hello") == 5
    assert theirs.recv() == b"hello"
    theirs.shutdown()
    assert ours.recv() == b""
    assert ours.send(b"and back") == 8
    ours.close()
    assert theirs.recv() == b"and back"
    assert theirs.recv() == b""


@pytest.mark.no_wire
@pytest.mark.ipv6
def test_an_ipv6_port_without_listener_refuses_both(stage):
    ours, theirs = stage.ours.socket(socket.AF_INET6), stage.peer.socket(socket.AF_INET6)
    for sock, host in ((ours, stage.peer_host), (theirs, stage.our_host)):
        with pytest.raises(OSError) as refused:
            sock.connect(host, 9)
        assert refused.value.errno == errno.ECONNREFUSED


@pytest.mark.no_wire
@pytest.mark.ipv6
def test_one_listener_for_both_families(stage):
    listener = stage.ours.socket(socket.AF_INET6)
    listener.bind("::", 7000)
    listener.listen()
    for family, host, seen in ((socket.AF_INET, OURS, f"::ffff:{PEER}"), (stage.family, stage.our_host, stage.peer_host)):
        theirs = stage.peer.socket(family)
        theirs.connect(host, 7000)
        ours = listener.accept()
        assert ours.call("peername").words == [seen, str(theirs.sockname()[1])]
        theirs.close()
        ours.close()
