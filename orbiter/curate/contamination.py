"""Decontamination: no row of the training data repeats a held-out task.

A row is contaminated if it shares n words in a row with a held-out task, or holds its whole prompt (Brown et al. 2020, appendix
C, with n = 13). A phrase that many held-out tasks have in common is their template, not their content, and no evidence.
"""

from __future__ import annotations

import functools
import unicodedata
from collections.abc import Callable, Iterable, Iterator
from typing import Generic, Protocol, TypeVar

from attrs import field, frozen

from orbiter.errors import ConfigError
from orbiter.records import Message, Task

DEFAULT_N = {"word": 13, "char": 50}
"""Length of the n-grams per unit: 13 words as for GPT-3, 50 characters as for GPT-4."""

SYSTEM_ROLES = ("system", "developer")

Conversation = tuple[tuple[str, str], ...]
"""Role and normalised text of each message."""


class HasMessages(Protocol):
    """What can be decontaminated: a Trajectory, a Task, or any record with messages."""

    @property
    def messages(self) -> tuple[Message, ...]:
        """The conversation."""
        ...


R = TypeVar("R", bound=HasMessages)


@frozen
class Contamination:
    """Why a row is contaminated.

    Args:
        index: Place of the row among those given.
        env: Environment of the held-out task.
        task_id: The held-out task.
        ngram: What both hold, normalised.
    """

    index: int
    env: str
    task_id: str
    ngram: str


@frozen(kw_only=True)
class Decontaminated(Generic[R]):
    """What decontamination kept, and what it found in the rest.

    Args:
        kept: The clean rows, in the order they were given.
        contaminated: The evidence, one per contaminated row.
    """

    kept: tuple[R, ...]
    contaminated: tuple[Contamination, ...] = field(factory=tuple)


def decontaminate(
    rows: Iterable[R],
    held_out: Iterable[Task],
    *,
    n: int | None = None,
    unit: str = "word",
    max_shared: int = 10,
    answers: bool = False,
) -> Decontaminated[R]:
    """Return the rows that share no n-gram with a held-out task and hold no whole prompt of one.

    Case, Unicode compatibility forms and white space do not count, nor punctuation around a word; system messages are not
    compared. N-grams are looked for in every other message. A prompt shorter than n is found only where it is repeated whole,
    message by message, with its roles and its punctuation.

    Args:
        rows: Trajectories, tasks or any records with messages.
        held_out: Tasks that must not be trained on.
        n: Length of the n-grams; default: 13 words or 50 characters.
        unit: ``word``, or ``char`` for text without spaces.
        max_shared: An n-gram found in more held-out prompts than this, or in more than half of several, is template and
            ignored.
        answers: Look for n-grams of the reference answers too, where those are text. Off, since in many environments
            different tasks have equal answers.

    Raises:
        ConfigError: ``n``, ``unit`` or ``max_shared`` is out of range.
    """
    index = HeldOutIndex(held_out, n=n, unit=unit, max_shared=max_shared, answers=answers)
    kept: list[R] = []
    contaminated: list[Contamination] = []
    for place, row in enumerate(rows):
        found = index.find(row)
        if found is None:
            kept.append(row)
        else:
            task, ngram = found
            contaminated.append(Contamination(place, task.env, task.task_id, ngram))
    return Decontaminated(kept=tuple(kept), contaminated=tuple(contaminated))


class HeldOutIndex:
    """The n-grams and the prompts of held-out tasks, for asking row by row.

    Args:
        held_out: The tasks.
        n: Length of the n-grams.
        unit: ``word`` or ``char``.
        max_shared: Most held-out prompts that an n-gram of content occurs in.
        answers: Whether reference answers are looked for too.
    """

    def __init__(
        self,
        held_out: Iterable[Task],
        *,
        n: int | None = None,
        unit: str = "word",
        max_shared: int = 10,
        answers: bool = False,
    ) -> None:
        if unit not in DEFAULT_N:
            raise ConfigError(f"unit must be one of {', '.join(DEFAULT_N)}, got {unit!r}")
        self._n = DEFAULT_N[unit] if n is None else n
        if self._n < 1:
            raise ConfigError(f"n must be >= 1, got {n!r}")
        if max_shared < 1:
            raise ConfigError(f"max_shared must be >= 1, got {max_shared!r}")
        self._ngrams: Callable[[str], Iterator[str]] = (
            self._word_ngrams if unit == "word" else self._char_ngrams
        )
        self._answers = answers
        self._prompts: dict[Conversation, Task] = {}
        self._by_ngram: dict[str, Task] = {}
        shared: dict[str, int] = {}
        for task in held_out:
            prompt = _conversation(task.messages)
            if prompt in self._prompts:
                continue
            self._prompts[prompt] = task
            for ngram in self._task_ngrams(task):
                self._by_ngram.setdefault(ngram, task)
                shared[ngram] = shared.get(ngram, 0) + 1
        limit = min(max_shared, max(1, len(self._prompts) // 2))
        for ngram, count in shared.items():
            if count > limit:
                del self._by_ngram[ngram]
        self._prompts.pop((), None)
        self._shortest = min(map(len, self._by_ngram), default=0)
        self._lengths = sorted({len(prompt) for prompt in self._prompts})

    def find(self, row: HasMessages) -> tuple[Task, str] | None:
        """Return a held-out task that the row repeats, and what it repeats of it; None if it is clean."""
        turns = _conversation(row.messages)
        for start in range(len(turns)):
            for length in self._lengths:
                run = turns[start : start + length]
                if run in self._prompts:
                    return self._prompts[run], "\n".join(text for _, text in run)
        for _, text in turns if self._by_ngram else ():
            if len(text) < self._shortest:
                continue
            for ngram in self._ngrams(text):
                if ngram in self._by_ngram:
                    return self._by_ngram[ngram], ngram
        return None

    def _task_ngrams(self, task: Task) -> set[str]:
        texts = [text for _, text in _conversation(task.messages)]
        if self._answers and isinstance(task.answer, str):
            texts.append(_normalise(task.answer))
        return {ngram for text in texts for ngram in self._ngrams(text)}

    def _word_ngrams(self, text: str) -> Iterator[str]:
        tokens = text.split()
        if len(tokens) < self._n:
            return
        words = [word for token in tokens if (word := _strip_punctuation(token))]
        for start in range(len(words) - self._n + 1):
            yield " ".join(words[start : start + self._n])

    def _char_ngrams(self, text: str) -> Iterator[str]:
        for start in range(len(text) - self._n + 1):
            yield text[start : start + self._n]


def _conversation(messages: Iterable[Message]) -> Conversation:
    """Return role and normalised text of the messages that are content, not instructions of the house."""
    turns = [(m.role, _normalise(m.text)) for m in messages if m.role not in SYSTEM_ROLES]
    return tuple([turn for turn in turns if turn[1]])


# The attempts at a task come one after the other, and share its prompt.
@functools.lru_cache(maxsize=16)
def _normalise(text: str) -> str:
    if not text.isascii():  # ASCII is in its normal form already
        text = unicodedata.normalize("NFKC", text)
    return " ".join(text.casefold().split())


def _strip_punctuation(token: str) -> str:
    start, end = 0, len(token)
    while start < end and not token[start].isalnum():
        start += 1
    while end > start and not token[end - 1].isalnum():
        end -= 1
    return token[start:end]
