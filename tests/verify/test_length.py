import pytest
from hypothesis import given
from hypothesis import strategies as st

from orbiter.errors import ConfigError
from orbiter.records import Message, Outcome, Task, Trajectory
from orbiter.verify.answer import answered
from orbiter.verify.length import LengthVerifier, overlong_penalty

PASS, FAIL = Outcome.PASS, Outcome.FAIL
TASK = Task("e", "e:1", (Message("user", "q"),))


def verdict_on(text, *bounds, **options):
    return LengthVerifier(*bounds, **options).verify(TASK, answered(TASK, text))


@pytest.mark.parametrize(
    ("length", "penalty"),
    [(0, 0), (16384, 0), (16385, -1 / 4096), (18432, -0.5), (20480, -1), (20481, -1), (9**9, -1)],
)
def test_the_penalty_with_the_figures_of_the_paper(length, penalty):
    assert overlong_penalty(length, max_length=20480, cache=4096) == penalty


@given(st.integers(0, 300), st.integers(1, 200), st.data())
def test_the_penalty_by_its_cases(length, max_length, data):
    cache = data.draw(st.integers(0, max_length))
    penalty = overlong_penalty(length, max_length=max_length, cache=cache)
    if length <= max_length - cache:
        assert penalty == 0
    elif length <= max_length:
        assert penalty == ((max_length - cache) - length) / cache
    else:
        assert penalty == -1
    assert overlong_penalty(length + 1, max_length=max_length, cache=cache) <= penalty


@pytest.mark.parametrize(
    ("size", "outcome", "score", "reason"),
    [
        (4, FAIL, 0.0, "too short"),
        (5, PASS, 1.0, ""),
        (16, PASS, 1.0, ""),
        (18, PASS, 0.5, ""),
        (20, PASS, 0.0, ""),
        (21, FAIL, 0.0, "too long"),
    ],
)
def test_bounds(size, outcome, score, reason):
    verdict = verdict_on("x" * size, 20, min_length=5, cache=4)
    assert (verdict.outcome, verdict.score, verdict.reason) == (outcome, score, reason)
    assert verdict.details == {"length": size}


def test_defaults():
    for size in (1, 20):
        verdict = verdict_on("x" * size, 20)
        assert (verdict.outcome, verdict.score) == (PASS, 1.0)


@pytest.mark.parametrize("text", ["", " \n\t "])
def test_blank_is_no_answer(text):
    assert verdict_on(text, 9, min_length=0).reason == "no answer"


def test_units():
    assert verdict_on("a bb  ccc\n", 3, unit="words").details == {"length": 3}
    assert verdict_on("a bb  ccc\n", 10).details == {"length": 10}


def test_all_turns_after_the_prompt_count_and_nothing_else():
    shown = (Message("user", "p"), Message("assistant", "shown " * 9))
    task = Task("e", "e:1", (*shown, Message("user", "q")))
    messages = (
        *task.messages,
        Message("assistant", "<think>abc</think>", tool_calls=({"id": "1"},)),
        Message("tool", "result " * 9, tool_call_id="1"),
        Message("assistant", "12"),
    )
    trajectory = Trajectory(messages, "e", "e:1", None)
    assert LengthVerifier(99).verify(task, trajectory).details == {"length": 18 + 1 + 2}
    assert LengthVerifier(99, thoughts=False).verify(task, trajectory).details == {"length": 2}
    nothing = Trajectory(task.messages, "e", "e:1", None)
    assert LengthVerifier(99).verify(task, nothing).reason == "no answer"


@pytest.mark.parametrize(
    ("options", "message"),
    [
        ({"max_length": "9"}, "max_length must be an integer >= 1, got '9'"),
        ({"max_length": -1}, "max_length must be an integer >= 1, got -1"),
        ({"max_length": 9, "min_length": 10}, "min_length must be an integer in [0, 9], got 10"),
        ({"max_length": 9, "cache": 10}, "cache must be an integer in [0, 9], got 10"),
        ({"max_length": 9, "cache": 1.5}, "cache must be an integer in [0, 9], got 1.5"),
        ({"max_length": 9, "unit": "tokens"}, "unit must be one of characters, words, got 'tokens'"),
    ],
)  # fmt: skip
def test_options(options, message):
    with pytest.raises(ConfigError) as caught:
        LengthVerifier(**options)
    assert caught.value.message == message


def test_versions_tell_options_apart():
    makes = [LengthVerifier(9), LengthVerifier(8), LengthVerifier(9, cache=2), LengthVerifier(9, unit="words")]  # fmt: skip
    assert len({verifier.version for verifier in makes}) == 4
