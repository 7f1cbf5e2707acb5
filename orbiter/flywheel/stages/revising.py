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
    """Return a pair of every revision that passed and its first answer, where that was judged and is worse."""
    revised = [row for row in rows if _passed(row) and row.metadata.get("revision")]
    tasks = {(task.env, task.task_id): task for task in wheel.tasks(turn.number)}
    firsts = [
        (task := tasks[row.env, row.task_id], answered(task, row.metadata["revision"]["initial"]))
        for row in revised
    ]
    verdicts = wheel.pool_of(wheel.judge_of(turn)).judge_all(firsts)
    chains = []
    for row, before in zip(revised, verdicts):
        if row.verdict is None or before.outcome is Outcome.INVALID:
            continue
        told = row.metadata["revision"]
        said = [Message("assistant", told["initial"])]
        for step in told["steps"]:
            said += [
                Message("user", CRITIQUE.format(principle=step["principle"])),
                Message("assistant", step["critique"]),
                Message("user", REVISE),
                Message("assistant", step["answer"]),
            ]
        scores = (before.score, *[None] * (2 * len(told["steps"]) - 1), row.score)
        chain = attrs.evolve(
            row,
            messages=(*row.prompt, *said),
            prompt_size=len(row.prompt),
            verdict=attrs.evolve(row.verdict, step_scores=scores),
        )
        chains.append((row, chain))
    pairs = []
    for row, chain in chains:
        # The row that the ledger knows is the one whose id says where the pair is from.
        pairs += [
            attrs.evolve(pair, metadata={**pair.metadata, "id": row.id})
            for pair in revision_pairs([chain])
        ]
    return pairs


def _passed(row: Trajectory) -> bool:
    return row.verdict is not None and row.verdict.outcome is Outcome.PASS
