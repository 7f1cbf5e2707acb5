"""The recorder of a rollout: makes attempts durable in groups, has them judged, and makes the verdicts durable."""

from __future__ import annotations

import asyncio
from collections import Counter
from collections.abc import Iterable, Sequence
from concurrent.futures import Future
from contextlib import ExitStack, suppress

import attrs

from orbiter.errors import OrbiterError
from orbiter.flywheel.busy_clock import BusyClock
from orbiter.flywheel.rollout_plan import RolloutPlan, RolloutResult
from orbiter.hookspecs import VerdictsEvent
from orbiter.ledger import Attempt, Ledger
from orbiter.plugin import plugin_manager
from orbiter.records import Outcome, Verdict
from orbiter.verify.pool import VerifierPool

GATHER_S = 0.05
"""How long answers wait for others to be made durable with, in seconds."""

GATHERED = 8
"""So many batches must be able to be under way for that: few at once are large, and each is a group of its own."""

MAX_WAITING = 4096
"""How many gathered answers may wait for their verdicts; a slow verdict among them then holds up no request."""

Judged = tuple[Sequence[Attempt], Sequence[Verdict]]


class Recorder:
    """Takes attempts as they come; none of them waits for its neighbours' answers or verdicts.

    An answer is durable before it is judged, and a verdict before anyone hears of it. What would break the budget of invalid attempts is
    not recorded: see :class:`orbiter.flywheel.rollout.Rollout`.

    Args:
        plan: What is asked.
        result: Gets what was judged.
        ledger: Where it is made durable.
        pool: What judges.
        batches: How many batches are under way at once.
        batch_size: Their size.
        working: Runs while something is judged.

    Attributes:
        gathers: Whether answers are made durable in groups.
    """

    def __init__(
        self,
        plan: RolloutPlan,
        result: RolloutResult,
        *,
        ledger: Ledger,
        pool: VerifierPool,
        batches: int,
        batch_size: int,
        working: BusyClock,
    ) -> None:
        self.plan, self.result, self.ledger, self.pool = plan, result, ledger, pool
        self.judging, self._working = BusyClock(), working
        self._tasks = {(t.env, t.task_id): t for t in plan.tasks}
        self._planned = plan.waves.most(plan.tasks)
        self._invalid: Counter[str] = Counter()
        self.gathers = batches >= GATHERED
        waiting = pool.depth * batch_size
        self._most = batches * batch_size + (max(MAX_WAITING, waiting) if self.gathers else waiting)  # fmt: skip
        self._open = 0
        self._answered: list[Attempt] = []
        self._unanswered: list[Attempt] = []
        self._judged: list[Judged] = []
        self._awaited: set[Future[list[Verdict]]] = set()
        self._lost: BaseException | None = None
        self._changed, self._freed, self._closing = asyncio.Event(), asyncio.Event(), asyncio.Event()  # fmt: skip
        self._writing: asyncio.Future[None] | None = None

    async def reserve(self, count: int) -> None:
        """Wait until so many more attempts may be asked for: those that wait for verdicts are bounded."""
        while self._open and self._open + count > self._most:
            self._freed.clear()
            await self._freed.wait()
        self._open += count

    def add(self, attempts: Sequence[Attempt], *, reserved: int) -> None:
        """Take the attempts of a batch for which ``reserved`` were reserved."""
        self._free(reserved - len(attempts))
        self._answered += [attempt for attempt in attempts if attempt.error is None]
        self._unanswered += [attempt for attempt in attempts if attempt.error is not None]
        if self.gathers:
            self._changed.set()
        else:
            self._commit_now()

    async def run(self) -> None:
        """Make durable what comes until :meth:`close` is called and everything is judged."""
        while self._open or not self._closing.is_set():
            await self._changed.wait()
            if self.gathers:
                with suppress(TimeoutError):
                    await asyncio.wait_for(self._closing.wait(), GATHER_S)
            self._changed.clear()
            if self._lost is not None:
                raise self._lost
            if self.gathers:
                await self._commit()
            else:
                self._commit_now()

    def open(self) -> None:
        """Say that more is to be added."""
        self._closing.clear()

    def close(self) -> None:
        """Say that nothing more is added."""
        self._closing.set()
        self._changed.set()

    async def save(self) -> None:
        """Make durable the answers that wait for it, when the rollout is given up; a further fault changes nothing."""
        for future in self._awaited:
            future.cancel()
        if self._writing is not None:
            await asyncio.gather(self._writing, return_exceptions=True)
        with suppress(OrbiterError):
            self.ledger.add_attempts(self._answered)

    def record(self, attempts: Sequence[Attempt], verdicts: Sequence[Verdict]) -> None:
        """Make verdicts durable, count them and tell of them."""
        self.check_budget(_reasons(verdicts))
        self.ledger.add_verdicts((a.key, v) for a, v in zip(attempts, verdicts))
        self._tell(attempts, verdicts)

    def no_answers(self, attempts: Iterable[Attempt]) -> list[Verdict]:
        """Return the verdicts on attempts without an answer."""
        by = self.pool.verifier
        return [
            Verdict.invalid(f"no answer: {a.error}", verifier=by.name, version=by.version)
            for a in attempts
        ]

    def check_budget(self, more: Iterable[str] = (), *, of: int | None = None) -> None:
        """Raise if the invalid attempts, with these reasons for more of them, are too many of all that are planned."""
        reasons = self._invalid + Counter(more)
        self.plan.check_invalid(reasons, of=self._planned if of is None else of)

    def take(self, attempt: Attempt, verdict: Verdict) -> None:
        """Take an attempt whose verdict is durable into the result."""
        row = attrs.evolve(attempt.trajectory, score=verdict.score, verdict=verdict)
        self.result.judged[attempt.key] = row
        if attempt.error is not None:
            self.result.unanswered.add(attempt.key)
        if verdict.outcome is Outcome.INVALID:
            self._invalid[verdict.reason] += 1

    async def _commit(self) -> None:
        """Make the group durable in a thread, since the disk takes milliseconds in which answers come."""
        group = self._group()
        self._writing = asyncio.ensure_future(asyncio.to_thread(group.write, self.ledger))
        await asyncio.shield(self._writing)
        self._writing = None
        self._pass_on(group)

    def _commit_now(self) -> None:
        while self._answered or self._unanswered or self._judged:
            group = self._group()
            group.write(self.ledger)
            self._pass_on(group)

    def _group(self) -> _Group:
        """Take what has come."""
        unanswered = self.no_answers(self._unanswered)
        self.check_budget(
            r for verdicts in (unanswered, *(v for _, v in self._judged)) for r in _reasons(verdicts)
        )  # fmt: skip
        judged = [*([(self._unanswered, unanswered)] if unanswered else ()), *self._judged]
        group = _Group(self._answered, self._unanswered, judged)
        self._answered, self._unanswered, self._judged = [], [], []
        return group

    def _pass_on(self, group: _Group) -> None:
        """Tell of the verdicts that are durable now, and have the answers judged."""
        for attempts, verdicts in group.judged:
            self._tell(attempts, verdicts)
            self._free(len(attempts))
        if group.answered:
            self._judge(group.answered)

    async def judge(self, attempts: Sequence[Attempt]) -> None:
        """Have attempts judged that are durable already, and record it."""
        verdicts = await asyncio.wrap_future(self._submit(attempts))
        self.record(attempts, verdicts)

    def _submit(self, attempts: Sequence[Attempt]) -> Future[list[Verdict]]:
        pairs = [(self._tasks[a.key.env, a.key.task_id], a.trajectory) for a in attempts]
        with ExitStack() as clocks:
            clocks.enter_context(self.judging)
            clocks.enter_context(self._working)
            future = self.pool.submit(pairs)
            # It is the end of the judging that stops the clocks, not the moment at which the event loop hears of it.
            stop = clocks.pop_all().close
            future.add_done_callback(lambda _: stop())
        return future

    def _judge(self, attempts: Sequence[Attempt]) -> None:
        future = self._submit(attempts)
        if future.done():
            self._judged.append((attempts, future.result()))
            self._changed.set()
            return
        loop = asyncio.get_running_loop()
        self._awaited.add(future)

        def done(future: Future[list[Verdict]]) -> None:
            with suppress(RuntimeError):  # the loop is closed: nobody waits any more
                loop.call_soon_threadsafe(self._hear, attempts, future)

        future.add_done_callback(done)

    def _hear(self, attempts: Sequence[Attempt], future: Future[list[Verdict]]) -> None:
        self._awaited.discard(future)
        try:
            self._judged.append((attempts, future.result()))
        except BaseException as error:
            self._lost = error
        self._changed.set()

    def _tell(self, attempts: Sequence[Attempt], verdicts: Sequence[Verdict]) -> None:
        for attempt, verdict in zip(attempts, verdicts):
            self.take(attempt, verdict)
        event = VerdictsEvent(
            run=self.plan.run,
            round=self.plan.round,
            trajectories=tuple(attempt.trajectory for attempt in attempts),
            verdicts=tuple(verdicts),
        )
        plugin_manager().notify("orbiter_on_verdicts", event)

    def _free(self, count: int) -> None:
        if count:
            self._open -= count
            self._freed.set()
            if not self._open:
                self._changed.set()


@attrs.frozen
class _Group:
    """What is written at once: attempts, and the verdicts on others before them."""

    answered: list[Attempt]
    unanswered: list[Attempt]
    judged: list[Judged]

    def write(self, ledger: Ledger) -> None:
        if self.answered or self.unanswered:
            ledger.add_attempts([*self.answered, *self.unanswered])
        if self.judged:
            ledger.add_verdicts(
                (a.key, v) for attempts, verdicts in self.judged for a, v in zip(attempts, verdicts)
            )


def _reasons(verdicts: Iterable[Verdict]) -> Iterable[str]:
    return (v.reason for v in verdicts if v.outcome is Outcome.INVALID)
