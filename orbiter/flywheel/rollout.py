"""A rollout: ask a policy for attempts at tasks, judge them, and make both durable, as they come."""

from __future__ import annotations

import asyncio
import gc
from collections.abc import Iterator, Sequence
from contextlib import contextmanager

import attrs

from orbiter.convert import unstructure
from orbiter.errors import LedgerError
from orbiter.flywheel.busy_clock import BusyClock
from orbiter.flywheel.recorder import Recorder
from orbiter.flywheel.rollout_plan import RolloutPlan, RolloutResult
from orbiter.flywheel.waves import Wave
from orbiter.generate.policy import Completion, Policy, Request, Spending, ask
from orbiter.ledger import Attempt, AttemptKey, Ledger
from orbiter.records import Outcome, Task, Trajectory
from orbiter.tasks.streams import item_seed
from orbiter.verify.pool import VerifierPool

__all__ = ["Rollout", "RolloutPlan", "RolloutResult"]

RECALLED = 256
"""How many attempts whose verdict was lost are judged at once."""

DRAINED_S = 0.25
"""How long answers are still taken when a rollout with many requests is given up, in seconds."""

COLLECTED = 50_000
"""So many new objects make the garbage collector look at them during a rollout."""


class Rollout:
    """Runs one plan; whatever the ledger holds already is not asked again.

    Batches are cut from the whole plan, so a resumed rollout asks the same batches; of a batch that was only partly
    durable, the missing attempts are added. While one batch is answered, those before are judged and recorded.

    What would break the budget of invalid attempts is not recorded: a rollout that is gone on with when the cause is mended
    asks and judges it again, where a recorded one would be invalid for good.
    """

    def __init__(
        self, plan: RolloutPlan, *, policy: Policy, pool: VerifierPool, ledger: Ledger
    ) -> None:
        self.plan, self.policy, self.pool, self.ledger = plan, policy, pool, ledger
        self.result = RolloutResult()
        self._generating, self._working = BusyClock(), BusyClock()
        self._recorder = Recorder(
            plan,
            self.result,
            ledger=ledger,
            pool=pool,
            batches=max(1, policy.concurrency),
            batch_size=max(1, policy.batch_size),
            working=self._working,
        )
        # Every parameter, defaults too: a row must say how it was sampled whatever later defaults are.
        self._sampling = unstructure(attrs.asdict(plan.sampling))

    async def run(self) -> RolloutResult:
        """Ask, judge and record until the plan is complete."""
        plan = self.plan
        with _seldom_collected():
            await self._recall()
            for wave in plan.waves.over(plan.tasks, self._outcome_of):
                self._plan(wave)
                await self._run_wave(wave)
        self._recorder.check_budget(of=len(self.result.judged))
        self.result.generate_s += self._generating.total_s
        self.result.verify_s += self._recorder.judging.total_s
        self.result.work_s += self._working.total_s
        position = {(t.env, t.task_id): i for i, t in enumerate(plan.tasks)}
        in_order = sorted(
            self.result.judged.items(),
            key=lambda kv: (position[kv[0].env, kv[0].task_id], kv[0].attempt),
        )
        self.result.judged = dict(in_order)
        return self.result

    async def _recall(self) -> None:
        """Take back what is durable; judge attempts whose verdict was lost."""
        plan, recorder = self.plan, self._recorder
        known = {(task.env, task.task_id) for task in plan.tasks}
        unanswered: list[Attempt] = []
        unjudged: list[Attempt] = []
        recorded = list(self.ledger.attempts(plan.round, plan.engine))
        self.result.spent += _spent(recorded)
        for attempt in recorded:
            if (attempt.key.env, attempt.key.task_id) not in known:
                raise LedgerError(
                    f"environment must give the tasks that it gave when round {plan.round} began, "
                    f"got none with id {attempt.key.task_id!r}",
                    hint="restore its data and its code, or start another run with name=...",
                )
            verdict = self.ledger.verdict_of(attempt.key)
            if verdict is not None:
                recorder.take(attempt, verdict)
            else:
                (unjudged if attempt.error is None else unanswered).append(attempt)
        if unanswered:
            recorder.record(unanswered, recorder.no_answers(unanswered))
        for start in range(0, len(unjudged), RECALLED):
            await recorder.judge(unjudged[start : start + RECALLED])

    def _outcome_of(self, task: Task, attempt: int) -> Outcome:
        verdict = self.result.judged[self.plan.key(task, attempt)].verdict
        return verdict.outcome if verdict else Outcome.INVALID

    def _plan(self, wave: Wave) -> None:
        """Make the wave's plan durable; attempts of a task are numbered without gaps, so its highest one says it all."""
        most: dict[tuple[str, str], int] = {}
        for task, attempt in wave:
            most[task.env, task.task_id] = max(most.get((task.env, task.task_id), 0), attempt + 1)
        if not most:
            return
        # All tasks first, since the order in which they are planned is that in which the ledger gives them back.
        least = min(most.values())
        self.ledger.plan(self.plan.round, self.plan.engine, list(most), samples=least)
        for samples in sorted(set(most.values()) - {least}):
            tasks = [task for task, n in most.items() if n == samples]
            self.ledger.plan(self.plan.round, self.plan.engine, tasks, samples=samples)

    async def _run_wave(self, wave: Wave) -> None:
        size, count = max(1, self.policy.batch_size), max(1, self.policy.concurrency)
        # Made one by one, so that the first is asked at once.
        batches = (
            [(self.plan.key(task, n), task) for task, n in wave[start : start + size]]
            for start in range(0, len(wave), size)
        )
        judged, recorder = self.result.judged, self._recorder
        missing = (b for b in batches if any(key not in judged for key, _ in b))

        async def asker() -> None:
            try:
                while not stopping.is_set() and (batch := next(missing, None)) is not None:
                    await recorder.reserve(len(batch))
                    recorder.add(await self._ask(batch), reserved=len(batch))
            except BaseException:
                stopping.set()
                raise

        async def ask_all() -> None:
            await asyncio.gather(*askers)
            recorder.close()

        stopping = asyncio.Event()
        askers = [asyncio.ensure_future(asker()) for _ in range(min(count, len(wave)))]
        recorder.open()
        under_way = [asyncio.ensure_future(ask_all()), asyncio.ensure_future(recorder.run())]
        whole = asyncio.gather(*under_way)
        try:
            await asyncio.shield(whole)
        except BaseException as why:
            if isinstance(why, asyncio.CancelledError) and recorder.gathers:
                # Of hundreds of requests some have their answer on this machine already.
                stopping.set()
                await asyncio.wait(askers, timeout=DRAINED_S)
            for one in (*askers, *under_way):
                one.cancel()
            await asyncio.gather(whole, *askers, *under_way, return_exceptions=True)
            await recorder.save()
            raise

    async def _ask(self, batch: list[tuple[AttemptKey, Task]]) -> list[Attempt]:
        """Return those attempts of a batch that were missing."""
        requests = [self._request(key, task) for key, task in batch]
        with self._generating, self._working:
            completions = await ask(self.policy, requests, self.plan.sampling)
        fresh = [
            Attempt(
                key=key,
                trajectory=self._trajectory(task, request, completion),
                finish_reason=completion.finish_reason,
                token_count=completion.token_count,
                error=completion.error,
                cost=completion.cost,
                sample_count=completion.sample_count,
            )
            for (key, task), request, completion in zip(batch, requests, completions)
            if key not in self.result.judged
        ]
        spent = _spent(fresh)
        self.result.spent += spent
        self.result.timed_token_count += spent.tokens
        return fresh

    def _request(self, key: AttemptKey, task: Task) -> Request:
        plan = self.plan
        return Request(
            messages=task.messages if plan.hint is None else plan.hint(task),
            env=task.env,
            task_id=task.task_id,
            attempt=key.attempt,
            seed=item_seed(plan.seed, plan.round, plan.engine, task.env, task.task_id, key.attempt),
            tools=task.tools,
        )

    def _trajectory(self, task: Task, request: Request, completion: Completion) -> Trajectory:
        return Trajectory.following(
            task,
            *completion.messages,
            metadata=completion.metadata,
            generator=self.policy.name,
            model=completion.model or self.plan.model,
            sampling=self._sampling,
            seed=request.seed,
            round=self.plan.round,
            extra={
                "engine": self.plan.engine,
                "attempt": request.attempt,
                "finish_reason": completion.finish_reason,
            },
        )


def _spent(attempts: Sequence[Attempt]) -> Spending:
    """Return what attempts took."""
    return Spending(
        samples=sum(a.sample_count for a in attempts),
        tokens=sum(a.token_count for a in attempts),
        cost=sum(a.cost or 0.0 for a in attempts),
        priced=sum(a.sample_count for a in attempts if a.cost is not None),
    )


@contextmanager
def _seldom_collected() -> Iterator[None]:
    """Have the garbage collector look at what is new less often: most of it is requests under way, which end by themselves.

    With Python's own threshold of 700 objects, a quarter of the time of a rollout with hundreds of requests goes into looking.
    """
    first, *others = gc.get_threshold()
    if 0 < first < COLLECTED:
        gc.set_threshold(COLLECTED, *others)
    try:
        yield
    finally:
        gc.set_threshold(first, *others)
