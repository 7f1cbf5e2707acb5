"""The check of a TrajectoryStrategy."""

from __future__ import annotations

import copy
from collections.abc import Callable, Sequence

from orbiter.records import TrajectoryItem
from orbiter.testing.contract import Contract, shown
from orbiter.train.dataset import TrajectoryStrategy

ITEMS = (
    TrajectoryItem(state="s1", action="a1", reward=0.0),
    TrajectoryItem(state="s2", action="a2", reward=0.5, metadata={"step": [1]}),
    TrajectoryItem(state="s3", action="a3", reward=1.0),
    TrajectoryItem(state=[{"role": "user", "content": "hi"}], action={"content": "ho"}, reward=-3),
    TrajectoryItem(state="s5", action="a5", reward=250.0),
    TrajectoryItem(state="s6", action="a6"),
)
"""Items of every sort: scored in [0, 1] and outside, of text and of messages, unscored."""


def check_strategy(
    make: Callable[[], TrajectoryStrategy], items: Sequence[TrajectoryItem] = ITEMS
) -> None:
    """Check that a trajectory strategy keeps its contract.

    The clauses: ``should_capture`` returns a bool and ``process`` a TrajectoryItem for every item, scored or not; neither changes
    the item that it is given; an item that nobody scored is not given a reward; a fresh instance treats the same items
    the same.

        def test_scored():
            check_strategy(Scored)

    Args:
        make: Makes a fresh instance: the class, or a function that passes options to it.
        items: What it is shown, in this order.

    Raises:
        AssertionError: A clause is broken; the message names it.
    """
    strategy = make()
    contract = Contract("strategy", type(strategy).__name__)
    kept = _show(contract, strategy, items)
    again = _show(contract, make(), items)
    contract.clause(
        "same treatment",
        again == kept,
        f"a fresh instance must keep the same of the same items, got {shown(again)} after {shown(kept)}",
    )


def _show(
    contract: Contract, strategy: TrajectoryStrategy, items: Sequence[TrajectoryItem]
) -> list[TrajectoryItem | None]:
    kept: list[TrajectoryItem | None] = []
    for item in items:
        before = copy.deepcopy(item)
        with contract.without_error("every item", f"should_capture({shown(item)})"):
            wanted = strategy.should_capture(item)
        contract.clause(
            "every item",
            type(wanted) is bool,
            f"should_capture() must return a bool, got {wanted!r}",
        )
        processed = None
        if wanted:
            with contract.without_error("every item", f"process({shown(item)})"):
                processed = strategy.process(item)
            contract.clause(
                "every item",
                isinstance(processed, TrajectoryItem),
                f"process() must return a TrajectoryItem, got {shown(processed)}",
            )
            contract.clause(
                "unscored stays unscored",
                item.reward is not None or processed.reward is None,
                f"process() must not give an unscored item a reward, got {processed.reward!r}",
            )
        contract.clause(
            "nothing is changed",
            item == before,
            f"the item that is given must stay as it is, got {shown(item)} after {shown(before)}",
        )
        kept.append(processed)
    return kept
