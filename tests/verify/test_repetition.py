import json
import time

import pytest
from hypothesis import given
from hypothesis import strategies as st

from orbiter.errors import ConfigError
from orbiter.records import Message, Outcome, Task
from orbiter.verify.answer import answered
from orbiter.verify.repetition import RepetitionVerifier, repeated_share

TASK = Task("e", "e:1", (Message("user", "q"),))
HONEST = " ".join(f"Step {n}: {n} plus {n * n} is {n + n * n}, so go on with {n * 3}." for n in range(60))  # fmt: skip


def verdict_on(text, **options):
    return RepetitionVerifier(**options).verify(TASK, answered(TASK, text))


@given(st.lists(st.sampled_from("abc"), max_size=30), st.integers(1, 5))
def test_the_share_by_its_definition(tokens, n):
    seen, repeated, total = [], 0, 0
    for i in range(len(tokens) - n + 1):
        gram = tokens[i : i + n]
        total += 1
        repeated += gram in seen
        seen.append(gram)
    assert repeated_share(tokens, n=n) == pytest.approx(repeated / total if total else 0)


@pytest.mark.parametrize(
    "text",
    [
        "42",
        "no no no",
        HONEST,
        "一二三四五六七八九十",
        json.dumps([{"name": f"item {n}", "value": n} for n in range(9)]),
    ],
)
def test_honest_texts_pass(text):
    verdict = verdict_on(text)
    assert verdict.outcome is Outcome.PASS
    assert verdict.score == 1 - verdict.details["repeated_share"]


@pytest.mark.parametrize(
    "text",
    [
        "the answer is " * 50,
        "a" * 1_000,
        "ha" * 500,
        "0" * 5_000,
        "!" * 200,
        "等等 " * 100,
        "让我再想一想" * 30,
        HONEST + " wait, wait, wait," * 100,
        " wait, wait, wait," * 100 + HONEST,
        HONEST + HONEST[:600] * 4,
        "<think>" + "so " * 300 + "</think>42",
    ],
)
def test_loops_fail(text):
    verdict = verdict_on(text)
    assert (verdict.outcome, verdict.reason) == (Outcome.FAIL, "repeats itself")
    assert verdict.score < 0.5


def test_a_loop_is_found_in_its_stretch():
    text = HONEST * 1 + " round and round it goes," * 60
    assert verdict_on(text, window=10_000).outcome is Outcome.PASS
    assert verdict_on(text).outcome is Outcome.FAIL


@given(st.integers(0, 120))
def test_no_place_hides_a_loop(offset):
    text = " ".join(f"w{n}" for n in range(offset)) + " loop" * 70
    tail = " ".join(f"v{n}" for n in range(90))
    assert verdict_on(f"{text} {tail}", window=64).outcome is Outcome.FAIL


@given(st.integers(0, 140))
def test_a_loop_at_the_end_is_found(offset):
    text = " ".join(f"w{n}" for n in range(offset)) + " loop" * 48
    assert verdict_on(text, window=64).outcome is Outcome.FAIL


def test_the_smallest_texts_have_no_n_grams():
    for count, share in ((3, 0.0), (4, 0.0), (5, 0.5)):
        assert verdict_on("no " * count).details == {"repeated_share": share}


def test_only_the_final_answer():
    text = "<think>" + "so " * 300 + "</think>42"
    assert verdict_on(text, thoughts=False).outcome is Outcome.PASS


def test_the_bound_is_included():
    tokens = "a b c d a b c d"  # four distinct 2-grams of seven, one per letter
    assert repeated_share(tokens.split(), n=2) == pytest.approx(3 / 7)
    assert verdict_on(tokens, n=2, max_share=1 - 4 / 7).outcome is Outcome.PASS
    assert verdict_on(tokens, n=2, max_share=0.42).outcome is Outcome.FAIL


def test_blank_is_no_answer():
    assert verdict_on(" ").reason == "no answer"


@pytest.mark.parametrize("text", ["a" * 100_000, "漢a" * 50_000, "a b " * 25_000])
def test_hostile_texts_take_no_time(text):
    started = time.process_time()
    verdict_on(text)
    assert time.process_time() - started < 2


@pytest.mark.parametrize(
    ("options", "message"),
    [
        ({"n": 0}, "n must be an integer >= 1, got 0"),
        ({"n": True}, "n must be an integer >= 1, got True"),
        ({"window": 4}, "window must be an integer >= 5, got 4"),
        ({"max_share": 1}, "max_share must be a number in [0, 1), got 1"),
        ({"max_share": float("nan")}, "max_share must be a number in [0, 1), got nan"),
    ],
)
def test_options(options, message):
    with pytest.raises(ConfigError) as caught:
        RepetitionVerifier(**options)
    assert caught.value.message == message
