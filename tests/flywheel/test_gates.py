"""Gates close on what is certain, and stay open otherwise; how often they are wrong is measured over simulated runs."""

import numpy as np
import pytest

from orbiter.flywheel.drift import length_ratio, looks_of, refusal_rise
from orbiter.flywheel.gates import (
    audit_reason,
    budget_reason,
    drift_reason,
    goodhart_reason,
    yield_reason,
)
from orbiter.flywheel.rollout import RolloutResult
from orbiter.flywheel.sections import Gates
from orbiter.flywheel.summary import summarise_round
from orbiter.ledger import AttemptKey
from orbiter.records import Message, Trajectory

SEEDS, ROUNDS = 1_000, 6


def measured(number, visible, audited, count):
    """Return what the summary of a round says of its held-out answers."""
    return {
        "round": number,
        "held_out": visible / count,
        "held_out_passed": visible,
        "held_out_valid": count,
        "audited": audited / count,
        "audited_passed": audited,
        "audited_valid": count,
    }


def stopped(truth, *, tpr=1.0, fpr=0.0, hacked=None, count=200, rounds=2, seeds=SEEDS, seed=0):
    """Return the share of simulated runs that the gate stops.

    Args:
        truth: Rate of right answers after each round, from the cold start on.
        tpr: Of the audit verifier.
        fpr: Of the audit verifier.
        hacked: Rate of wrong answers that the visible verifier passes after each round.
    """
    stream = np.random.default_rng(seed)
    alarms = 0
    for _ in range(seeds):
        rows = []
        for number, rate in enumerate(truth):
            right = stream.random(count) < rate
            fooled = stream.random(count) < (0 if hacked is None else hacked[number])
            audited = stream.random(count) < np.where(right, tpr, fpr)
            row = measured(number, int((right | fooled).sum()), int(audited.sum()), count)
            if goodhart_reason(row, rows, rounds=rounds) is not None:
                alarms += 1
                break
            rows.append(row)
    return alarms / seeds


def answers(texts, *, samples):
    """Return how held-out answers look: each of these texts, given ``samples`` times to a task of its own."""
    judged = {
        AttemptKey(1, "held_out", "e", f"t{task}", n): Trajectory(
            (Message("user", "?"), Message("assistant", text)), "e", f"t{task}", None
        )
        for task, text in enumerate(texts)
        for n in range(samples)
    }
    return looks_of(RolloutResult(judged=judged))


def test_the_same_answer_again_makes_nothing_more_certain():
    refusal = "I'm sorry, but I can't help with that."
    before, after = (
        ["a" * n for n in range(20, 60)],
        [refusal] * 9 + ["a" * n for n in range(40, 71)],
    )
    for interval in (length_ratio, refusal_rise):
        once = interval(answers(before, samples=1), answers(after, samples=1))
        thrice = interval(answers(before, samples=3), answers(after, samples=3))
        assert thrice.width == pytest.approx(once.width, rel=0.1)
    one = answers(["a"], samples=5)
    assert length_ratio(one, one) is None


RISING = [0.2, 0.5, 0.7, 0.8, 0.85, 0.9, 0.92]
CLEAN = {
    "rising": {"truth": RISING},
    "rising slowly": {"truth": [0.30, 0.33, 0.36, 0.39, 0.42, 0.45, 0.48]},
    "flat": {"truth": [0.5] * 7},
    "falling": {"truth": [0.5, 0.48, 0.46, 0.44, 0.42, 0.40, 0.38]},
    "saturated": {"truth": [0.97, 0.98, 0.98, 0.99, 0.99, 0.99, 0.99]},
    "an audit verifier that errs": {"truth": RISING, "tpr": 0.85, "fpr": 0.05},
    "a slow rise and an audit verifier that errs": {
        "truth": [0.30, 0.33, 0.36, 0.39, 0.42, 0.45, 0.48], "tpr": 0.85, "fpr": 0.05,
    },
    "many tasks": {"truth": RISING, "tpr": 0.9, "fpr": 0.02, "count": 1000},
}  # fmt: skip
GAMED = {
    "the truth falls": {"truth": [0.5, 0.4, 0.3, 0.2, 0.1, 0.1, 0.1], "hacked": [0, 0.3, 0.6, 0.8, 0.9, 0.9, 0.9]},
    "the truth stands still": {"truth": [0.4] * 7, "hacked": [0, 0.2, 0.4, 0.5, 0.6, 0.7, 0.8]},
    "and the audit verifier errs": {
        "truth": [0.4] * 7, "hacked": [0, 0.2, 0.4, 0.5, 0.6, 0.7, 0.8], "tpr": 0.9, "fpr": 0.05,
    },
}  # fmt: skip


@pytest.mark.parametrize("case", CLEAN)
def test_clean_runs_are_hardly_ever_stopped(case):
    """In each of 1,000 runs of six rounds, of which any may raise a false alarm."""
    assert stopped(**CLEAN[case]) <= 0.01


@pytest.mark.parametrize("case", GAMED)
def test_gamed_runs_are_stopped(case):
    assert stopped(**GAMED[case], seeds=300) >= 0.95


def test_a_flat_audit_is_waited_for():
    """One round after the visible rate rose, the audited one may be late; it is given ``rounds``."""
    gamed = {"truth": [0.4] * 4, "hacked": [0, 0.5, 0.5, 0.5], "seeds": 200}
    assert stopped(**gamed, rounds=1) > 0.95
    assert stopped(**gamed, rounds=2) > 0.95
    assert stopped(**gamed, rounds=4) <= 0.1


def test_budgets_count_data_and_training_and_not_the_measurement():
    made = {"sampled": 100, "passed": 1, "failed": 99, "samples": 100, "tokens": 400, "cost": 0.5, "priced": 60, "seconds": 2.0}  # fmt: skip
    trained = {"trained_tokens": 50, "trained_samples": 30, "seconds": 3.0}
    measured = {"passed": 5, "failed": 5, "samples": 10, "tokens": 1000, "cost": 1.0, "priced": 10, "seconds": 9.0}  # fmt: skip
    row = summarise_round(
        1, {"generate": made, "train": trained, "evaluate": measured}, before=None, audit={}
    )
    assert row["asked"] == {"samples": 100, "tokens": 400, "cost": 0.5, "priced": 60}
    assert row["spent"] == {
        "samples": 130, "tokens": 450, "cost": 0.5, "priced": 60, "seconds": 5.0
    }  # fmt: skip
    rows = [row, row]
    assert budget_reason(Gates(max_samples=261, max_tokens=901, max_seconds=10.1), rows) is None
    assert budget_reason(Gates(max_samples=260), rows) == (
        "the budget of 260 samples is used up: 260 samples so far"
    )
    assert "900 tokens" in budget_reason(Gates(max_tokens=800), rows)
    assert "10 s" in budget_reason(Gates(max_seconds=10), rows)
    assert budget_reason(Gates(max_cost=1.01), rows) is None
    assert budget_reason(Gates(max_cost=1), rows) == (
        "the budget of a cost of 1 is used up: 1 so far"
    )


def test_a_budget_of_money_is_not_kept_by_guessing_what_nobody_priced():
    made = {"sampled": 8, "samples": 8, "tokens": 400, "cost": None, "priced": 0}
    row = summarise_round(1, {"generate": made}, before=None, audit={})
    assert row["asked"]["cost"] is None
    assert "of no answer the cost is known" in budget_reason(Gates(max_cost=1), [row])
    assert budget_reason(Gates(max_cost=1), []) is None
    by_program = summarise_round(1, {"synthesise": {**made, "samples": 0, "by": "", "dropped": {}}}, before=None, audit={})  # fmt: skip
    assert budget_reason(Gates(max_cost=1), [by_program]) is None


def test_a_verifier_that_was_not_audited_is_not_good_enough():
    gates = Gates(max_fpr=0.02)
    assert audit_reason(Gates(), {}) is None
    assert audit_reason(gates, {"fpr": 0.0, "fpr_high": 0.019}) is None
    assert "up to 0.0210" in audit_reason(gates, {"fpr": 0.0, "fpr_high": 0.021})
    assert "was not audited" in audit_reason(gates, {})
    assert "was not audited" in audit_reason(gates, {"fpr": None, "fpr_high": 1.0})


def test_a_poor_yield_is_one_whose_interval_lies_below():
    row = {"yield": 0.01, "yield_low": 0.001, "yield_high": 0.049}
    assert yield_reason(Gates(min_yield=0.049), row) is None
    assert yield_reason(Gates(min_yield=0.05), row) == (
        "the yield is 0.0100, at most 0.0490 (95 %), and gates.min_yield is 0.05"
    )
    assert yield_reason(Gates(min_yield=0.5), {}) is None  # nothing valid was sampled
    assert yield_reason(Gates(), row) is None


def looks(lengths, refusals=0):
    return {
        "answers": len(lengths),
        "length_sum": sum(lengths),
        "length_squares": sum(n * n for n in lengths),
        "refusals": refusals,
    }


def test_lengths_are_compared_on_the_log_scale():
    short, long = looks([9, 10, 11] * 50), looks([19, 20, 21, 22] * 50)
    found = length_ratio(short, long)
    assert found.low < 21.5 / 11 < found.high
    back = length_ratio(long, short)
    assert (back.low, back.high) == pytest.approx((1 / found.high, 1 / found.low))
    assert length_ratio(looks([5]), long) is None


def test_the_interval_of_a_ratio_of_lengths_covers_the_truth():
    stream = np.random.default_rng(1)
    hits = 0
    for _ in range(1_000):
        a, b = stream.poisson(20, 100), stream.poisson(30, 150)
        interval = length_ratio(looks(a.tolist()), looks(b.tolist()))
        hits += interval.low <= 31 / 21 <= interval.high
    assert 0.93 <= hits / 1_000 <= 0.97


def test_the_interval_of_a_rise_of_refusals_covers_the_truth():
    stream = np.random.default_rng(2)
    hits = 0
    for _ in range(1_000):
        a, b = stream.binomial(200, 0.02), stream.binomial(300, 0.1)
        interval = refusal_rise(looks([1] * 200, int(a)), looks([1] * 300, int(b)))
        hits += interval.low <= 0.08 <= interval.high
    assert 0.93 <= hits / 1_000 <= 0.98


@pytest.mark.parametrize(
    ("gates", "row", "said"),
    [
        (Gates(max_length_ratio=1.5), {"looks": looks([20, 21] * 40)}, "answers are at least 1.8"),
        (Gates(max_length_ratio=1.5), {"looks": looks([4, 5] * 40)}, "answers are at most 0.49"),
        (Gates(max_length_ratio=3), {"looks": looks([20, 21] * 40)}, None),
        (Gates(max_length_ratio=1.5), {"looks": looks([20, 2])}, None),  # too few to tell
        (Gates(max_refusal_rise=0.1), {"looks": looks([10, 11] * 40, 30)}, "refusals among held-out answers rose by at least 0.2"),
        (Gates(max_refusal_rise=0.1), {"looks": looks([10, 11] * 40, 9)}, None),
        (Gates(max_kl=2), {"kl": 3.0, "kl_low": 2.1, "kl_high": 3.9}, "the model is 3.00 nats per answer from where the stage began, at least 2.10"),
        (Gates(max_kl=2), {"kl": 3.0, "kl_low": 1.9, "kl_high": 4.1}, None),
        (Gates(), {"looks": looks([99] * 80, 80), "kl": 99.0, "kl_low": 98.0}, None),
    ],
)  # fmt: skip
def test_drift_is_said_of_what_is_certain(gates, row, said):
    reason = drift_reason(gates, row, {"looks": looks([10, 11] * 40)})
    assert (reason is None) == (said is None)
    assert said is None or said in reason
