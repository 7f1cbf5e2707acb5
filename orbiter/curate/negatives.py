"""What is wrong with the rejected answer of a pair, in six kinds.

The kinds are those that people name when they compare answers; a verifier, a judge or an author may say the kind outright, and rules find
the obvious ones otherwise. :mod:`orbiter.generate.hard_negatives` makes answers of each kind.
"""

from __future__ import annotations

import re
from collections import Counter
from collections.abc import Callable, Iterable

import attrs

from orbiter.checks import check_number
from orbiter.curate.lengths import Length, characters
from orbiter.errors import ConfigError
from orbiter.generate.corruptions import NegativeKind
from orbiter.records import Message, Pair
from orbiter.verify.refusals import is_refusal

_WORD = re.compile(r"\w+")
_MIN_WORDS = 8

_REASONS = (
    (NegativeKind.REFUSAL, re.compile(r"\brefus\w*")),
    (
        NegativeKind.FORMAT,
        re.compile(
            r"\b(?:format|form|sections?|tags?|markup|schema|json|parsed?|unreadable|misspelt|no answer|two different answers|"
            r"is not (?:a|one) \w+|not upper case|other language)\b"
        ),
    ),
    (NegativeKind.OFF_TOPIC, re.compile(r"\b(?:off[ -]topic|other question)\b")),
    (NegativeKind.VERBOSE, re.compile(r"\b(?:too long|repeats)\b")),
    (NegativeKind.TERSE, re.compile(r"\btoo short\b")),
    (
        NegativeKind.WRONG,
        re.compile(r"\b(?:wrong|incorrect|false|illegal|mistake|not given|contradicts?|loses)\b"),
    ),
)
"""How the reasons of verifiers name each kind; the first that fits decides."""


def tagged_negatives(
    pairs: Iterable[Pair],
    *,
    length_ratio: float = 2.0,
    refuses: Callable[[str], bool] = is_refusal,
    length: Length = characters,
) -> list[Pair]:
    """Return the pairs with ``metadata["negative"]``: the kind of their rejected answer; where no rule speaks, without it.

    The first that applies:

    1. a kind that stands there already, from whoever made the pair;
    2. ``refusal``: the rejected answer refuses and the chosen one does not;
    3. any: the verifier's reason (``metadata["reason"]``) names it: "wrong answer", "a section is missing", "too long";
    4. ``off_topic``: of at least 8 words, none is shared with the prompt or with the chosen answer;
    5. ``verbose`` and ``terse``: ``length_ratio`` times as long as the chosen answer, or as short.

    The rules see what is obvious and no more; a pair that they leave untagged is not of a seventh kind but unknown.

    Args:
        pairs: Any pairs.
        length_ratio: > 1
        refuses: Whether a text refuses.
        length: Length of an answer.

    Raises:
        ConfigError: A kind that stands there is none of the six, or ``length_ratio`` is out of range.
    """
    check_number("length_ratio", length_ratio, "(1, inf)")
    found = []
    for pair in pairs:
        kind = _declared(pair) or _kind(pair, length_ratio, refuses, length)
        metadata = pair.metadata if kind is None else {**pair.metadata, "negative": kind.value}
        found.append(attrs.evolve(pair, metadata=metadata))
    return found


def count_negatives(pairs: Iterable[Pair]) -> Counter[str]:
    """Return how many pairs there are of each kind that occurs; ``untagged`` counts those without one."""
    return Counter(str(pair.metadata.get("negative", "untagged")) for pair in pairs)


def _declared(pair: Pair) -> NegativeKind | None:
    kind = pair.metadata.get("negative")
    if kind is None:
        return None
    try:
        return NegativeKind(kind)
    except ValueError:
        known = ", ".join(NegativeKind)
        raise ConfigError(
            f"negative of pair {pair.task_id!r} must be one of {known}, got {kind!r}"
        ) from None


def _kind(
    pair: Pair, length_ratio: float, refuses: Callable[[str], bool], length: Length
) -> NegativeKind | None:
    chosen, rejected = _text(pair.chosen), _text(pair.rejected)
    if refuses(rejected) and not refuses(chosen):
        return NegativeKind.REFUSAL
    reason = str(pair.metadata.get("reason", "")).casefold()
    for kind, pattern in _REASONS:
        if pattern.search(reason):
            return kind
    words = set(_WORD.findall(rejected.casefold()))
    known = set(_WORD.findall(f"{_text(pair.prompt)} {chosen}".casefold()))
    if len(words) >= _MIN_WORDS and not words & known:
        return NegativeKind.OFF_TOPIC
    ratio = max(1, length(pair.rejected)) / max(1, length(pair.chosen))
    if ratio >= length_ratio:
        return NegativeKind.VERBOSE
    return NegativeKind.TERSE if ratio <= 1 / length_ratio else None


def _text(messages: tuple[Message, ...]) -> str:
    return "\n".join(message.text for message in messages)
