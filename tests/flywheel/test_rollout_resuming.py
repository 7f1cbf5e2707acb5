"""A rollout that goes on: what is durable is not asked again, and the end is the same."""

import asyncio

import attrs
from hypothesis import given, settings
from hypothesis import strategies as st
from rollout_parts import UNEVEN, Even, Halves, every, in_ledger, make_plan, roll_out

from orbiter.flywheel.waves import AdaptiveWaves, UniformWaves
from orbiter.ledger import Attempt, AttemptKey, Ledger
from orbiter.records import Message, Outcome, Trajectory, Verdict


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
