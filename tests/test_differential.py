"""Judged by Linux: every script of `differential/`, played to our stack in virtual time, is answered as the kernel did.

The kernel's answers are recorded; `make differential` records them anew. docs/differential.md has the whole of it.
"""

from __future__ import annotations

import pytest

from differential import answers, compare, generator, notation, ours
from differential.__main__ import chosen, everything, record
from differential.compare import segment_fields
from differential.wire import Flow, spell, text

RECORDED = answers.read(answers.newest())
SCRIPTS = {script.name: script for script in everything()}


@pytest.fixture(scope="module")
def comparison() -> compare.Comparison:
    """All scripts, played to our stack."""
    compared = compare.Comparison(compare.allowed())
    for name, script in SCRIPTS.items():
        if name in RECORDED:
            compared.any_of(script, RECORDED[name][1], ours.plays(script))
    return compared


def test_ours_answers_as_linux_does(comparison):
    """`python -m differential show <script>` tells both sides' answers to a script that is named here."""
    assert not comparison.differences, "\n".join(map(str, comparison.differences))


def test_every_allowed_difference_is_still_needed(comparison):
    assert [line for line in comparison.permitted if line not in comparison.used] == []


def test_there_are_as_many_scripts_as_promised():
    written = [name for name in SCRIPTS if not name.startswith(f"{generator.THEME}/")]
    assert len(written) >= 200
    assert len(SCRIPTS) - len(written) >= 1000


def test_every_script_is_recorded_as_it_is_now():
    """A script that was changed is recorded anew: `make differential`."""
    stale = [name for name, script in SCRIPTS.items() if RECORDED.get(name, ("",))[0] != script.digest]
    assert not stale, f"not recorded: {stale}"
    assert RECORDED.keys() == SCRIPTS.keys()


def test_the_allowed_differences_are_few_and_reasoned():
    permitted = compare.allowed()
    assert len(permitted) <= compare.LIMIT
    assert all(len(line.reason) > 12 for line in permitted)


def test_a_name_that_nothing_has_is_refused():
    scripts = everything()
    assert {answers.theme(script) for script in chosen(scripts, ["reset", "ack/*"])} == {"reset", "ack"}
    with pytest.raises(SystemExit, match=r"'rest': no theme and no script; themes are ack, .*reset"):
        chosen(scripts, ["reset", "rest"])
    with pytest.raises(SystemExit, match="'reset/exact@established': no theme"):
        record(["reset/exact@established"])


def test_a_script_says_what_it_means_or_is_refused():
    packet = notation.read_packet("1", "P. 1:11(10) ack a-1 win 500 urg 3 ce <nop,nop,ts 5 e>")
    assert (packet.flags, packet.length, packet.window, packet.urgent, packet.ecn) == (0x18, 10, 500, 3, 3)
    assert (packet.ack.base, packet.ack.offset, packet.options) == ("a", -1, ("nop", "nop", "ts 5 e"))
    for wrong in ("P. 1:10(10) ack 1", "P. 1:11(10)", "Q 1(0)", "P 1 ack", "P. 1(0) ack 1 sideways"):
        with pytest.raises((notation.Wrong, KeyError)):
            notation.read_packet("1", wrong)


def test_what_is_sent_is_told_as_it_is_compared():
    """A segment through the wire's own words comes out in the fields that differences are named by."""
    flow = Flow(80, 40001, False)
    from_peer = flow.segment(notation.read_packet("1", "S 0:0(0) <mss 1000,sackOK,ts 7 0,nop,ws 2>"))
    told = f"> {flow.describe(from_peer[20:], 0)}"
    fields = segment_fields(told)
    assert (fields["flags"], fields["mss"], fields["ws"], fields["ts"]) == ("S", "1000", "2", "+ 0")
    assert fields["options"] == "mss sackOK ts nop ws"


def test_bytes_are_told_by_where_they_stand():
    assert spell(text(1, 100), 1) == "1:101"
    assert spell(text(1, 5) + b"xx" + text(8, 3), 1) == "1:6 x*2 8:11"


def test_a_difference_is_found_and_named_and_can_be_allowed():
    script = notation.Script("theme/one", ["send A 10", "poll A"])
    kernel = ["1 = 10", "1 > P. 1:11(10) ack 1 win 5 <>", "2 = OUT"]
    ours = ["1 = 10", "1 > . 1:11(10) ack 1 win 6 <>", "2 = OUT"]
    assert [d.field for d in compare.Comparison([]).script(script, kernel, ours)] == ["flags"]
    line = compare.Allowed("theme/*", "flags", "for the sake of this test")
    lenient = compare.Comparison([line])
    assert lenient.script(script, kernel, ours) == []
    assert lenient.used[line] == 1
    other = [*ours[:2], "2 = -"]
    assert [d.field for d in compare.Comparison([line]).script(script, kernel, other)] == ["poll"]
    assert compare.Comparison([compare.Allowed("theme/*", "flags...", "as above")]).script(script, kernel, other) == []
    assert [d.field for d in compare.Comparison([]).script(script, kernel, [*kernel[:2], "2 = -"])] == ["poll"]
    assert [d.field for d in compare.Comparison([]).script(script, kernel, kernel[::2])] == ["packets"]
