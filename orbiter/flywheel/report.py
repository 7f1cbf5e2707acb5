"""The report of a run: one HTML page that needs nothing else."""

from __future__ import annotations

import json
import math
from collections.abc import Iterable, Mapping, Sequence
from itertools import chain, islice
from pathlib import Path
from typing import Any

from orbiter import jsonl
from orbiter.flywheel.account import state_of
from orbiter.flywheel.charts import Line, Point, line_chart, stacked_bars
from orbiter.flywheel.engines import POLICY, SYNTHESISED
from orbiter.flywheel.gates import goodhart_reason
from orbiter.flywheel.outlook import outlook, told
from orbiter.flywheel.page import Columns, facts, grid, page, show
from orbiter.flywheel.spending import asked_of, unpriced
from orbiter.ledger import History
from orbiter.records import Message, Outcome, Trajectory, Verdict

COLOURS = {
    "accepted": "#15803d",
    "duplicate": "#94a3b8",
    "rejected": "#b91c1c",
    "truncated": "#d97706",
    "contaminated": "#7c3aed",
    "invalid": "#111827",
}
"""Decisions, in the order of the funnel's stack."""

TIMES = {"generate": "#2563eb", "verify": "#0d9488", "train": "#d97706", "the rest": "#94a3b8"}
"""Kinds of work, in the order of the stack."""

SAMPLES = 5
"""Passes and failures shown of the first and of the last round."""

TURNS = 12
"""Messages shown of a sample: the first two and the last ones."""


def write_report(run: Path) -> Path:
    """Write ``report.html`` in a run's folder and return its path.

    Raises:
        LedgerError: The folder holds no run.
    """
    with History.open(run) as ledger:
        page = _page(ledger)
    path = run / "report.html"
    with jsonl.replace_file(path) as file:
        file.write(page.encode())
    return path


def _page(ledger: History) -> str:
    started = ledger.last_event("run_started") or {}
    rows = list(ledger.events("stage_done", stage="round"))
    audit = ledger.last_event("stage_done", stage="audit") or {}
    state = state_of(ledger)
    description = (started.get("recipe") or {}).get("description")
    sections = [
        _tiles(rows),
        _alarms(rows),
        '<div class="charts">',
        _figure("Pass rate by round, with 95 % Wilson intervals", _yield_chart(rows)),
        _figure("What became of the samples", _funnel_chart(rows)),
        _figure("Odds of a right held-out answer, as powers of two", _odds_chart(rows)),
        _figure("Where the time went, in seconds", _time_chart(rows)),
        "</div>",
        "<h2>Rounds</h2>",
        _table(rows),
        _audit(audit),
        _outlook(rows, audit),
        _gaming(rows),
        _reasons(rows),
        _given_up(rows),
        "<h2>Samples</h2>",
        _samples(ledger, [row["round"] for row in rows if row.get("sampled")])
        + _demonstrated(ledger)
        or '<p class="soft">nothing was sampled</p>',
        "<h2>Provenance</h2>",
        _provenance(started),
    ]
    return page(
        str(started.get("name", "")),
        subtitle=f"{description} · {state}" if description else state,
        body="".join(sections),
    )


def _tiles(rows: Sequence[Mapping[str, Any]]) -> str:
    made = [row for row in rows if row.get("sampled")]
    measured = [row for row in rows if row.get("held_out") is not None]
    kept = sum(row.get("kept", 0) for row in made)
    sampled = sum(row["sampled"] for row in made)
    tiles = []
    if measured:
        tiles.append(("held-out pass rate", _change(measured, "held_out")))
    if any(row.get("yield") is not None for row in made):
        tiles.append(("yield", _change(made, "yield")))
    if made:
        tiles.append(("rows kept", f"{kept:,} of {sampled:,}"))
    if shown := sum(row.get("demonstrations", 0) for row in rows):
        tiles.append(("demonstrations", f"{shown:,}"))
    if kept and (asked := asked_of(made)) is not None:
        tiles += _per_kept(asked, kept)
    tiles.append(("time", f"{sum(row['seconds'] for row in rows):,.0f} s"))
    body = "".join(
        f'<div class="tile"><span class="soft">{show(name)}</span><b>{show(value)}</b></div>'
        for name, value in tiles
    )
    return f'<div class="tiles">{body}</div>'


def _per_kept(asked: Mapping[str, Any], kept: int) -> list[tuple[str, str]]:
    """Return what a kept row took of answers, their tokens and their cost: all that were asked for, those of writers and critics too."""
    tiles = [("samples per kept row", f"{asked['samples'] / kept:.2f}")]
    if asked["tokens"]:  # a policy that counts none does not work for free
        tiles.append(("tokens per kept row", f"{asked['tokens'] / kept:,.0f}"))
    if asked["priced"]:
        tiles.append(("cost per kept row", f"{asked['cost'] / kept:.4g}{unpriced(asked)}"))
    return tiles


def _change(rows: Sequence[Mapping[str, Any]], name: str) -> str:
    values = [row[name] for row in rows if row.get(name) is not None]
    if not values:
        return "-"
    return f"{values[0]:.3f}" if len(values) == 1 else f"{values[0]:.3f} → {values[-1]:.3f}"


def _alarms(rows: Sequence[Mapping[str, Any]]) -> str:
    alarms = [f"round {row['round']}: {text}" for row in rows for text in row.get("alarms", ())]
    return "".join(f'<p class="alarm">{show(text)}</p>' for text in alarms)


def _figure(title: str, chart: str) -> str:
    return f"<figure><figcaption><b>{show(title)}</b></figcaption>{chart}</figure>"


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
    if not any(line.points for line in lines):
        return '<p class="soft">no answer was sampled</p>'
    return line_chart(lines, label="pass rate by round")


def _funnel_chart(rows: Sequence[Mapping[str, Any]]) -> str:
    bars = {row["round"]: row["decisions"] for row in rows if row.get("decisions")}
    if not bars:
        return '<p class="soft">nothing was sampled</p>'
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
    return line_chart(
        [Line("log2 odds, held out", measured)], label="odds by round", low=-reach, high=reach
    )


def _time_chart(rows: Sequence[Mapping[str, Any]]) -> str:
    fields = {
        "generate": "generate_s",
        "verify": "verify_s",
        "train": "train_s",
        "the rest": "own_s",
    }
    bars = {row["round"]: {kind: row[f] for kind, f in fields.items()} for row in rows}
    return stacked_bars(bars, TIMES, label="seconds by round and kind of work")


def _log2_odds(passed: int, valid: int) -> float:
    """Return the log odds with half a pass and half a failure added (Haldane 1956), finite at 0 and at 1."""
    return math.log2((passed + 0.5) / (valid - passed + 0.5))


def _table(rows: Sequence[Mapping[str, Any]]) -> str:
    columns: list[tuple[str, Any]] = [
        ("round", lambda r: str(r["round"])),
        ("stage", lambda r: show(str(r.get("name", "")))),
        ("yield", lambda r: _rate(r, "yield")),
        ("demonstrations", lambda r: _number(r, "demonstrations", ",")),
        ("kept / sampled", lambda r: _made(r, f"{r.get('kept', 0):,} / {r.get('sampled', 0):,}")),
        ("duplicates", lambda r: _made(r, f"{(r.get('decisions') or {}).get('duplicate', 0):,}")),
        ("trained on", lambda r: _number(r, "rows", ",")),
        ("repeated", lambda r: f"{r['repeated']:,}" if r.get("repeated") else ""),
        ("contaminated", lambda r: f"{r['contaminated']:,}" if r.get("contaminated") else ""),
        ("invalid", lambda r: _made(r, f"{r.get('invalid', 0):,}")),
        ("held-out", lambda r: _rate(r, "held_out")),
        ("audited", lambda r: _number(r, "audited", ".3f")),
        ("odds multiplier g", lambda r: _rate(r, "g", digits=2)),
        ("loss", lambda r: _number(r, "loss", ".4f")),
    ]
    shown = [(name, cell) for name, cell in columns if any(cell(row) for row in rows)]
    costs: Columns = (
        ("round", lambda r: str(r["round"])),
        ("seconds", lambda r: f"{r['seconds']:,.2f}"),
        ("tokens", lambda r: f"{r['tokens']:,}" if r.get("tokens") else ""),
        ("tokens/s", lambda r: _number(r, "tokens_per_s", ",.0f")),
        ("generate s", lambda r: f"{r['generate_s']:,.2f}"),
        ("verify s", lambda r: f"{r['verify_s']:,.2f}"),
        ("train s", lambda r: f"{r['train_s']:,.2f}"),
        ("the rest s", lambda r: f"{r['own_s']:,.2f}"),
    )
    return grid(shown, rows) + "<h3>Cost</h3>" + grid(costs, rows)


def _made(row: Mapping[str, Any], text: str) -> str:
    """Return the text for a round that sampled; nothing, rather than 0, for one that did not."""
    return text if row.get("sampled") else ""


def _number(row: Mapping[str, Any], name: str, form: str) -> str:
    return "" if row.get(name) is None else format(row[name], form)


def _rate(row: Mapping[str, Any], name: str, *, digits: int = 3) -> str:
    if row.get(name) is None:
        return ""
    low, high = row[f"{name}_low"], row[f"{name}_high"]
    return f"{row[name]:.{digits}f} <small>[{low:.{digits}f}, {high:.{digits}f}]</small>"


def _audit(audit: Mapping[str, Any]) -> str:
    if audit.get("tpr") is None or audit.get("fpr") is None:
        return ""
    return (
        "<p>The verifier, on answers of known label: it passed "
        f"{audit['tpr']:.1%} of right ones [{audit['tpr_low']:.3f}, {audit['tpr_high']:.3f}] and "
        f"{audit['fpr']:.1%} of wrong ones [{audit['fpr_low']:.3f}, {audit['fpr_high']:.3f}]. "
        f"One round multiplies the odds by at most TPR/FPR, which is at least {audit['g_low']:.3g}.</p>"
    )


def _outlook(rows: Sequence[Mapping[str, Any]], audit: Mapping[str, Any]) -> str:
    # Sentences of ours, none of which may lose its end: it says what to do.
    lines = "".join(
        f"<li>{show(line, limit=len(line))}</li>" for line in told(outlook(rows, audit))
    )
    return f"<h3>Outlook</h3><ul>{lines}</ul>" if lines else ""


def _gaming(rows: Sequence[Mapping[str, Any]]) -> str:
    """Return the held-out rates of both verifiers beside how the answers look; nothing without an audit verifier."""
    judged = [row for row in rows if row.get("audited") is not None]
    if not judged:
        return ""
    columns: Columns = (
        ("round", lambda r: str(r["round"])),
        ("visible", lambda r: _rate(r, "held_out")),
        ("audited", lambda r: _rate(r, "audited")),
        ("gap", lambda r: f"{r['held_out'] - r['audited']:+.3f}"),
        ("mean length", lambda r: _looks(r, "length_sum", ",.1f")),
        ("refusals", lambda r: _looks(r, "refusals", ".1%")),
    )
    reason = next(
        filter(None, (goodhart_reason(row, judged[:i]) for i, row in enumerate(judged))), None
    )
    said = f"Gamed: {reason}." if reason else "No sign that the verifier is being gamed."
    return (
        f"<h3>Both verifiers on the held-out answers</h3><p>{show(said)}</p>{grid(columns, judged)}"
    )


def _looks(row: Mapping[str, Any], name: str, form: str) -> str:
    looks = row.get("looks") or {}
    return format(looks[name] / looks["answers"], form) if looks.get("answers") else ""


def _reasons(rows: Sequence[Mapping[str, Any]]) -> str:
    """Return why answers of the last round that sampled did not pass, the commonest reason first."""
    last = next((row for row in reversed(rows) if row.get("reasons")), None)
    if last is None:
        return ""
    ordered: Sequence[Mapping[str, Any]] = [
        {"reason": reason, "count": count} for reason, count in list(last["reasons"].items())[:10]
    ]
    columns: Columns = (
        ("reason", lambda r: show(r["reason"] or "none given")),
        ("answers", lambda r: f"{r['count']:,}"),
    )
    return f"<h3>Why answers of round {last['round']} did not pass</h3>{grid(columns, ordered)}"


def _given_up(rows: Sequence[Mapping[str, Any]]) -> str:
    """Return what the engines gave up before there was anything to judge, by round and reason; nothing if they gave up nothing."""
    given_up: Sequence[Mapping[str, Any]] = [
        {"round": row["round"], "by": row["synthesised"]["by"], "reason": reason, "count": count}
        for row in rows
        if row.get("synthesised")
        for reason, count in row["synthesised"]["dropped"].items()
    ]
    columns: Columns = (
        ("round", lambda r: str(r["round"])),
        ("engine", lambda r: show(r["by"])),
        ("reason", lambda r: show(r["reason"])),
        ("given up", lambda r: f"{r['count']:,}"),
    )
    return f"<h3>What engines gave up</h3>{grid(columns, given_up)}" if given_up else ""


def _samples(ledger: History, rounds: Sequence[int]) -> str:
    parts = []
    for number in dict.fromkeys((*rounds[:1], *rounds[-1:])):
        chosen: dict[Outcome, list[str]] = {outcome: [] for outcome in Outcome}
        seen: set[tuple[Outcome, str]] = set()
        for attempt in chain(*(ledger.attempts(number, one) for one in (POLICY, SYNTHESISED))):
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


def _demonstrated(ledger: History) -> str:
    """Return the first demonstrations of the last stage that made some; nothing if none did."""
    done = ledger.last_event("stage_done", stage="demonstrate")
    if done is None or not (path := ledger.path / done["dataset"]).is_file():
        return ""
    rows = islice(jsonl.read(path, Trajectory), SAMPLES)
    cards = "".join(_sample(row, row.verdict) for row in rows if row.verdict is not None)
    return f'<h3>Demonstrations of round {done["round"]}</h3><div class="samples">{cards}</div>'


def _sample(row: Trajectory, verdict: Verdict) -> str:
    messages = [f"<pre><span>{show(m.role)}</span> {_said(m)}</pre>" for m in row.messages]
    if len(messages) > TURNS:
        left_out = f'<p class="soft">... {len(messages) - TURNS:,} messages ...</p>'
        messages = [*messages[:2], left_out, *messages[2 - TURNS :]]
    reason = f": {verdict.reason}" if verdict.reason else ""
    return (
        f'<div class="sample {verdict.outcome.value}"><span class="soft">{show(row.task_id)}</span>'
        f"{''.join(messages)}<b>{show(verdict.outcome.value + reason)}</b></div>"
    )


def _said(message: Message) -> str:
    calls = "".join(f"\n{json.dumps(call, ensure_ascii=False)}" for call in message.tool_calls)
    parts = message.content if isinstance(message.content, list) else ()
    kinds = [part.get("type") for part in parts if isinstance(part, Mapping)]
    others = "".join(f"\n[{kind}]" for kind in kinds if kind != "text")
    return show(message.text + others + calls, limit=2000)


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
    rows |= {f"file {name}": digest for name, digest in (found.get("files") or {}).items()}
    rows["seed"] = (started.get("recipe") or {}).get("seed", 0)
    return facts(rows)
