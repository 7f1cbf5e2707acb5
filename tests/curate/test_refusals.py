import pytest
from hypothesis import given
from hypothesis import strategies as st

from orbiter.curate import balanced_refusals, is_refusal, refusal_pairs, refusal_rates
from orbiter.records import Message, Trajectory, Verdict
from orbiter.verify.judges.attacks import REFUSALS

NO, YES = "I'm sorry, but I can't help with that.", "Sure: mix the two."
PASS, FAIL, INVALID = Verdict.passed(), Verdict.failed("bad"), Verdict.invalid("timeout")


@pytest.mark.parametrize(
    "text",
    [
        NO,
        *(text for text in REFUSALS if "don't know" not in text),
        "I cannot assist with this request.",
        "I can’t do that.",
        "Sorry, I won't provide instructions for that.",
        "Unfortunately, I am not able to share this.",
        "As an AI language model, I cannot answer.",
        "No, I will not.",
        "We are not allowed to discuss that.",
        "I must decline to answer.",
        "**I'm unable to help.**",
        "I'm afraid I can't do that.",
        "Unfortunately, I cannot.",
        "I'm not comfortable writing that.",
        "I refuse.",
    ],
)
def test_refusals_are_seen(text):
    assert is_refusal(text)


@pytest.mark.parametrize(
    "text",
    [
        "",
        YES,
        "2",
        "You cannot divide by zero.",
        "Sorry for the delay; here is the list.",
        "I can help with that.",
        "The answer is no.",
        "No, 3 is odd.",
        "She said: I'm sorry, but I can't help with that.",
        "I cannot overstate how useful this is.",
        "I can't wait to help!",
        "As an AI, I find this easy: 4.",
        "I don't know.",
        "We cannot divide by zero, so x is 2.",
        "I will not only list them but explain each.",
        "I couldn't agree more.",
        "I can't find an error in your proof.",
        "I am comfortable with that: 4.",
    ],
)
def test_answers_are_not_taken_for_refusals(text):
    assert not is_refusal(text)


@pytest.mark.timeout(20)
@pytest.mark.parametrize("part", ["as an ai ", "sorry, but ", "no", " ", "i am so sorry ", "i'm "])
def test_hostile_text_takes_no_time(part):
    assert not is_refusal(part * 100_000 + "x")


def row(text, unsafe, verdict=PASS, *, task_id="t:0", **extra):
    metadata = {} if unsafe is None else {"unsafe": unsafe}
    messages = (Message("user", "how?"), Message("assistant", text))
    return Trajectory(
        messages, "chat", task_id, None, verdict=verdict, metadata=metadata, extra=extra
    )


def test_both_rates_are_tracked_and_what_is_unknown_is_in_neither():
    rows = [row(NO, False), *[row(YES, False)] * 3, row(NO, True), row(YES, True), row(NO, None)]
    found = refusal_rates([*rows, row(" ", True), row(NO, "yes")])
    assert (found.on_safe.value, found.on_unsafe.value) == (0.25, 0.5)
    assert (found.unknown, found.unanswered) == (2, 1)
    assert found.on_safe.interval.low < 0.25 < found.on_safe.interval.high
    assert refusal_rates([]).on_safe.value is None


def test_refusals_are_rejected_on_safe_prompts_and_chosen_on_unsafe_ones():
    safe = [row(YES, False), row(NO, False, FAIL)]
    unsafe = [row(YES, True, FAIL, task_id="t:1"), row(NO, True, task_id="t:1")]
    found = refusal_pairs(safe + unsafe)
    assert [(p.chosen[0].text, p.rejected[0].text, p.metadata["refusal"]) for p in found] == [
        (YES, NO, "rejected"),
        (NO, YES, "chosen"),
    ]
    assert [p.margin for p in found] == [1.0, 1.0]


verdicts = st.sampled_from([None, PASS, FAIL, INVALID])
rows = st.lists(
    st.builds(
        row,
        st.sampled_from([NO, YES, "I cannot do it.", "Here you are."]),
        st.sampled_from([True, False, None]),
        verdicts,
        finish_reason=st.sampled_from(["stop", "length"]),
    ),
    max_size=10,
)


@given(rows, st.booleans())
def test_gate_and_side_hold_for_every_pair(rows, gate):
    by_id = {}
    for r in rows:
        by_id.setdefault(r.id, []).append(r)
    side = rows[0].metadata.get("unsafe") if rows else None
    for pair in refusal_pairs(rows, gate=gate, unsafe=lambda _: side):
        assert is_refusal(pair.chosen[0].text) == side
        assert is_refusal(pair.rejected[0].text) != side
        assert pair.metadata["refusal"] == ("chosen" if side else "rejected")
        chosen, rejected = by_id[pair.metadata["chosen_id"]], by_id[pair.metadata["rejected_id"]]
        good = [PASS] if gate else [PASS, None]
        bad = [FAIL] if gate else [FAIL, None]
        assert any(r.verdict in good and r.extra["finish_reason"] == "stop" for r in chosen)
        assert any(r.verdict in bad and r.extra["finish_reason"] == "stop" for r in rejected)
        assert pair.margin is None or pair.margin >= 0
        assert gate <= (pair.margin is not None)


def test_an_answer_that_failed_is_never_chosen_nor_one_that_passed_rejected():
    failed = [row(YES, False, FAIL), row(NO, False, FAIL)]
    assert refusal_pairs(failed) == refusal_pairs(failed, gate=False) == []
    right = [row(YES, False), row(NO, False)]
    assert refusal_pairs(right) == refusal_pairs(right, gate=False) == []


def test_answers_judged_both_ways_or_at_odds_with_their_score_give_no_pair():
    assert refusal_pairs([row(YES, False), row(YES, False, FAIL), row(NO, False, FAIL)]) == []
    odd = [
        row(YES, False, Verdict.passed(score=0.2)),
        row(NO, False, Verdict.failed("x", score=0.5)),
    ]
    assert refusal_pairs(odd) == []


def test_rows_that_disagree_on_their_prompt_give_no_pair():
    assert refusal_pairs([row(YES, False), row(NO, True, FAIL)]) == []
    assert len(refusal_pairs([row(YES, None), row(NO, False, FAIL)])) == 1


@pytest.mark.parametrize("order", [slice(None), slice(None, None, -1)])
def test_a_verdict_counts_for_the_same_answer_without_one(order):
    refused = row(NO, False, FAIL)
    wrong = [row(YES, False, None), row(YES, False, FAIL)][order]
    assert refusal_pairs([*wrong, refused], gate=False) == []
    right = [row(YES, False, None), row(YES, False)][order]
    (pair,) = refusal_pairs([*right, refused], gate=False)
    assert pair.margin == 1.0


def test_without_the_gate_answers_need_no_verdict():
    rows = [row(YES, False, None), row(NO, False, None)]
    assert refusal_pairs(rows) == []
    (pair,) = refusal_pairs(rows, gate=False)
    assert pair.margin is None


def test_other_languages_bring_their_own_classifier():
    rows = [row("Das geht.", False), row("Nein.", False, FAIL)]
    assert refusal_pairs(rows) == []
    assert len(refusal_pairs(rows, refuses=lambda text: text == "Nein.")) == 1


@given(st.lists(st.sampled_from(["chosen", "rejected", None]), max_size=20), st.integers(0, 3))
def test_balance_leaves_as_many_of_each_and_all_others(sides, seed):
    from orbiter.records import Pair

    pairs = [
        Pair((), (), (), task_id=str(i), metadata={} if side is None else {"refusal": side})
        for i, side in enumerate(sides)
    ]
    found = balanced_refusals(pairs, seed=seed)
    least = min(sides.count("chosen"), sides.count("rejected"))
    kept = [p.metadata.get("refusal") for p in found]
    assert [kept.count(side) for side in ("chosen", "rejected")] == [least, least]
    assert kept.count(None) == sides.count(None)
    assert [int(p.task_id) for p in found] == sorted(int(p.task_id) for p in found)
    assert found == balanced_refusals(pairs, seed=seed)
