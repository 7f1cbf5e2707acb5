"""Verdicts in the ledger: the one of record, those beside it, and attempts without an answer."""

import attrs
import pytest

from orbiter.errors import RecordError
from orbiter.ledger import Decision, Ledger
from orbiter.records import Verdict

PASS = Verdict.passed(verifier="exact", version="1")


FAIL = Verdict.failed("wrong", verifier="exact", version="1")


def test_a_second_verdict_is_kept_beside_the_verdict_of_record(run_dir, make_attempt, planned):
    with Ledger.open(run_dir) as ledger:
        (key, *_) = planned(ledger)
        ledger.add_attempts([make_attempt(key)])
        ledger.add_verdicts([(key, PASS)])
        later = attrs.evolve(FAIL, version="2")
        ledger.add_verdicts([(key, later)])
    with Ledger.open(run_dir) as ledger:
        assert ledger.verdict_of(key) == PASS
        assert ledger.verdicts_of(key) == [PASS, later]
        assert ledger.verdict_of(key, version="2") == later
        assert ledger.verdict_of(key, verifier="exact") == later
        assert ledger.verdict_of(key, verifier="other") is None
        assert (ledger.account().passed, ledger.account().failed) == (1, 0)


def test_attempts_of_one_task_may_have_verdicts_of_record_by_different_verifiers(
    run_dir, make_attempt
):
    first, second = PASS, attrs.evolve(FAIL, version="2")
    with Ledger.open(run_dir) as ledger:
        ledger.plan(1, "policy", [("e", "t")], samples=3)
        ledger.add_attempts([make_attempt(key) for key in ledger.pending()])
        keys = [attempt.key for attempt in ledger.attempts()]
        ledger.add_verdicts([(keys[0], first), (keys[1], second), (keys[2], first)])
        ledger.plan(1, "policy", [("e", "t")], samples=4)  # the plan grows after the first verdicts
        (key,) = ledger.pending()
        ledger.add_attempts([make_attempt(key)])
        keys.append(key)
        ledger.add_verdicts([(keys[3], second), (keys[2], second)])
        ledger.add_decisions([(key, Decision("accepted")) for key in keys])
    with Ledger.open(run_dir) as ledger:
        assert [ledger.verdict_of(key) for key in keys] == [first, second, first, second]
        assert [ledger.decision_of(key).version for key in keys] == ["1", "2", "1", "2"]
        assert ledger.verdicts_of(keys[2]) == [first, second]


def test_an_attempt_without_an_answer_is_invalid_until_a_verdict_says_otherwise(
    run_dir, make_attempt, planned
):
    with Ledger.open(run_dir) as ledger:
        keys = planned(ledger)
        ledger.add_attempts([make_attempt(key, error="timeout") for key in keys[:3]])
        assert ledger.account().invalid == {"no answer: timeout": 3}
        assert list(ledger.unverified()) == []
        ledger.add_verdicts([(keys[0], Verdict.invalid("gave up")), (keys[1], FAIL)])
        account = ledger.account()
    assert (account.invalid, account.failed) == ({"gave up": 1, "no answer: timeout": 1}, 1)
    with Ledger.open(run_dir) as ledger:
        assert ledger.account() == account


def test_a_verdict_may_not_rename_its_attempt(ledger, make_attempt, planned):
    (key, *_) = planned(ledger)
    ledger.add_attempts([make_attempt(key)])
    with pytest.raises(RecordError, match="field 'task_id' must not be in a verdict's extra keys"):
        ledger.add_verdicts([(key, attrs.evolve(PASS, extra={"task_id": "other"}))])
