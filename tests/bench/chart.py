"""Groups of bars as SVG, written by hand: no plotting library for one picture."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from html import escape

BAR, GAP, GROUP_GAP = 24, 2, 36
LEFT, TOP, HEIGHT, BOTTOM = 48, 56, 260, 48
COLOURS = {"cubic": "#1f6fb4", "reno": "#c1661a", "bbr": "#3b8a3e"}
INK, FAINT = "#24292f", "#d0d7de"
TICKS = range(0, 101, 20)

Bar = tuple[str, str, float | None]  # algorithm, stack, Mbit/s


def bars(groups: Mapping[str, Sequence[Bar]], stacks: Mapping[str, str]) -> str:
    """One group for each condition; ours filled, the other outlined in the same colour. Without a figure, no bar."""
    size = max(len(bars) for bars in groups.values())
    group_width = size * (BAR + GAP) + GROUP_GAP
    width, height = LEFT + len(groups) * group_width, TOP + HEIGHT + BOTTOM
    parts = [
        f'<svg xmlns="http://www.w3.org/2000/svg" viewBox="0 0 {width} {height}" width="{width}" height="{height}" '
        f'font-family="sans-serif" font-size="12" fill="{INK}">',
        f'<rect width="{width}" height="{height}" fill="#ffffff"/>',
        *axis(width),
        *legend(stacks),
    ]
    for place, (name, group) in enumerate(groups.items()):
        left = LEFT + GROUP_GAP / 2 + place * group_width
        for index, bar in enumerate(group):
            parts += one_bar(left + index * (BAR + GAP), bar, filled=bar[1] == next(iter(stacks)))
        middle = left + size * (BAR + GAP) / 2
        parts.append(f'<text x="{middle:.0f}" y="{TOP + HEIGHT + 20}" text-anchor="middle">{escape(name)}</text>')
    parts.append("</svg>")
    return "\n".join(parts) + "\n"


def above(value: float) -> float:
    return TOP + HEIGHT * (1 - value / TICKS[-1])


def axis(width: int) -> list[str]:
    parts = [f'<text x="8" y="{TOP - 12}">Mbit/s</text>']
    for tick in TICKS:
        y = above(tick)
        parts.append(f'<line x1="{LEFT}" x2="{width}" y1="{y:.1f}" y2="{y:.1f}" stroke="{FAINT}"/>')
        parts.append(f'<text x="{LEFT - 6}" y="{y + 4:.1f}" text-anchor="end">{tick}</text>')
    return parts


def legend(stacks: Mapping[str, str]) -> list[str]:
    parts, x = [], LEFT + GROUP_GAP / 2
    for algorithm, colour in COLOURS.items():
        for index, stack in enumerate(stacks.values()):
            parts.append(rectangle(x, 12, 14, colour, filled=index == 0))
            parts.append(f'<text x="{x + BAR - 4:.0f}" y="24">{escape(stack)} {algorithm}</text>')
            x += 118
    return parts


def one_bar(x: float, bar: Bar, filled: bool) -> list[str]:
    algorithm, _, value = bar
    if value is None:
        return []
    y = above(value)
    text = f"{value:.0f}" if value >= 9.95 else f"{value:.1f}"
    return [
        rectangle(x, y, TOP + HEIGHT - y, COLOURS[algorithm], filled),
        f'<text x="{x + BAR / 2:.1f}" y="{y - 4:.1f}" text-anchor="middle" font-size="10">{text}</text>',
    ]


def rectangle(x: float, y: float, height: float, colour: str, filled: bool) -> str:
    width = BAR if y >= TOP else 14
    fill = colour if filled else "#ffffff"
    return (
        f'<rect x="{x + 1:.1f}" y="{y:.1f}" width="{width - 2}" height="{max(height, 1):.1f}" '
        f'fill="{fill}" stroke="{colour}" stroke-width="1.5"/>'
    )
