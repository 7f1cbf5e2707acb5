"""What a rollout does when a policy or a verifier fails it."""

import asyncio
import functools
import math

import pytest
from rollout_parts import Even, Halves, Later, in_ledger, make_plan, roll_out

from orbiter.errors import ConfigError, PolicyError, UserCodeError
from orbiter.flywheel.rollout import Rollout
from orbiter.generate import Completion
from orbiter.generate.policy import MAX_ANSWER_BYTES
from orbiter.ledger import Ledger
from orbiter.records import Message, Outcome


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


class Unwritable(Halves):
    """Gives answers to some tasks that no line of JSON can hold."""

    def answer(self, request):
        deep = functools.reduce(lambda inner, _: [inner], range(1000), [])
        call = {"type": "function", "function": {"name": "f", "arguments": {"x": math.nan}}}
        return {
            "t1": Completion.of("a\ud83d", token_count=2),
            "t2": Completion(messages=(Message("assistant", None, tool_calls=(call,)),)),
            "t0": Completion(messages=(Message("assistant", "even", extra={"of": deep}),)),
            "t3": Completion.of("whole: \U0001f600"),
            "t4": Completion.of("even", metadata={"logps": [-0.5, -math.inf]}, cost=0.5),
            "t5": Completion.of("\x00" * (MAX_ANSWER_BYTES // 6)),
        }.get(request.task_id) or super().answer(request)


def test_an_answer_that_no_row_can_hold_is_no_answer(tmp_path):
    result, account = roll_out(tmp_path, make_plan(tasks=6, samples=1), Unwritable())
    assert account.invalid == {
        "no answer: answer cannot be recorded: field 'messages[0].content' must be whole characters, "
        "got half of a surrogate pair": 1,
        "no answer: answer cannot be recorded: field 'messages[0].tool_calls[0].function.arguments.x' "
        "must be a finite number, got nan": 1,
        "no answer: answer cannot be recorded: field 'metadata.logps[1]' must be a finite number, got -inf": 1,
        "no answer: answer cannot be recorded: must be nested less deep, got a value beyond Python's limit": 1,
        "no answer: answer cannot be recorded: must be at most 4000000 bytes long, got 4000058": 1,
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
