"""The path that `make goodput` measures on: bytes arrive exactly, and it loses what it says. No figure is asserted."""

from __future__ import annotations

import math

import pytest

from bench.goodput import BACK, THERE
from harness.relayed import FLOWS, Relayed


@pytest.mark.parametrize("stack", FLOWS)
def test_a_clear_path_carries_every_byte(network, stack):
    with Relayed(f"{THERE},loss=0%,seed=1", BACK) as path:
        flow = path.flow(stack, "cubic", seconds=2, whole=True)
        report = path.finish()
    assert flow.received == flow.sent > 0
    for way in report.values():
        assert way["lost"] == way["reordered"] == 0
        assert way["offered"] - way["overflowed"] >= way["delivered"] > 0


@pytest.mark.parametrize("stack", FLOWS)
def test_the_path_loses_and_holds_back_its_share(network, stack):
    with Relayed(f"{THERE},loss=3%,reorder=5%,seed=1", BACK) as path:
        flow = path.flow(stack, "cubic", seconds=2)
        report = path.finish()
    there, back = report["there"], report["back"]
    assert 0 < flow.received <= flow.sent
    # Within six standard deviations; all but a few packets there carry text.
    for share, count in ((0.03, there["lost"]), (0.05, there["reordered"])):
        expected = share * there["offered"]
        assert abs(count - expected) <= 6 * math.sqrt(expected) + 1, there
    assert back["lost"] == back["reordered"] == 0
