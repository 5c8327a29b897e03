"""A timeline as text, as a Mermaid diagram and as an SVG ladder."""

from __future__ import annotations

import math
from collections.abc import Iterable, Iterator
from html import escape
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from ._timeline import Arrival, Entry, NetworkPacket, Timeline


def segment(timeline: Timeline, packet: NetworkPacket) -> str:
    """A packet in a few words, with numbers counted from the SYNs."""
    if not packet.flags:
        return f"{packet.name}, {len(packet.data)} bytes"
    seq, ack = timeline.relative(packet)
    words = [packet.name, f"seq {seq}"]
    if packet.flags & 16:
        words.append(f"ack {ack}")
    if packet.length:
        words.append(f"{packet.length} bytes")
    return " ".join(words)


def remarks(packet: NetworkPacket) -> str:
    """What is special about it."""
    kinds = ("retransmission", "duplicated", "corrupted", "reordered")
    return ", ".join(kind for kind in kinds if getattr(packet, kind))


def states(before: str | None, after: str | None) -> str:
    if before is None or after is None:
        return ""
    return before if before == after else f"{before}, now {after}"


def end_of(arrival: Arrival) -> str:
    return f"dropped: {arrival.dropped}" if arrival.dropped else states(arrival.before, arrival.after)


_TIMERS = ("Retransmission", "LossProbe", "Persist", "Keepalive")


def _alone(entry: Entry) -> bool:
    """What happened without a packet: what the user did, and the timers that are worth a line."""
    return entry.packet is None and (entry.kind == "transition" or entry.cause in _TIMERS)


def _cause(entry: Entry) -> str:
    return f"{entry.cause} timer" if entry.kind == "expired" else str(entry.cause)


# ---- text


def text(timeline: Timeline) -> str:
    rows = [("seconds", "host", "state", "segment", "to", "seconds", "state")]
    for entry in timeline:
        if entry.kind == "sent" and entry.packet is not None:
            rows += _packet_rows(timeline, entry.packet)
        elif _alone(entry):
            rows.append((f"{entry.time:.6f}", entry.host, states(entry.before, entry.after), f"({_cause(entry)})", "", "", ""))
    widths = [max(len(row[column]) for row in rows) for column in range(len(rows[0]))]
    lines = ("  ".join(cell.ljust(width) for cell, width in zip(row, widths)).rstrip() for row in rows)
    return "\n".join(lines) + "\n"


def _packet_rows(timeline: Timeline, packet: NetworkPacket) -> Iterator[tuple[str, str, str, str, str, str, str]]:
    what = segment(timeline, packet)
    notes = remarks(packet)
    what = f"{what} [{notes}]" if notes else what
    to = packet.destination.name if packet.destination is not None else "?"
    beginning = (f"{packet.time:.6f}", packet.source.name, packet.state or "", what)
    if packet.lost:
        yield (*beginning, f"x {to}", "", f"lost: {packet.lost}")
    elif not packet.arrivals:
        yield (*beginning, f"> {to}", "", "on the way")
    for arrival in packet.arrivals:
        yield (*beginning, f"> {to}", f"{arrival.time:.6f}", end_of(arrival))


# ---- Mermaid


def mermaid(timeline: Timeline) -> str:
    # A name may hold what means something to Mermaid: the diagram goes by numbers.
    lanes = {host: f"h{number}" for number, host in enumerate(timeline.hosts)}
    lines = ["sequenceDiagram", *(f"    participant {lane} as {_plain(host)}" for host, lane in lanes.items())]
    for entry in timeline:
        packet = entry.packet
        if entry.kind == "sent" and packet is not None and packet.destination is not None:
            what, notes = segment(timeline, packet), remarks(packet)
            what += f" ({notes})" if notes else ""
            arrow, end = ("-x", f" (lost: {packet.lost})") if packet.lost else ("->>", "")
            lines.append(f"    {lanes[packet.source.name]}{arrow}{lanes[packet.destination.name]}: {what}{end}")
        elif entry.kind == "transition":
            lines.append(f"    Note over {lanes[entry.host]}: {entry.after}")
    return "\n".join(lines) + "\n"


def _plain(name: str) -> str:
    """Mermaid's own escapes, where a character is no part of a word."""
    return "".join(sign if sign.isalnum() or sign in "-_. " else f"#{ord(sign)};" for sign in name)


# ---- SVG

_ROW, _TOP, _LETTER, _TIME = 26, 60, 7.3, 90  # pixels
_STYLE = (
    "text{font:12px ui-monospace,monospace;fill:#222} .host{font-weight:bold;text-anchor:middle}"
    ".lane{stroke:#999} .way{stroke:#1565c0;stroke-width:1.5} .lost{stroke:#c62828;stroke-width:1.5;stroke-dasharray:5 4}"
    ".state{fill:#2e7d32} .time{fill:#777;text-anchor:end}"
    ".middle{text-anchor:middle;paint-order:stroke;stroke:#fff;stroke-width:3px}"
    "svg{background:#fff}"
)


class _Rows:
    """Which row a moment on a host has: moments in order, each with a row of its own. Time between them is not to
    scale, for 60 s of TIME-WAIT would leave nothing of the handshake."""

    def __init__(self, timeline: Timeline) -> None:
        moments: list[tuple[float, int, str, str]] = []
        for place, entry in enumerate(timeline):
            if entry.kind == "sent" and entry.packet is not None:
                packet = entry.packet
                moments.append((packet.time, place, f"sent {packet.number}", ""))
                moments += [
                    (arrival.time, place, f"arrived {packet.number} {index}", "")
                    for index, arrival in enumerate(packet.arrivals)
                ]
            elif _alone(entry):
                moments.append((entry.time, place, f"entry {place}", ""))
        moments.sort()
        self._row = {name: row for row, (_, _, name, _) in enumerate(moments)}
        self.times = [time for time, _, _, _ in moments]

    def height(self, name: str) -> int:
        return _TOP + _ROW * (self._row[name] + 1)


def svg(timeline: Timeline) -> str:
    rows = _Rows(timeline)
    beside = _widest(_labels(timeline))
    between = _widest(segment(timeline, packet) + remarks(packet) + (packet.lost or "") for packet in timeline.packets)
    if len(timeline.hosts) > 2:
        between = max(between, beside)  # states of those in the middle stand between the lines
    left = _TIME + beside
    lanes = {host: left + between * index for index, host in enumerate(timeline.hosts)}
    width = left + between * max(len(lanes) - 1, 0) + beside + 20
    height = _TOP + _ROW * (len(rows.times) + 2)
    parts = [
        f'<svg xmlns="http://www.w3.org/2000/svg" width="{width}" height="{height}" viewBox="0 0 {width} {height}">',
        f"<style>{_STYLE}</style>",
    ]
    for host, x in lanes.items():
        parts.append(f'<text class="host" x="{x}" y="30">{escape(host)}</text>')
        parts.append(f'<line class="lane" x1="{x}" y1="40" x2="{x}" y2="{height - 10}"/>')
    for row, time in enumerate(rows.times):
        parts.append(f'<text class="time" x="{_TIME - 10}" y="{_TOP + _ROW * (row + 1) + 4}">{time:.6f}</text>')
    for place, entry in enumerate(timeline):
        if entry.kind == "sent" and entry.packet is not None:
            parts += _arrows(timeline, entry.packet, rows, lanes)
        elif _alone(entry):
            y = rows.height(f"entry {place}") + 4
            parts.append(_beside(lanes[entry.host], y, _label(entry), lanes))
    return "\n".join([*parts, "</svg>"]) + "\n"


def _label(entry: Entry) -> str:
    return f"{states(entry.before, entry.after)} ({_cause(entry)})".strip()


def _labels(timeline: Timeline) -> Iterator[str]:
    """All that will stand beside a host's line."""
    for entry in timeline:
        if _alone(entry):
            yield _label(entry)
    for packet in timeline.packets:
        yield packet.state or ""
        for arrival in packet.arrivals:
            yield end_of(arrival)


def _widest(labels: Iterable[str]) -> int:
    """Pixels that the longest of them takes, and a little air."""
    return round(_LETTER * max((len(label) for label in labels), default=0)) + 40


def _arrows(timeline: Timeline, packet: NetworkPacket, rows: _Rows, lanes: dict[str, int]) -> Iterator[str]:
    if packet.destination is None:
        return
    x1, x2 = lanes[packet.source.name], lanes[packet.destination.name]
    y1 = rows.height(f"sent {packet.number}")
    notes = remarks(packet)
    label = escape(segment(timeline, packet) + (f" ({notes})" if notes else ""))
    yield _beside(x1, y1 + 4, packet.state or "", lanes)
    if packet.lost or not packet.arrivals:
        middle, y2 = (x1 + x2) // 2, y1 + _ROW // 2
        yield f'<line class="lost" x1="{x1}" y1="{y1}" x2="{middle}" y2="{y2}"/>'
        yield _along((x1, y1), (x2, y2), f"{label}: {'lost: ' + escape(packet.lost) if packet.lost else 'on the way'}")
    for index, arrival in enumerate(packet.arrivals):
        y2 = rows.height(f"arrived {packet.number} {index}")
        yield f'<line class="way" x1="{x1}" y1="{y1}" x2="{x2}" y2="{y2}"/>'
        tip = 8 if x2 > x1 else -8
        yield f'<path d="M{x2} {y2} l{-tip} -4 l0 8 z" fill="#1565c0"/>'
        yield _along((x1, y1), (x2, y2), label)
        yield _beside(x2, y2 + 4, end_of(arrival), lanes)


def _along(start: tuple[int, int], end: tuple[int, int], label: str) -> str:
    """A label on the middle of an arrow, parallel to it."""
    (x1, y1), (x2, y2) = sorted((start, end))
    x, y = (x1 + x2) // 2, (y1 + y2) // 2
    angle = math.degrees(math.atan2(y2 - y1, x2 - x1))
    return f'<text class="middle" x="{x}" y="{y - 4}" transform="rotate({angle:.2f} {x} {y})">{label}</text>'


def _beside(x: int, y: int, label: str, lanes: dict[str, int]) -> str:
    """A state beside its host's line: outside where there is an outside."""
    leftmost = x == min(lanes.values())
    anchor, at = ("end", x - 8) if leftmost else ("start", x + 8)
    return f'<text class="state" style="text-anchor:{anchor}" x="{at}" y="{y}">{escape(label)}</text>'
