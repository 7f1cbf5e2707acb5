"""What an item of data says, whatever its type: its score, its text, its input and its output.

An item is a text, a dict, a TrajectoryItem, a Trajectory, a Task or a Pair. A dict has an input and an output under one of
:data:`PAIRS`, where an ``input`` may stand after an ``instruction``, or two answers under ``chosen`` and ``rejected``, or a
chat under ``messages``, or one text under one of :data:`TEXTS`; its score is under ``score`` or ``reward``.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping
from typing import Any, TypeVar

import orjson

from orbiter.checks import is_number
from orbiter.convert import show, unstructure
from orbiter.errors import RecordError
from orbiter.records import Message, Pair, Task, Trajectory, TrajectoryItem, content_hash

T = TypeVar("T")

PAIRS = (
    ("input", "output"),
    ("prompt", "completion"),
    ("prompt", "response"),
    ("instruction", "response"),
    ("instruction", "output"),
    ("question", "answer"),
    ("state", "action"),
)
"""Keys of a dict that hold an input and an output."""

TEXTS = ("text", "content", "prompt", "input", "instruction", "question")
"""Keys of a dict that hold its only text."""

SCORES = ("score", "reward")
"""Keys of a dict that hold its score; the first that is present counts."""


def score_of(item: Any) -> float | None:
    """Return the score of an item, or None if nobody scored it.

    Raises:
        RecordError: The score of a dict is neither a finite number nor None.
    """
    if isinstance(item, Trajectory):
        return item.score
    if isinstance(item, TrajectoryItem):
        return item.reward
    if not isinstance(item, Mapping):
        return None
    key = next((key for key in SCORES if key in item), None)
    score = None if key is None else item[key]
    if score is None:
        return None
    if not is_number(score):
        raise RecordError(f"must be a finite number or None, got {score!r}", field=key)
    return score


def pair_of(item: Mapping[str, Any]) -> tuple[str, str] | None:
    """Return the keys of a dict's input and output, or None if it has no such pair."""
    return next((pair for pair in PAIRS if pair[0] in item and pair[1] in item), None)


def preference_of(item: Mapping[str, Any]) -> tuple[str, ...] | None:
    """Return the keys of a dict's prompt, if it has one, and of its two answers, or None if it is no preference."""
    if "chosen" not in item or "rejected" not in item:
        return None
    return tuple(key for key in ("prompt", "chosen", "rejected") if key in item)


def text_of(item: Any) -> str:
    """Return all that an item says, as one text to be compared with others.

    Raises:
        RecordError: The item is of another type, or a dict without a known key.
    """
    if isinstance(item, str):
        return item
    if isinstance(item, TrajectoryItem):
        return f"{_said(item.state)}\n{_said(item.action)}"
    if isinstance(item, Pair):
        return text_of(item.to_row())
    if isinstance(item, Trajectory | Task):
        return _said([unstructure(message) for message in item.messages])
    if isinstance(item, Mapping):
        single = [(key,) for key in ("messages", *TEXTS) if key in item]
        if keys := pair_of(item) or preference_of(item) or next(iter(single), ()):
            instruction = ("instruction",) if keys[0] == "input" and "instruction" in item else ()
            return "\n".join(_said(item[key]) for key in (*instruction, *keys))
    raise unknown_item(item)


def task_of(item: Any) -> Task:
    """Return the task that an item poses.

    It is a Task itself; a Trajectory's prompt, with its answer as the reference and the lineage of its row; a dict's input, after its instruction where it has both,
    with its output if it has one. A text or a dict poses a task of the environment ``instructions``, whose id is a hash of it.

    Raises:
        RecordError: The item poses none, or says nothing.
    """
    if isinstance(item, Task):
        return item
    if isinstance(item, Trajectory):
        return Task(
            item.env,
            item.task_id,
            item.prompt,
            answer=item.answer or None,
            tools=item.tools,
            metadata={k: v for k, v in item.metadata.items() if k == "lineage"},
        )
    asked, answer = item, None
    if isinstance(item, Mapping):
        input_key, output_key = pair_of(item) or (next((k for k in TEXTS if k in item), ""), "")
        asked, answer = item.get(input_key), item.get(output_key)
        instruction = item.get("instruction")
        if input_key == "input" and isinstance(instruction, str) and isinstance(asked, str):
            asked = "\n\n".join(part for part in (instruction, asked) if part.strip())
    if not isinstance(asked, str) or not asked.strip():
        raise RecordError(
            f"item must pose a task, got {show(item)}",
            hint="give a text, a Task, a Trajectory, or a dict with an input that is a text: "
            + ", ".join(dict.fromkeys([*(pair[0] for pair in PAIRS), *TEXTS])),
        )
    name = content_hash([asked, answer])
    return Task("instructions", f"instructions:{name}", (Message("user", asked),), answer=answer)


def at_item(index: int, ask: Callable[[Any], T], item: Any) -> T:
    """Return ``ask(item)``; a RecordError names the item, counted from 1."""
    try:
        return ask(item)
    except RecordError as error:
        raise error.at(f"item {index + 1}") from None


def unknown_item(item: Any) -> RecordError:
    """Return the error for an item whose text cannot be found."""
    pairs = ", ".join("/".join(pair) for pair in PAIRS)
    got = (
        f"a dict with the keys {sorted(map(str, item))}"
        if isinstance(item, Mapping)
        else repr(item)
    )
    return RecordError(
        f"item must be a text, a TrajectoryItem, a Trajectory or a dict with known keys, got {got[:200]}",
        hint=f"known pairs: {pairs}; known texts: messages, {', '.join(TEXTS)}",
    )


def _said(value: Any) -> str:
    """Return a text as it is, the contents of a chat by lines, anything else as JSON."""
    if isinstance(value, str):
        return value
    if isinstance(value, list | tuple) and value and all(_is_message(v) for v in value):
        return "\n".join(_said(v) for v in value)
    if _is_message(value) and isinstance(value["content"], str) and not value.get("tool_calls"):
        return str(value["content"])
    try:
        return orjson.dumps(unstructure(value), option=orjson.OPT_SORT_KEYS).decode()
    except orjson.JSONEncodeError as error:
        raise RecordError(f"item must hold plain JSON to be compared: {error}") from None


def _is_message(value: Any) -> bool:
    return isinstance(value, Mapping) and "role" in value and "content" in value
