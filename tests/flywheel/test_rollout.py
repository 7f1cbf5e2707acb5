"""A rollout: every planned attempt asked, judged and recorded once, whatever the batches and their order."""

import asyncio

import pytest
from attrs import frozen
from rollout_parts import UNEVEN, Even, Halves, Later, every, in_ledger, make_plan, roll_out

from orbiter import hookimpl
from orbiter.flywheel.rollout import Rollout
from orbiter.flywheel.waves import AdaptiveWaves, UniformWaves, Waves
from orbiter.generate.policy import Spending
from orbiter.ledger import Ledger
from orbiter.plugin import plugin_manager
from orbiter.records import Message, Outcome, Task


def test_every_attempt_is_asked_once_in_batches_of_the_policys_size(tmp_path):
    plan, policy, verifier = make_plan(), Halves(batch_size=4), Even()
    result, account = roll_out(tmp_path, plan, policy, verifier)
    assert [len(batch) for batch in policy.batches] == [4, 4, 4, 3]
    assert [one for batch in policy.batches for one in batch] == verifier.seen == every(plan)
    assert [(k.task_id, k.attempt) for k in result.judged] == every(plan)
    assert (account.planned, account.passed + account.failed, account.pending) == (15, 15, 0)
    assert result.outcomes(Outcome.PASS) == account.passed
    assert result.spent == Spending(samples=15, tokens=30)


@pytest.mark.parametrize("concurrency", [1, 2, 4])
def test_batches_overlap_up_to_the_policys_bound_and_results_keep_their_order(
    tmp_path, concurrency
):
    plan, policy = make_plan(tasks=8, samples=4), Halves(batch_size=3, concurrency=concurrency)
    result, _ = roll_out(tmp_path, plan, policy)
    assert policy.most_under_way == concurrency
    assert [(k.task_id, k.attempt) for k in result.judged] == every(plan)


def test_answers_do_not_depend_on_batches_or_concurrency(tmp_path):
    plan = make_plan(tasks=8, samples=4)
    one, _ = roll_out(tmp_path / "a", plan, Halves(batch_size=1))
    other, _ = roll_out(tmp_path / "b", plan, Halves(batch_size=5, concurrency=3))
    assert one.judged == other.judged
    assert len({t.seed for t in one.judged.values()}) == 32


def test_rows_say_where_they_come_from(tmp_path):
    plan = make_plan(tasks=1, samples=2, model="checkpoints/round-0", round=3)
    result, _ = roll_out(tmp_path, plan)
    row = list(result.judged.values())[1]
    assert (row.generator, row.model, row.round) == ("halves", "checkpoints/round-0", 3)
    assert row.extra == {"engine": "policy", "attempt": 1, "finish_reason": "stop"}
    assert row.sampling == {
        "temperature": 1.0, "top_p": 1.0, "top_k": 0, "max_new_tokens": 512, "stop": []
    }  # fmt: skip
    assert (row.verdict.verifier, row.verdict.version) == ("even", "1")
    assert row.score == row.verdict.score


def test_shown_turns_of_a_prompt_are_no_answer_of_the_policy(tmp_path):
    shown = (Message("user", "a"), Message("assistant", "even"), Message("user", "b"))
    result, _ = roll_out(tmp_path, make_plan(tasks=[Task("env", "t", shown)], samples=4))
    for row in result.judged.values():
        assert row.prompt == shown
        assert len(list(row.steps())) == 1
    with Ledger.open(tmp_path) as ledger:
        assert [a.trajectory.prompt for a in ledger.attempts()] == [shown] * 4


def test_sampling_stops_at_the_wanted_survivors(tmp_path):
    plan = make_plan(tasks=6, waves=AdaptiveWaves(5, 1))
    result, account = roll_out(tmp_path, plan)
    passed = {k.task_id for k, t in result.judged.items() if t.verdict.outcome is Outcome.PASS}
    assert passed == {f"t{n}" for n in range(6)}
    assert account.planned == len(result.judged) < 30
    for task in plan.tasks:
        numbers = [k.attempt for k in result.judged if k.task_id == task.task_id]
        assert numbers == list(range(len(numbers)))


def test_each_task_is_asked_as_often_as_is_said_of_it(tmp_path):
    plan = make_plan(tasks=4, waves=UNEVEN)
    result, account = roll_out(tmp_path, plan)
    asked = [(f"t{n}", k) for n, count in enumerate((3, 1, 4, 2)) for k in range(count)]
    assert [(k.task_id, k.attempt) for k in result.judged] == asked
    assert [(k.task_id, k.attempt) for k in in_ledger(tmp_path)] == asked
    assert account.planned == plan.waves.most(plan.tasks) == 10


def test_attempts_are_counted_once_and_not_at_every_batch(tmp_path):
    counted = []

    class Counted(UniformWaves):
        def most(self, tasks):
            counted.append(len(tasks))
            return super().most(tasks)

    roll_out(tmp_path, make_plan(tasks=30, waves=Counted(2)))
    assert counted == [30]


def test_what_a_wave_asks_may_depend_on_the_outcomes_before_it(tmp_path):
    @frozen
    class UntilOneFails(Waves):
        def most(self, tasks):
            return 20 * len(tasks)

        def over(self, tasks, outcome_of):
            going = list(tasks)
            for n in range(20):
                yield [(task, n) for task in going]
                going = [task for task in going if outcome_of(task, n) is Outcome.PASS]

    result, _ = roll_out(tmp_path, make_plan(tasks=6, waves=UntilOneFails()))
    for task_id in {k.task_id for k in result.judged}:
        outcomes = [t.verdict.outcome for k, t in result.judged.items() if k.task_id == task_id]
        assert outcomes == [Outcome.PASS] * (len(outcomes) - 1) + [Outcome.FAIL]


def test_observers_hear_of_every_verdict_once_and_after_it_is_durable(tmp_path):
    heard = []

    class Listener:
        @hookimpl
        def orbiter_on_verdicts(self, event):
            durable = (tmp_path / "verdicts.jsonl").read_bytes().count(b"\n")
            heard.append((len(event.verdicts), durable))

    listener = Listener()
    plugin_manager().register(listener)
    try:
        roll_out(tmp_path, make_plan())
    finally:
        plugin_manager().unregister(listener)
    assert [count for count, _ in heard] == [4, 4, 4, 3]
    assert all(durable >= 4 * (i + 1) or durable == 15 for i, (_, durable) in enumerate(heard))


@pytest.mark.parametrize("concurrency", [1, 2])
async def test_batches_are_asked_while_those_before_are_judged_but_not_without_bound(
    tmp_path, concurrency
):
    pool, policy = Later(), Halves(batch_size=2, concurrency=concurrency)
    with Ledger.open(tmp_path) as ledger:
        plan = make_plan(tasks=10, samples=2)
        running = asyncio.ensure_future(
            Rollout(plan, policy=policy, pool=pool, ledger=ledger).run()
        )

        async def settle():
            for _ in range(100):
                await asyncio.sleep(0)

        await settle()
        # None is judged, so as many were asked as may be: those that wait, and as many more as the policy bears.
        assert len(policy.batches) == len(pool.waiting) == concurrency + pool.depth
        assert policy.most_under_way == concurrency
        pool.deliver()
        await settle()
        assert len(policy.batches) == concurrency + pool.depth + 1
        while not running.done():
            pool.deliver()
            await settle()
        assert ledger.account().check().pending == 0
        assert len((await running).judged) == 20


def test_times_add_up_to_no_more_than_passed(tmp_path, clock):
    class Timed(Halves):
        async def complete(self, requests, sampling):
            clock[0] += 2
            return await super().complete(requests, sampling)

    class Slow(Even):
        def verify(self, task, trajectory):
            clock[0] += 0.5
            return super().verify(task, trajectory)

    result, _ = roll_out(tmp_path, make_plan(), Timed(), Slow())
    assert (result.generate_s, result.verify_s, result.work_s) == (8, 7.5, 15.5)


def test_a_finished_result_is_short_to_print(tmp_path):
    result, _ = roll_out(tmp_path, make_plan(tasks=50))
    assert len(repr(result)) < 300
