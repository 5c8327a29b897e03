"""Large transfers in both directions at once, compared by SHA-256: with offload, without, and in bad weather."""

from __future__ import annotations

import os

import pytest

from harness.tshark import LOSS

MEBIBYTE = 1 << 20
# `USTCP_BULK_MIB=1024` makes the long run of a release.
SIZE = int(os.environ.get("USTCP_BULK_MIB", "128")) * MEBIBYTE


def exchange(stage, role, size):
    """So much each way, at the same time."""
    ours, theirs = stage.pair(role)
    out, back = ours.start("pour", size, 11), theirs.start("pour", size, 12)
    received_there, received_here = theirs.start("drain", size), ours.start("drain", size)
    limit = 60 + size / MEBIBYTE  # seconds; a transfer that stands still is a failure, a slow machine is not
    assert out.result(limit) == received_there.result(limit)
    assert back.result(limit) == received_here.result(limit)
    for sock in (ours, theirs):
        sock.shutdown()
    assert ours.recv() == theirs.recv() == b""


@pytest.mark.no_wire
@pytest.mark.timeout(120 + 4 * SIZE // MEBIBYTE)
@pytest.mark.environment(USTCP_OFFLOAD="on")
# On a busy machine a side may wait long enough for its tail loss probe.
@pytest.mark.flags("retransmission", "spurious_retransmission", "duplicate_ack", "out_of_order")
def test_with_offload(stage, role):
    stage.dump()
    exchange(stage, role, SIZE)


@pytest.mark.no_wire
@pytest.mark.timeout(120 + 4 * SIZE // MEBIBYTE)
@pytest.mark.environment(USTCP_OFFLOAD="off")
@pytest.mark.stacks("ours")
# The queue of a TUN holds packets, not bytes: without super-segments it may overflow, which is loss like any other.
@pytest.mark.flags(*LOSS)
def test_without_offload(stage, role):
    stage.dump()
    exchange(stage, role, SIZE)


@pytest.mark.no_wire
@pytest.mark.ipv6
@pytest.mark.environment(USTCP_OFFLOAD="on")
@pytest.mark.flags("retransmission", "spurious_retransmission", "duplicate_ack", "out_of_order")
def test_over_ipv6_with_offload(stage, role):
    stage.dump()
    exchange(stage, role, 16 * MEBIBYTE)


@pytest.mark.no_wire
@pytest.mark.ipv6
@pytest.mark.environment(USTCP_OFFLOAD="off")
@pytest.mark.stacks("ours")
@pytest.mark.flags(*LOSS)
def test_over_ipv6_without_offload(stage, role):
    stage.dump()
    exchange(stage, role, 16 * MEBIBYTE)


@pytest.mark.no_wire
@pytest.mark.timeout(300)
@pytest.mark.stacks("ours")
@pytest.mark.environment(USTCP_WEATHER="loss=3%,reorder=3%,seed=1")
@pytest.mark.flags(*LOSS)
def test_through_loss_and_reordering(stage):
    stage.dump()
    exchange(stage, "we connect", 16 * MEBIBYTE)


@pytest.mark.no_wire
@pytest.mark.timeout(300)
@pytest.mark.stacks("ours")
@pytest.mark.environment(USTCP_WEATHER="loss=1%,reorder=1%,duplicate=2%,corrupt=1%,delay=2ms,jitter=1ms,seed=2")
def test_through_every_kind_of_weather(stage):
    exchange(stage, "we accept", 2 * MEBIBYTE)
