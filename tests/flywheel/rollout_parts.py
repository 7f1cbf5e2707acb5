"""Parts of the tests of rollouts: a policy that says even or odd, what judges it, and how a plan is run."""

import asyncio
from concurrent.futures import Future

from orbiter.flywheel.rollout import Rollout, RolloutPlan
from orbiter.flywheel.waves import CountedWaves, UniformWaves
from orbiter.generate import Completion, Policy, Sampling
from orbiter.ledger import AttemptKey, Ledger
from orbiter.records import Message, Task, Verdict
from orbiter.verify import Verifier, judge
from orbiter.verify.pool import VerifierPool


class Halves(Policy):
    """Says 'even' or 'odd' by the request's seed; later batches of a group end first."""

    name = "halves"

    def __init__(self, *, batch_size=4, concurrency=1, stop_at=None, model=None):
        self.batch_size, self.concurrency, self.stop_at = batch_size, concurrency, stop_at
        self._model = model
        self.batches, self.under_way, self.most_under_way = [], 0, 0

    @property
    def model(self):
        return self._model

    async def complete(self, requests, sampling):
        self.batches.append([(r.task_id, r.attempt) for r in requests])
        number = len(self.batches)
        self.under_way += 1
        self.most_under_way = max(self.most_under_way, self.under_way)
        try:
            for _ in range(3 * self.concurrency - number % (self.concurrency + 1)):
                await asyncio.sleep(0)
            if self.stop_at is not None and number >= self.stop_at:
                self.interrupt()
                await asyncio.sleep(0)
            return [self.answer(request) for request in requests]
        finally:
            self.under_way -= 1

    def answer(self, request):
        return Completion.of("even" if request.seed % 2 == 0 else "odd", token_count=2)


class Even(Verifier):
    name, version = "even", "1"

    def __init__(self):
        self.seen = []

    def verify(self, task, trajectory):
        self.seen.append((task.task_id, trajectory.extra["attempt"]))
        return Verdict.passed() if trajectory.answer == "even" else Verdict.failed("odd")


def make_plan(*, tasks=5, samples=3, **more) -> RolloutPlan:
    if isinstance(tasks, int):
        tasks = [Task("env", f"t{n}", (Message("user", f"task {n}"),)) for n in range(tasks)]
    more = {"run": "r", "round": 1, "engine": "policy", "seed": 7, "sampling": Sampling(), **more}
    return RolloutPlan(tasks=tasks, **{"waves": UniformWaves(samples), **more})


def roll_out(folder, plan, policy=None, verifier=None):
    policy = policy or Halves()

    async def interruptible():
        policy.interrupt = asyncio.current_task().cancel  # what Ctrl-C does
        return await made.run()

    with Ledger.open(folder) as ledger:
        pool = VerifierPool(verifier or Even(), workers=0)
        made = Rollout(plan, policy=policy, pool=pool, ledger=ledger)
        result = asyncio.run(interruptible())
        account = ledger.account().check()
    return result, account


def every(plan) -> list[tuple[str, int]]:
    return [(task.task_id, n) for task in plan.tasks for n in range(plan.waves.samples)]


def in_ledger(folder) -> dict[AttemptKey, tuple[str, str]]:
    with Ledger.open(folder) as ledger:
        return {
            a.key: (a.trajectory.answer, ledger.verdict_of(a.key).outcome)
            for a in ledger.attempts()
        }


UNEVEN = CountedWaves({("env", f"t{n}"): count for n, count in enumerate((3, 1, 4, 2))})


class Later:
    """A pool whose verdicts come when they are told to."""

    depth = 2

    def __init__(self):
        self.verifier, self.waiting = Even(), []

    def submit(self, pairs):
        self.waiting.append((Future(), pairs))
        return self.waiting[-1][0]

    def deliver(self):
        future, pairs = self.waiting.pop(0)
        future.set_result([judge(self.verifier, *pair) for pair in pairs])
