"""The pool: a verifier in worker processes that can be killed."""

from __future__ import annotations

import asyncio
import atexit
import math
import os
import pickle
import threading
from collections import deque
from collections.abc import Callable, Iterable, Sequence
from concurrent.futures import Future
from typing import Self

from orbiter.errors import BudgetExceededError, ConfigError, OrbiterError
from orbiter.records import Task, Trajectory, Verdict
from orbiter.verify.pool.batch import Batch, Item, Pair
from orbiter.verify.pool.cache import VerdictCache
from orbiter.verify.pool.slot import Slot
from orbiter.verify.pool.transport import (
    IN_WORKER,
    pack_verifier,
    read_verdict,
    verdict_row,
    worker_environment,
)
from orbiter.verify.pool.worker import Worker
from orbiter.verify.verifier import Verifier, judge_batch

CHUNK = 256
"""Most pairs that a worker is given at once."""

MIN_MEMORY_MB = 128
"""Least bound on memory that is taken: some libraries hang without an error when they get less."""


class VerifierPool:
    """Judges with one verifier in worker processes, so that no answer can hang, crash or fill the process that trains.

        with VerifierPool(ExactVerifier(), workers=2, timeout_s=5) as pool:
            verdicts = pool.judge_all(pairs)    # in a script
            verdicts = await pool.judge(pairs)  # in a coroutine
            future = pool.submit(pairs)         # begins now; the verdicts are wanted later

    A pair whose verdict takes longer than ``timeout_s``, ends the process or needs too much memory gets an invalid verdict with
    a reason that begins with ``timeout:``, ``crash:`` or ``memory:``. Its worker is killed, with all that it started, and replaced;
    the other pairs are judged. A verifier that judges several at once (its ``batch_size``) has that time for all of them, and they are
    lost together. Workers start when they are first needed, are kept until :meth:`close`, and do not outlive this
    process, however it ends. A verifier runs on the main thread of its worker. What it prints is not shown.

    The verifier is pickled. Its class may live in a ``file.py`` or in a script as well as in an installed module; a script must
    begin under ``if __name__ == "__main__":``, since the workers import it.

    Args:
        verifier: What judges.
        workers: How many processes; default: half of the cores. 0 judges in this process, where nothing can be killed and no bound
            holds: for looking into a verifier with a debugger.
        timeout_s: Seconds that one verdict, or one batch of a verifier that judges several at once, may take.
        memory_mb: Bound on the private memory of a worker, and of each process that it starts, in MiB (RLIMIT_DATA); None for none.
        cache: Where verdicts are remembered; None to judge every pair.
        give_up_after: When so many workers in a row were lost over a pair, without a verdict between, the futures of what is not
            judged yet raise BudgetExceededError; None goes on for ever.

    Raises:
        ConfigError: An argument is out of range, or the verifier cannot be sent to a worker.
    """

    def __init__(
        self,
        verifier: Verifier,
        *,
        workers: int | None = None,
        timeout_s: float = 30.0,
        memory_mb: int | None = 2048,
        cache: VerdictCache | None = None,
        give_up_after: int | None = None,
    ) -> None:
        self.verifier, self.cache = verifier, cache
        self.give_up_after = give_up_after
        self.workers = _default_workers() if workers is None else workers
        self.timeout_s, self.memory_mb = timeout_s, memory_mb
        _check(self.workers, timeout_s, memory_mb, give_up_after)
        self._closed = False
        self._begin()
        if self.workers:
            if IN_WORKER in os.environ:
                raise ConfigError(
                    "a worker must not start a pool of its own",
                    hint='begin the script under  if __name__ == "__main__":  since workers import it',
                )
            self._setup = pack_verifier(verifier, memory_mb=memory_mb)
            self._env = worker_environment(verifier)
            atexit.register(self.close)

    def _begin(self) -> None:
        """Have no workers and nothing to do yet."""
        self._pid = os.getpid()
        self._changed = threading.Condition()
        self._queue: deque[Item] = deque()
        self._slots: list[Slot] = []
        self._idle_count = 0
        self._losses = 0
        self._given_up: BudgetExceededError | None = None

    def __reduce__(self) -> tuple[Callable[..., VerifierPool], tuple[object, ...]]:
        """In another process, be a pool of the same kind that has workers of its own and remembers nothing."""
        made = (self.verifier, self.workers, self.timeout_s, self.memory_mb, self.give_up_after)
        return _same, made

    def __enter__(self) -> Self:
        return self

    def __exit__(self, *_: object) -> None:
        self.close()

    @property
    def depth(self) -> int:
        """How many batches should wait for their verdicts, beside those that are being made, so that no worker is idle."""
        return self.workers + 1 if self.workers else 0

    @property
    def remote(self) -> Verifier:
        """A verifier of the same name and version whose ``verify`` asks a worker: for code that takes a verifier."""
        return RemoteVerifier(self)

    def submit(self, pairs: Sequence[Pair]) -> Future[list[Verdict]]:
        """Begin to judge, and return the future of the verdicts, in the order of the pairs.

        The future raises an OrbiterError when the verifier cannot be made in a worker, or is given up.
        """
        if self._pid != os.getpid():
            # A fork has neither the threads nor the workers, nor may it use the same file.
            self._begin()
            self.cache = None
        self._check_open()
        batch = Batch(pairs, verifier=self.verifier, cache=self.cache)
        items = batch.begin()
        if self.workers:
            self._enqueue(items)
        else:
            size = max(1, self.verifier.batch_size)
            for group in (items[i : i + size] for i in range(0, len(items), size)):
                verdicts = judge_batch(self.verifier, [_copied(item.pair) for item in group])
                for item, verdict in zip(group, verdicts):
                    item.give(self._as_from_a_worker(verdict))
        return batch.future

    def _as_from_a_worker(self, verdict: Verdict) -> Verdict:
        """Return what would have come of a verdict in a worker: one that no file can hold is invalid."""
        row = verdict_row(verdict)
        return read_verdict(row, verifier=self.verifier.name, version=self.verifier.version)

    async def judge(self, pairs: Sequence[Pair]) -> list[Verdict]:
        """Return the verdicts on the pairs, in their order, while the event loop goes on."""
        return await asyncio.wrap_future(self.submit(pairs))

    def judge_all(self, pairs: Sequence[Pair]) -> list[Verdict]:
        """Return the verdicts on the pairs, in their order."""
        return self.submit(pairs).result()

    def close(self) -> None:
        """End the workers at once; the futures of what is not judged yet are cancelled."""
        if self._closed or self._pid != os.getpid():
            return
        with self._changed:
            self._closed = True
            waiting, self._queue = self._queue, deque()
            self._changed.notify_all()
        atexit.unregister(self.close)
        for item in waiting:
            item.batch.end()
        for slot in self._slots:
            slot.stop()
        for slot in self._slots:
            slot.join()

    def _check_open(self) -> None:
        if self._closed:
            raise OrbiterError(f"pool of verifier {self.verifier.name!r} is closed")

    def _enqueue(self, items: Sequence[Item]) -> None:
        with self._changed:
            self._check_open()
            if self._given_up is not None:
                for item in items:
                    item.batch.end(self._given_up)
                return
            self._queue.extend(items)
            wanted = len(self._slots) + len(self._queue) - self._idle_count
            while len(self._slots) < min(self.workers, wanted):
                slot = Slot(self, self._make_worker)
                slot.start()
                self._slots.append(slot)
            self._changed.notify_all()

    def take(self) -> list[Item]:
        """Return the next pairs for a slot, once there are some; none when the pool is closed."""
        # Half of a fair share: slots then end at about the same time, however much longer some verdicts take.
        parts = 1 if self.workers == 1 else 2 * self.workers
        with self._changed:
            while not self._closed:
                count = min(CHUNK, math.ceil(len(self._queue) / parts))
                items = [self._queue.popleft() for _ in range(count)]
                if wanted := [item for item in items if item.is_wanted]:
                    return wanted
                if not self._queue:
                    self._idle_count += 1
                    self._changed.wait()
                    self._idle_count -= 1
        return []

    def give_back(self, items: Sequence[Item]) -> None:
        """Put pairs before all others."""
        with self._changed:
            self._queue.extendleft(reversed(items))
            self._changed.notify_all()

    def count_loss(self, reason: str | None) -> None:
        """Count the workers that were lost in a row, and judge nothing more when they are too many."""
        with self._changed:
            self._losses = 0 if reason is None else self._losses + 1
            if self.give_up_after is None or self._losses < self.give_up_after:
                return
            self._given_up = BudgetExceededError(
                f"verifier {self.verifier.name!r} was given up: its process was lost {self._losses} times in a row, the last time with: {reason}"
            )
            waiting, self._queue = self._queue, deque()
        for item in waiting:
            item.batch.end(self._given_up)
        raise self._given_up

    def _make_worker(self) -> Worker:
        return Worker(
            self._setup,
            name=self.verifier.name,
            version=self.verifier.version,
            timeout_s=self.timeout_s,
            env=self._env,
        )


class RemoteVerifier(Verifier):
    """Stands for the verifier of a pool."""

    def __init__(self, pool: VerifierPool) -> None:
        self._pool = pool
        self.verifier = pool.verifier
        self.name, self.version = pool.verifier.name, pool.verifier.version
        self.batch_size = CHUNK
        self.opinion, self.needs_env = pool.verifier.opinion, pool.verifier.needs_env

    def writings(self, answer: str) -> Iterable[str]:
        """Return the other writings that its verifier knows."""
        return self.verifier.writings(answer)

    def verify(self, task: Task, trajectory: Trajectory) -> Verdict:
        """Return the verdict of a worker."""
        return self._pool.judge_all([(task, trajectory)])[0]

    def verify_batch(self, pairs: Sequence[Pair]) -> list[Verdict]:
        """Return the verdicts of the workers."""
        return self._pool.judge_all(pairs)


def _copied(pair: Pair) -> Pair:
    """Return a pair that a verifier may change, as it may in a worker, or the pair itself where it cannot be copied."""
    try:
        copied: Pair = pickle.loads(pickle.dumps(pair, pickle.HIGHEST_PROTOCOL))  # noqa: S301  # written here
    except Exception:
        return pair
    return copied


def _same(
    verifier: Verifier,
    workers: int,
    timeout_s: float,
    memory_mb: int | None,
    give_up_after: int | None,
) -> VerifierPool:
    return VerifierPool(
        verifier,
        workers=workers,
        timeout_s=timeout_s,
        memory_mb=memory_mb,
        give_up_after=give_up_after,
    )


def _default_workers() -> int:
    cores = len(os.sched_getaffinity(0)) if hasattr(os, "sched_getaffinity") else os.cpu_count()
    return max(1, (cores or 1) // 2)


def _check(workers: object, timeout_s: object, memory_mb: object, give_up_after: object) -> None:
    if type(workers) is not int or workers < 0:
        raise ConfigError(f"workers must be an integer >= 0, got {workers!r}")
    if type(timeout_s) not in (int, float) or not 0 < timeout_s < math.inf:  # type: ignore[operator]
        raise ConfigError(f"timeout_s must be a number of seconds above 0, got {timeout_s!r}")
    if memory_mb is not None and (type(memory_mb) is not int or memory_mb < MIN_MEMORY_MB):
        raise ConfigError(
            f"memory_mb must be an integer >= {MIN_MEMORY_MB} or None, got {memory_mb!r}"
        )
    if give_up_after is not None and (type(give_up_after) is not int or give_up_after < 1):
        raise ConfigError(f"give_up_after must be an integer >= 1 or None, got {give_up_after!r}")
