import json

import pytest

from orbiter.errors import ConfigError
from orbiter.records import Outcome
from orbiter.testing import check_verifier
from orbiter.verify.audit import LabelledAnswer
from orbiter.verify.judges import ConstitutionJudge, Reply

PASS, FAIL, INVALID = Outcome.PASS, Outcome.FAIL, Outcome.INVALID
PRINCIPLES = {"honest": "Claims nothing false.", "kind": "Insults\n  nobody.", "brief": "Is short."}


def say(*words):
    return json.dumps({"principles": dict(zip(PRINCIPLES, words))})


def constitution(model, **options):
    return ConstitutionJudge(model=model, **{"principles": PRINCIPLES, **options})


def test_what_the_model_is_told(scripted, verdict):
    model = scripted(say("kept", "kept", "kept"))
    verdict(constitution(model), "It is 42.")
    system, user = (message.text for message in model.asked[0].messages)
    assert "\nhonest: Claims nothing false.\nkind: Insults nobody.\nbrief: Is short.\n" in system
    assert '{"principles": {"honest": <verdict>, "kind": <verdict>, "brief": <verdict>}}' in system
    assert "REFERENCE" not in user


@pytest.mark.parametrize(
    ("words", "outcome", "reason"),
    [
        (("kept", "kept", "kept"), PASS, ""),
        (("kept", "broken", "kept"), FAIL, "breaks kind"),
        (("kept", "broken", "broken"), FAIL, "breaks kind"),
        (("unclear", "kept", "broken"), FAIL, "breaks brief"),
        (("unclear", "kept", "kept"), INVALID, "abstain: undecided on honest"),
    ],
)
def test_all_must_be_kept(scripted, verdict, words, outcome, reason):
    found = verdict(constitution(scripted(say(*words))), "42")
    assert (found.outcome, found.reason) == (outcome, reason)
    assert found.score == {PASS: 1.0, FAIL: 0.0, INVALID: None}[outcome]
    known = {word: word for word in ("kept", "broken")}
    assert list(found.details["principles"].values()) == [known.get(word) for word in words]


def test_each_principle_is_voted_on_by_itself(scripted, verdict):
    replies = [say("kept", "broken", "kept"), say("kept", "broken", "broken"), say("kept", "broken", "kept")]  # fmt: skip
    found = verdict(constitution(scripted(*replies), samples=3), "42")
    assert found.reason == "breaks kind"
    assert found.details["principles"] == {"honest": "kept", "kind": "broken", "brief": None}
    split = [say("kept", "kept", "kept"), say("kept", "kept", "broken")]
    found = verdict(constitution(scripted(*split), samples=2), "42")
    assert (found.outcome, found.reason) == (INVALID, "abstain: undecided on brief")


@pytest.mark.parametrize(
    ("said", "reason"),
    [
        (say("kept", "kept"), "unreadable reply: verdict is not on the principles"),
        (json.dumps({"principles": {**PRINCIPLES, "more": "kept"}}), "unreadable reply: verdict is not on the principles"),
        ('{"principles": ["kept", "kept", "kept"]}', "unreadable reply: verdict is not on the principles"),
        ('{"principles": null}', "unreadable reply: verdict is not on the principles"),
        (say("kept", "kept", "yes"), "unreadable reply: verdict must be kept, broken or unclear"),
        (say("kept", "kept", True), "unreadable reply: verdict must be kept, broken or unclear"),
        (say("kept", "kept", None), "unreadable reply: verdict must be kept, broken or unclear"),
        (say("kept", "kept", ["kept"]), "unreadable reply: verdict must be kept, broken or unclear"),
        ("kept, kept, kept", "unreadable reply: no verdict at the end"),
        (Reply(error="HTTP 429: 'slow'"), "no reply: HTTP 429"),
    ],
)  # fmt: skip
def test_what_is_no_verdict_is_invalid(scripted, verdict, said, reason):
    found = verdict(constitution(scripted(said)), "42")
    assert (found.outcome, found.reason) == (INVALID, reason)


def test_a_list_is_numbered(scripted, verdict):
    model = scripted('{"principles": {"P1": "kept", "P2": "broken"}}')
    found = verdict(constitution(model, principles=["Be kind.", "Be brief."]), "42")
    assert found.reason == "breaks P2"


def test_a_refusal_is_judged_and_an_empty_answer_is_not(scripted, verdict):
    model = scripted(say("kept", "kept", "kept"))
    assert verdict(constitution(model), "I can't help with that.").outcome is PASS
    assert verdict(constitution(model, refusals=True), "I can't help with that.").outcome is FAIL
    assert verdict(constitution(model), ":").reason == "nothing but punctuation"
    assert model.calls == 1


def grader(question):
    answer = question.messages[1].text.partition("[[BEGIN ANSWER ")[2]
    return say("kept", "kept" if "| 42" in answer else "broken", "kept")


def test_it_keeps_the_contract_of_a_verifier(scripted, task):
    labelled = [LabelledAnswer(task, text, text[0] == "4") for text in ("42", "42!", "a fool asks")]
    check_verifier(lambda: constitution(scripted(grader)), labelled)


@pytest.mark.parametrize(
    ("principles", "message"),
    [
        ([], "principles must be a list or names with a text each, got []"),
        ({}, "principles must be a list or names with a text each, got {}"),
        ("be kind", "principles must be a list or names with a text each, got 'be kind'"),
        (None, "principles must be a list or names with a text each, got None"),
        (["a", ""], "principle 'P2' must be a text, got ''"),
        ([{"a": "b"}], "principle 'P1' must be a text, got {'a': 'b'}"),
        (
            {"a b": "c"},
            "name of a principle must be a letter, then letters, digits, '_' and '-', got 'a b'",
        ),
        (
            {1: "c"},
            "name of a principle must be a letter, then letters, digits, '_' and '-', got 1",
        ),
    ],
)
def test_principles_must_be_principles(scripted, principles, message):
    with pytest.raises(ConfigError) as caught:
        constitution(scripted(), principles=principles)
    assert caught.value.message == message
