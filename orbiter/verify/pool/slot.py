"""A slot of a pool: the thread that owns a worker, feeds it, and replaces it when it is lost."""

from __future__ import annotations

import logging
import pickle
import threading
from collections.abc import Callable, Sequence
from typing import Protocol

from orbiter.errors import OrbiterError
from orbiter.verify.pool.batch import Item
from orbiter.verify.pool.worker import Worker, WorkerLost

log = logging.getLogger("orbiter.verify.pool")

TRIES = 3
"""How often in a row a worker may be lost before it has judged anything."""


class Queue(Protocol):
    """Where a slot gets its pairs from."""

    def take(self) -> list[Item]:
        """Return the next pairs, once there are some; none when there will be no more."""

    def give_back(self, items: Sequence[Item]) -> None:
        """Put pairs before all others."""

    def count_loss(self, reason: str | None) -> None:
        """Note that a worker was lost over a pair, and why, or with None that one gave a verdict.

        Raises:
            BudgetExceededError: So many were lost in a row that nothing more is to be judged.
        """


class Slot(threading.Thread):
    """Judges what a queue gives, in one worker at a time, until it gives no more.

    Args:
        queue: Where the pairs come from.
        make_worker: Starts a worker.
    """

    def __init__(self, queue: Queue, make_worker: Callable[[], Worker]) -> None:
        super().__init__(name="verifier-slot", daemon=True)
        self._queue, self._make_worker = queue, make_worker
        self._worker: Worker | None = None
        self._lock = threading.Lock()  # of the two below, which close looks at from another thread
        self._judging = self._stopped = False
        self._lost_in_a_row = 0

    def run(self) -> None:
        """Judge until there is no more."""
        while items := self._queue.take():
            try:
                self._judge(items)
            except BaseException as error:
                # Of a callback, say. Whoever waits must not do so for ever.
                self._drop(kill=True)
                if not isinstance(error, Exception):
                    error = OrbiterError(f"judging was ended by {type(error).__name__}")
                for item in items:
                    item.batch.end(None if self._stopped else error)
        self._drop()

    def stop(self) -> None:
        """Have the worker killed if it is judging; its verdicts are not wanted any more."""
        with self._lock:
            self._stopped = True
            if self._judging and self._worker is not None:
                self._worker.kill()

    def _judge(self, items: list[Item]) -> None:
        """Judge the pairs; those that a lost worker did not come to go back to the queue."""
        try:
            chunk = pickle.dumps([item.pair for item in items], pickle.HIGHEST_PROTOCOL)
        except Exception as error:
            if len(items) == 1:
                what = f"{type(error).__name__}: {error}"
                items[0].blame(f"error: task cannot be sent to a worker: {what}")
            else:
                self._judge_apart(items)
            return
        done = 0
        try:
            for verdict in self._ready().judge(chunk, len(items)):
                items[done].give(verdict)
                done += 1
            self._lost_in_a_row = 0
            self._queue.count_loss(None)
        except WorkerLost as lost:
            words = self._drop(kill=True)
            if self._stopped:
                for item in items[done:]:
                    item.batch.end()
            else:
                self._blame(lost, items, done, words)
        finally:
            with self._lock:
                self._judging = False

    def _judge_apart(self, items: list[Item]) -> None:
        """Judge pairs of which one may keep the others from being sent or read."""
        for item in items:
            self._judge([item])

    def _ready(self) -> Worker:
        """Return the worker, started if there is none."""
        with self._lock:
            if self._stopped:
                raise WorkerLost("crash: the pool was closed")
            self._judging = True
            if self._worker is not None:
                return self._worker
            self._worker = self._make_worker()
        self._worker.start()
        return self._worker

    def _drop(self, *, kill: bool = False) -> str:
        """End the worker, if there is one, and return its last words."""
        with self._lock:
            worker, self._worker = self._worker, None
        if worker is None:
            return ""
        worker.close(kill=kill)
        return worker.last_words

    def _blame(self, lost: WorkerLost, items: list[Item], done: int, words: str) -> None:
        """Make what the worker was judging when it was lost invalid, and have the rest judged."""
        log.warning("%s%s", lost.reason, f"; its last words: {words}" if words else "")
        blamed = [items[i] for i in lost.items if done <= i < len(items)]
        for item in blamed:
            item.blame(lost.reason)
        if done:
            self._queue.count_loss(None)
        if done or blamed:
            self._lost_in_a_row = 0
            first = items.index(blamed[0]) if blamed else done
            self._queue.give_back([item for item in items[first:] if item not in blamed])
            # Verdicts that were lost on the way come before the next loss.
            if unsent := items[done:first]:
                self._judge(unsent)
            if blamed:
                self._queue.count_loss(lost.reason)
            return
        self._lost_in_a_row += 1
        if self._lost_in_a_row == TRIES:
            raise OrbiterError(
                f"worker was lost {TRIES} times in a row before it judged anything: {lost.reason}",
                hint="judge in this process, with 0 workers, to see more",
            )
        # The first time it may have been lost before, when it was idle, which no pair is to blame for.
        if len(items) == 1 and self._lost_in_a_row > 1:
            items[0].blame(lost.reason)
            self._queue.count_loss(lost.reason)
        else:
            self._judge_apart(items)
