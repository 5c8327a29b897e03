"""Linux's habits on the wire: the same conversation once with our stack and once with the kernel's TCP in its place, and
what our side sent compared field by field. docs/wire.md has the table, and the reasons where the two differ."""

from __future__ import annotations

import socket
from collections.abc import Callable, Iterator
from pathlib import Path

import pytest
from conftest import Stage

from harness.capture import ETH_P_ALL
from harness.netns import DEVICE, OURS, OURS_V6, PEER
from harness.packet import ACK, FIN, PSH, RST, SYN, Segment

DIFFERENT = {"IP ID", "window"}  # windows are compared where they are the same: in SYN, SYN-ACK and RST
Facts = dict[str, object]


@pytest.fixture
def pair_of_stages(request: pytest.FixtureRequest, tmp_path: Path, network: None) -> Iterator[tuple[Stage, Stage]]:
    """Ours and the kernel's, each packet of one segment, the kernel's buffers as large as ours are."""
    ipv6 = request.node.get_closest_marker("ipv6") is not None
    stages: list[Stage] = []
    wrong: list[str] = []
    try:
        for stack in ("c", "kernel"):
            (tmp_path / stack).mkdir()
            stage = Stage(stack, tmp_path / stack, {"USTCP_OFFLOAD": "off"}, not ipv6, ipv6)
            stages.append(stage)
            stage.set_up()
            if stage.far:
                stage.far.sysctl("net.ipv4.tcp_rmem", "4096 524288 33554432")
                stage.far.sysctl("net.ipv4.tcp_ecn", 2)
                stage.far.ip("link", "set", "eth0", "gso_max_segs", "1")
        yield stages[0], stages[1]
    finally:
        for stage in stages:
            wrong += stage.tear_down()
    assert not wrong, wrong


def options(raw: bytes) -> list[str]:
    """TCP options in their order, timestamps without their values."""
    names = {2: "mss", 3: "wscale", 4: "sackOK", 5: "sack", 8: "TS"}
    found = []
    while raw:
        kind = raw[0]
        size = raw[1] if kind > 1 else 1
        value = int.from_bytes(raw[2:size], "big") if kind in (2, 3) else ""
        found.append("nop" if kind == 1 else f"{names.get(kind, kind)} {value}".strip())
        raw = raw[size:]
    return found


def facts(packet: bytes) -> Facts:
    """What a packet says that is the same in every run."""
    segment = Segment.parse(packet)
    return {
        "TTL": packet[8],
        "TOS": packet[1],
        "DF": packet[6] >> 5 == 0b010,
        "IP ID": int.from_bytes(packet[4:6], "big"),
        "flags": segment.flags,
        "window": segment.window,
        "options": options(segment.options),
        "length": segment.length,
    }


def ours(stage: Stage) -> list[Facts]:
    """What our side has sent."""
    return [facts(p) for p in list(stage.wire.packets) if (s := Segment.parse(p)) and s.source == OURS]


def first(stage: Stage, matches: Callable[[Segment], bool]) -> Facts:
    """The first packet of our side for which `matches` holds."""

    def test(packet: bytes) -> bool:
        segment = Segment.parse(packet)
        return segment is not None and segment.source == OURS and matches(segment)

    return facts(stage.wire.wait(test))


def without(fields: Facts) -> Facts:
    """Less what differs for a reason."""
    return {name: value for name, value in fields.items() if name not in DIFFERENT}


def compare(pair: tuple[Stage, Stage], play: Callable[[Stage], object]) -> None:
    """Plays it on both; what comes out must be the same."""
    here, there = (play(stage) for stage in pair)
    assert here == there


def test_syn_and_syn_ack(pair_of_stages, role):
    """Options, their order and values, and the window."""

    def play(stage: Stage) -> Facts:
        stage.pair(role)
        syn = first(stage, lambda s: s.has(SYN))
        assert syn["options"] == ["mss 1460", "sackOK", "TS", "nop", "wscale 10"]
        return {**without(syn), "window": syn["window"]}

    compare(pair_of_stages, play)


KNOBS = {"ip_default_ttl": "9", "tcp_ecn": "1", "tcp_rmem": "4096 16384 33554432", "tcp_sack": "0", "tcp_timestamps": "0"}


@pytest.mark.environment(USTCP_SYSCTL=",".join(f"{name}={value}" for name, value in KNOBS.items()))
def test_sysctls(stage):
    """`USTCP_SYSCTL` does to our stack, in the program or in the engine, what sysctl(8) does to the kernel."""
    for name, value in KNOBS.items() if stage.far else ():
        stage.far.sysctl(f"net.ipv4.{name}", value)
    stage.we_connect()
    syn = first(stage, lambda s: s.has(SYN))
    assert (syn["TTL"], syn["flags"], syn["window"]) == (9, SYN | 0xC0, 5 * 1460)
    assert syn["options"] == ["mss 1460", "nop", "wscale 10"]


def test_a_small_receive_buffer_shows_in_the_syn_ack(pair_of_stages):
    """Whole segments, and no shift that a small window has no use for."""

    def play(stage: Stage) -> Facts:
        listener = stage.ours.socket()
        listener.setsockopt(socket.SOL_SOCKET, socket.SO_RCVBUF, 8192)
        listener.bind(OURS, 7000)
        listener.listen()
        stage.peer.socket().connect(OURS, 7000)
        syn = first(stage, lambda s: s.has(SYN))
        return {**without(syn), "window": syn["window"]}

    compare(pair_of_stages, play)


def test_a_burst(pair_of_stages):
    """Full segments, PSH on the last, the FIN; timestamps in all; TTL, TOS and DF of each. The IP IDs of ours are 0, for no
    packet is ever cut; Linux counts all the same."""

    def play(stage: Stage) -> list[Facts]:
        here, there = stage.we_connect()
        stage.wire.wait_segment(lambda s: s.flags == ACK)
        before = len(ours(stage))
        here.call("pour", 10_000, 1)
        there.call("drain", 10_000)
        here.shutdown()
        first(stage, lambda s: s.has(FIN))
        sent = ours(stage)[before:]
        assert [f["length"] for f in sent] == [1448] * 6 + [1312, 0]
        assert [bool(f["flags"] & PSH) for f in sent] == [False] * 6 + [True, False]
        ids = [f["IP ID"] for f in sent]
        step = 1 if stage.on_kernel else 0
        assert [(later - id_) % 2**16 for id_, later in zip(ids, ids[1:], strict=False)] == [step] * 7
        assert stage.on_kernel or ids[0] == 0
        return [without(f) for f in sent]

    compare(pair_of_stages, play)


def test_requests_and_answers(pair_of_stages):
    """The first request is acknowledged at once, for the peer is in slow start; each answer acknowledges its request."""

    def play(stage: Stage) -> list[object]:
        here, there = stage.we_accept()
        answers = []
        for _ in range(5):
            before = len(stage.wire.packets)
            there.send(b"q" * 100)
            assert len(here.recv()) == 100
            here.send(b"a" * 200)
            assert len(there.recv()) == 200
            request = stage.wire.wait_segment(lambda s: s.length == 100, after=before)
            answer = stage.wire.wait_segment(lambda s: s.length == 200, after=before)
            answers.append((answer.ack - request.seq) % 2**32)
        return [answers, without(first(stage, lambda s: s.flags == ACK))]

    compare(pair_of_stages, play)


def test_a_keepalive_probe(pair_of_stages):
    """One before what was sent, and no byte."""
    talks = [stage.we_connect() for stage in pair_of_stages]
    for here, _ in talks:
        here.setsockopt(socket.IPPROTO_TCP, socket.TCP_KEEPIDLE, 1)
        here.setsockopt(socket.SOL_SOCKET, socket.SO_KEEPALIVE, 1)

    def play(stage: Stage) -> Facts:
        syn = stage.wire.wait_segment(lambda s: s.source == OURS and s.has(SYN))
        return without(first(stage, lambda s: s.flags == ACK and s.seq == syn.seq))

    compare(pair_of_stages, play)


def test_a_probe_of_a_closed_window(pair_of_stages):
    """The same segment: no byte is put at risk."""
    listeners = []
    for stage in pair_of_stages:
        listener = stage.peer.socket()
        listener.setsockopt(socket.SOL_SOCKET, socket.SO_RCVBUF, 8192)
        listener.bind(PEER, 7000)
        listener.listen()
        listeners.append(listener)
        here = stage.ours.socket()
        here.connect(PEER, 7000)
        here.start("pour", 60_000, 1)

    def play(stage: Stage) -> Facts:
        closed = stage.wire.wait_segment(lambda s: s.source == PEER and s.has(ACK) and s.window == 0)
        return without(first(stage, lambda s: s.flags == ACK and s.length == 0 and s.seq + 1 == closed.ack))

    compare(pair_of_stages, play)
    for listener in listeners:
        assert listener.accept().call("drain", 60_000).value == 60_000


def test_resets(pair_of_stages):
    """To a SYN that nobody wants, by a close that loses bytes, and to text for a connection that is gone."""

    def play(stage: Stage) -> list[Facts]:
        with pytest.raises(ConnectionRefusedError):
            stage.peer.socket().connect(OURS, 9)
        refusal = first(stage, lambda s: s.has(RST))
        assert refusal["window"] == 0 and refusal["options"] == []

        here, there = stage.we_connect(7001)
        there.send(b"unread")
        here.call("poll", 1, 10_000)
        here.close()
        loss = first(stage, lambda s: s.has(RST) and s.destination_port == 7001)
        assert loss["window"] > 0 and "TS" in loss["options"]

        here, there = stage.we_connect(7002)
        here.close()
        assert there.recv() == b""
        there.send(b"late")
        late = first(stage, lambda s: s.has(RST) and s.destination_port == 7002)
        return [{**without(refusal), "window": 0}, without(loss), {**without(late), "window": late["window"]}]

    compare(pair_of_stages, play)


def test_a_fin_goes_with_the_last_text(pair_of_stages):
    """Ours says PSH as well, as RFC 9293 MUST-61 has it; Linux's does not where MSG_MORE held the text back."""

    def play(stage: Stage) -> Facts:
        here, _ = stage.we_connect()
        here.send(b"one", socket.MSG_MORE)
        here.shutdown()
        last = first(stage, lambda s: s.has(FIN))
        assert last["length"] == 3
        return {**without(last), "flags": last["flags"] & ~PSH}

    compare(pair_of_stages, play)


def test_ecn_that_the_peer_asks_for(pair_of_stages):
    """Agreed to in the SYN-ACK; text is ECN-capable, acknowledgements are not."""

    def play(stage: Stage) -> list[Facts]:
        stage.net.sysctl("net.ipv4.tcp_ecn", 1)
        here, there = stage.we_accept()
        there.send(b"question")
        assert here.recv() == b"question"
        acknowledgement = first(stage, lambda s: s.flags == ACK and s.length == 0)
        here.send(b"answer")
        text = first(stage, lambda s: s.length == 6)
        syn_ack = first(stage, lambda s: s.has(SYN))
        assert syn_ack["flags"] == SYN | ACK | 0x40
        assert (syn_ack["TOS"], acknowledgement["TOS"], text["TOS"]) == (0, 0, 0b10)
        return [without(f) for f in (syn_ack, acknowledgement, text)]

    compare(pair_of_stages, play)


@pytest.mark.ipv6
def test_the_header_of_ipv6(pair_of_stages):
    """Hop limit, traffic class, and a flow label that stays the connection's own."""

    def play(stage: Stage) -> set[tuple[int, int]]:
        seen = stage.net.inside(lambda: socket.socket(socket.AF_PACKET, socket.SOCK_DGRAM, socket.htons(ETH_P_ALL)))
        with seen:
            seen.bind((DEVICE, ETH_P_ALL))
            here, there = stage.we_connect()
            here.call("pour", 10_000, 1)
            there.call("drain", 10_000)
            here.close()
            assert there.recv() == b""
            there.close()
            sent = list(of_ours(seen))
        assert len(sent) > 8
        labels = {word & 0xFFFFF for word, _ in sent}
        assert len(labels) == 1 and labels != {0}
        return {(word >> 20, limit) for word, limit in sent}

    compare(pair_of_stages, play)


def of_ours(seen: socket.socket) -> Iterator[tuple[int, int]]:
    """First word and hop limit of the segments that our side has sent over IPv6."""
    seen.setblocking(False)
    while True:
        try:
            packet = seen.recv(65536)
        except BlockingIOError:
            return
        is_ours = packet[0] >> 4 == 6 and packet[8:24] == socket.inet_pton(socket.AF_INET6, OURS_V6)
        if is_ours and packet[6] == socket.IPPROTO_TCP:
            yield int.from_bytes(packet[:4], "big"), packet[7]
