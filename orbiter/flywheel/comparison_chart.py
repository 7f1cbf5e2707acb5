"""The plot of a comparison as one SVG file: held-out pass rate over samples and over seconds, a line per run."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from math import ceil, log10

from orbiter.flywheel.comparison import Standing
from orbiter.flywheel.page import show

COLOURS = ("#2563eb", "#d97706", "#15803d", "#b91c1c", "#7c3aed", "#0891b2", "#be185d", "#4b5563")
_WIDTH, _LEFT, _RIGHT, _TOP, _PANEL, _GAP = 860, 60, 200, 70, 260, 70

_STYLE = (
    "text{font:13px system-ui,sans-serif;fill:#374151}.h{font-size:16px;font-weight:600;fill:#111827}"
    ".s{fill:#6b7280}.e{text-anchor:end}.m{text-anchor:middle}.grid{stroke:#e5e7eb}"
)


def comparison_chart(found: Sequence[Standing], *, target: float, title: str) -> str:
    """Return the SVG document; it holds no script and needs no other file."""
    parts = [f'<text x="16" y="28" class="h">{show(title)}</text>']
    parts += list(_legend(found))
    for place, cost in enumerate(("samples", "seconds")):
        parts += list(_panel(found, cost, top=_TOP + place * (_PANEL + _GAP), target=target))
    height = _TOP + 2 * (_PANEL + _GAP)
    return (
        f'<svg xmlns="http://www.w3.org/2000/svg" width="{_WIDTH}" height="{height}" '
        f'viewBox="0 0 {_WIDTH} {height}" role="img" aria-label="{show(title)}"><style>{_STYLE}</style>'
        f'<rect width="100%" height="100%" fill="#fff"/>{"".join(parts)}</svg>\n'
    )


def _legend(found: Sequence[Standing]) -> Iterator[str]:
    for place, standing in enumerate(found):
        y = _TOP + 20 + 22 * place
        yield f'<rect x="{_WIDTH - _RIGHT + 20}" y="{y - 9}" width="14" height="10" fill="{_colour(place)}"/>'
        yield f'<text x="{_WIDTH - _RIGHT + 42}" y="{y}">{show(_short(standing.recipe))}</text>'


def _short(name: str, size: int = 20) -> str:
    """Return a name that fits beside the plot."""
    return name if len(name) <= size else f"{name[: size - 1]}…"


def _panel(found: Sequence[Standing], cost: str, *, top: int, target: float) -> Iterator[str]:
    courses = [(i, course) for i, standing in enumerate(found) for course in standing.courses]
    most = max((mark.spent[cost] for _, course in courses for mark in course.marks), default=0)
    step = _step(most)
    end = step * max(1, ceil(most / step))

    def x(value: float) -> float:
        return _LEFT + (_WIDTH - _LEFT - _RIGHT) * value / end

    def y(rate: float) -> float:
        return top + _PANEL * (1 - rate)

    for quarter in range(5):
        height = y(quarter / 4)
        yield f'<line x1="{_LEFT}" y1="{height:.1f}" x2="{x(end):.1f}" y2="{height:.1f}" class="grid"/>'
        yield f'<text x="{_LEFT - 8}" y="{height + 4:.1f}" class="s e">{quarter / 4:g}</text>'
    for number in range(round(end / step) + 1):
        yield f'<text x="{x(number * step):.1f}" y="{top + _PANEL + 18}" class="s m">{number * step:,g}</text>'
    yield (
        f'<text x="{x(end / 2):.1f}" y="{top + _PANEL + 38}" class="m">{cost} after the cold start</text>'
        f'<line x1="{_LEFT}" y1="{y(target):.1f}" x2="{x(end):.1f}" y2="{y(target):.1f}" '
        'stroke="#111827" stroke-dasharray="5 4"/>'
        f'<text x="{x(end) - 4:.1f}" y="{y(target) - 5:.1f}" class="s e">target</text>'
    )
    for place, course in courses:
        points = " ".join(f"{x(m.spent[cost]):.1f},{y(m.rate):.1f}" for m in course.marks)
        yield (
            f'<polyline points="{points}" fill="none" stroke="{_colour(place)}" stroke-width="1.8" '
            f'opacity="0.75"><title>{show(f"{course.recipe}, seed {course.seed}")}</title></polyline>'
        )
        last = course.marks[-1]
        yield f'<circle cx="{x(last.spent[cost]):.1f}" cy="{y(last.rate):.1f}" r="3" fill="{_colour(place)}"/>'


def _colour(place: int) -> str:
    return COLOURS[place % len(COLOURS)]


def _step(most: float) -> float:
    """Return the distance of ticks: 1, 2 or 5 times a power of ten, at most six of them."""
    if most <= 0:
        return 1.0
    size = 10.0 ** ceil(log10(most / 6) - 1)
    return next(size * factor for factor in (1, 2, 5, 10, 20) if most / (size * factor) <= 6)
