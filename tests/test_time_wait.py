"""TIME-WAIT answers a repeated FIN, ends when its time has come, and frees the port."""

from __future__ import annotations

import pytest

from harness.netns import OURS, PEER
from harness.packet import FIN
from harness.puppet import events, until

PORT = 40000


def closed_by_us(stage):
    """Our end in TIME-WAIT, and the peer's FIN as it was on the wire."""
    ours, theirs = stage.we_connect(our_port=PORT)
    talk = stage.conversation(ours)
    ours.close()
    talk.wait_line("< . 1:1(0) ack 2")
    theirs.close()
    talk.wait_line("> . 2:2(0) ack 2")
    fin = next(s for s in talk.segments() if s.source == PEER and s.has(FIN))
    return talk, fin


def acknowledgements(talk):
    """How often we acknowledged the peer's FIN."""
    return sum(talk.line(s) == "> . 2:2(0) ack 2" for s in talk.segments())


@pytest.mark.flags("spurious_retransmission", "retransmission", "duplicate_ack", "out_of_order")
def test_a_repeated_fin_is_acknowledged_again(stage):
    talk, fin = closed_by_us(stage)
    # The peer has forgotten the connection and answers our ACK with RST, which ends Linux's TIME-WAIT (tcp_rfc1337 is
    # off there) and not ours: RFC 1337.
    for times in (2,) if stage.on_kernel else (2, 3):
        stage.wire.inject(fin.bytes())
        until(lambda: acknowledgements(talk) == times, lambda: "\n".join(talk.lines()))  # noqa: B023


def test_the_port_is_taken_in_time_wait(stage):
    closed_by_us(stage)
    with pytest.raises(OSError, match="EADDRINUSE"):
        stage.ours.socket().bind(OURS, PORT)


@pytest.mark.stacks("ours")
@pytest.mark.environment(USTCP_TIME_WAIT="1")
@pytest.mark.flags("spurious_retransmission", "retransmission", "duplicate_ack", "out_of_order")
def test_time_wait_ends_and_frees_the_port(stage):
    talk, fin = closed_by_us(stage)
    until(lambda: stage.transitions(PORT)[-1:] == [("TimeWait", "Closed")], lambda: str(stage.transitions(PORT)))
    began, ended = (at(stage, step) for step in (("FinWait2", "TimeWait"), ("TimeWait", "Closed")))
    assert ended - began >= 1.0, "TIME-WAIT must last its whole time"
    # Nobody is left to answer the FIN but the rule for closed ports.
    stage.wire.inject(fin.bytes())
    until(lambda: any(line.startswith("> R") for line in talk.lines()), lambda: "\n".join(talk.lines()))
    again, theirs = stage.we_connect(port=7001, our_port=PORT)
    again.send(b"again")
    assert theirs.recv() == b"again"


@pytest.mark.stacks("ours")
@pytest.mark.environment(USTCP_TIME_WAIT="1")
@pytest.mark.flags("spurious_retransmission", "retransmission", "duplicate_ack", "out_of_order")
def test_a_repeated_fin_restarts_the_clock(stage):
    ours, far = stage.we_connect_by_script()
    ours.close()
    far.receive("F.")
    fin = far.send("F.")
    far.receive(".")
    port = far.their_port
    for _ in range(3):
        far.again(fin)
        far.receive(".")
    until(lambda: stage.transitions(port)[-1:] == [("TimeWait", "Closed")], lambda: str(stage.transitions(port)))
    fins = [event["at"] / 1e9 for event in received(stage, port) if event["kind"]["Received"]["segment"]["flags"] & FIN]
    assert len(fins) == 4
    assert at(stage, ("TimeWait", "Closed"), port) - fins[-1] >= 1.0, "2 MSL counts from the last FIN"


def received(stage, port):
    """What our log has of segments that came to a port, in their order."""
    for event in events(stage.ours.log):
        if isinstance(event["kind"], dict) and "Received" in event["kind"] and event["flow"]["local"].endswith(f":{port}"):
            yield event


def at(stage, step, port=PORT):
    """When our log saw a transition, in seconds."""
    for event in events(stage.ours.log):
        kind = event["kind"]
        if isinstance(kind, dict) and "Transition" in kind and event["flow"]["local"].endswith(f":{port}"):
            if (kind["Transition"]["from"], kind["Transition"]["to"]) == step:
                return event["at"] / 1e9
    raise AssertionError(f"no {step} at port {port}")
