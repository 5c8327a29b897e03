"""Packets that no honest peer sends. Whatever comes, nothing leaves the stack but what the rules ask for, and the program
lives and serves."""

from __future__ import annotations

import random
import socket
import struct
from collections.abc import Iterator

import pytest

from harness.netns import DEVICE, OURS, PEER, STRANGER
from harness.packet import ACK, FIN, PSH, RST, SYN, URG, Segment, checksum, icmp_echo, ipv4
from harness.puppet import events

PACKETS = 100_000
BATCH = 200  # well below what a TUN queue holds
SEED = 20_260_101


def is_whole(packet: bytes) -> bool:
    """Whether header and text still carry right checksums: a mutation may undo itself."""
    if len(packet) < 20 or packet[0] >> 4 != 4:
        return False
    header, total = (packet[0] & 15) * 4, struct.unpack_from("!H", packet, 2)[0]
    if header < 20 or not header <= total <= len(packet) or checksum(packet[:header]):
        return False
    text = packet[header:total]
    pseudo = packet[12:20] + struct.pack("!HH", packet[9], len(text))
    return checksum(text if packet[9] == 1 else pseudo + text) == 0


def honest(port: int, their: Segment, chance: random.Random) -> Segment:
    """Something that would be taken seriously if it were left as it is."""
    flags = chance.choice([ACK, ACK | PSH, FIN | ACK, RST, RST | ACK, SYN, SYN | ACK, URG | ACK, 0, 255])
    return Segment(
        their.source,
        their.source_port if chance.random() < 0.7 else chance.randrange(65536),
        OURS,
        port if chance.random() < 0.9 else chance.randrange(65536),
        their.seq + chance.randrange(-70_000, 70_000),
        their.ack + chance.randrange(-70_000, 70_000),
        flags,
        chance.randrange(65536),
        chance.randbytes(chance.randrange(11) * 4),
        chance.randbytes(chance.choice([0, 0, 1, 100, 1400])),
    )


def cut_short(packet: bytes, chance: random.Random) -> bytes:
    return packet[: chance.randrange(len(packet))]


def flip(packet: bytes, chance: random.Random) -> bytes:
    damaged = bytearray(packet)
    for _ in range(chance.randrange(1, 9)):
        damaged[chance.randrange(len(damaged))] ^= 1 << chance.randrange(8)
    return bytes(damaged)


def insert(packet: bytes, chance: random.Random) -> bytes:
    start = chance.randrange(len(packet))
    return (packet[:start] + chance.randbytes(chance.randrange(1, 40)) + packet[start:])[:1500]


def hostile(port: int, their: Segment, chance: random.Random) -> Iterator[bytes]:
    """Truncated, bent and stretched packets without end; none of them is whole."""
    while True:
        segment = honest(port, their, chance)
        packet = chance.choice([cut_short, flip, insert])(segment.bytes(), chance)
        if packet and not is_whole(packet):
            yield packet


def contradictions(port: int, their: Segment) -> Iterator[bytes]:
    """Packets whose checksums are right and whose lengths contradict each other."""
    base = their.with_(destination=OURS, destination_port=port, flags=ACK, payload=b"x" * 8)
    for words in (0, 1, 4, 15):
        yield base.bytes(header_words=words)
        yield base.bytes(data_offset=words if words < 5 else 15)
    for total in (0, 19, 20, 39, 49, 65535):
        yield base.bytes(total_length=total)
    yield base.bytes(fragment=0x2000)
    yield base.bytes(fragment=0x0001)
    for source in ("0.0.0.0", "127.0.0.1", "255.255.255.255", "224.0.0.1", OURS):
        yield base.with_(source=source, flags=SYN).bytes()
    for protocol in (2, 4, 17, 41, 132, 255):
        yield ipv4(PEER, OURS, protocol, b"payload of a protocol that is not spoken")
    for kind in (3, 4, 5, 11, 12, 200):
        body = struct.pack("!BBHI", kind, 255, 0, 0)
        yield ipv4(PEER, OURS, 1, body[:2] + struct.pack("!H", checksum(body)) + body[4:])


class Barrier:
    """An echo request: what was put onto the device before it has been read when it is answered."""

    def __init__(self, stage) -> None:
        self.stage, self.number, self.seen = stage, 0, 0

    def __call__(self) -> None:
        self.number += 1
        tag = struct.pack("!HH", 0x7573, self.number % 65536)
        self.stage.wire.inject(icmp_echo(STRANGER, OURS, *struct.unpack("!HH", tag)))
        reply = socket.inet_aton(OURS) + socket.inet_aton(STRANGER) + b"\0"
        self.stage.wire.wait(lambda p: p[12:21] == reply and p[24:28] == tag, 10, self.seen)
        self.seen = len(self.stage.wire.packets)


@pytest.mark.timeout(300)
@pytest.mark.stacks("ours")
@pytest.mark.flags(
    "retransmission", "spurious_retransmission", "duplicate_ack", "lost_segment", "ack_lost_segment", "out_of_order",
    "fast_retransmission", "keep_alive", "keep_alive_ack",
)  # fmt: skip
def test_a_hundred_thousand_broken_packets_are_counted_and_nothing_else(stage):
    ours, theirs = stage.we_connect()
    port = ours.sockname()[1]
    listener = stage.ours.socket()
    listener.bind(OURS, 80)
    listener.listen()
    theirs.send(b"before")
    assert ours.recv() == b"before"
    last = stage.wire.wait_segment(lambda s: s.source == PEER and s.payload == b"before")
    stage.wire.wait_segment(lambda s: s.source == OURS and s.ack == last.seq + len(b"before"))
    chance = random.Random(SEED)
    barrier = Barrier(stage)
    barrier()
    memory, descriptors = stage.ours.resident_kib(), stage.ours.file_descriptors()
    answered = len(answers(stage))
    packets = hostile(port, last, chance)
    for _ in range(PACKETS // BATCH):
        for _ in range(BATCH):
            stage.wire.inject_unseen(next(packets))
        barrier()
    assert answers(stage)[answered:] == [], "nothing may be answered"
    assert stage.net.links(DEVICE)["stats64"]["tx"]["dropped"] == 0, "all of it must have reached the stack"
    assert stage.ours.resident_kib() - memory < 4096, "memory grew"
    assert stage.ours.file_descriptors() == descriptors
    dropped = sum(isinstance(e["kind"], dict) and "Dropped" in e["kind"] for e in events(stage.ours.log))
    assert dropped > 0
    still_serves(stage, ours, theirs)


def answers(stage):
    """TCP segments that left our side and are not part of the honest connection's quiet."""
    return [s for s in stage.wire.segments() if s.source == OURS]


def still_serves(stage, ours, theirs) -> None:
    ours.send(b"still here")
    assert theirs.recv() == b"still here"
    theirs.send(b"and heard")
    assert ours.recv() == b"and heard"
    again, far = stage.we_connect(7009)
    again.send(b"new")
    assert far.recv() == b"new"


@pytest.mark.stacks("ours")
@pytest.mark.flags("retransmission", "spurious_retransmission", "duplicate_ack", "out_of_order")
def test_contradictory_headers_are_dropped(stage):
    ours, theirs = stage.we_connect()
    port = ours.sockname()[1]
    theirs.send(b"before")
    assert ours.recv() == b"before"
    last = stage.wire.wait_segment(lambda s: s.source == PEER and s.payload == b"before")
    stage.wire.wait_segment(lambda s: s.source == OURS and s.ack == last.seq + len(b"before"))
    barrier = Barrier(stage)
    barrier()
    quiet = len(answers(stage))
    # A number far outside the window, so that even a packet that is taken for one has no effect but an ACK.
    for packet in contradictions(port, last.with_(source_port=4444)):
        stage.wire.inject_unseen(packet)
    barrier()
    strays = [s for s in answers(stage)[quiet:] if not s.has(RST)]
    assert strays == []
    still_serves(stage, ours, theirs)


@pytest.mark.stacks("ours")
@pytest.mark.no_wire
def test_the_device_taken_away_ends_calls_with_an_error(stage):
    ours, _ = stage.we_connect()
    receiving = ours.start("recv", 1, 0)
    stage.net.ip("link", "del", DEVICE)
    with pytest.raises(OSError) as down:
        receiving.result(10)
    assert down.value.errno in (100, 103, 104)  # ENETDOWN, ECONNABORTED, ECONNRESET
    with pytest.raises(OSError):
        stage.ours.socket().connect(PEER, 7000)
    if stage.on_engine:  # it has nothing to be there for any more, and says so
        status, said = stage.engine.close()
        assert status == "the engine ended with 1" and "its device is gone" in said
        stage.engine = None
