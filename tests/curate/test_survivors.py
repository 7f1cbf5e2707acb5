import pytest
from hypothesis import given
from hypothesis import strategies as st

from orbiter.curate import survivors
from orbiter.curate.response import response_key
from orbiter.errors import ConfigError
from orbiter.records import Message, Trajectory, Verdict


def attempt(answer="2", verdict=None, *, task_id="sums:0", finish_reason="stop"):
    turns = () if answer is None else (Message("assistant", answer),)
    return Trajectory(
        (Message("user", "1+1"), *turns),
        "sums",
        task_id,
        verdict.score if verdict else None,
        verdict=verdict,
        extra={"finish_reason": finish_reason},
    )


def fates(decided):
    return [(d.decision.value, d.reason) for d in decided.decisions]


PASS, FAIL = Verdict.passed(), Verdict.failed("wrong answer")

verdicts = st.one_of(
    st.none(),
    st.just(Verdict.invalid("timeout")),
    st.sampled_from([0.0, 0.5, 1.0]).map(lambda s: Verdict.passed(score=s)),
    st.sampled_from([0.0, 0.5]).map(lambda s: Verdict.failed("wrong answer", score=s)),
)
attempts = st.lists(
    st.builds(
        attempt,
        st.sampled_from([None, "1", "2", "3", " 2"]),
        verdicts,
        task_id=st.sampled_from(["sums:0", "sums:1"]),
        finish_reason=st.sampled_from(["stop", "length"]),
    ),
    max_size=12,
)


def test_each_rule_decides_in_its_turn():
    decided = survivors(
        [
            attempt("2", None),
            attempt("2", Verdict.invalid("timeout"), finish_reason="length"),
            attempt("2", PASS, finish_reason="length"),
            attempt("3", FAIL, finish_reason="length"),
            attempt(None, PASS),
            attempt("3", FAIL),
            attempt("3", Verdict.failed()),
            attempt("2", Verdict.passed(score=0.4)),
            attempt("2", PASS),
            attempt(" 2", PASS),
            attempt("two", PASS),
        ],
        max_per_task=1,
        min_score=0.5,
    )
    assert fates(decided) == [
        ("invalid", "no verdict"),
        ("invalid", "timeout"),
        ("truncated", "cut off by the bound on tokens"),
        ("truncated", "cut off by the bound on tokens"),
        ("rejected", "no assistant message"),
        ("rejected", "wrong answer"),
        ("rejected", "failed"),
        ("rejected", "below min_score"),
        ("accepted", ""),
        ("duplicate", "same answer to the task"),
        ("rejected", "over max_per_task"),
    ]


def test_attempt_that_the_policy_failed_is_invalid_for_its_error():
    row = attempt(None)
    failed = Trajectory.from_row(row.to_row() | {"error": "server gone"})
    assert fates(survivors([failed])) == [("invalid", "server gone")]


def test_best_score_is_kept_not_the_first():
    low, high = (
        attempt("low", Verdict.passed(score=0.6)),
        attempt("high", Verdict.passed(score=0.9)),
    )
    assert survivors([low, high], max_per_task=1).kept == (high,)


def test_kept_rows_stand_in_the_order_given():
    low, high = (
        attempt("low", Verdict.passed(score=0.6)),
        attempt("high", Verdict.passed(score=0.9)),
    )
    assert survivors([low, high]).kept == (low, high)


def test_bound_holds_per_task():
    rows = [attempt(a, PASS, task_id=t) for t in ("sums:0", "sums:1") for a in "123"]
    decided = survivors(rows, max_per_task=2)
    assert [row.answer for row in decided.kept] == ["1", "2", "1", "2"]


@given(attempts, st.integers(1, 3), st.sampled_from([0.0, 0.5, 1.0]))
def test_every_row_is_decided_and_what_is_kept_is_fit(rows, max_per_task, min_score):
    decided = survivors(rows, max_per_task=max_per_task, min_score=min_score)
    assert len(decided.decisions) == len(rows)
    assert sum(decision.accepted for decision in decided.decisions) == len(decided.kept)
    assert all(decision.accepted or decision.reason for decision in decided.decisions)
    for row in decided.kept:
        assert row.verdict.outcome == "pass"
        assert row.verdict.score >= min_score
        assert row.extra["finish_reason"] != "length"
    for task in {row.task_id for row in rows}:
        answers = [response_key(row) for row in decided.kept if row.task_id == task]
        assert len(answers) == len(set(answers)) <= max_per_task


@given(attempts)
def test_without_bounds_every_distinct_pass_is_kept(rows):
    fit = {
        (row.task_id, response_key(row))
        for row in rows
        if row.verdict
        and row.verdict.outcome == "pass"
        and row.extra["finish_reason"] == "stop"
        and row.answer
    }
    kept = survivors(rows).kept
    assert {(row.task_id, response_key(row)) for row in kept} == fit
    assert len(kept) == len(fit)


@pytest.mark.parametrize(
    ("option", "message"),
    [
        ({"max_per_task": 0}, "max_per_task must be an integer >= 1, got 0"),
        ({"min_score": 1.1}, r"min_score must be a number in \[0, 1\], got 1.1"),
        ({"min_score": float("nan")}, r"min_score must be a number in \[0, 1\], got nan"),
    ],
)
def test_bounds_out_of_range_are_errors(option, message):
    with pytest.raises(ConfigError, match=message):
        survivors([], **option)
