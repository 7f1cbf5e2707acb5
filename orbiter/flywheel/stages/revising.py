"""Answers that are criticised and revised before they are judged, and the pairs of before and after."""

from __future__ import annotations

from collections.abc import Sequence
from typing import TYPE_CHECKING

import attrs

from orbiter.curate.revisions import revision_pairs
from orbiter.generate.constitution import Constitution
from orbiter.generate.policy import Policy
from orbiter.generate.revising import CRITIQUE, REVISE, RevisingPolicy
from orbiter.records import Message, Outcome, Pair, Trajectory
from orbiter.verify.answer import answered

if TYPE_CHECKING:
    from orbiter.flywheel.flywheel import Flywheel
    from orbiter.flywheel.recipe import Turn


def revising(wheel: Flywheel, turn: Turn, policy: Policy) -> Policy:
    """Return the policy that revises the answers of another as the stage says, or the other if it says nothing."""
    spec = turn.stage.revise
    if spec is None:
        return policy
    constitution = (
        Constitution.default()
        if spec.constitution is None
        else Constitution.read(wheel.base_dir / spec.constitution)
    )
    return RevisingPolicy(
        policy,
        critic=None if spec.critic is None else wheel.critic(turn.name, spec.critic),
        constitution=constitution,
        rounds=spec.rounds,
        temperature=spec.temperature,
        max_new_tokens=spec.max_new_tokens,
    )


def before_and_after(wheel: Flywheel, turn: Turn, rows: Sequence[Trajectory]) -> list[Pair]:
    """Return the pairs of every revision that passed: over its first answer, and after over before each critique.

    The verifier judges the answers on the way as it judges any; one that it cannot judge, or that was as good, is in no pair.
    """
    revised = [row for row in rows if _passed(row) and row.metadata.get("revision")]
    tasks = {(task.env, task.task_id): task for task in wheel.tasks(turn.number)}
    on_the_way = [
        (task := tasks[row.env, row.task_id], answered(task, text))
        for row in revised
        for text in _answers(row)[:-1]
    ]
    verdicts = iter(wheel.pool_of(wheel.judge_of(turn)).judge_all(on_the_way))
    chains = []
    for row in revised:
        told = row.metadata["revision"]
        before = [next(verdicts).score for _ in told["steps"]]
        if row.verdict is None or before[0] is None:
            continue
        said = [Message("assistant", told["initial"])]
        for step in told["steps"]:
            said += [
                Message("user", CRITIQUE.format(principle=step["principle"])),
                Message("assistant", step["critique"]),
                Message("user", REVISE),
                Message("assistant", step["answer"]),
            ]
        # A critique, which stands between two answers, is none.
        scores = [score for one in before for score in (one, None)] + [row.score]
        chain = attrs.evolve(
            row,
            messages=(*row.prompt, *said),
            prompt_size=len(row.prompt),
            verdict=attrs.evolve(row.verdict, step_scores=tuple(scores)),
        )
        chains.append((row, chain))
    pairs = []
    for row, chain in chains:
        # The row that the ledger knows is the one whose id says where the pair is from.
        pairs += [
            attrs.evolve(pair, metadata={**pair.metadata, "id": row.id})
            for pair in revision_pairs([chain], steps=True)
        ]
    return pairs


def _answers(row: Trajectory) -> list[str]:
    """Return the answers of a revised row, the first one and that after each critique."""
    told = row.metadata["revision"]
    return [told["initial"], *(step["answer"] for step in told["steps"])]


def _passed(row: Trajectory) -> bool:
    return row.verdict is not None and row.verdict.outcome is Outcome.PASS
