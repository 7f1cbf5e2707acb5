from itertools import pairwise

import pytest
from hypothesis import given
from hypothesis import strategies as st

from orbiter.flywheel.gates import goodhart_reason
from orbiter.flywheel.odds import measured_multiplier, wilson
from orbiter.flywheel.summary import summarise_round

AUDIT = {"g": None, "g_low": 44.2, "tpr": 1.0, "fpr": 0.0}


def sampled(passed, failed, invalid=0, **more):
    return {
        "sampled": passed + failed + invalid,
        "passed": passed,
        "failed": failed,
        "invalid": invalid,
        "reasons": {"wrong": failed} if failed else {},
        **more,
    }


def summarise(number=1, before=None, audit=AUDIT, **stages):
    return summarise_round(number, stages, before=before, audit=audit)


def test_yield_is_of_the_valid_attempts_with_its_wilson_interval():
    row = summarise(generate=sampled(30, 50, 20))
    interval = wilson(30, 80)
    assert (row["yield"], row["yield_low"], row["yield_high"]) == (
        30 / 80,
        interval.low,
        interval.high,
    )
    assert (row["sampled"], row["invalid"], row["reasons"]) == (100, 20, {"wrong": 50})


def test_nothing_valid_is_no_yield_and_never_0():
    row = summarise(generate=sampled(0, 0, 9), evaluate=sampled(0, 0, 5))
    assert not [name for name in row if name.startswith(("yield", "held_out"))]
    assert row["invalid"] == 9
    assert row["alarms"] == []
    assert "g" not in row


def test_a_round_that_did_nothing_is_a_row_still():
    row = summarise(0)
    assert row["round"] == 0
    assert (row["alarms"], row["seconds"], row["tokens"], row["tokens_per_s"]) == ([], 0, 0, None)
    assert "sampled" not in row


def test_no_pass_and_no_failure_are_alarms():
    assert "nothing to imitate" in summarise(generate=sampled(0, 5))["alarms"][0]
    assert "nothing left to learn" in summarise(generate=sampled(5, 0))["alarms"][0]
    assert summarise(generate=sampled(1, 1))["alarms"] == []


def test_alarms_of_the_training_come_first():
    row = summarise(generate=sampled(0, 5), train={"alarms": ["half of the rows were cut"]})
    assert row["alarms"][0] == "half of the rows were cut"
    assert len(row["alarms"]) == 2


def test_odds_multiplier_is_measured_against_the_round_before():
    before = summarise(0, evaluate=sampled(20, 80))
    row = summarise(evaluate=sampled(60, 40), before=before)
    expected = measured_multiplier((20, 100), (60, 100))
    assert row["g"] == expected.value == pytest.approx(6.0)
    assert (row["g_low"], row["g_high"]) == (expected.interval.low, expected.interval.high)
    assert (row["g_bound"], row["g_forecast"]) == (44.2, None)
    assert "g" not in before


def test_without_a_measured_round_before_there_is_no_multiplier():
    blank = summarise(0)
    assert "g" not in summarise(evaluate=sampled(60, 40), before=blank)
    assert "g" not in summarise(evaluate=sampled(60, 40))


def test_invalid_held_out_answers_are_in_no_part_of_the_multiplier():
    before = summarise(0, evaluate=sampled(20, 80, 300))
    row = summarise(evaluate=sampled(60, 40, 7), before=before)
    assert row["g"] == pytest.approx(6.0)
    assert (row["held_out_passed"], row["held_out_valid"]) == (60, 100)


def test_audited_rate_is_of_what_the_audit_verifier_could_judge():
    measured = sampled(60, 40) | {"audited_passed": 30, "audited_valid": 90}
    assert summarise(evaluate=measured)["audited"] == pytest.approx(1 / 3)
    unknown = sampled(60, 40) | {"audited_passed": 0, "audited_valid": 0}
    assert "audited" not in summarise(evaluate=unknown)


def test_the_cold_start_stands_in_for_the_training_of_round_0():
    row = summarise(0, teach={"loss": 0.5, "steps": 20, "checkpoint": "c", "trained_tokens": 9})
    assert (row["loss"], row["steps"], row["checkpoint"], row["trained_tokens"]) == (
        0.5,
        20,
        "c",
        9,
    )


def test_seconds_are_split_by_kind_of_work():
    row = summarise(
        generate=sampled(1, 1, generate_s=4.0, verify_s=2.0, work_s=5.0, tokens=100, seconds=6.0),
        curate={"kept": 1, "seconds": 0.5},
        train={"train_s": 3.0, "seconds": 3.25},
        evaluate=sampled(1, 1, generate_s=1.0, verify_s=0.5, work_s=1.25, tokens=50, seconds=2.0),
    )
    assert row["seconds"] == 11.75
    assert (row["generate_s"], row["verify_s"], row["train_s"]) == (5.0, 2.5, 3.0)
    assert row["own_s"] == pytest.approx(11.75 - 6.25 - 3.0)
    assert row["tokens"] == 150


def test_what_was_kept_is_passed_on():
    row = summarise(
        curate={"kept": 3, "decisions": {"accepted": 3}, "pairs": 2, "rows": 9, "dataset": "d"}
    )
    assert [row[k] for k in ("kept", "decisions", "pairs", "rows", "dataset")] == [
        3, {"accepted": 3}, 2, 9, "d"
    ]  # fmt: skip


counts = st.integers(0, 10**6)


@given(counts, counts, counts, counts, counts, counts)
def test_any_counts_give_rates_in_bounds(passed, failed, invalid, held, missed, lost):
    before = summarise(0, evaluate=sampled(passed, failed, invalid))
    row = summarise(
        generate=sampled(passed, failed, invalid),
        evaluate=sampled(held, missed, lost),
        before=before,
    )
    for name, valid in (("yield", passed + failed), ("held_out", held + missed)):
        assert (name in row) == (valid > 0)
        if valid:
            assert 0 <= row[f"{name}_low"] <= row[name] <= row[f"{name}_high"] <= 1
    assert ("g" in row) == (passed + failed > 0 and held + missed > 0)
    if "g" in row:
        assert 0 < row["g_low"] <= row["g"] <= row["g_high"] < float("inf")


def test_several_answers_to_a_task_widen_its_interval_and_that_of_g():
    alone = summarise(evaluate=sampled(60, 40), before=summarise(0, evaluate=sampled(20, 80)))
    before = summarise(0, evaluate=sampled(20, 80, effective=25.0))
    row = summarise(evaluate=sampled(60, 40, effective=30.0), before=before)
    expected = wilson(60, 100, effective=30.0)
    assert row["held_out"] == alone["held_out"] == 0.6
    assert (row["held_out_low"], row["held_out_high"]) == (expected.low, expected.high)
    assert row["g"] == alone["g"] == pytest.approx(6.0)
    assert row["g_low"] < alone["g_low"] < alone["g_high"] < row["g_high"]
    wide = measured_multiplier((20, 100), (60, 100), effective=(25.0, 30.0))
    assert (row["g_low"], row["g_high"]) == (wide.interval.low, wide.interval.high)


def measured(number, visible, audited, *, count=200, effective=None):
    more = {} if effective is None else {"effective": effective, "audited_effective": effective}
    facts = sampled(visible, count - visible, audited_passed=audited, audited_valid=count, **more)
    return summarise(number, evaluate=facts)


def test_goodhart_is_said_when_both_rates_part_beyond_their_intervals():
    rounds = [measured(0, 80, 80), measured(1, 120, 50)]
    assert goodhart_reason(rounds[1], rounds[:1]) == (
        "the visible pass rate rose from 0.400 to 0.600 while the audited one fell from 0.400 to 0.250 "
        "(since round 0, both beyond their 95 % intervals)"
    )


@pytest.mark.parametrize(
    ("visible", "audited"),
    [(120, 75), (85, 50), (120, 120), (50, 40), (80, 80)],
    ids=["audited within noise", "visible within noise", "both rise", "both fall", "same"],
)
def test_goodhart_is_not_said_of_noise_nor_of_progress(visible, audited):
    assert goodhart_reason(measured(1, visible, audited), [measured(0, 80, 80)]) is None


def test_goodhart_sees_a_decline_that_no_two_neighbours_show():
    rounds = [measured(i, 60 + 15 * i, 90 - 8 * i) for i in range(6)]
    assert all(goodhart_reason(b, [a]) is None for a, b in pairwise(rounds))
    assert "(since round 0," in goodhart_reason(rounds[5], rounds[:5])


def test_goodhart_takes_several_answers_to_a_task_for_what_they_are_worth():
    rounds = [measured(i, 80 + 40 * i, 80 - 30 * i, effective=25.0) for i in range(2)]
    assert goodhart_reason(rounds[1], rounds[:1]) is None


def test_goodhart_needs_both_rates_of_both_rounds():
    blank, full = summarise(0, evaluate=sampled(80, 120)), measured(1, 120, 50)
    assert goodhart_reason(full, [blank, summarise(0)]) is None
    assert goodhart_reason(blank, [measured(0, 10, 150)]) is None
