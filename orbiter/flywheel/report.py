"""The report of a run: one HTML page that needs nothing else.

What a model wrote is untrusted text: every string is escaped, and the page's policy forbids scripts and any request.
"""

from __future__ import annotations

import math
from collections.abc import Callable, Iterable, Mapping, Sequence
from html import escape
from pathlib import Path
from typing import Any

from orbiter.flywheel.charts import Line, Point, line_chart, stacked_bars
from orbiter.flywheel.engines import POLICY
from orbiter.jsonl import replace_file
from orbiter.ledger import History
from orbiter.records import Message, Outcome, Trajectory, Verdict

Columns = tuple[tuple[str, Callable[[Mapping[str, Any]], str]], ...]

COLOURS = {
    "accepted": "#15803d",
    "duplicate": "#94a3b8",
    "rejected": "#b91c1c",
    "truncated": "#d97706",
    "contaminated": "#7c3aed",
    "invalid": "#111827",
}
"""Decisions, in the order of the funnel's stack."""

SAMPLES = 5
"""Passes and failures shown of the first and of the last round."""

STYLE = """
:root { color-scheme: light; --ink: #111827; --soft: #6b7280; --line: #e5e7eb; }
body { font: 16px/1.5 system-ui, sans-serif; color: var(--ink); max-width: 72rem; margin: 2rem auto; padding: 0 1rem; }
h1 { margin-bottom: 0; } h2 { margin-top: 2.5rem; } .soft { color: var(--soft); }
.tiles { display: grid; grid-template-columns: repeat(auto-fit, minmax(11rem, 1fr)); gap: 1rem; margin: 1.5rem 0; }
.tile { border: 1px solid var(--line); border-radius: .5rem; padding: .75rem 1rem; }
.tile b { display: block; font-size: 1.4rem; }
.charts { display: grid; grid-template-columns: repeat(auto-fit, minmax(26rem, 1fr)); gap: 2rem; }
figure { margin: 0; } svg { width: 100%; height: auto; } svg text { font-size: 12px; fill: var(--soft); } .grid { stroke: var(--line); }
.legend { list-style: none; display: flex; flex-wrap: wrap; gap: 1rem; padding: 0; margin: .25rem 0; font-size: .875rem; }
.swatch { display: inline-block; width: .8em; height: .8em; margin-right: .4em; border-radius: 2px; }
.scroll { overflow-x: auto; } table { border-collapse: collapse; width: 100%; font-variant-numeric: tabular-nums; }
th, td { text-align: right; padding: .3rem .6rem; border-bottom: 1px solid var(--line); white-space: nowrap; }
th:first-child, td:first-child, .facts td { text-align: left; } .facts { width: auto; } caption { text-align: left; font-weight: 600; padding: .5rem 0; }
.samples { display: grid; grid-template-columns: repeat(auto-fit, minmax(22rem, 1fr)); gap: 1rem; }
.sample { border: 1px solid var(--line); border-left-width: 5px; border-radius: .4rem; padding: .5rem .75rem; min-width: 0; }
.pass { border-left-color: #15803d; } .fail { border-left-color: #b91c1c; } .invalid { border-left-color: #111827; }
pre { margin: .25rem 0; white-space: pre-wrap; overflow-wrap: anywhere; font-size: .875rem; }
pre span { color: var(--soft); } .alarm { border-left: 5px solid #d97706; padding-left: .75rem; }
"""


def write_report(run: Path) -> Path:
    """Write ``report.html`` in a run's folder and return its path.

    Raises:
        LedgerError: The folder holds no run.
    """
    with History.open(run) as ledger:
        page = _page(ledger)
    path = run / "report.html"
    with replace_file(path) as file:
        file.write(page.encode())
    return path


def _page(ledger: History) -> str:
    started = ledger.last_event("run_started") or {}
    done = ledger.last_event("run_done")
    rows = list(ledger.events("stage_done", stage="round"))
    audit = ledger.last_event("stage_done", stage="audit") or {}
    recipe = started.get("recipe") or {}
    state = "unfinished" if done is None else (done.get("stopped") or "finished")
    sections = [
        _tiles(rows),
        _alarms(rows),
        '<div class="charts">',
        _figure("Pass rate by round, with 95 % Wilson intervals", _yield_chart(rows)),
        _figure("What became of the samples", _funnel_chart(rows)),
        _figure("Odds of a right held-out answer, on a scale of powers of two", _odds_chart(rows)),
        "</div>",
        "<h2>Rounds</h2>",
        _table(rows),
        _audit(audit),
        "<h2>Samples</h2>",
        _samples(ledger, [row["round"] for row in rows if row.get("sampled")]),
        "<h2>Provenance</h2>",
        _provenance(started),
    ]
    name, description = (
        escape(str(started.get("name", ""))),
        escape(str(recipe.get("description", ""))),
    )
    return (
        '<!doctype html><html lang="en"><head><meta charset="utf-8">'
        "<meta http-equiv=\"Content-Security-Policy\" content=\"default-src 'none'; style-src 'unsafe-inline'\">"
        '<meta name="viewport" content="width=device-width, initial-scale=1">'
        f"<title>{name} - orbiter</title><style>{STYLE}</style></head><body>"
        f'<h1>{name}</h1><p class="soft">{description} &middot; {escape(str(state))}</p>'
        f"{''.join(sections)}</body></html>\n"
    )


def _tiles(rows: Sequence[Mapping[str, Any]]) -> str:
    made = [row for row in rows if row.get("sampled")]
    measured = [row for row in rows if row.get("held_out") is not None]
    kept = sum(row.get("kept", 0) for row in made)
    sampled = sum(row["sampled"] for row in made)
    tiles = []
    if measured:
        tiles.append(("held-out pass rate", _change(measured, "held_out")))
    if made:
        tiles.append(("yield", _change(made, "yield")))
    tiles.append(("rows kept", f"{kept:,} of {sampled:,}"))
    if kept:
        tiles.append(("samples per kept row", f"{sampled / kept:.2f}"))
        tiles.append(
            ("tokens per kept row", f"{sum(row.get('tokens', 0) for row in made) / kept:,.0f}")
        )
    tiles.append(("time", f"{sum(row['seconds'] for row in rows):,.0f} s"))
    body = "".join(
        f'<div class="tile"><span class="soft">{escape(name)}</span><b>{escape(value)}</b></div>'
        for name, value in tiles
    )
    return f'<div class="tiles">{body}</div>'


def _change(rows: Sequence[Mapping[str, Any]], name: str) -> str:
    values = [row[name] for row in rows if row.get(name) is not None]
    if not values:
        return "-"
    return f"{values[0]:.3f}" if len(values) == 1 else f"{values[0]:.3f} → {values[-1]:.3f}"


def _alarms(rows: Sequence[Mapping[str, Any]]) -> str:
    alarms = [f"round {row['round']}: {text}" for row in rows for text in row.get("alarms", ())]
    return "".join(f'<p class="alarm">{escape(text)}</p>' for text in alarms)


def _figure(title: str, chart: str) -> str:
    return f"<figure><figcaption><b>{escape(title)}</b></figcaption>{chart}</figure>"


def _points(rows: Iterable[Mapping[str, Any]], name: str) -> list[Point]:
    return [
        Point(row["round"], row[name], row.get(f"{name}_low"), row.get(f"{name}_high"))
        for row in rows
        if row.get(name) is not None
    ]


def _yield_chart(rows: Sequence[Mapping[str, Any]]) -> str:
    lines = [
        Line("held-out pass rate", _points(rows, "held_out")),
        Line("yield of the samples", _points(rows, "yield"), "#d97706"),
        Line("audited pass rate", _points(rows, "audited"), "#7c3aed", dashed=True),
    ]
    return line_chart(lines, label="pass rate by round")


def _funnel_chart(rows: Sequence[Mapping[str, Any]]) -> str:
    bars = {row["round"]: row["decisions"] for row in rows if row.get("decisions")}
    return stacked_bars(bars, COLOURS, label="decisions by round")


def _odds_chart(rows: Sequence[Mapping[str, Any]]) -> str:
    """Odds grow by a factor g a round, so on a logarithmic scale the slope is what a round gained."""
    measured = [
        Point(row["round"], _log2_odds(row["held_out_passed"], row["held_out_valid"]))
        for row in rows
        if row.get("held_out_valid")
    ]
    if not measured:
        return '<p class="soft">nothing was measured on held-out tasks</p>'
    # Whole multiples of 4, so that the four steps of the axis are whole numbers.
    reach = 4 * math.ceil(max(1.0, *(abs(p.y) / 4 for p in measured)))
    gains = [
        f"round {row['round']}: g = {row['g']:.2f}" for row in rows if row.get("g") is not None
    ]
    chart = line_chart(
        [Line("log2 odds, held out", measured)], label="odds by round", low=-reach, high=reach
    )
    return f'{chart}<p class="soft">{escape("; ".join(gains))}</p>'


def _log2_odds(passed: int, valid: int) -> float:
    """Return the log odds with half a pass and half a failure added (Haldane 1956), finite at 0 and at 1."""
    return math.log2((passed + 0.5) / (valid - passed + 0.5))


def _table(rows: Sequence[Mapping[str, Any]]) -> str:
    columns: Columns = (
        ("round", lambda r: str(r["round"])),
        ("yield", lambda r: _rate(r, "yield")),
        (
            "kept / sampled",
            lambda r: f"{r.get('kept', 0)} / {r['sampled']}" if r.get("sampled") else "",
        ),
        ("duplicates", lambda r: str((r.get("decisions") or {}).get("duplicate", 0))),
        ("invalid", lambda r: str(r.get("invalid", 0))),
        ("held-out", lambda r: _rate(r, "held_out")),
        ("g measured", lambda r: f"{r['g']:.2f}" if r.get("g") is not None else ""),
        (
            "g at least, by audit",
            lambda r: f"{r['g_bound']:.0f}" if r.get("g_bound") is not None else "",
        ),
        ("loss", lambda r: f"{r['loss']:.4f}" if r.get("loss") is not None else ""),
    )
    costs: Columns = (
        ("round", lambda r: str(r["round"])),
        ("seconds", lambda r: f"{r['seconds']:.2f}"),
        ("tokens", lambda r: f"{r.get('tokens', 0):,}"),
        ("tokens/s", lambda r: f"{r['tokens_per_s']:,.0f}" if r.get("tokens_per_s") else ""),
        ("generate s", lambda r: f"{r['generate_s']:.2f}"),
        ("verify s", lambda r: f"{r['verify_s']:.2f}"),
        ("train s", lambda r: f"{r['train_s']:.2f}"),
        ("orbiter's own s", lambda r: f"{r['own_s']:.2f}"),
    )
    return _grid(columns, rows) + "<h3>Cost</h3>" + _grid(costs, rows)


def _grid(columns: Columns, rows: Sequence[Mapping[str, Any]]) -> str:
    head = "".join(f'<th scope="col">{escape(name)}</th>' for name, _ in columns)
    body = "".join(
        "<tr>" + "".join(f"<td>{escape(cell(row))}</td>" for _, cell in columns) + "</tr>"
        for row in rows
    )
    return f'<div class="scroll"><table><thead><tr>{head}</tr></thead><tbody>{body}</tbody></table></div>'


def _rate(row: Mapping[str, Any], name: str) -> str:
    if row.get(name) is None:
        return ""
    return f"{row[name]:.3f} [{row[f'{name}_low']:.3f}, {row[f'{name}_high']:.3f}]"


def _audit(audit: Mapping[str, Any]) -> str:
    if audit.get("tpr") is None or audit.get("fpr") is None:
        return ""
    return (
        "<p>The verifier, on answers of known label: it passed "
        f"{audit['tpr']:.1%} of right ones [{audit['tpr_low']:.3f}, {audit['tpr_high']:.3f}] and "
        f"{audit['fpr']:.1%} of wrong ones [{audit['fpr_low']:.3f}, {audit['fpr_high']:.3f}]. "
        f"One round multiplies the odds by at most TPR/FPR, which is at least {audit['g_low']:.0f}.</p>"
    )


def _samples(ledger: History, rounds: Sequence[int]) -> str:
    if not rounds:
        return '<p class="soft">nothing was sampled</p>'
    parts = []
    for number in dict.fromkeys((rounds[0], rounds[-1])):
        chosen: dict[Outcome, list[str]] = {outcome: [] for outcome in Outcome}
        seen: set[tuple[Outcome, str]] = set()
        for attempt in ledger.attempts(number, POLICY):
            verdict = ledger.verdict_of(attempt.key)
            if verdict is None or (verdict.outcome, attempt.key.task_id) in seen:
                continue
            seen.add((verdict.outcome, attempt.key.task_id))  # one of a task and outcome is enough
            if len(chosen[verdict.outcome]) < SAMPLES:
                chosen[verdict.outcome].append(_sample(attempt.trajectory, verdict))
            if all(len(chosen[o]) == SAMPLES for o in (Outcome.PASS, Outcome.FAIL)):
                break
        cards = "".join(card for cards in chosen.values() for card in cards)
        parts.append(f'<h3>Round {number}</h3><div class="samples">{cards}</div>')
    return "".join(parts)


def _sample(row: Trajectory, verdict: Verdict) -> str:
    turns = "".join(
        f"<pre><span>{escape(m.role)}</span> {escape(_said(m))}</pre>" for m in row.messages
    )
    reason = f": {verdict.reason}" if verdict.reason else ""
    return (
        f'<div class="sample {verdict.outcome.value}"><span class="soft">{escape(row.task_id)}</span>'
        f"{turns}<b>{escape(verdict.outcome.value + reason)}</b></div>"
    )


def _said(message: Message) -> str:
    calls = "".join(f"\n{call}" for call in message.tool_calls)
    return _cut(message.text + calls)


def _cut(text: str, limit: int = 2000) -> str:
    return text if len(text) <= limit else f"{text[:limit]} ... ({len(text)} characters)"


def _provenance(started: Mapping[str, Any]) -> str:
    found = started.get("provenance") or {}
    rows = {
        "orbiter": found.get("orbiter"),
        "python": found.get("python"),
        "platform": found.get("platform"),
    }
    rows |= dict(found.get("libraries") or {})
    rows |= {f"plugin {name}": version for name, version in (found.get("plugins") or {}).items()}
    verifier = found.get("verifier") or {}
    rows["verifier"] = " ".join(str(verifier.get(k, "")) for k in ("name", "version", "hash"))
    rows["seed"] = (started.get("recipe") or {}).get("seed", 0)
    body = "".join(
        f"<tr><td>{escape(str(name))}</td><td>{escape(str(value))}</td></tr>"
        for name, value in rows.items()
    )
    return f'<div class="scroll"><table class="facts"><tbody>{body}</tbody></table></div>'
