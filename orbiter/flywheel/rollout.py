"""A rollout: ask a policy for attempts at tasks, judge them, and make both durable, batch by batch."""

from __future__ import annotations

import asyncio
from collections import Counter
from collections.abc import Callable, Iterable, Iterator, Sequence
from contextlib import ExitStack

import attrs
from attrs import define, field, frozen

from orbiter.convert import unstructure
from orbiter.errors import BudgetExceededError, LedgerError
from orbiter.flywheel.allocation import Allocator
from orbiter.flywheel.busy_clock import BusyClock
from orbiter.flywheel.engines import POLICY
from orbiter.generate.policy import Completion, Policy, Request, Sampling, ask
from orbiter.hookspecs import VerdictsEvent
from orbiter.ledger import Attempt, AttemptKey, Ledger
from orbiter.plugin import plugin_manager
from orbiter.records import Message, Outcome, Task, Trajectory, Verdict
from orbiter.tasks.streams import item_seed
from orbiter.verify.pool import VerifierPool

RECALLED = 256
"""How many attempts whose verdict was lost are judged at once."""


@frozen(kw_only=True)
class RolloutPlan:
    """What a rollout asks for.

    Args:
        run: Name of the run.
        round: Round that the attempts belong to.
        engine: ``policy`` for training data, ``held_out`` for a measurement.
        tasks: The tasks, in order.
        samples: Attempts per task.
        seed: Seed of the run.
        sampling: How to sample.
        target_survivors: See :class:`orbiter.flywheel.sections.Generate`.
        model: Name of the model for the rows; the same wherever the run's folder lies.
        max_invalid_rate: Share of the attempts that may be invalid before the rollout is given up.
        hint: What is asked instead of a task's prompt; the rows follow the prompt all the same. None asks the prompt.
    """

    run: str
    round: int
    engine: str
    tasks: Sequence[Task]
    samples: int
    seed: int
    sampling: Sampling
    target_survivors: int | None = None
    model: str | None = None
    max_invalid_rate: float = 1.0
    hint: Callable[[Task], tuple[Message, ...]] | None = None

    def key(self, task: Task, attempt: int) -> AttemptKey:
        """Return the identity of one attempt."""
        return AttemptKey(self.round, self.engine, task.env, task.task_id, attempt)


@define
class RolloutResult:
    """What a rollout gave: the judged trajectories in identity order, and where the time went.

    Args:
        judged: Attempts with their verdicts.
        unanswered: Attempts to which the policy gave no answer, so that nobody can judge them.
        token_count: Generated tokens.
        timed_token_count: Those of them that were generated in ``generate_s``, by this process.
        generate_s: Wall time with an answer under way, in seconds.
        verify_s: Wall time with a verdict under way, in seconds; it may overlap with generating.
        work_s: Wall time with either under way. What a stage takes beyond that is the framework's own.
    """

    # Not shown: asyncio takes the repr of a finished task, and this one would be millions of characters.
    judged: dict[AttemptKey, Trajectory] = field(factory=dict, repr=False)
    unanswered: set[AttemptKey] = field(factory=set, repr=False)
    token_count: int = 0
    timed_token_count: int = 0
    generate_s: float = 0.0
    verify_s: float = 0.0
    work_s: float = 0.0

    def outcomes(self, outcome: Outcome) -> int:
        """Return how many verdicts have this outcome."""
        return sum(1 for t in self.judged.values() if t.verdict and t.verdict.outcome is outcome)


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
        self._generating, self._judging, self._working = BusyClock(), BusyClock(), BusyClock()
        self._invalid: Counter[str] = Counter()
        self._tasks = {(t.env, t.task_id): t for t in plan.tasks}
        # Every parameter, defaults too: a row must say how it was sampled whatever later defaults are.
        self._sampling = unstructure(attrs.asdict(plan.sampling))

    async def run(self) -> RolloutResult:
        """Ask, judge and record until the plan is complete."""
        plan = self.plan
        await self._recall()
        for wave in self._waves():
            self._plan(wave)
            await self._run_wave(wave)
        self._check_budget((), of=len(self.result.judged))
        self.result.generate_s += self._generating.total_s
        self.result.verify_s += self._judging.total_s
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
        plan = self.plan
        unanswered: list[Attempt] = []
        unjudged: list[Attempt] = []
        for attempt in self.ledger.attempts(plan.round, plan.engine):
            if (attempt.key.env, attempt.key.task_id) not in self._tasks:
                raise LedgerError(
                    f"environment must give the tasks that it gave when round {plan.round} began, "
                    f"got none with id {attempt.key.task_id!r}",
                    hint="restore its data and its code, or start another run with name=...",
                )
            verdict = self.ledger.verdict_of(attempt.key)
            self.result.token_count += attempt.token_count
            if verdict is not None:
                self._take(attempt, verdict)
            else:
                (unjudged if attempt.error is None else unanswered).append(attempt)
        if unanswered:
            self._record(unanswered, [self._no_answer(attempt) for attempt in unanswered])
        for start in range(0, len(unjudged), RECALLED):
            await self._judge(unjudged[start : start + RECALLED])

    def _waves(self) -> Iterator[list[tuple[Task, int]]]:
        plan = self.plan
        if plan.target_survivors is None:
            yield [(task, n) for task in plan.tasks for n in range(plan.samples)]
            return
        allocator = Allocator(
            tasks=len(plan.tasks),
            samples_per_task=plan.samples,
            target_survivors=plan.target_survivors,
        )
        while wave := allocator.next_wave():
            yield [(plan.tasks[index], attempt) for index, attempt in wave]
            for index, attempt in wave:
                verdict = self.result.judged[plan.key(plan.tasks[index], attempt)].verdict
                allocator.record(index, attempt, verdict.outcome if verdict else Outcome.INVALID)

    def _plan(self, wave: list[tuple[Task, int]]) -> None:
        """Make the wave's plan durable; attempts of a task are numbered without gaps, so its highest one says it all."""
        most: dict[tuple[str, str], int] = {}
        for task, attempt in wave:
            most[task.env, task.task_id] = max(most.get((task.env, task.task_id), 0), attempt + 1)
        for samples in sorted(set(most.values())):
            tasks = [task for task, n in most.items() if n == samples]
            self.ledger.plan(self.plan.round, self.plan.engine, tasks, samples=samples)

    async def _run_wave(self, wave: list[tuple[Task, int]]) -> None:
        size = max(1, self.policy.batch_size)
        # Made one by one, so that the first is asked at once.
        batches = (
            [(self.plan.key(task, n), task) for task, n in wave[start : start + size]]
            for start in range(0, len(wave), size)
        )
        asking = asyncio.Semaphore(max(1, self.policy.concurrency))

        async def worker() -> None:
            while True:
                async with asking:
                    missing = (b for b in batches if any(k not in self.result.judged for k, _ in b))
                    if (batch := next(missing, None)) is None:
                        return
                    fresh = await self._ask(batch)
                await self._judge(fresh)

        # As many batches are asked at once as the policy bears, while others wait for their verdicts.
        count = max(1, self.policy.concurrency) + self.pool.depth
        workers = [asyncio.ensure_future(worker()) for _ in range(count)]
        try:
            await asyncio.gather(*workers)
        finally:
            for w in workers:
                w.cancel()
            await asyncio.gather(*workers, return_exceptions=True)

    async def _ask(self, batch: list[tuple[AttemptKey, Task]]) -> list[Attempt]:
        """Make the missing attempts of a batch durable, and return those that were answered."""
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
            )
            for (key, task), request, completion in zip(batch, requests, completions)
            if key not in self.result.judged
        ]
        answered = [attempt for attempt in fresh if attempt.error is None]
        self.ledger.add_attempts(answered)
        token_count = sum(attempt.token_count for attempt in fresh)
        self.result.token_count += token_count
        self.result.timed_token_count += token_count
        if unanswered := [attempt for attempt in fresh if attempt.error is not None]:
            self._check_budget(f"no answer: {attempt.error}" for attempt in unanswered)
            self.ledger.add_attempts(unanswered)
            self._record(unanswered, [self._no_answer(attempt) for attempt in unanswered])
        return answered

    def _check_budget(self, more: Iterable[str], *, of: int | None = None) -> None:
        """Raise if the invalid attempts, with these reasons for more of them, are too many of all that are planned."""
        plan, reasons = self.plan, self._invalid + Counter(more)
        total = len(plan.tasks) * plan.samples if of is None else of
        if reasons.total() > plan.max_invalid_rate * total:
            often = "; ".join(f"{count} x {reason}" for reason, count in reasons.most_common(3))
            what = "attempts" if plan.engine == POLICY else f"{plan.engine} attempts"
            raise BudgetExceededError(
                f"invalid {what} of round {plan.round} must be at most {plan.max_invalid_rate:.1%}, "
                f"got {reasons.total()} of {total}: {often}",
                hint="mend the cause, or allow more with gates.max_invalid_rate=...; the run goes on from here",
            )

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

    async def _judge(self, attempts: list[Attempt]) -> None:
        """Have answered attempts judged, and make the verdicts durable."""
        if not attempts:
            return
        pairs = [(self._tasks[a.key.env, a.key.task_id], a.trajectory) for a in attempts]
        with ExitStack() as clocks:
            clocks.enter_context(self._judging)
            clocks.enter_context(self._working)
            future = self.pool.submit(pairs)
            # It is the end of the judging that stops the clocks, not the moment at which the event loop hears of it.
            stop = clocks.pop_all().close
            future.add_done_callback(lambda _: stop())
        verdicts = future.result() if future.done() else await asyncio.wrap_future(future)
        self._record(attempts, verdicts)

    def _record(self, attempts: Sequence[Attempt], verdicts: Sequence[Verdict]) -> None:
        """Make verdicts durable, count them and tell of them."""
        self._check_budget(v.reason for v in verdicts if v.outcome is Outcome.INVALID)
        self.ledger.add_verdicts((a.key, v) for a, v in zip(attempts, verdicts))
        for attempt, verdict in zip(attempts, verdicts):
            self._take(attempt, verdict)
        plugin_manager().notify(
            "orbiter_on_verdicts",
            VerdictsEvent(
                run=self.plan.run,
                round=self.plan.round,
                trajectories=tuple(attempt.trajectory for attempt in attempts),
                verdicts=tuple(verdicts),
            ),
        )

    def _no_answer(self, attempt: Attempt) -> Verdict:
        verifier = self.pool.verifier
        return Verdict.invalid(
            f"no answer: {attempt.error}", verifier=verifier.name, version=verifier.version
        )

    def _take(self, attempt: Attempt, verdict: Verdict) -> None:
        """Take an attempt whose verdict is durable into the result."""
        row = attrs.evolve(attempt.trajectory, score=verdict.score, verdict=verdict)
        self.result.judged[attempt.key] = row
        if attempt.error is not None:
            self.result.unanswered.add(attempt.key)
        if verdict.outcome is Outcome.INVALID:
            self._invalid[verdict.reason] += 1
