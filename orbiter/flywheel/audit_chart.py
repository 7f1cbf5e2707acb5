"""The plot of an audit as one SVG file: what share of each family passed, and how clean the survivors are at every pass rate."""

from __future__ import annotations

import re
from collections.abc import Iterator
from math import log10

from orbiter.flywheel import odds
from orbiter.flywheel.audit_report import AuditReport
from orbiter.flywheel.page import show
from orbiter.intervals import Estimate
from orbiter.verify.audit import Audit, Confusion

RIGHT, WRONG, CURVE = "#15803d", "#b91c1c", "#2563eb"
_WIDTH, _LEFT, _RIGHT, _ROW, _TOP = 860, 220, 130, 26, 96
_CURVE_HEIGHT, _LEAST_RATE = 240, 0.001
_NO_XML = re.compile("[\ufffe\uffff]")
"""Characters that no XML document may hold, beside those that are never shown."""

_STYLE = (
    "text{font:13px system-ui,sans-serif;fill:#374151}.h{font-size:16px;font-weight:600;fill:#111827}"
    ".s{fill:#6b7280}.e{text-anchor:end}.m{text-anchor:middle}.grid{stroke:#e5e7eb}"
)


def audit_chart(report: AuditReport) -> str:
    """Return the SVG document; it holds no script and needs no other file."""
    parts, bottom = [], _TOP
    parts += list(_head(report))
    for source, audit in report.audits.items():
        parts += list(_families(source, audit, top=bottom))
        bottom += _ROW * (len(_rows(audit)) + 3)
    parts += list(_precision(report, top=bottom + 20))
    height = bottom + _CURVE_HEIGHT + 90
    label = show(_NO_XML.sub("?", f"audit of the verifier {report.verifier}"))
    return (
        f'<svg xmlns="http://www.w3.org/2000/svg" width="{_WIDTH}" height="{height}" '
        f'viewBox="0 0 {_WIDTH} {height}" role="img" aria-label="{label}"><style>{_STYLE}</style>'
        f'<rect width="100%" height="100%" fill="#fff"/>{"".join(parts)}</svg>\n'
    )


def _head(report: AuditReport) -> Iterator[str]:
    audit = report.audit
    yield _text(16, 28, f"Audit of {report.verifier} {report.version}", "h", limit=90)
    yield _text(
        16,
        50,
        f"FPR {_shown(audit.fpr)}, FNR {_shown(audit.fnr)}, g = TPR/FPR at least {audit.g.interval.low:.3g}"
        f" ({report.source}, {audit.confidence:.0%} intervals)",
    )


def _rows(audit: Audit) -> list[tuple[str, Estimate, int, int, bool]]:
    """Return name, share passed, passes, count and label of each family; a family may have right and wrong answers."""
    rows = []
    for name, family in audit.families.items():
        if family.right:
            rows.append((name, family.tpr, family.true_positives, family.right, True))
        if family.wrong:
            rows.append((name, family.fpr, family.false_positives, family.wrong, False))
        if not family.right and not family.wrong:
            invalid = family.invalid_right + family.invalid_wrong
            rows.append((name, family.fpr, 0, invalid, family.invalid_wrong == 0))
    return rows


def _families(source: str, audit: Audit, *, top: int) -> Iterator[str]:
    rows = _rows(audit)
    yield _text(16, top, f"{source}: share that the verifier passed", "h")
    yield _mark(_WIDTH - 350, top - 4, RIGHT, 4) + _text(
        _WIDTH - 340, top, "right answers: 1 is best"
    )
    yield _mark(_WIDTH - 160, top - 4, WRONG, 4) + _text(_WIDTH - 150, top, "wrong ones: 0 is best")
    first, last = top + _ROW // 2, top + _ROW * len(rows) + _ROW // 2
    for step in range(5):
        x = _x(step / 4)
        yield f'<line x1="{x:.1f}" y1="{first}" x2="{x:.1f}" y2="{last}" class="grid"/>'
        yield _text(x, last + 16, f"{step / 4:g}", "s m")
    for place, (name, share, passed, count, right) in enumerate(rows, start=1):
        y, colour = top + _ROW * place, RIGHT if right else WRONG
        yield _text(_LEFT - 12, y + 4, name, "e", limit=30)
        if share.value is None:
            yield _text(_x(0.5), y + 4, f"no valid verdict on {count}", "s m")
            continue
        low, high = _x(share.interval.low), _x(share.interval.high)
        yield (
            f'<line x1="{low:.1f}" y1="{y}" x2="{high:.1f}" y2="{y}" stroke="{colour}" '
            'stroke-width="3" opacity="0.4"/>'
        )
        yield _mark(_x(share.value), y, colour, 5)
        yield _text(_WIDTH - _RIGHT + 14, y + 4, f"{passed} of {count}", "s")


def _precision(report: AuditReport, *, top: int) -> Iterator[str]:
    """Draw p TPR / (p TPR + (1 - p) FPR) over p, and the band that the intervals leave."""
    audit: Confusion = report.audit
    made = ", if it erred as the probes do" if report.source == "probes" else ""
    title = f"share of survivors that are right, by the model's true pass rate{made}"
    yield _text(16, top, title, "h")
    high_edge, low_edge = top + 20, top + 20 + _CURVE_HEIGHT
    for step in range(5):
        y = low_edge - _CURVE_HEIGHT * step / 4
        yield f'<line x1="{_LEFT}" y1="{y}" x2="{_WIDTH - _RIGHT}" y2="{y}" class="grid"/>'
        yield _text(_LEFT - 12, y + 4, f"{step / 4:g}", "s e")
    for rate in (0.001, 0.01, 0.1, 1):
        yield _text(
            _log_x(rate), low_edge + 18, f"{rate:.1%}" if rate < 0.01 else f"{rate:.0%}", "s m"
        )
    tpr, fpr = audit.joint_rates
    if tpr.value is None or fpr.value is None:
        yield _text(_x(0.5), (high_edge + low_edge) / 2, "needs right and wrong answers", "s m")
        return
    rates = [_LEAST_RATE ** (1 - step / 60) for step in range(61)]

    def path(tpr: float, fpr: float) -> list[str]:
        found = ((p, odds.survivor_precision(p, tpr=tpr, fpr=fpr)) for p in rates)
        return [
            f"{_log_x(p):.1f},{low_edge - _CURVE_HEIGHT * q:.1f}" for p, q in found if q is not None
        ]

    upper = path(tpr.interval.high, fpr.interval.low)
    lower = path(tpr.interval.low, fpr.interval.high)
    yield f'<polygon points="{" ".join(upper + lower[::-1])}" fill="{CURVE}" opacity="0.15"/>'
    line = " ".join(path(tpr.value, fpr.value))
    yield f'<polyline points="{line}" fill="none" stroke="{CURVE}" stroke-width="2.5"/>'
    found = report.forecast
    if found is not None and found.pass_rate.value and found.precision.value is not None:
        x = _log_x(max(_LEAST_RATE, found.pass_rate.value))
        y = low_edge - _CURVE_HEIGHT * found.precision.value
        yield _mark(x, y, "#111827", 5)
        # Below and right of a rising curve there is room.
        yield _text(x + 10, y + 18, f"now: {found.precision.value:.1%} right")


def _x(share: float) -> float:
    return _LEFT + (_WIDTH - _LEFT - _RIGHT) * share


def _log_x(rate: float) -> float:
    return _x(1 - log10(rate) / log10(_LEAST_RATE))


def _mark(x: float, y: float, colour: str, radius: int) -> str:
    return f'<circle cx="{x:.1f}" cy="{y:.1f}" r="{radius}" fill="{colour}"/>'


def _text(x: float, y: float, text: str, kind: str = "", *, limit: int = 200) -> str:
    cut = text if len(text) <= limit else f"{text[: limit - 3]}..."
    return f'<text x="{x:.1f}" y="{y:.1f}" class="{kind}">{show(_NO_XML.sub("?", cut))}</text>'


def _shown(estimate: Estimate) -> str:
    if estimate.value is None:
        return "unknown"
    return f"{estimate.value:.4f} [{estimate.interval.low:.4f}, {estimate.interval.high:.4f}]"
