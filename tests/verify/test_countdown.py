import pytest

from orbiter.records import Outcome
from orbiter.verify.countdown import CountdownVerifier

TASK = {"target": 24, "numbers": [3, 3, 8, 8]}


@pytest.mark.parametrize(
    ("text", "reason"),
    [
        ("8/(3-8/3)", None),
        ("3*8", None),
        ("3*8 = 24", None),
        ("<think>hm</think> 3 × 8", None),
        ("3*8=25", "wrong answer"),
        ("3*8=", "wrong answer"),
        ("3*8=24=24", "wrong answer"),
        ("3*3", "wrong answer"),
        ("8+8+8", "uses a number that is not given"),
        ("24", "uses a number that is not given"),
        ("38-8-3-3", "uses a number that is not given"),
        ("8/(3-3)", "division by zero"),
        ("", "no answer"),
        ("  ", "no answer"),
        ("<think>3*8", "no answer"),
        ("The answer is 3*8", "answer is not an expression"),
        ("3*8 or 8*3", "answer is not an expression"),
        ("3**8", "answer is not an expression"),
        ("(" * 399, "expression is too deeply nested"),
        ("9" * 400, "number is too long"),
        ("1" * 401, "expression is too long"),
    ],
)
def test_reason(judged, text, reason):
    verdict = judged(CountdownVerifier(), TASK, text)
    assert (verdict.outcome is Outcome.PASS) == (reason is None)
    assert verdict.reason == (reason or "")


@pytest.mark.parametrize(
    "reference", [None, "3*8", {}, {"target": "24", "numbers": [3]}, {"target": 24, "numbers": 3}]
)
def test_a_task_without_target_and_numbers_is_invalid(judged, reference):
    assert judged(CountdownVerifier(), reference, "3*8").outcome is Outcome.INVALID
