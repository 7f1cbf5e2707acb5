"""What all judges have in common, on the pointwise one."""

import attrs
import pytest

from orbiter import jsonl
from orbiter.convert import unstructure
from orbiter.errors import ConfigError, MissingPluginError
from orbiter.records import Message, Outcome, Trajectory, Verdict
from orbiter.verify.answer import answered
from orbiter.verify.judges import (
    ConstitutionJudge,
    Judge,
    JudgeModel,
    PairwiseJudge,
    PointwiseJudge,
    Reply,
)
from orbiter.verify.judges.attacks import HOLLOW, INSTRUCTIONS, REFUSALS
from orbiter.verify.judges.prompt import FENCES, REMINDER, task_sections
from orbiter.verify.judges.votes import Votes

PASS, FAIL, INVALID = Outcome.PASS, Outcome.FAIL, Outcome.INVALID
YES, NO = '{"score": 10}', '{"score": 0}'


def pointwise(model, **options):
    return PointwiseJudge(model=model, **{"rubric": "It is right.", **options})


def test_what_the_model_is_asked(scripted, verdict):
    model = scripted(YES)
    verdict(pointwise(model, temperature=0.7, max_tokens=99), "It is 42.")
    [question] = model.asked
    system, user = question.messages
    assert (system.role, user.role) == ("system", "user")
    assert "Rubric:\nIt is right.\n" in system.text
    assert '{"score": <a number from 0 to 10, or null if you cannot tell>}' in system.text
    assert user.text.endswith(f"]]{REMINDER}")
    assert [line for line in user.text.splitlines() if line.startswith("| ")] == [
        "| What is 6 * 7?",
        "| 42",
        "| It is 42.",
    ]
    assert (question.temperature, question.max_tokens) == (0.7, 99)


def test_the_temperature_is_low_unless_said(scripted, verdict):
    model = scripted(YES)
    verdict(pointwise(model), "42")
    assert model.asked[0].temperature == 0.2


def test_samples_differ_in_their_seed_alone(scripted, verdict):
    one, again, other = scripted(YES), scripted(YES), scripted(YES)
    verdict(pointwise(one, samples=3), "42")
    verdict(pointwise(again, samples=3), "42")
    verdict(pointwise(other, samples=3, seed=1), "42")
    assert len({question.seed for question in one.asked}) == 3
    assert all(question.messages == one.asked[0].messages for question in one.asked)
    assert one.asked == again.asked
    assert {q.seed for q in one.asked}.isdisjoint(q.seed for q in other.asked)
    assert all(0 <= question.seed < 2**63 for question in one.asked)


def test_every_message_of_the_task_is_shown_under_its_role(scripted, verdict):
    model = scripted(YES)
    call = {"id": "1", "type": "function", "function": {"name": "f", "arguments": "{}"}}
    messages = (
        Message("system", "be brief"),
        Message("user", "a"),
        Message("assistant", tool_calls=(call,)),
        Message("tool", "found", tool_call_id="1"),
        Message("user", [{"type": "text", "text": "b"}]),
    )
    verdict(pointwise(model), "42", messages=messages)
    shown = model.asked[0].messages[1].text
    titles = [line.split()[1:-1] for line in shown.splitlines() if line.startswith("[[BEGIN")]
    assert [" ".join(title) for title in titles] == [
        "TASK SYSTEM", "TASK USER", "TASK ASSISTANT", "TASK TOOL", "TASK USER", "REFERENCE", "ANSWER",
    ]  # fmt: skip
    assert '"name": "f"' in shown


def test_thoughts_are_not_shown(scripted, verdict):
    model = scripted(YES)
    verdict(pointwise(model), "<think>the judge is a fool</think>42")
    assert "fool" not in model.asked[0].messages[1].text


@pytest.mark.parametrize("answer", [*HOLLOW, *REFUSALS, *INSTRUCTIONS, "<think>42", "<think>42</think>"])  # fmt: skip
def test_an_attack_fails_before_anyone_is_asked(scripted, verdict, answer):
    model = scripted(YES)
    said = verdict(pointwise(model), answer)
    assert (said.outcome, said.score, model.calls) == (FAIL, 0.0, 0)


@pytest.mark.parametrize(
    "messages",
    [(), (Message("user", "q"),), (Message("assistant", "42"), Message("user", "q"))],
)
def test_without_an_answer_nobody_is_asked(scripted, task, messages):
    model = scripted(YES)
    trajectory = attrs.evolve(answered(task, "42"), messages=messages)
    assert pointwise(model).verify(task, trajectory) == Verdict.failed("no answer")
    assert model.calls == 0


def test_a_picture_cannot_be_judged(scripted, verdict):
    picture = {"type": "image_url", "image_url": {"url": "data:"}}
    messages = (Message("user", [{"type": "text", "text": "what is it?"}, picture]),)
    said = verdict(pointwise(scripted(YES)), "a cat", messages=messages)
    assert said == Verdict.invalid("task holds more than text")


def test_a_picture_in_an_answer_cannot_be_judged(scripted, task):
    picture = {"type": "image_url", "image_url": {"url": "data:"}}
    model = scripted(YES)
    turn = Message("assistant", [{"type": "text", "text": "a cat"}, picture])
    said = pointwise(model).verify(task, Trajectory.following(task, turn))
    assert (said, model.calls) == (Verdict.invalid("answer holds more than text"), 0)


def test_what_is_too_long_is_not_cut_but_invalid(scripted, verdict):
    model = scripted(YES)
    fits = 32_000 - len("What is 6 * 7?") - len("42")
    assert verdict(pointwise(model), "x" * fits).outcome is PASS
    assert verdict(pointwise(model), "x" * (fits + 1)) == Verdict.invalid("too long to be judged")
    assert verdict(pointwise(model, max_length=17), "xx").outcome is INVALID


UNREADABLE = {
    "prose": ("It is right.", "unreadable reply: no verdict at the end"),
    "two verdicts": (YES + NO, "unreadable reply: two verdicts"),
    "NaN": ('{"score": NaN}', "unreadable reply: no verdict at the end"),
    "out of range": ('{"score": 11}', "unreadable reply: score is out of range"),
    "truncated": (Reply(text=YES, truncated=True), "reply was cut off"),
    "no reply": (Reply(error="HTTP 500: 'oops'"), "no reply: HTTP 500"),
    "cannot tell": ('{"score": null}', "abstain: judge cannot tell"),
}


@pytest.mark.parametrize(("said", "reason"), UNREADABLE.values(), ids=UNREADABLE)
def test_what_is_no_verdict_is_invalid(scripted, verdict, said, reason):
    found = verdict(pointwise(scripted(said)), "42")
    assert (found.outcome, found.score, found.reason) == (INVALID, None, reason)


@pytest.mark.parametrize("unknown", UNREADABLE)
def test_one_unknown_sample_decides_nothing(scripted, verdict, unknown):
    said, reason = UNREADABLE[unknown]
    found = verdict(pointwise(scripted(YES, YES, said), samples=3), "42")
    assert (found.outcome, found.reason) == (INVALID, reason)
    five = verdict(pointwise(scripted(YES, YES, YES, YES, said), samples=5), "42")
    assert (five.outcome, five.score) == (PASS, 1.0)


@pytest.mark.parametrize(
    ("replies", "outcome"),
    [
        ([YES, YES, YES], PASS), ([NO, NO, NO], FAIL), ([YES, YES, NO], INVALID), ([NO, YES], INVALID),
        ([YES, YES, NO, YES, YES], PASS), ([NO, YES, NO, NO, NO], FAIL), ([YES, NO, YES, NO, YES], INVALID),
    ],
)  # fmt: skip
def test_samples_vote(scripted, verdict, replies, outcome):
    found = verdict(pointwise(scripted(*replies), samples=len(replies)), "42")
    assert found.outcome is outcome
    assert outcome is not INVALID or found.reason == "abstain: votes under the margin"


def test_a_lower_margin_abstains_less(scripted, verdict):
    judge_ = pointwise(scripted(YES, YES, NO), samples=3, margin=0.5)
    assert verdict(judge_, "42").outcome is PASS


class Broken(JudgeModel):
    model = "broken"

    def __init__(self, value):
        self.value = value

    def ask(self, questions):
        if isinstance(self.value, Exception):
            raise self.value
        return self.value


@pytest.mark.parametrize(
    ("value", "reason"),
    [
        (RuntimeError("x: y"), "no reply: RuntimeError"),
        ([], "no reply: 0 replies to 1 questions"),
        ([Reply(text=YES)] * 2, "no reply: 2 replies to 1 questions"),
        ([YES], "no reply: str is no Reply"),
        ([None], "no reply: NoneType is no Reply"),
        (None, "no reply: TypeError"),
        ([Reply()], "no reply: "),
        ([Reply(error="\ud800\x1b: x")], "no reply: \\ud800\\u001b"),
    ],
)
def test_a_model_that_breaks_its_contract_makes_the_verdict_invalid(verdict, value, reason):
    found = verdict(pointwise(Broken(value)), "42")
    assert (found.outcome, found.reason) == (INVALID, reason)


def test_what_the_verdict_carries(scripted, verdict):
    reply = Reply(text=YES, model="small-2", prompt_tokens=100, completion_tokens=7, cost=0.25)
    found = verdict(pointwise(scripted(reply, reply), samples=2), "42")
    details = {k: v for k, v in found.details.items() if k not in ("prompt", "log_odds")}
    assert details == {
        "model": "scripted",
        "values": [1.0, 1.0],
        "prompt_tokens": 200,
        "completion_tokens": 14,
        "cost": 0.5,
        "served_by": ["small-2"],
    }
    assert found.details["log_odds"] == pytest.approx(1.609, abs=1e-3)
    assert jsonl.loads(jsonl.dumps(found), source="x", line=1) == unstructure(found)


def test_a_sum_with_an_unknown_part_is_unknown(scripted, verdict):
    replies = [Reply(text=YES, prompt_tokens=1, cost=1.0), Reply(text=YES, completion_tokens=1)]
    details = verdict(pointwise(scripted(*replies), samples=2), "42").details
    assert (details["prompt_tokens"], details["completion_tokens"], details["cost"]) == (None,) * 3


def test_faults_are_shown_with_the_end_of_the_reply(scripted, verdict):
    said = "x" * 400 + "\x1b\ud800 no idea"
    details = verdict(pointwise(scripted(said)), "42").details
    [fault] = details["faults"]
    assert fault["fault"] == "unreadable reply: no verdict at the end"
    assert fault["reply"].endswith("x\\u001b\\ud800 no idea")
    jsonl.dumps(details)


def test_the_prompt_hash_is_that_of_the_prompt(scripted, verdict):
    def prompt(answer="42", **options):
        return verdict(pointwise(scripted(YES), **options), answer).details["prompt"]

    assert prompt() == prompt(samples=3, temperature=0.9)
    assert (
        len({prompt(), prompt("43"), prompt(rubric="It is short."), prompt(reference=False)}) == 4
    )


def test_a_batch_is_asked_at_once_and_judged_like_its_items(scripted, task):
    def grader(question):
        return YES if "| 42\n[[END ANSWER" in question.messages[1].text else NO

    answers = ["42", "41", ":", "42", "x" * 40_000, "40"]
    items = [(task, answered(task, answer)) for answer in answers]
    model = scripted(grader)
    judge_ = pointwise(model, samples=2)
    batch = judge_.verify_batch(items)
    assert model.calls == 1
    assert [v.outcome for v in batch] == [PASS, FAIL, FAIL, PASS, INVALID, FAIL]
    assert batch == [judge_.verify(*item) for item in items]
    assert judge_.verify_batch([]) == []


class YesNo(Judge):
    name, keys = "yes_no", ("yes",)
    instructions = f"Is the answer in the section ANSWER polite? {FENCES}"

    def prompts(self, task, answer):
        if answer == "raise":
            raise KeyError("x")
        return [[*task_sections(task), ("ANSWER", answer)]]

    def read(self, verdict):
        return float({"yes": 1, "no": 0}[verdict["yes"]])

    def decide(self, evidence):
        details = evidence.details
        decision = Votes.of(s.value for s in evidence.samples[0]).decide(self.margin)
        if decision is None:
            return Verdict.invalid(evidence.unknown("votes under the margin"), details=details)
        return Verdict.passed(details=details) if decision else 1 / 0


def test_a_judge_of_ones_own_that_raises_spoils_no_other_answer(scripted, task):
    said = scripted('{"yes": "yes"}', '{"yes": "no"}', '{"yes": ["maybe"]}', '{"yes": "yes"}')
    answers = ["a", "raise", "b", "c", "d"]
    found = YesNo(model=said).verify_batch([(task, answered(task, text)) for text in answers])
    assert [(v.outcome, v.reason) for v in found] == [
        (PASS, ""),
        (INVALID, "error: KeyError: 'x'"),
        (INVALID, "error: ZeroDivisionError: division by zero"),
        (INVALID, "unreadable reply: read raised TypeError"),
        (PASS, ""),
    ]


@pytest.mark.parametrize(
    "fields",
    [
        {"text": 7}, {"text": b"x"}, {"error": None}, {"truncated": "no"}, {"model": 7}, {"prompt_tokens": -1},
        {"completion_tokens": 1.5}, {"cost": float("nan")}, {"cost": -1.0}, {"cost": float("inf")},
    ],
)  # fmt: skip
def test_a_reply_that_no_row_can_hold_cannot_be_made(fields):
    with pytest.raises((TypeError, ConfigError)):
        Reply(**fields)


def test_version_tells_models_prompts_and_options_apart(scripted):
    model, other = scripted(model="a"), scripted(model="b")
    judges = [
        pointwise(model), pointwise(other), pointwise(model, rubric="r"), pointwise(model, scale=5),
        pointwise(model, samples=3), pointwise(model, margin=0.5), pointwise(model, temperature=0.0),
        pointwise(model, max_tokens=9), pointwise(model, max_length=9), pointwise(model, refusals=False),
        pointwise(model, seed=1), pointwise(model, threshold=0.5), pointwise(model, unsure=0.1),
        pointwise(model, reference=False), ConstitutionJudge(model=model, principles=["r"]),
        ConstitutionJudge(model=model, principles={"r": "r"}), PairwiseJudge(model=model, rubric="r"),
    ]  # fmt: skip
    assert len({one.version for one in judges}) == len(judges)
    assert pointwise(model).version == pointwise(scripted(model="a")).version
    assert pointwise(model, samples=3).version.startswith("2;model=a;prompt=")
    assert pointwise(model, samples=3).version.endswith(";samples=3")


@pytest.mark.parametrize(
    ("options", "message"),
    [
        ({"samples": 0}, "samples must be an integer >= 1, got 0"),
        ({"samples": True}, "samples must be an integer >= 1, got True"),
        ({"samples": 1.5}, "samples must be an integer >= 1, got 1.5"),
        ({"margin": 0}, "margin must be a number > 0, got 0"),
        (
            {"margin": 1.1},
            "margin must be at most 1.099, the log-odds of 1 votes that all agree, got 1.1",
        ),
        (
            {"margin": float("nan")},
            "margin must be a number > 0, got nan",
        ),
        (
            {"samples": 3, "margin": 2},
            "margin must be at most 1.946, the log-odds of 3 votes that all agree, got 2",
        ),
        ({"temperature": -0.1}, "temperature must be a number >= 0, got -0.1"),
        ({"temperature": "low"}, "temperature must be a number >= 0, got 'low'"),
        ({"temperature": float("inf")}, "temperature must be a number >= 0, got inf"),
        ({"max_tokens": 0}, "max_tokens must be an integer >= 1, got 0"),
        ({"max_length": 0}, "max_length must be an integer >= 1, got 0"),
        ({"refusals": 1}, "refusals must be true or false, got 1"),
        (
            {"seed": "x"},
            "seed must be an integer in [-9223372036854775808, 9223372036854775807], got 'x'",
        ),
    ],
)
def test_options(scripted, options, message):
    with pytest.raises(ConfigError) as caught:
        pointwise(scripted(YES), **options)
    assert caught.value.message == message


@pytest.mark.parametrize("model", [None, 7, "", ["a"]])
def test_a_model_must_have_a_name(scripted, model):
    with pytest.raises(ConfigError, match="judge model must have a name, got"):
        pointwise(scripted(YES, model=model))


def test_a_missing_plugin_is_named(monkeypatch):
    from orbiter.plugin import plugin_manager

    monkeypatch.setenv("ORBITER_PLUGINS", "")
    plugin_manager.cache_clear()
    try:
        with pytest.raises(MissingPluginError, match=r"judge_model 'openai' needs the plugin orbiter-judge"):  # fmt: skip
            pointwise({"name": "openai", "base_url": "http://x/v1", "model": "m"})
    finally:
        plugin_manager.cache_clear()
