"""Answers that are criticised and revised before they are judged, and the pairs of before and after."""

from __future__ import annotations

from collections.abc import Sequence
from typing import TYPE_CHECKING

from orbiter.curate.revisions import chain_pairs
from orbiter.generate.constitution import Constitution
from orbiter.generate.policy import Policy
from orbiter.generate.revising import RevisingPolicy
from orbiter.records import Pair, Trajectory

if TYPE_CHECKING:
    from orbiter.flywheel.exchanges import Exchanges
    from orbiter.flywheel.flywheel import Flywheel
    from orbiter.flywheel.recipe import Turn


def revising(wheel: Flywheel, turn: Turn, policy: Policy, exchanges: Exchanges) -> Policy:
    """Return the policy that revises the answers of another as the stage says, or the other if it says nothing.

    An attempt is durable when its last revision is; what is said on the way there is remembered by ``exchanges``.
    """
    spec = turn.stage.revise
    if spec is None:
        return policy
    constitution = (
        Constitution.default()
        if spec.constitution is None
        else Constitution.read(wheel.base_dir / spec.constitution)
    )
    critic = None if spec.critic is None else wheel.critic(turn.name, spec.critic)
    return RevisingPolicy(
        exchanges.remembering(policy),
        critic=None if critic is None else exchanges.remembering(critic),
        constitution=constitution,
        rounds=spec.rounds,
        temperature=spec.temperature,
        max_new_tokens=spec.max_new_tokens,
    )


def before_and_after(wheel: Flywheel, turn: Turn, rows: Sequence[Trajectory]) -> list[Pair]:
    """Return the pairs of every revision that passed: over its first answer, and after over before each critique.

    The verifier judges the answers on the way as it judges any; one that it cannot judge, or that was as good, is in no pair.
    """
    tasks = {(task.env, task.task_id): task for task in wheel.tasks(turn.number)}
    pool = wheel.pool_of(wheel.judge_of(turn))
    return chain_pairs(
        rows, lambda some: pool.judge_all([(tasks[row.env, row.task_id], row) for row in some])
    )
