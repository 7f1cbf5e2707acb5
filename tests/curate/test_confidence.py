from collections import Counter

import attrs
import pytest
from hypothesis import given
from hypothesis import strategies as st

from orbiter.curate import (
    Platt,
    calibrated,
    confident_pairs,
    oversampled_pairs,
    weighted_pairs,
)
from orbiter.errors import ConfigError, RecordError

confidences = st.lists(st.floats(0, 1), min_size=1, max_size=20)


def test_margin_becomes_confidence_and_an_unknown_margin_stays_unknown(make_pair):
    pairs = [make_pair(margin=0.0), make_pair(margin=2.0), make_pair(confidence=0.9)]
    found = calibrated(pairs, Platt(1.0, 0.0))
    assert [p.confidence for p in found] == [0.5, pytest.approx(0.8807970779778823), None]


def test_margins_of_another_unit_are_refused(make_pair):
    judged = make_pair(margin=2.0, metadata={"unit": "log_odds"})
    assert calibrated([judged], Platt(1.0, 0.0, "log_odds"))[0].confidence > 0.8
    with pytest.raises(ConfigError, match=r"must be in 'score', as those that .* got 'log_odds'"):
        calibrated([judged], Platt(1.0, 0.0))
    with pytest.raises(ConfigError, match="must be in 'log_odds'"):
        calibrated([make_pair(margin=0.5)], Platt(1.0, 0.0, "log_odds"))


def test_pairs_under_the_threshold_are_left_out_and_counted(make_pair):
    pairs = [make_pair(confidence=c) for c in (0.9, 0.75, 0.74, 0.1, None)]
    found = confident_pairs(pairs, min_confidence=0.75)
    assert found.kept == tuple(pairs[:2])
    assert (found.doubtful, found.unknown) == (2, 1)


@pytest.mark.parametrize("bad", [0.4, 1.1, "0.9", True])
def test_threshold_must_be_at_least_a_half(make_pair, bad):
    with pytest.raises(ConfigError, match=r"min_confidence must be a number in \[0.5, 1\]"):
        confident_pairs([], min_confidence=bad)


def test_weights_of_known_numbers(make_pair):
    pairs = [make_pair(confidence=c) for c in (1.0, 0.75, 0.5, 0.2)]
    assert [p.weight for p in weighted_pairs(pairs)] == pytest.approx([8 / 3, 4 / 3, 0, 0])
    assert weighted_pairs([]) == []


@given(confidences.filter(lambda cs: max(cs) > 0.5 + 1e-9))
def test_weights_have_mean_1_and_follow_confidence(confidences):
    pairs = weighted_pairs([EMPTY(confidence=c) for c in confidences])
    assert sum(p.weight for p in pairs) / len(pairs) == pytest.approx(1)
    ranked = sorted(pairs, key=lambda p: p.confidence)
    assert [p.weight for p in ranked] == sorted(p.weight for p in ranked)
    assert all(p.weight == 0 for p in pairs if p.confidence <= 0.5)


def test_a_pair_of_unknown_confidence_has_no_weight(make_pair):
    with pytest.raises(ConfigError, match="confidence of pair 'sums:0' must be known, got None"):
        weighted_pairs([make_pair()])
    with pytest.raises(ConfigError, match="confidence must be above 1/2 for some pair, got none"):
        weighted_pairs([make_pair(confidence=0.5)])


@given(st.lists(st.floats(0, 10), min_size=1, max_size=20), st.integers(0, 5))
def test_copies_are_the_weight_rounded_down_or_up(weights, seed):
    total = sum(weights)
    if total < 1e-6:
        return
    pairs = [EMPTY(task_id=str(i), weight=w) for i, w in enumerate(weights)]
    copies = oversampled_pairs(pairs, seed=seed)
    assert abs(len(copies) - len(pairs)) <= 1
    assert all(p.weight == 1 for p in copies)
    counts = Counter(p.task_id for p in copies)
    for i, w in enumerate(weights):
        assert abs(counts[str(i)] - w * len(weights) / total) < 1 + 1e-6
    assert copies == oversampled_pairs(pairs, seed=seed)


def test_copies_are_the_weight_on_average_over_seeds(make_pair):
    pairs = [make_pair(task_id=str(i), weight=w) for i, w in enumerate((0.25, 1.75, 0.5, 1.5))]
    counts = Counter(p.task_id for s in range(400) for p in oversampled_pairs(pairs, seed=s))
    assert {k: v / 400 for k, v in counts.items()} == pytest.approx(
        {"0": 0.25, "1": 1.75, "2": 0.5, "3": 1.5}, abs=0.08
    )


def test_nothing_to_copy(make_pair):
    assert oversampled_pairs([]) == []
    with pytest.raises(ConfigError, match="weight must be above 0 for some pair, got none"):
        oversampled_pairs([make_pair(weight=0.0)])


@pytest.mark.parametrize(
    ("field", "value"),
    [("confidence", 1.1), ("confidence", -0.1), ("weight", -1.0), ("weight", None)],
)
def test_records_refuse_a_confidence_or_weight_out_of_range(make_pair, field, value):
    with pytest.raises(RecordError, match=f"field '{field}' must be a number"):
        make_pair(**{field: value})


def test_confidence_and_weight_come_back_from_a_row(make_pair):
    pair = make_pair(confidence=0.75, weight=2.5)
    row = pair.to_row()
    assert (row["confidence"], row["weight"]) == (0.75, 2.5)
    assert type(pair).from_row(row) == pair
    del row["weight"], row["confidence"]
    assert type(pair).from_row(row) == attrs.evolve(pair, weight=1.0, confidence=None)


def EMPTY(**more):
    from orbiter.records import Pair

    return Pair((), (), (), **more)
