import attrs
import orjson
import pytest

from orbiter.errors import RecordError
from orbiter.ledger import ACCEPTED, Attempt, AttemptKey, Decision, Fate
from orbiter.records import Message, Trajectory, Verdict

KEY = AttemptKey(2, "policy", "sorting", "sorting:7", 3)
ROW = Trajectory((Message("user", "q"), Message("assistant", "a")), "sorting", "sorting:7", None)


def test_an_attempt_marks_its_trajectory_with_its_name():
    attempt = Attempt(key=KEY, trajectory=ROW, finish_reason="length")
    assert attempt.trajectory.round == 2
    assert attempt.trajectory.extra == {"engine": "policy", "attempt": 3, "finish_reason": "length"}
    assert AttemptKey.of(attempt.trajectory) == KEY


def test_a_line_of_attempts_is_a_trajectory_row_and_comes_back_the_same():
    attempt = Attempt(
        key=KEY,
        trajectory=attrs.evolve(ROW, metadata={"a": [1]}, extra={"mine": 1}),
        token_count=5,
        error="timeout",
        finish_reason="error",
    )
    row = orjson.loads(orjson.dumps(attempt.to_row()))
    assert Attempt.from_row(row) == attempt
    assert Attempt.from_row(row).to_row() == attempt.to_row()
    trajectory = Trajectory.from_row(row)
    assert (trajectory.env, trajectory.score, trajectory.verdict) == ("sorting", None, None)
    assert AttemptKey.of(trajectory) == KEY
    assert row["score"] is None
    assert row["id"] == attempt.trajectory.id


def test_a_judged_row_of_a_dataset_leads_back_to_its_attempt():
    attempt = Attempt(key=KEY, trajectory=ROW)
    judged = attrs.evolve(attempt.trajectory, score=1.0, verdict=Verdict.passed())
    assert AttemptKey.of(orjson.loads(orjson.dumps(judged.to_row()))) == KEY


@pytest.mark.parametrize(
    ("change", "message"),
    [
        (
            {"env": "other"},
            "field 'trajectory.env' must be that of the attempt, 'sorting', got 'other'",
        ),
        (
            {"task_id": "x"},
            "field 'trajectory.task_id' must be that of the attempt, 'sorting:7', got 'x'",
        ),
        ({"round": 1}, "field 'trajectory.round' must be that of the attempt, 2, got 1"),
        (
            {"extra": {"attempt": 4}},
            "field 'trajectory.attempt' must be that of the attempt, 3, got 4",
        ),
        (
            {"extra": {"token_count": 4}},
            "field 'trajectory.token_count' must be given to the attempt, not in the extra keys of its trajectory",
        ),
        ({"score": 1.0}, "field 'trajectory.score' must be null before the verdict, got 1.0"),
        (
            {"verdict": Verdict.passed()},
            "field 'trajectory.score' must be null before the verdict, got None",
        ),
    ],
)
def test_a_trajectory_that_is_not_the_attempts_is_refused(change, message):
    with pytest.raises(RecordError) as caught:
        Attempt(key=KEY, trajectory=attrs.evolve(ROW, **change))
    assert caught.value.message == message


@pytest.mark.parametrize(
    ("field", "value", "rule"),
    [
        ("round", -1, "an integer >= 0"),
        ("round", True, "an integer >= 0"),
        ("attempt", 1.0, "an integer >= 0"),
        ("engine", "", "a non-empty string"),
        ("env", None, "a non-empty string"),
        ("task_id", 7, "a non-empty string"),
    ],
)
def test_a_key_is_strict(field, value, rule):
    with pytest.raises(RecordError) as caught:
        attrs.evolve(KEY, **{field: value})
    assert caught.value.message == f"field {field!r} must be {rule}, got {value!r}"


def test_a_row_that_is_no_attempt_has_no_key():
    with pytest.raises(RecordError, match="field 'engine' is missing"):
        AttemptKey.of(attrs.evolve(ROW, round=1))


def test_a_line_with_a_wrong_field_names_file_and_line():
    row = Attempt(key=KEY, trajectory=ROW).to_row() | {"token_count": "many"}
    with pytest.raises(RecordError) as caught:
        Attempt.from_row(row, source="attempts.jsonl", line=4)
    assert (
        caught.value.message
        == "attempts.jsonl line 4: field 'token_count' must be an integer >= 0, got 'many'"
    )


def test_a_decision_is_one_of_six():
    assert Decision("accepted") == ACCEPTED
    assert ACCEPTED.accepted
    assert [fate for fate in Fate if Decision(fate).accepted] == [Fate.ACCEPTED]
    assert Decision("duplicate", "same answer").decision is Fate.DUPLICATE
    with pytest.raises(RecordError) as caught:
        Decision("kept")
    assert caught.value.message == (
        "field 'decision' must be one of accepted, rejected, invalid, duplicate, contaminated, truncated, "
        "got 'kept'"
    )


def test_an_error_says_something():
    with pytest.raises(RecordError, match="field 'error' must say why there is no answer, got ''"):
        Attempt(key=KEY, trajectory=ROW, error="")
