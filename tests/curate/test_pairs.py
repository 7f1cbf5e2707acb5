import attrs
import pytest
from hypothesis import given
from hypothesis import strategies as st

from orbiter.curate import UnpairedPreference, best_of_n_pairs, ranked_pairs, unpaired_preferences
from orbiter.errors import ConfigError
from orbiter.records import Message, Pair, Task, Trajectory, Verdict


def attempt(answer, verdict, *, prompt="1+1", task_id="sums:0", finish_reason="stop", **more):
    return Trajectory(
        (Message("user", prompt), Message("assistant", answer)),
        "sums",
        task_id,
        verdict.score if verdict else None,
        verdict=verdict,
        extra={"finish_reason": finish_reason},
        **more,
    )


def texts(pairs):
    return [(p.chosen[0].text, p.rejected[0].text) for p in pairs]


PASS, FAIL = Verdict.passed(), Verdict.failed("wrong answer")

verdicts = st.one_of(
    st.none(),
    st.just(Verdict.invalid("timeout")),
    st.sampled_from([0.5, 1.0]).map(lambda s: Verdict.passed(score=s)),
    st.builds(
        lambda r, s: Verdict.failed(r, score=s), st.sampled_from("ab"), st.sampled_from([0.0, 0.4])
    ),
)
groups = st.lists(
    st.builds(
        attempt,
        st.sampled_from("12345"),
        verdicts,
        task_id=st.sampled_from(["sums:0", "sums:1"]),
        finish_reason=st.sampled_from(["stop", "stop", "length"]),
    ),
    max_size=12,
)


def test_best_pass_meets_each_distinct_failure():
    best, other = attempt("two", PASS), attempt("2", Verdict.passed(score=0.7))
    wrong = [attempt("3", FAIL), attempt("4", Verdict.failed("wrong answer", score=0.2))]
    pairs = best_of_n_pairs([other, wrong[0], best, wrong[1], attempt(" 3", FAIL)])
    assert texts(pairs) == [("two", "4"), ("two", "3")]
    assert [p.margin for p in pairs] == [0.8, 1.0]
    assert pairs[0] == Pair(
        prompt=best.prompt,
        chosen=(Message("assistant", "two"),),
        rejected=(Message("assistant", "4"),),
        env="sums",
        task_id="sums:0",
        margin=0.8,
        metadata={"chosen_id": best.id, "rejected_id": wrong[1].id, "reason": "wrong answer"},
    )


def test_no_pass_or_no_failure_gives_no_pair():
    assert best_of_n_pairs([attempt("3", FAIL), attempt("4", FAIL)]) == []
    assert best_of_n_pairs([attempt("2", PASS), attempt("two", PASS)]) == []


def test_answer_judged_both_ways_enters_no_pair():
    flaky = [attempt("2", PASS), attempt("2", FAIL)]
    assert best_of_n_pairs([*flaky, attempt("3", FAIL)]) == []
    assert texts(best_of_n_pairs([*flaky, attempt("two", PASS), attempt("3", FAIL)])) == [
        ("two", "3")
    ]


def test_different_prompts_and_tools_of_one_task_are_not_compared():
    tool = {"type": "function", "function": {"name": "f"}}
    rows = [
        attempt("2", PASS),
        attempt("3", FAIL, prompt="one and one"),
        attempt("4", FAIL, tools=(tool,)),
    ]
    assert best_of_n_pairs(rows) == []


def test_tools_go_with_the_pair():
    tool = {"type": "function", "function": {"name": "f"}}
    rows = [attempt("2", PASS, tools=(tool,)), attempt("3", FAIL, tools=(tool,))]
    assert best_of_n_pairs(rows)[0].to_row()["tools"] == [tool]


def test_bound_keeps_different_mistakes_and_nearest_misses():
    rows = [
        attempt("2", PASS),
        attempt("a", Verdict.failed("wrong answer", score=0.1)),
        attempt("b", Verdict.failed("wrong answer", score=0.3)),
        attempt("c", Verdict.failed("wrong format")),
    ]
    assert texts(best_of_n_pairs(rows, max_pairs_per_task=2)) == [("2", "b"), ("2", "c")]


def test_small_margin_is_left_out():
    rows = [attempt("2", Verdict.passed(score=0.6)), attempt("3", Verdict.failed("x", score=0.4))]
    assert best_of_n_pairs(rows, min_margin=0.5) == []
    assert len(best_of_n_pairs(rows, min_margin=0.1)) == 1
    exact = [attempt("2", PASS), attempt("3", Verdict.failed("x", score=0.5))]
    assert len(best_of_n_pairs(exact, min_margin=0.5)) == 1


def test_verdict_at_odds_with_its_score_gives_no_pair():
    rows = [attempt("2", Verdict.passed(score=0.3)), attempt("3", Verdict.failed("x", score=0.9))]
    assert best_of_n_pairs(rows) == []


@given(groups)
def test_pairs_are_gated_by_the_verifier(rows):
    judged = {"pass": set(), "fail": set()}
    for row in rows:
        if row.verdict and row.verdict.score is not None and row.extra["finish_reason"] == "stop":
            judged[row.verdict.outcome.value].add((row.task_id, row.answer))
    pairs = best_of_n_pairs(rows)
    for pair in pairs:
        assert (pair.task_id, pair.chosen[0].text) in judged["pass"] - judged["fail"]
        assert (pair.task_id, pair.rejected[0].text) in judged["fail"] - judged["pass"]
        assert pair.margin >= 0
    for task in ("sums:0", "sums:1"):
        mine = [p for p in pairs if p.task_id == task]
        assert len(mine) <= max(0, sum(r.task_id == task for r in rows) - 1)
        assert len({p.chosen[0].text for p in mine}) <= 1
        assert len({p.rejected[0].text for p in mine}) == len(mine)


@given(groups)
def test_a_bound_takes_the_first_of_the_unbounded(rows):
    every, one = best_of_n_pairs(rows), best_of_n_pairs(rows, max_pairs_per_task=1)
    firsts = {p.task_id: p for p in reversed(every)}
    assert {p.task_id: p for p in one} == firsts


@given(groups)
def test_labels_are_the_verdicts_and_answers_distinct(rows):
    labelled = unpaired_preferences(rows)
    seen = [(u.task_id, u.completion[0].text) for u in labelled]
    assert len(seen) == len(set(seen))
    for item in labelled:
        outcomes = {
            row.verdict.outcome.value
            for row in rows
            if row.task_id == item.task_id
            and row.answer == item.completion[0].text
            and row.verdict
            and row.verdict.score is not None
            and row.extra["finish_reason"] == "stop"
        }
        assert outcomes == {"pass" if item.label else "fail"}


def scored(*scores, task_id="sums:0"):
    return [
        attempt(
            f"{n}:{score}",
            Verdict.passed(score=score) if score > 0.5 else Verdict.failed("x", score=score),
            task_id=task_id,
        )
        for n, score in enumerate(scores)
    ]


def test_a_ranking_of_k_answers_is_every_two_that_differ():
    pairs = ranked_pairs(scored(0.25, 1.0, 0.75, 0.25))
    assert texts(pairs) == [
        ("1:1.0", "2:0.75"),
        ("1:1.0", "0:0.25"),
        ("1:1.0", "3:0.25"),
        ("2:0.75", "0:0.25"),
        ("2:0.75", "3:0.25"),
    ]
    assert [p.margin for p in pairs] == [0.25, 0.75, 0.75, 0.5, 0.5]
    assert [p.weight for p in pairs] == [1.0] * 5
    assert len(ranked_pairs(scored(0.25, 1.0, 0.75, 0.25), min_margin=0.5)) == 4
    assert ranked_pairs(scored(1.0, 1.0)) == []


def test_every_prompt_of_a_ranking_counts_the_same():
    pairs = ranked_pairs([*scored(0.0, 1.0), *scored(0.0, 0.2, 0.7, 1.0, task_id="sums:1")])
    sums = {t: sum(p.weight for p in pairs if p.task_id == t) for t in ("sums:0", "sums:1")}
    assert sums["sums:0"] == pytest.approx(sums["sums:1"])
    assert sum(p.weight for p in pairs) == pytest.approx(len(pairs))


@given(groups)
def test_a_ranking_holds_the_best_of_n_and_follows_the_scores(rows):
    ranked = ranked_pairs(rows)
    assert set(map(repr, best_of_n_pairs(rows, min_margin=0.01))) <= {
        repr(attrs.evolve(pair, weight=1.0)) for pair in ranked
    }
    assert all(pair.margin > 0 for pair in ranked)
    assert len({frozenset((p.task_id, *t)) for p, t in zip(ranked, texts(ranked))}) == len(ranked)
    if ranked:
        assert sum(pair.weight for pair in ranked) == pytest.approx(len(ranked))


def test_a_passing_answer_is_not_rejected_for_a_failing_one():
    odd = [attempt("2", Verdict.passed(score=0.3)), attempt("3", Verdict.failed("x", score=0.9))]
    assert ranked_pairs(odd) == []
    with pytest.raises(ConfigError, match=r"min_margin must be a number in \[0, 1\], got 2"):
        ranked_pairs([], min_margin=2)


def test_attempt_given_twice_is_one_label():
    assert len(unpaired_preferences([attempt("3", FAIL)] * 2)) == 1
    assert unpaired_preferences([attempt("3", FAIL), attempt("3", PASS)]) == []
    same = attempt("3", FAIL)
    assert len(unpaired_preferences([same, same])) == 1


def test_unpaired_rows_come_back_as_they_were():
    (row,) = unpaired_preferences([attempt("3", FAIL)])
    assert row == UnpairedPreference(
        prompt=(Message("user", "1+1"),),
        completion=(Message("assistant", "3"),),
        label=False,
        env="sums",
        task_id="sums:0",
        metadata={"id": attempt("3", FAIL).id, "score": 0.0, "reason": "wrong answer"},
    )
    assert UnpairedPreference.from_row(row.to_row()) == row


def test_order_of_attempts_of_other_tasks_changes_nothing():
    mine = [attempt("2", PASS), attempt("3", FAIL)]
    other = [attrs.evolve(row, task_id="sums:1") for row in mine]
    mixed = best_of_n_pairs([other[0], mine[0], other[1], mine[1]])
    assert sorted(mixed, key=lambda p: p.task_id) == best_of_n_pairs(mine) + best_of_n_pairs(other)


@pytest.mark.parametrize(
    ("option", "message"),
    [
        ({"max_pairs_per_task": 0}, "max_pairs_per_task must be an integer >= 1, got 0"),
        ({"min_margin": -0.1}, r"min_margin must be a number in \[0, 1\], got -0.1"),
    ],
)
def test_bounds_out_of_range_are_errors(option, message):
    with pytest.raises(ConfigError, match=message):
        best_of_n_pairs([], **option)


def test_a_shown_answer_is_prompt_and_no_part_of_a_pair():
    shown = (Message("user", "0+1"), Message("assistant", "1"), Message("user", "1+1"))
    task = Task("sums", "sums:0", shown)
    rows = [
        attrs.evolve(Trajectory.following(task, Message("assistant", text)), verdict=verdict)
        for text, verdict in (("2", PASS), ("3", FAIL))
    ]
    (pair,) = best_of_n_pairs(rows)
    assert pair.prompt == shown
    assert texts([pair]) == [("2", "3")]
    assert [one.completion[0].text for one in unpaired_preferences(rows)] == ["2", "3"]
    assert [one.prompt for one in unpaired_preferences(rows)] == [shown, shown]
    unanswered = attrs.evolve(Trajectory.following(task), verdict=PASS)
    assert best_of_n_pairs([unanswered, rows[1]]) == []
