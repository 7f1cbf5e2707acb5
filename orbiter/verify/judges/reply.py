"""Read the verdict that a judge's reply ends with, strictly: what is not plainly a verdict is none."""

from __future__ import annotations

import json
from collections.abc import Collection
from typing import Any, NoReturn

from orbiter.errors import OrbiterError
from orbiter.verify.answer import without_thoughts

MAX_REPLY_LENGTH = 20_000
"""Longest reply that is read, in characters after its thoughts."""


class UnreadableError(OrbiterError):
    """A reply holds no verdict, or none that can be trusted; the message is the reason, short and stable."""


def last_object(text: str, keys: Collection[str]) -> dict[str, Any]:
    """Return the JSON object that a reply ends with.

    It may stand in a code fence, and after a ``<think>`` block or prose. It must have all of ``keys``, and it must be the
    only object in the reply that has any of them: of two verdicts, one may be a quotation from the answer.

    Raises:
        UnreadableError: There is no such object; the message says why.
    """
    said = without_thoughts(text)
    if said is None:
        raise UnreadableError("thought without an end")
    if len(said) > MAX_REPLY_LENGTH:
        raise UnreadableError("reply is too long")
    said = said.rstrip()
    if said.endswith("```"):
        said = said[:-3].rstrip()
    found = _objects(said)
    verdicts = [one for one, _ in found if not one.keys().isdisjoint(keys)]
    if len(verdicts) > 1:
        raise UnreadableError("two verdicts")
    if not verdicts or found[-1] != (verdicts[0], len(said)):
        raise UnreadableError("no verdict at the end")
    if not verdicts[0].keys() >= set(keys):
        raise UnreadableError("verdict is not whole")
    return verdicts[0]


def _objects(text: str) -> list[tuple[dict[str, Any], int]]:
    """Return every outermost JSON object in ``text`` with the place where it ends."""
    found, start = [], text.find("{")
    while start >= 0:
        try:
            value, end = _DECODER.raw_decode(text, start)
        except RecursionError:
            raise UnreadableError("objects too deep") from None
        except ValueError:
            end = start + 1
        else:
            found.append((value, end))
        start = text.find("{", end)
    return found


def _without_duplicates(pairs: list[tuple[str, Any]]) -> dict[str, Any]:
    made = dict(pairs)
    if len(made) != len(pairs):
        raise ValueError("duplicate key")
    return made


def _refuse(constant: str) -> NoReturn:
    raise ValueError(f"{constant} is no JSON")


_DECODER = json.JSONDecoder(object_pairs_hook=_without_duplicates, parse_constant=_refuse)
