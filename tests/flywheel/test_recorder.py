"""A recorder gathers what many requests give: nobody waits for a neighbour, and what was answered is durable however it ends."""

import asyncio
from concurrent.futures import Future

import pytest
from rollout_parts import make_plan

from orbiter.errors import BudgetExceededError, LedgerError
from orbiter.flywheel import recorder as recorder_of
from orbiter.flywheel import rollout as rollout_of
from orbiter.flywheel.rollout import Rollout
from orbiter.generate import Completion, Policy
from orbiter.ledger import Ledger
from orbiter.ledger.journal import Journal
from orbiter.records import Message, Outcome, Task
from orbiter.verify import judge
from orbiter.verify.exact import ExactVerifier
from orbiter.verify.pool import VerifierPool

TASKS = [Task("env", f"t{n}", (Message("user", f"{n}"),), answer="right") for n in range(40)]
PLAN = make_plan(tasks=TASKS, samples=1, max_invalid_rate=0.1)


class Answering(Policy):
    """Answers at once, but for the tasks that are held."""

    name, concurrency = "answering", 16

    def __init__(self, *held, error=None):
        self.held, self.error = held, error
        self.gate = asyncio.Event()
        self.answered, self.begun = [], 0

    async def complete(self, requests, sampling):
        [request] = requests
        self.begun += 1
        await asyncio.sleep(0)
        if request.task_id in self.held:
            await self.gate.wait()
            if self.error is not None:
                return [Completion.failed(self.error)]
        elif self.held:
            await asyncio.sleep(0.01)
        self.answered.append(request.task_id)
        return [Completion.of("right")]


class Slow:
    """A pool that judges all but the groups in which a task is."""

    depth = 2

    def __init__(self, *held):
        self.verifier, self.held, self.futures = ExactVerifier(), held, []

    def submit(self, pairs):
        future = Future()
        if any(task.task_id in self.held for task, _ in pairs):
            self.futures.append((future, pairs))
        else:
            self.give(future, pairs)
        return future

    def give(self, future, pairs):
        future.set_result([judge(self.verifier, *pair) for pair in pairs])


async def until(holds):
    async with asyncio.timeout(20):
        while not holds():
            await asyncio.sleep(0.005)


def rollout(ledger, policy, pool=None, plan=PLAN):
    pool = pool or VerifierPool(ExactVerifier(), workers=0)
    return Rollout(plan, policy=policy, pool=pool, ledger=ledger)


async def test_a_slow_answer_holds_up_no_other(tmp_path):
    policy = Answering("t3")
    with Ledger.open(tmp_path) as ledger:
        running = asyncio.ensure_future(rollout(ledger, policy).run())
        await until(lambda: ledger.account().passed == 39)
        assert not running.done()
        policy.gate.set()
        assert len((await running).judged) == 40


async def test_a_slow_verdict_holds_up_no_request_and_no_other_verdict_for_long(tmp_path):
    policy, pool = Answering(*(f"t{n}" for n in range(10, 20))), Slow("t3")
    with Ledger.open(tmp_path) as ledger:
        running = asyncio.ensure_future(rollout(ledger, policy, pool).run())
        await until(lambda: pool.futures)
        [(future, pairs)] = pool.futures
        policy.gate.set()
        await until(lambda: ledger.account().passed == 40 - len(pairs) >= 10)
        assert ledger.account().pending == len(pairs)
        pool.give(future, pairs)
        await running
        assert ledger.account().check().passed == 40


async def test_answers_are_made_durable_in_groups(tmp_path, monkeypatch):
    appended, append = [], Journal.append

    def counting(self, lines):
        appended.append((self.path.name, len(lines)))
        return append(self, lines)

    monkeypatch.setattr(Journal, "append", counting)
    with Ledger.open(tmp_path) as ledger:
        await rollout(ledger, Answering()).run()
    groups = [count for name, count in appended if name == "attempts.jsonl"]
    assert sum(groups) == 40
    assert len(groups) <= 4


async def test_given_up_it_keeps_every_answer(tmp_path):
    policy = Answering("t20")
    with Ledger.open(tmp_path) as ledger:
        running = asyncio.ensure_future(rollout(ledger, policy).run())
        await until(lambda: len(policy.answered) >= 10)
        running.cancel()
        with pytest.raises(asyncio.CancelledError):
            await running
        made = {attempt.key.task_id for attempt in ledger.attempts()}
        assert made == set(policy.answered)
        assert "t20" not in made
        result = await rollout(ledger, again := Answering()).run()
        assert sorted(again.answered) == sorted({t.task_id for t in TASKS} - made)
        assert result.outcomes(Outcome.PASS) == 40


async def test_given_up_it_asks_nothing_more_and_takes_what_comes_at_once(tmp_path, monkeypatch):
    monkeypatch.setattr(rollout_of, "DRAINED_S", 60)
    policy = Answering("t20", "t21")
    with Ledger.open(tmp_path) as ledger:
        running = asyncio.ensure_future(rollout(ledger, policy).run())
        await until(lambda: len(policy.answered) >= 10)
        asked = policy.begun
        running.cancel()
        asyncio.get_running_loop().call_later(0.05, policy.gate.set)
        with pytest.raises(asyncio.CancelledError):
            await running
        assert policy.begun == asked
        assert {attempt.key.task_id for attempt in ledger.attempts()} == set(policy.answered)
        assert len(policy.answered) == asked


async def test_given_up_in_the_middle_of_a_write_it_waits_for_the_write(tmp_path, monkeypatch):
    began, write = [], recorder_of._Group.write

    def slow(self, ledger):
        began.append(len(self.answered))
        import time

        time.sleep(0.1)
        write(self, ledger)

    monkeypatch.setattr(recorder_of._Group, "write", slow)
    with Ledger.open(tmp_path) as ledger:
        running = asyncio.ensure_future(rollout(ledger, Answering("t39")).run())
        await until(lambda: began)
        running.cancel()
        with pytest.raises(asyncio.CancelledError):
            await running
        assert ledger.account().check().generated == 39


async def test_too_many_failures_end_it_and_every_answer_is_kept(tmp_path):
    policy = Answering("t1", "t2", "t3", "t4", "t5", error="busy")
    with Ledger.open(tmp_path) as ledger:
        running = asyncio.ensure_future(rollout(ledger, policy).run())
        await until(lambda: len(policy.answered) == 35)
        policy.gate.set()
        with pytest.raises(BudgetExceededError, match="got 5 of 40: 5 x no answer: busy"):
            await running
        account = ledger.account().check()
        assert (account.generated, account.invalid_count, account.pending) == (35, 0, 40 - 35 + account.unverified)  # fmt: skip
        assert (await rollout(ledger, Answering()).run()).outcomes(Outcome.PASS) == 40


async def test_a_disk_that_refuses_ends_it_with_its_own_error(tmp_path, monkeypatch):
    def full(self, lines):
        raise LedgerError("attempts.jsonl cannot be written: No space left on device")

    with Ledger.open(tmp_path) as ledger:
        running = rollout(ledger, Answering())
        plan = Journal.append
        monkeypatch.setattr(
            Journal,
            "append",
            lambda self, lines: (plan if self.path.name == "rounds.jsonl" else full)(self, lines),
        )
        with pytest.raises(LedgerError, match="No space left on device"):
            await running.run()
