"""A timeline as pcapng (draft-ietf-opsawg-pcapng), with an interface for each host."""

from __future__ import annotations

import struct
from typing import TYPE_CHECKING

from ._virtual import EPOCH

if TYPE_CHECKING:
    from ._timeline import Timeline

_SECTION, _INTERFACE, _PACKET = 0x0A0D0D0A, 1, 6
_RAW = 101  # LINKTYPE_RAW: packets begin with their IP header
_NAME, _TSRESOL, _FLAGS = 2, 9, 2
_INBOUND, _OUTBOUND = 1, 2


def pcapng(timeline: Timeline) -> bytes:
    blocks = [_block(_SECTION, struct.pack("<IHHq", 0x1A2B3C4D, 1, 0, -1))]
    for host in timeline.hosts:
        options = _option(_NAME, host.encode()) + _option(_TSRESOL, b"\x09") + _option(0, b"")
        blocks.append(_block(_INTERFACE, struct.pack("<HHI", _RAW, 0, 0) + options))
    places = {host: number for number, host in enumerate(timeline.hosts)}
    moments = []
    for packet in timeline.packets:
        moments.append((packet.time, places[packet.source.name], _OUTBOUND, packet.data))
        if packet.destination is not None:
            place = places[packet.destination.name]
            moments += [(arrival.time, place, _INBOUND, packet.data) for arrival in packet.arrivals]
    moments.sort(key=lambda moment: moment[0])
    blocks += [_packet(*moment) for moment in moments]
    return b"".join(blocks)


def _packet(time: float, place: int, direction: int, data: bytes) -> bytes:
    stamp = EPOCH * 1_000_000_000 + round(time * 1e9)
    head = struct.pack("<IIIII", place, stamp >> 32, stamp & 0xFFFFFFFF, len(data), len(data))
    options = _option(_FLAGS, struct.pack("<I", direction)) + _option(0, b"")
    return _block(_PACKET, head + _padded(data) + options)


def _block(kind: int, body: bytes) -> bytes:
    length = struct.pack("<I", len(body) + 12)
    return struct.pack("<I", kind) + length + body + length


def _option(code: int, value: bytes) -> bytes:
    return struct.pack("<HH", code, len(value)) + _padded(value)


def _padded(data: bytes) -> bytes:
    return data + bytes(-len(data) % 4)
