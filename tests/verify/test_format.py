import time

import pytest

from orbiter.errors import ConfigError
from orbiter.records import Message, Outcome, Task, Trajectory
from orbiter.verify.answer import answered
from orbiter.verify.exact import ExactVerifier
from orbiter.verify.format import FormatVerifier, SectionVerifier

PASS, FAIL, INVALID = Outcome.PASS, Outcome.FAIL, Outcome.INVALID
TASK = Task("e", "e:1", (Message("user", "q"),), answer="42")
GOOD = "<think>6*7</think><answer>42</answer>"


def verdict_on(text, **options):
    return FormatVerifier(**options).verify(TASK, answered(TASK, text))


@pytest.mark.parametrize(
    "text",
    [
        GOOD,
        "<think>\n6*7\n</think>\n\n<answer>\n42\n</answer>\n",
        "<think>a < b > c, <b>bold</b>, <thinking></thinking></think><answer>42</answer>",
        "<think>1 << 2</think><answer><answers>42</answers></answer>",
    ],
)
def test_good_forms(text):
    verdict = verdict_on(text)
    assert (verdict.outcome, verdict.score, verdict.reason) == (PASS, 1.0, "")


BAD = [
    ("", "no answer"),
    (" \n", "no answer"),
    ("42", "a section is missing"),
    ("<answer>42</answer>", "a section is missing"),
    ("<think>6*7</think>42", "a section is missing"),
    ("<think>6*7<answer>42</answer>", "a section is missing"),
    ("<think>6*7</think><answer>42", "a section is missing"),
    ("<think>6*7</think><answer>42<answer>", "a section is missing"),
    ("&lt;think&gt;6*7&lt;/think&gt;<answer>42</answer>", "a section is missing"),
    ("＜think＞6*7＜/think＞<answer>42</answer>", "a section is missing"),
    ("<Think>6*7</Think><answer>42</answer>", "a tag is misspelt"),
    ("< think >6*7</think><answer>42</answer>", "a tag is misspelt"),
    ("<think>6*7</ think><answer>42</answer>", "a tag is misspelt"),
    ("<think>6*7</think/><answer>42</answer>", "a tag is misspelt"),
    ('<think>6*7</think><answer score="1">42</answer>', "a tag is misspelt"),
    ("<answer\n>41</answer>" + GOOD, "a tag is misspelt"),
    ("<answer/>" + GOOD, "a tag is misspelt"),
    (GOOD + "<answer>41</answer>", "a section occurs twice"),
    (GOOD + GOOD, "a section occurs twice"),
    ("<think>" + GOOD, "a section occurs twice"),
    (
        "<think>is it <answer>41</answer>?</think><answer>42</answer>",
        "a section occurs twice",
    ),
    ("<answer>42</answer><think>6*7</think>", "sections are in the wrong order"),
    ("<think>6*7<answer>42</answer></think>", "sections are in the wrong order"),
    ("</think>6*7<think><answer>42</answer>", "sections are in the wrong order"),
    ("so: " + GOOD, "text outside the sections"),
    (GOOD + " or 41", "text outside the sections"),
    ("<think>6*7</think>and<answer>42</answer>", "text outside the sections"),
    ("<think></think><answer>42</answer>", "a section is empty"),
    ("<think>6*7</think><answer> </answer>", "a section is empty"),
    ("<think>\u200b \u2060</think><answer>42</answer>", "a section is empty"),
    ("<think>\u3164\u115f</think><answer>42</answer>", "a section is empty"),
    ("<think>6*7</think><answer>\ufe01\u2800</answer>", "a section is empty"),
]


@pytest.mark.parametrize(("text", "reason"), BAD)
def test_bad_forms(text, reason):
    verdict = verdict_on(text)
    assert (verdict.outcome, verdict.score, verdict.reason) == (FAIL, 0.0, reason)


def test_a_template_that_opened_the_first_section():
    assert verdict_on("6*7</think><answer>42</answer>", opened=True).outcome is PASS
    assert verdict_on(GOOD, opened=True).reason == "a section occurs twice"
    assert verdict_on("", opened=True).reason == "no answer"


@pytest.mark.parametrize(
    ("text", "reason"),
    [
        ("<think>6*7</think> 42", ""),
        ("<think>6*7</think>", "a section is empty"),
        ("<think> </think>42", "a section is empty"),
        ("so <think>6*7</think>42", "text outside the sections"),
        ("<think>6*7</think>42<think>?</think>", "a section occurs twice"),
    ],
)
def test_a_tail(text, reason):
    assert verdict_on(text, sections=["think"], tail=True).reason == reason


def test_the_last_turn_counts():
    messages = (*TASK.messages, Message("assistant", GOOD), Message("user", "?"))
    verifier = FormatVerifier()
    assert verifier.verify(TASK, Trajectory(messages, "e", "e:1", None)).outcome is FAIL
    messages = (*TASK.messages, Message("assistant", GOOD, tool_calls=({},)))
    assert verifier.verify(TASK, Trajectory(messages, "e", "e:1", None)).outcome is FAIL


@pytest.mark.parametrize(
    ("sections", "message"),
    [
        ([], "sections must be a list of at least one name, got []"),
        ("think", "sections must be a list of at least one name, got 'think'"),
        (["a b"], "sections must be letters, digits, '_' and '-', got 'a b'"),
        (["<x>"], "sections must be letters, digits, '_' and '-', got '<x>'"),
        ([1], "sections must be letters, digits, '_' and '-', got 1"),
        (["a", "A"], "sections must have names of their own, got ['a', 'A']"),
    ],
)
def test_options(sections, message):
    with pytest.raises(ConfigError) as caught:
        FormatVerifier(sections)
    assert caught.value.message == message


@pytest.mark.parametrize(
    "text", ["<" * 100_000, "<think" * 20_000, "<a " * 30_000, "</think>" * 9_999]
)
def test_hostile_texts_take_no_time(text):
    started = time.process_time()
    assert verdict_on(text).outcome is FAIL
    assert time.process_time() - started < 1


@pytest.mark.parametrize(
    ("text", "outcome", "reason"),
    [
        (GOOD, PASS, ""),
        ("<answer> 42 </answer>", PASS, ""),
        ("it is <answer>42</answer>", PASS, ""),
        ("<think><answer>42</answer></think><answer>41</answer>", FAIL, "wrong answer"),
        ("<think><answer>42</answer></think>", FAIL, "a section is missing"),
        ("<think><answer>42</answer>", FAIL, "no answer"),
        ("42", FAIL, "a section is missing"),
        ("<answer>42</answer><answer>41</answer>", FAIL, "not one section"),
        ("<answer>41<answer>42</answer>", FAIL, "not one section"),
        ("<answer>42", FAIL, "not one section"),
        ("<ANSWER>42</ANSWER>", FAIL, "not one section"),
    ],
)
def test_a_section_is_judged(text, outcome, reason):
    verdict = SectionVerifier("exact").verify(TASK, answered(TASK, text))
    assert (verdict.outcome, verdict.reason) == (outcome, reason)


def test_the_section_follows_the_same_prompt():
    class Seen(ExactVerifier):
        def verify(self, task, trajectory):
            assert trajectory.messages == (*TASK.messages, Message("assistant", "42"))
            return super().verify(task, trajectory)

    assert SectionVerifier(Seen()).verify(TASK, answered(TASK, GOOD)).outcome is PASS


def test_a_section_keeps_invalid():
    task = Task("e", "e:1", TASK.messages)
    verdict = SectionVerifier(ExactVerifier()).verify(task, answered(task, GOOD))
    assert (verdict.outcome, verdict.reason) == (INVALID, "task has no reference text")


def test_the_tag_of_a_section():
    text = "<final-result>42</final-result>"
    verifier = SectionVerifier("exact", tag="final-result")
    assert verifier.verify(TASK, answered(TASK, text)).outcome is PASS
    with pytest.raises(ConfigError, match="tag must be letters"):
        SectionVerifier("exact", tag="")


def test_versions_tell_options_apart():
    makes = [
        FormatVerifier(),
        FormatVerifier(["a"]),
        FormatVerifier(tail=True),
        SectionVerifier("exact"),
        SectionVerifier("numeric"),
        SectionVerifier("exact", tag="a"),
    ]
    assert len({verifier.version for verifier in makes}) == 6
