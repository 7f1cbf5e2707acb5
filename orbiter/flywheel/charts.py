"""Charts as SVG text: no script, no outside file, every label escaped."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from html import escape
from math import ceil, floor, log10

from attrs import frozen

WIDTH, HEIGHT = 640, 280
LEFT, RIGHT, TOP, BOTTOM = 60, 16, 16, 44
MOST_LABELS = 10
"""Labels of the x axis; of more rounds, every second one has a label, or every third, ..."""


@frozen
class Point:
    """A value with its interval at a place on the x axis."""

    x: int
    y: float
    low: float | None = None
    high: float | None = None


@frozen
class Line:
    """A named series of points."""

    name: str
    points: Sequence[Point]
    colour: str = "#2563eb"
    dashed: bool = False


def line_chart(
    lines: Sequence[Line], *, label: str, low: float = 0.0, high: float = 1.0, unit: str = ""
) -> str:
    """Return a chart of lines with interval bands over whole-numbered rounds.

    Args:
        lines: The series; empty ones are left out.
        label: What a reader who cannot see it is told.
        low: Bottom of the y axis.
        high: Top of the y axis.
        unit: Written behind the numbers of the y axis.
    """
    lines = [line for line in lines if line.points]
    xs = sorted({point.x for line in lines for point in line.points}) or [0]
    parts = _axes(xs, [low + (high - low) * i / 4 for i in range(5)], low, high, unit)
    for line in lines:
        place = [(_x(p.x, xs), _y(p.y, low, high), p) for p in line.points]
        band = [(x, p) for x, _, p in place if p.low is not None and p.high is not None]
        if len(band) > 1:
            upper = [f"{x:.1f},{_y(p.high or 0, low, high):.1f}" for x, p in band]
            lower = [f"{x:.1f},{_y(p.low or 0, low, high):.1f}" for x, p in reversed(band)]
            parts.append(
                f'<polygon points="{" ".join(upper + lower)}" fill="{line.colour}" opacity="0.15"/>'
            )
        dash = ' stroke-dasharray="6 4"' if line.dashed else ""
        path = " ".join(f"{x:.1f},{y:.1f}" for x, y, _ in place)
        parts.append(
            f'<polyline points="{path}" fill="none" stroke="{line.colour}" stroke-width="2.5"{dash}/>'
        )
        parts += [
            f'<circle cx="{x:.1f}" cy="{y:.1f}" r="4" fill="{line.colour}">'
            f"<title>{escape(f'{line.name}, round {p.x}: {p.y:.3g}')}</title></circle>"
            for x, y, p in place
        ]
    return _svg(parts, label) + _legend([(line.name, line.colour) for line in lines])


def stacked_bars(
    bars: Mapping[int, Mapping[str, float]], colours: Mapping[str, str], *, label: str
) -> str:
    """Return a chart of one stacked bar per round.

    Args:
        bars: Round to part to amount.
        colours: Part to colour, bottom part first.
        label: What a reader who cannot see it is told.
    """
    most = _round_up(max((sum(parts.values()) for parts in bars.values()), default=0))
    xs = sorted(bars) or [0]
    out = _axes(xs, [most * i / 4 for i in range(5)], 0, most, "", bars=True)
    slot = (WIDTH - LEFT - RIGHT) / len(xs)
    for i, x in enumerate(xs):
        base = 0.0
        for part in colours:
            count = bars.get(x, {}).get(part, 0)
            if count <= 0:
                continue
            top, bottom = _y(base + count, 0, most), _y(base, 0, most)
            out.append(
                f'<rect x="{LEFT + slot * (i + 0.2):.1f}" y="{top:.1f}" width="{slot * 0.6:.1f}" '
                f'height="{bottom - top:.1f}" fill="{colours[part]}">'
                f"<title>{escape(f'round {x}: {count:g} {part}')}</title></rect>"
            )
            base += count
    used = [(part, c) for part, c in colours.items() if any(b.get(part) for b in bars.values())]
    return _svg(out, label) + _legend(used)


def _axes(
    xs: Sequence[int],
    ticks: Sequence[float],
    low: float,
    high: float,
    unit: str,
    *,
    bars: bool = False,
) -> list[str]:
    parts = []
    for tick in ticks:
        y = _y(tick, low, high)
        parts.append(
            f'<line x1="{LEFT}" y1="{y:.1f}" x2="{WIDTH - RIGHT}" y2="{y:.1f}" class="grid"/>'
            f'<text x="{LEFT - 6}" y="{y + 4:.1f}" text-anchor="end">{escape(f"{tick:g}{unit}")}</text>'
        )
    slot = (WIDTH - LEFT - RIGHT) / len(xs)
    every = ceil(len(xs) / MOST_LABELS)
    for i, x in list(enumerate(xs))[::every]:
        at = LEFT + slot * (i + 0.5) if bars else _x(x, xs)
        parts.append(
            f'<text x="{at:.1f}" y="{HEIGHT - BOTTOM + 18}" text-anchor="middle">{x}</text>'
        )
    parts.append(
        f'<text x="{(LEFT + WIDTH - RIGHT) / 2}" y="{HEIGHT - 4}" text-anchor="middle">round</text>'
    )
    return parts


def _round_up(value: float) -> float:
    """Return the least of 1, 2, 4, 8, 10, 20, ... that is not below ``value``, so that its quarters are short numbers."""
    if value <= 0:
        return 1.0
    unit: float = 10.0 ** floor(log10(value))
    return next(unit * step for step in (1, 2, 4, 8, 10) if unit * step >= value)


def _x(value: int, xs: Sequence[int]) -> float:
    span = (xs[-1] - xs[0]) or 1
    return LEFT + 12 + (WIDTH - LEFT - RIGHT - 24) * (value - xs[0]) / span


def _y(value: float, low: float, high: float) -> float:
    share = (min(max(value, low), high) - low) / ((high - low) or 1)
    return HEIGHT - BOTTOM - (HEIGHT - TOP - BOTTOM) * share


def _svg(parts: Sequence[str], label: str) -> str:
    body = "".join(parts)
    return (
        f'<svg viewBox="0 0 {WIDTH} {HEIGHT}" role="img" aria-label="{escape(label)}">{body}</svg>'
    )


def _legend(entries: Sequence[tuple[str, str]]) -> str:
    items = "".join(
        f'<li><span class="swatch" style="background:{colour}"></span>{escape(name)}</li>'
        for name, colour in entries
    )
    return f'<ul class="legend">{items}</ul>'
