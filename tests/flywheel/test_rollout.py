"""A rollout: every planned attempt asked, judged and recorded once, whatever the batches, the order and the interruptions."""

import asyncio
import math
from concurrent.futures import Future

import attrs
import pytest
from attrs import frozen
from hypothesis import given, settings
from hypothesis import strategies as st

from orbiter import hookimpl
from orbiter.errors import ConfigError, PolicyError, UserCodeError
from orbiter.flywheel.rollout import Rollout, RolloutPlan
from orbiter.flywheel.waves import AdaptiveWaves, CountedWaves, UniformWaves, Waves
from orbiter.generate import Completion, Policy, Sampling
from orbiter.generate.policy import Spending
from orbiter.ledger import Attempt, AttemptKey, Ledger
from orbiter.plugin import plugin_manager
from orbiter.records import Message, Outcome, Task, Trajectory, Verdict
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


def test_a_complete_rollout_asks_nothing_more(tmp_path):
    plan = make_plan()
    first, _ = roll_out(tmp_path, plan)
    policy, verifier = Halves(), Even()
    second, _ = roll_out(tmp_path, plan, policy, verifier)
    assert (policy.batches, verifier.seen) == ([], [])
    assert second.judged == first.judged
    assert second.spent == first.spent
    assert second.generate_s == 0


def attempt_of(plan, task_id, number, text="kept") -> Attempt:
    key = AttemptKey(plan.round, plan.engine, "env", task_id, number)
    messages = (Message("user", "?"), Message("assistant", text))
    trajectory = Trajectory(
        messages, "env", task_id, None, generator="halves", extra={"attempt": number}
    )
    return Attempt(key=key, trajectory=trajectory, token_count=1)


def test_a_batch_that_is_half_durable_is_asked_whole_and_only_its_other_half_is_added(tmp_path):
    plan = make_plan()
    with Ledger.open(tmp_path) as ledger:
        ledger.plan(1, "policy", [(t.env, t.task_id) for t in plan.tasks], samples=3)
        kept = [attempt_of(plan, "t1", 1), attempt_of(plan, "t1", 2)]  # of t1-1, t1-2, t2-0, t2-1
        ledger.add_attempts(kept)
        ledger.add_verdicts([(a.key, Verdict.passed("durable")) for a in kept])
    policy, verifier = Halves(batch_size=4), Even()
    result, account = roll_out(tmp_path, plan, policy, verifier)
    assert policy.batches[1] == [("t1", 1), ("t1", 2), ("t2", 0), ("t2", 1)]
    assert account.generated == 15
    for attempt in kept:
        assert result.judged[attempt.key].answer == "kept"
        assert result.judged[attempt.key].verdict.reason == "durable"
        assert (attempt.key.task_id, attempt.key.attempt) not in verifier.seen
    assert len(verifier.seen) == 13


def test_a_whole_batch_that_is_durable_is_not_asked_again(tmp_path):
    plan = make_plan()
    with Ledger.open(tmp_path) as ledger:
        ledger.plan(1, "policy", [(t.env, t.task_id) for t in plan.tasks], samples=3)
        kept = [attempt_of(plan, *where) for where in every(plan)[4:8]]
        ledger.add_attempts(kept)
        ledger.add_verdicts([(a.key, Verdict.passed()) for a in kept])
    policy = Halves(batch_size=4)
    roll_out(tmp_path, plan, policy)
    assert policy.batches == [every(plan)[0:4], every(plan)[8:12], every(plan)[12:15]]


def test_an_attempt_whose_verdict_was_lost_is_judged_and_not_asked(tmp_path):
    plan = make_plan(tasks=1)
    with Ledger.open(tmp_path) as ledger:
        ledger.plan(1, "policy", [(t.env, t.task_id) for t in plan.tasks], samples=3)
        ledger.add_attempts([attempt_of(plan, "t0", n, "even") for n in range(3)])
    policy, verifier = Halves(), Even()
    result, account = roll_out(tmp_path, plan, policy, verifier)
    assert (policy.batches, len(verifier.seen)) == ([], 3)
    assert account.passed == 3 == result.outcomes(Outcome.PASS)


UNEVEN = CountedWaves({("env", f"t{n}"): count for n, count in enumerate((3, 1, 4, 2))})


@given(
    batch_size=st.integers(1, 7),
    concurrency=st.integers(1, 3),
    stops=st.lists(st.integers(1, 5), max_size=4),
    waves=st.sampled_from([UniformWaves(3), AdaptiveWaves(3, 1), AdaptiveWaves(3, 2), UNEVEN]),
)
@settings(max_examples=20, deadline=None)
def test_wherever_it_is_interrupted_it_ends_the_same(
    tmp_path_factory, batch_size, concurrency, stops, waves
):
    plan = make_plan(tasks=4, waves=waves)
    whole, other = tmp_path_factory.mktemp("whole"), tmp_path_factory.mktemp("other")
    expected, account = roll_out(whole, plan)
    for stop in stops:
        policy = Halves(batch_size=batch_size, concurrency=concurrency, stop_at=stop)
        try:
            roll_out(other, plan, policy)
        except asyncio.CancelledError:
            assert policy.under_way == 0
    result, resumed = roll_out(other, plan, Halves(batch_size=batch_size, concurrency=concurrency))
    assert list(result.judged.items()) == list(expected.judged.items())
    assert resumed == account
    assert in_ledger(other) == in_ledger(whole)


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


class Mute(Halves):
    """Has no answer to every second attempt."""

    def answer(self, request):
        return Completion.failed("busy") if request.attempt % 2 else super().answer(request)


def test_an_attempt_without_an_answer_is_invalid_with_its_reason_and_no_verifier_sees_it(tmp_path):
    verifier = Even()
    result, account = roll_out(tmp_path, make_plan(samples=2), Mute(), verifier)
    assert account.invalid == {"no answer: busy": 5}
    assert {number for _, number in verifier.seen} == {0}
    lost = [t for k, t in result.judged.items() if k.attempt == 1]
    assert {t.verdict.outcome for t in lost} == {Outcome.INVALID}
    assert {t.score for t in lost} == {None}
    assert result.outcomes(Outcome.INVALID) == 5


def test_a_lost_verdict_on_what_was_not_answered_is_made_again(tmp_path):
    plan = make_plan(tasks=1)
    with Ledger.open(tmp_path) as ledger:
        ledger.plan(1, "policy", [(t.env, t.task_id) for t in plan.tasks], samples=3)
        given = attempt_of(plan, "t0", 1, "")
        ledger.add_attempts([attrs.evolve(given, error="busy")])
    verifier = Even()
    result, account = roll_out(tmp_path, plan, Halves(), verifier)
    assert account.invalid == {"no answer: busy": 1}
    assert {number for _, number in verifier.seen} == {0, 2}
    assert {key.attempt for key in result.unanswered} == {1}


class Unwritable(Halves):
    """Gives answers to some tasks that no line of JSON can hold."""

    def answer(self, request):
        call = {"type": "function", "function": {"name": "f", "arguments": {"x": math.nan}}}
        return {
            "t1": Completion.of("a\ud83d", token_count=2),
            "t2": Completion(messages=(Message("assistant", None, tool_calls=(call,)),)),
            "t3": Completion.of("whole: \U0001f600"),
            "t4": Completion.of("even", metadata={"logps": [-0.5, -math.inf]}, cost=0.5),
        }.get(request.task_id) or super().answer(request)


def test_an_answer_that_no_row_can_hold_is_no_answer(tmp_path):
    result, account = roll_out(tmp_path, make_plan(samples=1), Unwritable())
    assert account.invalid == {
        "no answer: answer cannot be recorded: field 'content' must be whole characters, "
        "got half of a surrogate pair": 1,
        "no answer: answer cannot be recorded: field 'tool_calls[0].function.arguments.x' "
        "must be a finite number, got nan": 1,
        "no answer: answer cannot be recorded: field 'metadata.logps[1]' must be a finite number, got -inf": 1,
    }
    answers = {k.task_id: t.answer for k, t in result.judged.items()}
    assert answers["t3"] == "whole: \U0001f600"
    assert (answers["t1"], answers["t2"]) == ("", "")


class Broken(Halves):
    def __init__(self, error):
        super().__init__(batch_size=2, concurrency=2)
        self.error = error

    def answer(self, request):
        if (request.task_id, request.attempt) == ("t2", 0):
            raise self.error
        return super().answer(request)


def test_a_policy_that_raises_ends_the_rollout_and_what_was_durable_stays(tmp_path):
    policy = Broken(ZeroDivisionError("division by zero"))
    with pytest.raises(UserCodeError, match="'halves' raised ZeroDivisionError: division by zero"):
        roll_out(tmp_path, make_plan(), policy)
    assert policy.under_way == 0
    assert len(policy.batches) <= 5  # of 8: nobody goes on asking
    durable = in_ledger(tmp_path)
    assert 0 < len(durable) < 15
    result, account = roll_out(tmp_path, make_plan())
    assert account.generated == 15
    assert {k: (t.answer, t.verdict.outcome) for k, t in result.judged.items()}.items() >= (
        durable.items()
    )


def test_an_error_of_ones_own_is_passed_on_as_it_is(tmp_path):
    with pytest.raises(PolicyError, match="no such model"):
        roll_out(tmp_path, make_plan(), Broken(PolicyError("no such model")))


@pytest.mark.parametrize(("returned", "got"), [([], "0"), (None, "NoneType"), ("text", "str")])
def test_a_policy_that_returns_something_else_is_told(tmp_path, returned, got):
    class Wrong(Halves):
        async def complete(self, requests, sampling):
            return returned

    with pytest.raises(PolicyError, match=f"a list of 4 completions, got {got}"):
        roll_out(tmp_path, make_plan(), Wrong())
    assert in_ledger(tmp_path) == {}


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


def test_a_verdict_that_cannot_be_had_ends_the_rollout(tmp_path):
    async def fail():
        pool, policy = Later(), Halves(batch_size=2)
        with Ledger.open(tmp_path) as ledger:
            rollout = Rollout(make_plan(), policy=policy, pool=pool, ledger=ledger)
            running = asyncio.ensure_future(rollout.run())
            while len(pool.waiting) < 2:
                await asyncio.sleep(0)
            pool.waiting[0][0].set_exception(ConfigError("no such module"))
            with pytest.raises(ConfigError, match="no such module"):
                await running
        assert pool.waiting[1][0].cancelled()

    asyncio.run(fail())
    result, account = roll_out(tmp_path, make_plan())  # what was asked is judged now
    assert account.pending == 0
    assert len(result.judged) == 15


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
