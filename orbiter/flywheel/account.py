"""The account of a run, read from its ledger: what was planned, what became of it, and what the yield means."""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterable, Mapping, Sequence
from pathlib import Path
from typing import Any

from attrs import frozen

from orbiter.errors import ConfigError, did_you_mean
from orbiter.flywheel import odds
from orbiter.flywheel.engines import HELD_OUT, POLICY, SYNTHESISED
from orbiter.flywheel.spending import spending_facts, total_of
from orbiter.flywheel.summary import effective_answers, fair_counts
from orbiter.generate.policy import Spending
from orbiter.intervals import wilson
from orbiter.ledger import Account, AttemptKey, History
from orbiter.records import Outcome, Verdict


@frozen(kw_only=True)
class RunAccount:
    """The account of a run.

    Args:
        path: Folder of the run.
        name: Its name.
        state: ``finished``, ``stopped: why``, or ``unfinished``.
        audit: What the audit of the verifier measured; empty if there was none.
        rounds: One row per (round, engine).
        summaries: The summary of every finished round, as in rounds.jsonl.
        total: The account of all attempts.
        spent: What all answers of policies took: the attempts, and what engines asked for beside them.
        by_model: Pass counts of the sampled attempts by the model that answered.
    """

    path: Path
    name: str
    state: str
    audit: Mapping[str, Any]
    rounds: tuple[Mapping[str, Any], ...]
    summaries: tuple[Mapping[str, Any], ...]
    total: Account
    spent: Mapping[str, Any]
    by_model: Mapping[str, Mapping[str, Any]]


def read_account(run: Path) -> RunAccount:
    """Return the account of a run, also of one that is going on.

    Raises:
        LedgerError: The folder holds no run, its files are damaged, or its sums are not conserved.
    """
    with History.open(run) as ledger:
        started = ledger.last_event("run_started") or {}
        audit = ledger.last_event("stage_done", stage="audit") or {}
        rows = [
            _row(ledger, number, engine, audit)
            for number, engine in sorted(
                {(e["round"], e["engine"]) for e in ledger.events("planned")}
            )
        ]
        return RunAccount(
            path=run,
            name=started.get("name", run.name),
            state=state_of(ledger),
            audit={k: v for k, v in audit.items() if k not in ("event", "time", "round", "stage")},
            rounds=tuple(rows),
            summaries=tuple(ledger.events("stage_done", stage="round")),
            total=(total := ledger.account().check()),
            spent=spending_facts(attempts_spent(total) + _beside(ledger)),
            by_model=_by_model(ledger),
        )


def attempts_spent(account: Account) -> Spending:
    """Return what the attempts of an account took."""
    return Spending(
        samples=account.sample_count,
        tokens=account.token_count,
        cost=account.cost,
        priced=account.priced,
    )


def _beside(ledger: History) -> Spending:
    """Return what engines asked for that is no attempt: what their writers said, what they dropped, and demonstrations."""
    done = list(ledger.events("stage_done"))
    shown = total_of(e for e in done if e["stage"] in ("teach", "demonstrate"))
    return shown + total_of(e["beside"] for e in done if "beside" in e)


def find_run(name: str, *, runs_dir: Path) -> Path:
    """Return the folder of a run that is given as a path or as a name.

    Raises:
        ConfigError: There is no such run.
    """
    for path in (Path(name), runs_dir / name):
        if (path / "rounds.jsonl").is_file():
            return path
    have = sorted(p.parent.name for p in runs_dir.glob("*/rounds.jsonl"))
    raise ConfigError(
        f"run must be a run's folder or its name, got {name!r}{did_you_mean(name, have)}",
        hint=f"runs in {str(runs_dir)!r}: {', '.join(have) or 'none'}",
    )


def state_of(ledger: History) -> str:
    """Return ``finished``, ``stopped: why``, or ``unfinished``, also for a run that goes on after it had ended."""
    done: Mapping[str, Any] | None = None
    for event in ledger.events():
        if event["event"] == "run_done":
            done = event
        elif event["event"] in ("planned", "stage_done"):
            done = None
    if done is None:
        return "unfinished"
    return f"stopped: {done['stopped']}" if done.get("stopped") else "finished"


def newest_model(
    ledger: History, *, made_by: Sequence[str] = ("model", "teach", "train")
) -> str | None:
    """Return the newest model of a run that answers, and does not score; None if there is none.

    Args:
        ledger: The run's history.
        made_by: Steps whose models count.
    """
    for step in reversed(list(ledger.events("stage_done"))):
        if step["stage"] in made_by and step.get("checkpoint") and not step.get("scoring"):
            return str(step["checkpoint"])
    return None


def _row(ledger: History, number: int, engine: str, audit: Mapping[str, Any]) -> dict[str, Any]:
    account = ledger.account(number, engine=engine).check()
    counts: Mapping[str, Any] = {"passed": account.passed, "failed": account.failed}
    stage = {POLICY: "generate", HELD_OUT: "evaluate", SYNTHESISED: "synthesise"}.get(engine)
    done = ledger.last_event("stage_done", round=number, stage=stage) if stage else None
    if done is not None:
        counts = fair_counts(done)
    elif verdicts := _verdicts(ledger, (a.key for a in ledger.attempts(number, engine))):
        counts = {**counts, "effective": effective_answers(verdicts)}
    valid = counts["passed"] + counts["failed"]
    row: dict[str, Any] = {
        "round": number,
        "engine": engine,
        "planned": account.planned,
        "passed": account.passed,
        "failed": account.failed,
        "invalid": dict(account.invalid),
        "pending": account.pending,
        "decisions": {name: sum(by.values()) for name, by in account.decisions.items()},
        **spending_facts(attempts_spent(account)),
    }
    if done is not None and engine == SYNTHESISED:
        row |= {name: done[name] for name in ("by", "beside", "dropped") if name in done}
    # Of what an engine makes, some is made to fail.
    if valid and engine != SYNTHESISED:
        row |= _rate(counts["passed"], valid, counts.get("effective"))
        tpr, fpr = audit.get("tpr"), audit.get("fpr")
        if tpr is not None and fpr is not None and tpr > fpr:
            row["corrected_yield"] = odds.corrected_pass_rate(row["yield"], tpr=tpr, fpr=fpr)
            # At the upper end of the FPR's interval, what the audit cannot rule out, there are fewer right answers too.
            worst = audit.get("fpr_high") or fpr
            if tpr > worst:
                least = odds.corrected_pass_rate(row["yield"], tpr=tpr, fpr=worst)
                row["precision_low"] = odds.survivor_precision(least, tpr=tpr, fpr=worst)
    return row


def _by_model(ledger: History) -> dict[str, dict[str, Any]]:
    generated = ledger.events("stage_done", stage="generate")
    adaptive = {done["round"] for done in generated if "first_passed" in done}
    attempts: dict[str, list[AttemptKey]] = {}
    for attempt in ledger.attempts(engine=POLICY):
        attempts.setdefault(attempt.trajectory.model or "", []).append(attempt.key)
    out: dict[str, dict[str, Any]] = {}
    for model, keys in sorted(attempts.items()):
        verdicts = _verdicts(ledger, keys)
        passed, failed = _outcomes(verdicts)
        out[model] = {"passed": passed, "failed": failed, "invalid": len(keys) - passed - failed}
        # As for a round: where adaptive sampling chose the others, the first attempts alone are a fair sample.
        fair = {k: v for k, v in verdicts.items() if k.attempt == 0 or k.round not in adaptive}
        passed, failed = _outcomes(fair)
        if passed + failed:
            out[model] |= _rate(passed, passed + failed, effective_answers(fair))
    return out


def _verdicts(ledger: History, keys: Iterable[AttemptKey]) -> dict[AttemptKey, Verdict]:
    """Return the verdicts of record on attempts, of those that have one."""
    found = ((key, ledger.verdict_of(key)) for key in keys)
    return {key: verdict for key, verdict in found if verdict is not None}


def _outcomes(verdicts: Mapping[AttemptKey, Verdict]) -> tuple[int, int]:
    """Return how many pass and how many fail."""
    counts = Counter(verdict.outcome for verdict in verdicts.values())
    return counts[Outcome.PASS], counts[Outcome.FAIL]


def _rate(passed: int, valid: int, effective: float | None) -> dict[str, float]:
    """Return a yield with its interval, of attempts that are worth so many independent ones; None: all."""
    interval = wilson(passed, valid, effective=effective)
    return {"yield": passed / valid, "yield_low": interval.low, "yield_high": interval.high}
