"""Instructions that a policy wrote: which of them are none, which are new, and the tasks that they pose."""

from __future__ import annotations

import re
from collections.abc import Sequence
from typing import Any
from unicodedata import normalize

import regex

from orbiter.records import Message, Task, content_hash
from orbiter.similarity import near_duplicates
from orbiter.verify.refusals import is_refusal

_LEAKED = re.compile(
    r"\b(?:(?:given|rewritten|created|original) (?:prompt|instruction)s?|rewritten version|below (?:is|are) (?:an?|some) (?:instruction|text|task)s?"
    r"|reply with the (?:instruction|task|request) alone)\b",
    re.IGNORECASE,
)
"""Words of the orders that ask for an instruction, which stand in a failed one (Xu et al. 2024, section 3.2, case 4)."""

_LABEL = re.compile(
    r"\A\W*(?:new |rewritten )?(?:instruction|prompt|request|task)(?: \d+)?\W*?:[*_]*",
    re.IGNORECASE,
)
"""What stands before an instruction; the signs after it are the instruction's own."""

_QUOTED = re.compile(r"\"([^\"]+)\"|“([^“”]+)”|'((?:[^']|\b'\b)+)'")
"""A text in quotation marks that are one pair; an apostrophe is none."""

_SIGNS, _LETTERS = r"\p{Han}\p{Hiragana}\p{Katakana}", r"\p{Thai}\p{Lao}\p{Khmer}\p{Myanmar}"
"""Scripts without spaces between words."""

_WORD = regex.compile(rf"[{_SIGNS}]|[{_LETTERS}]{{1,4}}|[^\s{_SIGNS}{_LETTERS}]+")
"""What counts as a word; in a script without spaces a sign, or four letters."""

_TOKEN = regex.compile(r"\w+|[\p{Sm}*/^%]|(?<=[\d)])-|-(?=[\d(])")


def bare(text: str) -> str:
    """Return an instruction without a label before it and without the quotation marks around it."""
    return _unquoted(_LABEL.sub("", _unquoted(text)))


def _unquoted(text: str) -> str:
    quoted = _QUOTED.fullmatch(text.strip())
    return (quoted[quoted.lastindex or 0] if quoted else text).strip()


def fault(text: str, *, source: str, max_words: int) -> str | None:
    """Return why a text is no instruction made from another, or None.

    These are the eliminations of Evol-Instruct (Xu et al. 2024, section 3.2) that a program can see: nothing but signs, a refusal, a copy
    of the source, words of the order that asked for it; and one that is too long.
    """
    if not any(char.isalnum() for char in text):
        return "empty"
    if is_refusal(text):
        return "refusal"
    if _plain(text) == _plain(source):
        return "copy of its source"
    if _LEAKED.search(text) and not _LEAKED.search(source):
        return "words of the order"
    return "too long" if word_count(text) > max_words else None


def word_count(text: str) -> int:
    """Return how many words a text has; of one written without spaces, about as many as one with them would have."""
    return sum(1 for _ in _WORD.finditer(text))


def _plain(text: str) -> str:
    """Return the words, numbers and signs of calculation of a text in small letters."""
    return " ".join(_TOKEN.findall(_folded(text)))


def _folded(text: str) -> str:
    """Return a text without what only looks different: in small letters of one width, and without what cannot be seen."""
    seen: str = regex.sub(r"\p{Cf}", "", normalize("NFKC", text))
    return seen.casefold()


def novel(texts: Sequence[str], *, pool: Sequence[str], threshold: float) -> list[bool]:
    """Return of each text whether it is nearly the same as none of the pool and as none before it that is new.

    Similarity is Jaccard's on character 5-grams (:mod:`orbiter.similarity`), which finds its candidates without comparing every two texts;
    capitals and invisible characters make nothing new. Self-instruct compares by ROUGE-L at 0.7 (Wang et al. 2023, section 2.2): of
    sentences with words replaced until they were there, the median Jaccard similarity was 0.41 where the words stood apart and 0.47 where
    they stood together.
    """
    twins = near_duplicates([_folded(text) for text in (*pool, *texts)], threshold=threshold)
    return [twin is None for twin in twins[len(pool) :]]


def repeated(tasks: Sequence[Task], *, pool: Sequence[str], threshold: float) -> list[str | None]:
    """Return of each task why its instruction is not new, or None; see :func:`novel`."""
    fresh = novel([task.prompt for task in tasks], pool=pool, threshold=threshold)
    return [None if is_new else "nearly repeats another instruction" for is_new in fresh]


def stands_in(text: str, answer: str) -> bool:
    """Return whether an answer stands in a text as words of its own, whatever their case and spaces.

    Letters without case bound nothing: Chinese has no spaces around its words, and Hebrew writes "in" as a part of them.
    """
    words, wanted = (" ".join(part.casefold().split()) for part in (text, answer))
    part = r"[\p{Lu}\p{Ll}\p{Nd}_]"
    start = rf"(?<!{part})" if regex.match(part, wanted) else ""
    end = rf"(?!{part})" if regex.match(part, wanted[-1:]) else ""
    return regex.search(start + regex.escape(wanted) + end, words) is not None


def indented(text: str) -> str:
    """Return a text whose lines after the first are indented: where labels begin lines, it adds none of its own."""
    return "\n  ".join(text.splitlines())


def posed(source: Task, text: str, *, engine: str, answer: Any = None, **lineage: Any) -> Task:
    """Return the task that an instruction poses: the source's prompt with this as its last user message.

    It has no reference answer but ``answer``: the source's is not its own. Its id is the source's environment and a hash of the prompt, so
    that one instruction is one task; where it comes from stands in ``metadata["lineage"]``.
    """
    users = (n for n, message in enumerate(source.messages) if message.role == "user")
    place = max(users, default=len(source.messages))
    messages = (*source.messages[:place], Message("user", text))
    return Task(
        source.env,
        f"{source.env}:{engine}-{content_hash(messages)}",
        messages,
        answer=answer,
        tools=source.tools,
        metadata={"lineage": {"parent": source.task_id, **lineage}},
    )
