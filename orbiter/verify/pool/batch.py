"""The pairs of one call to a pool, and the verdicts on them as they come."""

from __future__ import annotations

import threading
from collections.abc import Sequence
from concurrent.futures import Future, InvalidStateError
from contextlib import suppress

from attrs import frozen

from orbiter.records import Task, Trajectory, Verdict
from orbiter.verify.pool.cache import VerdictCache, verdict_keys
from orbiter.verify.verifier import Verifier

Pair = tuple[Task, Trajectory]
"""What is judged: a task, and what was answered."""


class Batch:
    """The pairs of one call; ``future`` gets the verdicts, in the order of the pairs."""

    def __init__(
        self, pairs: Sequence[Pair], *, verifier: Verifier, cache: VerdictCache | None
    ) -> None:
        self.future: Future[list[Verdict]] = Future()
        self._pairs, self.verifier, self._cache = list(pairs), verifier, cache
        self._verdicts: list[Verdict | None] = [None] * len(self._pairs)
        self._keys: list[bytes | None] = [None] * len(self._pairs)
        self._same: dict[int, list[int]] = {}
        self._asked: list[int] = []
        self._missing = len(self._pairs)
        self._lock = threading.Lock()
        if cache is not None:
            self._keys = verdict_keys(verifier, self._pairs)
            self._recall(cache.get(verifier, self._keys))

    def _recall(self, known: dict[bytes, Verdict]) -> None:
        """Fill in what is remembered, and find the pairs that are the same as one before."""
        first: dict[bytes, int] = {}
        for place, key in enumerate(self._keys):
            if key is None:
                continue
            if key in known:
                self._verdicts[place] = known[key]
                self._missing -= 1
            elif first.setdefault(key, place) != place:
                self._same.setdefault(first[key], []).append(place)

    def begin(self) -> list[Item]:
        """Return what is to be judged: the pairs that are not known, each once."""
        repeats = {place for places in self._same.values() for place in places}
        places = range(len(self._pairs))
        self._asked = [n for n in places if self._verdicts[n] is None and n not in repeats]
        if not self._missing:
            self._finish()
        return [Item(self, place, self._pairs[place]) for place in self._asked]

    def give(self, place: int, verdict: Verdict) -> None:
        """Take a verdict; the last one completes the future."""
        with self._lock:
            for where in (place, *self._same.get(place, ())):
                self._verdicts[where] = verdict
                self._missing -= 1
            done = self._missing == 0
        if done:
            self._finish()

    def end(self, error: Exception | None = None) -> None:
        """Give up: cancel the future, or give it an exception, unless it has a result. What is judged is remembered."""
        if not self.future.done():
            self._remember()
        if error is None:
            self.future.cancel()
        else:
            with suppress(InvalidStateError):
                self.future.set_exception(error)

    def _finish(self) -> None:
        verdicts = [verdict for verdict in self._verdicts if verdict is not None]
        self._remember()
        with suppress(InvalidStateError):  # it was cancelled
            self.future.set_result(verdicts)

    def _remember(self) -> None:
        if self._cache is not None:
            judged = ((self._keys[place], self._verdicts[place]) for place in self._asked)
            self._cache.put((key, verdict) for key, verdict in judged if verdict is not None)


@frozen(eq=False)
class Item:
    """One pair of a batch that waits for its verdict."""

    batch: Batch
    place: int
    pair: Pair

    @property
    def is_wanted(self) -> bool:
        """Whether somebody still waits for it."""
        return not self.batch.future.done()

    def give(self, verdict: Verdict) -> None:
        """Take the verdict."""
        self.batch.give(self.place, verdict)

    def blame(self, reason: str) -> None:
        """Make the verdict invalid, for this reason."""
        by = self.batch.verifier
        self.give(Verdict.invalid(reason[:300], verifier=by.name, version=by.version))
