"""Hypothesis strategies for the records: any record that the format allows, within small sizes.

    from hypothesis import given
    from orbiter.testing.strategies import trajectories

    @given(trajectories())
    def test_my_filter_keeps_rows_whole(trajectory): ...

Needs hypothesis, which is not a dependency of orbiter itself.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

import attrs

from orbiter.errors import MissingPluginError
from orbiter.records import ROLES, Message, Outcome, Pair, Task, Trajectory, TrajectoryItem, Verdict

try:
    from hypothesis import strategies as st
except ImportError as error:
    raise MissingPluginError(
        "orbiter.testing.strategies needs hypothesis, which is not installed",
        hint="pip install hypothesis",
    ) from error

if TYPE_CHECKING:
    from hypothesis.strategies import SearchStrategy

__all__ = [
    "json_objects",
    "json_values",
    "messages",
    "pairs",
    "rates",
    "tasks",
    "texts",
    "trajectories",
    "trajectory_items",
    "verdicts",
]

_CONVERSATION = ("system", "user", "assistant", "tool")


def texts(*, min_size: int = 0) -> SearchStrategy[str]:
    """Return texts of up to 20 characters, any but lone surrogates."""
    # A lone surrogate cannot be written as UTF-8, and so in no JSON file.
    return st.text(st.characters(codec="utf-8"), min_size=min_size, max_size=20)


def rates() -> SearchStrategy[float]:
    """Return numbers in [0, 1]."""
    return st.floats(0, 1, allow_nan=False).map(lambda value: value + 0.0)  # -0.0 becomes 0.0


def json_values(*, max_leaves: int = 6) -> SearchStrategy[Any]:
    """Return decoded JSON values: integers are below 2**53, numbers finite."""
    leaves = (
        st.none()
        | st.booleans()
        | st.integers(-(2**53), 2**53)
        | st.floats(allow_nan=False, allow_infinity=False)
        | texts()
    )
    return st.recursive(
        leaves,
        lambda inner: st.lists(inner, max_size=3) | st.dictionaries(texts(), inner, max_size=3),
        max_leaves=max_leaves,
    )


def json_objects() -> SearchStrategy[dict[str, Any]]:
    """Return decoded JSON objects of up to three keys."""
    return st.dictionaries(texts(), json_values(), max_size=3)


def messages(*, role: str | None = None) -> SearchStrategy[Message]:
    """Return messages of one role, or of any: plain text, content parts, or tool calls."""
    content = texts() | st.lists(
        st.fixed_dictionaries({"type": st.just("text"), "text": texts()}), min_size=1, max_size=2
    )
    spoken = st.builds(
        Message,
        role=st.sampled_from(ROLES) if role is None else st.just(role),
        content=content,
        name=st.none() | texts(min_size=1),
        extra=_unknown_keys(Message),
    )
    if role not in (None, "assistant"):
        return spoken
    function = st.fixed_dictionaries({"name": texts(min_size=1), "arguments": texts()})
    call = st.fixed_dictionaries(
        {"id": texts(min_size=1), "type": st.just("function"), "function": function}
    )
    calling = st.builds(
        Message,
        role=st.just("assistant"),
        content=st.none() | texts(),
        tool_calls=st.lists(call, min_size=1, max_size=2).map(tuple),
    )
    return spoken | calling


def tasks() -> SearchStrategy[Task]:
    """Return tasks of one or two prompt messages."""
    return st.builds(
        Task,
        env=texts(min_size=1),
        task_id=texts(min_size=1),
        messages=_prompts(),
        answer=json_values(),
        tools=st.lists(json_objects(), max_size=1).map(tuple),
        metadata=json_objects(),
        extra=_unknown_keys(Task),
    )


def verdicts() -> SearchStrategy[Verdict]:
    """Return verdicts of all three outcomes."""
    shared = {
        "reason": texts(),
        "verifier": texts(),
        "version": texts(),
        "step_scores": st.lists(st.none() | rates(), max_size=3).map(tuple),
        "details": json_objects(),
    }
    judged = st.builds(
        Verdict, outcome=st.sampled_from((Outcome.PASS, Outcome.FAIL)), score=rates(), **shared
    )
    invalid = st.builds(
        Verdict,
        outcome=st.just(Outcome.INVALID),
        score=st.none(),
        **{**shared, "reason": texts(min_size=1)},
    )
    return judged | invalid


def trajectories(*, scored: bool | None = None) -> SearchStrategy[Trajectory]:
    """Return rows of a prompt and up to three turns.

    Args:
        scored: True for rows with a score, False for rows without; None for both.
    """
    score = {True: rates(), False: st.none(), None: st.none() | rates()}[scored]
    turns = st.lists(
        st.sampled_from(_CONVERSATION[1:]).flatmap(lambda role: messages(role=role)), max_size=3
    )
    conversation = st.tuples(_prompts(), turns).map(lambda parts: (*parts[0], *parts[1]))
    return st.builds(
        Trajectory,
        messages=conversation,
        env=texts(min_size=1),
        task_id=texts(min_size=1),
        score=score,
        verdict=st.none() | verdicts(),
        tools=st.lists(json_objects(), max_size=1).map(tuple),
        metadata=json_objects(),
        generator=st.none() | texts(),
        model=st.none() | texts(),
        sampling=json_objects(),
        seed=st.none() | st.integers(0, 2**53),
        round=st.none() | st.integers(0, 99),
        extra=_unknown_keys(Trajectory, "id"),
    )


def pairs() -> SearchStrategy[Pair]:
    """Return preference pairs of one-turn answers."""
    answer = messages(role="assistant").map(lambda message: (message,))
    return st.builds(
        Pair,
        prompt=_prompts(),
        chosen=answer,
        rejected=answer,
        env=texts(),
        task_id=texts(),
        margin=st.none() | rates(),
        metadata=json_objects(),
        confidence=st.none() | rates(),
        weight=st.floats(0, 1e6),
        extra=_unknown_keys(Pair),
    )


def trajectory_items() -> SearchStrategy[TrajectoryItem]:
    """Return state-action-reward triples, some unscored."""
    return st.builds(
        TrajectoryItem,
        state=json_values(),
        action=json_values(),
        reward=st.none() | st.floats(allow_nan=False, allow_infinity=False),
        metadata=json_objects(),
    )


def _prompts() -> SearchStrategy[tuple[Message, ...]]:
    system = st.just(()) | messages(role="system").map(lambda message: (message,))
    return st.tuples(system, messages(role="user")).map(lambda parts: (*parts[0], parts[1]))


def _unknown_keys(cls: type, *more: str) -> SearchStrategy[dict[str, Any]]:
    known = {attribute.name for attribute in attrs.fields(cls)} | set(more)
    return st.just({}) | st.dictionaries(
        texts(min_size=1).filter(lambda key: key not in known), json_values(), max_size=2
    )
