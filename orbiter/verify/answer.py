"""The final answer of a trajectory, which is what a verifier compares; and the trajectory of an answer."""

from __future__ import annotations

import re

from orbiter.records import Message, Task, Trajectory

_OPEN, _CLOSE = "<think>", "</think>"
_OPENING = re.compile(r"\s*<think>")


def answered(task: Task, answer: str) -> Trajectory:
    """Return the unscored trajectory in which the assistant gives this answer to the task."""
    return Trajectory.following(task, Message("assistant", answer))


def final_answer(trajectory: Trajectory, *, thoughts: bool = False) -> str | None:
    """Return the text of the closing assistant turn without its leading thoughts, or None if there is no answer.

    There is none when the last message is not the assistant's, or still calls tools, or when a ``<think>`` block is not closed.
    A ``</think>`` without a ``<think>`` before it closes the block that a chat template opened in the prompt. With
    ``thoughts`` the whole text is returned, closed or not.
    """
    last = trajectory.messages[-1] if trajectory.messages else None
    if last is None or last.role != "assistant" or last.tool_calls:
        return None
    return last.text if thoughts else without_thoughts(last.text)


def without_thoughts(text: str) -> str | None:
    """Return ``text`` after its leading ``<think>...</think>`` blocks, or None if one is not closed."""
    place = 0
    if _OPEN not in text and _CLOSE in text:
        place = text.index(_CLOSE) + len(_CLOSE)
    while _OPENING.match(text, place):
        closed = text.find(_CLOSE, place)
        if closed < 0:
            return None
        place = closed + len(_CLOSE)
    return text[place:]


def written(task: Task, trajectory: Trajectory, *, thoughts: bool = True) -> str | None:
    """Return all that the assistant wrote after the prompt, a line break between turns, or None if that is blank.

    Without ``thoughts``, return the final answer alone. Tool calls are not text.
    """
    if not thoughts:
        text = final_answer(trajectory) or ""
    else:
        turns = trajectory.messages[prompt_size(task, trajectory) :]
        text = "\n".join(m.text for m in turns if m.role == "assistant")
    return text if text.strip() else None


def prompt_size(task: Task, trajectory: Trajectory) -> int:
    """Return how many messages were not written by the policy: the task's, if the trajectory begins with them."""
    messages, size = trajectory.messages, len(task.messages)
    if messages[:size] == task.messages:
        return size
    return next((i for i, m in enumerate(messages) if m.role == "assistant"), len(messages))
