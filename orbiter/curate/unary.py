"""Unary rows: single answers with a label, for KTO and for process reward models."""

from __future__ import annotations

from collections.abc import Iterable, Sequence

from attrs import frozen

from orbiter.checks import check_number
from orbiter.curate.pairs import UnpairedPreference, tools_of, unfit
from orbiter.curate.response import response
from orbiter.errors import ConfigError
from orbiter.records import Trajectory, content_hash


@frozen(kw_only=True)
class UnaryWeights:
    """Weights of the two labels, for ``desirable_weight`` and ``undesirable_weight`` of KTO."""

    desirable: float
    undesirable: float


def unary_weights(rows: Iterable[UnpairedPreference], *, ratio: float = 1.0) -> UnaryWeights:
    """Return weights under which all desirable rows together count ``ratio`` times as much as all undesirable ones.

    With n rows of each label, w_D n_D / (w_U n_U) = ratio (Ethayarajh et al. 2024, eq. 8, who advise [1, 4/3]). The label with more rows
    keeps weight 1 if ratio is 1, and no weight is below 1.

    Args:
        rows: Rows with labels; both must occur.
        ratio: > 0; above 1 where praise should count more.

    Raises:
        ConfigError: One label does not occur, or ``ratio`` is out of range.
    """
    check_number("ratio", ratio, "(0, inf)")
    labels = [row.label for row in rows]
    good = sum(labels)
    bad = len(labels) - good
    if not good or not bad:
        raise ConfigError(
            f"rows must hold both labels, got {good} desirable and {bad} undesirable",
            hint="KTO on one label has nothing to tell apart; use SFT for desirable rows alone",
        )
    desirable = ratio * bad / good
    if desirable >= 1:
        return UnaryWeights(desirable=desirable, undesirable=1.0)
    return UnaryWeights(desirable=1.0, undesirable=1 / desirable)


def step_preferences(
    attempts: Sequence[Trajectory], *, threshold: float = 0.5
) -> list[UnpairedPreference]:
    """Return one row per judged step: the conversation before it, the step, and whether it is right.

    A step is an assistant turn, its score that of the verdict's ``step_scores``. A turn without a score gives no row: unknown is not 0. Nor
    does an attempt whose verdict is invalid, or that was cut off. Equal steps after equal beginnings give one row, and none if their labels
    differ.

    Args:
        attempts: Trajectories with a verdict of their steps.
        threshold: Least score of a right step, in (0, 1].

    Raises:
        ConfigError: ``threshold`` is out of range.
    """
    check_number("threshold", threshold, "(0, 1]")
    rows: dict[str, UnpairedPreference] = {}
    doubtful: set[str] = set()
    for attempt in attempts:
        verdict = attempt.verdict
        if verdict is None or unfit(attempt) is not None:
            continue
        start = len(attempt.prompt)
        turns = [
            start + i for i, message in enumerate(response(attempt)) if message.role == "assistant"
        ]
        for number, (turn, score) in enumerate(zip(turns, verdict.step_scores)):
            if score is None:
                continue
            row = UnpairedPreference(
                prompt=attempt.messages[:turn],
                completion=(attempt.messages[turn],),
                label=score >= threshold,
                env=attempt.env,
                task_id=attempt.task_id,
                metadata={"id": attempt.id, "score": score, "step": number},
                extra=tools_of(attempt),
            )
            key = content_hash([row.env, row.task_id, row.prompt, row.completion, row.extra])
            if rows.setdefault(key, row).label != row.label:
                doubtful.add(key)
    return [row for key, row in rows.items() if key not in doubtful]
