import pytest
from hypothesis import given
from hypothesis import strategies as st

from orbiter.curate import UnpairedPreference, step_preferences, unary_weights
from orbiter.errors import ConfigError
from orbiter.records import Message, Verdict


def labels(good, bad):
    return [UnpairedPreference((), (), True)] * good + [UnpairedPreference((), (), False)] * bad


@pytest.mark.parametrize(
    ("good", "bad", "ratio", "wanted"),
    [(5, 5, 1.0, (1, 1)), (2, 8, 1.0, (4, 1)), (8, 2, 1.0, (1, 4)), (3, 4, 1.5, (2, 1))],
)
def test_weights_of_known_numbers(good, bad, ratio, wanted):
    found = unary_weights(labels(good, bad), ratio=ratio)
    assert (found.desirable, found.undesirable) == pytest.approx(wanted)


@given(st.integers(1, 50), st.integers(1, 50), st.floats(0.5, 2))
def test_weighted_labels_are_in_the_ratio(good, bad, ratio):
    found = unary_weights(labels(good, bad), ratio=ratio)
    assert found.desirable * good / (found.undesirable * bad) == pytest.approx(ratio)
    assert min(found.desirable, found.undesirable) == 1


@pytest.mark.parametrize("counts", [(0, 3), (3, 0), (0, 0)])
def test_one_label_alone_cannot_be_balanced(counts):
    with pytest.raises(
        ConfigError, match=f"both labels, got {counts[0]} desirable and {counts[1]}"
    ):
        unary_weights(labels(*counts))


def steps(*scores, **more):
    return Verdict.failed("wrong", step_scores=scores, **more)


def test_each_judged_step_is_a_row_after_what_came_before(attempt):
    row = attempt("a", "go on", "b", "and?", "c", verdict=steps(1.0, None, 0.2))
    found = step_preferences([row])
    assert [(len(r.prompt), r.completion[0].text, r.label) for r in found] == [
        (1, "a", True),
        (5, "c", False),
    ]
    assert found[1].prompt == row.messages[:5]
    assert found[1].metadata == {"id": row.id, "score": 0.2, "step": 2}


def test_a_right_beginning_is_one_row_and_a_doubtful_step_is_none(attempt):
    shared = [
        attempt("a", "?", "b", verdict=steps(1.0, 1.0)),
        attempt("a", "?", "c", verdict=steps(1.0, 0.0)),
        attempt("a", "?", "d", verdict=steps(0.9, 0.0)),
        attempt("a", "?", "d", verdict=steps(1.0, 1.0)),
    ]
    assert [(r.completion[0].text, r.label) for r in step_preferences(shared)] == [
        ("a", True),
        ("b", True),
        ("c", False),
    ]


def test_invalid_cut_off_and_unjudged_attempts_have_no_steps(attempt):
    rows = [
        attempt("a", verdict=Verdict.invalid("timeout", step_scores=(1.0,))),
        attempt("a", verdict=steps(1.0), finish_reason="length"),
        attempt("a"),
        attempt("a", verdict=Verdict.passed()),
        attempt(verdict=steps(1.0)),
    ]
    assert step_preferences(rows) == []


def test_threshold_is_inclusive_and_checked(attempt):
    row = attempt("a", verdict=steps(0.5))
    assert step_preferences([row])[0].label
    assert not step_preferences([row], threshold=0.6)[0].label
    with pytest.raises(ConfigError, match=r"threshold must be a number in \(0, 1\], got 0"):
        step_preferences([], threshold=0)


def test_steps_keep_tools_and_their_answers(attempt):
    import attrs

    row = attempt("a", "?", "b", verdict=steps(1.0, 1.0), tools=({"name": "f"},))
    tool = Message("tool", "7", tool_call_id="1")
    row = attrs.evolve(row, messages=(*row.messages[:2], tool, row.messages[3]))
    first, second = step_preferences([row])
    assert second.prompt[-1] == tool
    assert first.extra == {"tools": [{"name": "f"}]}
