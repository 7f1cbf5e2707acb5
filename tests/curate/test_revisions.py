import attrs
import pytest

from orbiter.curate import chain_pairs, revision_pairs
from orbiter.records import Message, Verdict


def passed(*steps, score=1.0):
    return Verdict.passed(score=score, step_scores=steps)


def test_last_answer_is_chosen_over_the_first_without_the_critique(attempt):
    row = attempt("3", "check it", "no, 4", "once more", "2", verdict=passed(0.0, 0.1, 1.0))
    (pair,) = revision_pairs([row])
    assert pair.prompt == (Message("user", "1+1"),)
    assert (pair.chosen, pair.rejected) == (
        (Message("assistant", "2"),),
        (Message("assistant", "3"),),
    )
    assert pair.margin == 1.0
    assert pair.metadata == {"id": row.id, "revision": True}


def test_each_step_up_is_a_pair_and_no_other(attempt):
    turns = ("3", "?", "a critique", "!", "4", "?", "5", "?", "2")
    row = attempt(*turns, verdict=passed(0.2, None, 0.5, 0.5, 1.0))
    whole, *steps = revision_pairs([row], steps=True)
    assert [whole] == revision_pairs([row])
    assert [
        (p.rejected[0].text, p.chosen[0].text, p.margin, p.metadata["step"]) for p in steps
    ] == [
        ("3", "4", 0.3, 1),
        ("5", "2", 0.5, 3),
    ]


def test_a_step_that_is_the_whole_gives_no_second_pair(attempt):
    once = attempt("3", "?", "2", verdict=passed(0.0, 1.0))
    kept = attempt("3", "?", "2", "?", "2", verdict=passed(0.0, 1.0, 1.0))
    worse = attempt("3", "?", "1", "?", "2", verdict=passed(0.5, 0.25, 1.0))
    assert len(revision_pairs([once, kept], steps=True)) == 2
    assert [p.metadata.get("step") for p in revision_pairs([worse], steps=True)] == [None, 2]


def test_last_score_may_be_the_verdicts_own(attempt):
    row = attempt("3", "check it", "2", verdict=passed(0.25, score=0.75), round=2)
    (pair,) = revision_pairs([row])
    assert pair.margin == 0.5
    assert pair.metadata["round"] == 2


def test_a_first_answer_of_unknown_score_is_rejected_only_without_the_gate(attempt):
    row = attempt("3", "check it", "2", verdict=Verdict.passed())
    assert revision_pairs([row]) == []
    (pair,) = revision_pairs([row], gate=False)
    assert pair.margin is None
    unknown = attempt("3", "check it", "2", verdict=passed(None, 1.0))
    assert revision_pairs([unknown]) == []


@pytest.mark.parametrize("gate", [True, False])
def test_what_is_no_better_or_no_revision_gives_no_pair(attempt, gate):
    good = passed(0.0, 1.0)
    tool = Message("tool", "7", tool_call_id="1")
    called = attempt("3", "?", "2", verdict=good)
    rows = [
        attempt("2", verdict=good),
        attempt("2", "check it", " 2", verdict=good),
        attempt("2", "check it", "two", verdict=passed(1.0, 1.0)),
        attempt("3", "check it", "4", verdict=Verdict.failed("wrong", step_scores=(0.0, 0.1))),
        attempt("3", "check it", "2", verdict=Verdict.invalid("timeout", step_scores=(0.0, 1.0))),
        attempt("3", "check it", "2", verdict=good, finish_reason="length"),
        attempt("3", "check it", "2"),
        attrs.evolve(called, messages=(*called.messages[:2], tool, called.messages[3])),
    ]
    assert revision_pairs(rows, gate=gate) == []


def revised(attempt, *answers, score=1.0, **more):
    """Return the row of a chain: its last answer, and the chain in its metadata."""
    steps = [{"principle": "p", "critique": "c", "answer": text} for text in answers[1:]]
    told = {"revision": {"initial": answers[0], "steps": steps}}
    return attempt(answers[-1], verdict=Verdict.passed(score=score), metadata=told, **more)


def test_a_chain_gives_the_pairs_of_its_answers_as_they_are_judged(attempt):
    row = revised(attempt, "3", "4", "2")
    plain, failed = attempt("2", verdict=Verdict.passed()), revised(attempt, "3", "2")
    failed = attrs.evolve(failed, verdict=Verdict.failed("wrong"))
    asked = []

    def judge(rows):
        asked.extend(rows)
        scores = {"3": 0.0, "4": 0.5}
        return [Verdict.failed("low", score=scores[row.answer]) for row in rows]

    pairs = chain_pairs([row, plain, failed], judge)
    assert [(p.rejected[0].text, p.chosen[0].text, p.metadata.get("step")) for p in pairs] == [
        ("3", "2", None),
        ("3", "4", 1),
        ("4", "2", 2),
    ]
    assert {pair.metadata["id"] for pair in pairs} == {row.id}
    assert all(pair.prompt == row.prompt for pair in pairs)
    assert [(one.answer, one.score, one.verdict, one.metadata) for one in asked] == [
        ("3", None, None, {}),
        ("4", None, None, {}),
    ]


def test_a_chain_whose_first_answer_cannot_be_judged_or_is_as_good_gives_none(attempt):
    row = revised(attempt, "3", "2")
    assert chain_pairs([row], lambda rows: [Verdict.invalid("timeout") for _ in rows]) == []
    assert chain_pairs([row], lambda rows: [Verdict.passed() for _ in rows]) == []
    assert chain_pairs([], lambda rows: []) == []


def pairs_of(row, verdicts):
    made = chain_pairs([row], lambda rows: [verdicts[one.answer] for one in rows])
    return [(p.rejected[0].text, p.chosen[0].text, p.metadata.get("step")) for p in made]


def test_a_judge_that_contradicts_itself_pairs_no_answer_with_itself(attempt):
    row = revised(attempt, "3", "2", " 2")
    failed = Verdict.failed("no")
    assert pairs_of(row, {"3": failed, "2": failed}) == [("3", " 2", None)]
    talk = attempt("3", "?", "2", "?", "2 ", verdict=passed(0.0, 0.5, 1.0))
    assert [p.metadata.get("step") for p in revision_pairs([talk], steps=True)] == [None]


def test_an_answer_that_passed_is_rejected_for_none_that_failed(attempt):
    row = revised(attempt, "3", "4", "5", "2")
    verdicts = {
        "3": Verdict.failed("no", score=0.1),
        "4": Verdict.passed(score=0.5),
        "5": Verdict.failed("no", score=0.6),
    }
    assert pairs_of(row, verdicts) == [("3", "2", None), ("3", "4", 1), ("5", "2", 3)]


def test_no_step_leads_over_an_answer_that_cannot_be_judged(attempt):
    row = revised(attempt, "3", "4", "5", "2")
    half, unknown = Verdict.failed("no", score=0.5), Verdict.invalid("timeout")
    verdicts = {"3": Verdict.failed("no"), "4": unknown, "5": half}
    assert pairs_of(row, verdicts) == [("3", "2", None), ("5", "2", 3)]
