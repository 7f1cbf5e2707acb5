import json

import attrs
import pytest
from hypothesis import given
from hypothesis import strategies as st

from orbiter.errors import ConfigError, UnknownNameError
from orbiter.records import Message, Outcome, Task, Trajectory
from orbiter.verify.calls import MAX_ARGUMENTS_LENGTH, MAX_CALLS, MAX_DEPTH
from orbiter.verify.tool_call import ToolCallVerifier

PASS, FAIL, INVALID = Outcome.PASS, Outcome.FAIL, Outcome.INVALID


def tool(name, **properties):
    parameters = {"type": "object", "properties": properties}
    return {"type": "function", "function": {"name": name, "parameters": parameters}}


TOOLS = (tool("look", at={"type": "string"}), tool("say", text={"type": "string"}), tool("wait"))


def make_task(calls, **fields):
    metadata = {} if calls is None else {"calls": calls}
    return Task("e", "e:1", (Message("user", "q"),), tools=TOOLS, metadata=metadata, **fields)


def turn(*calls, first=0, text=None):
    return Message(
        "assistant",
        text,
        tool_calls=tuple(
            {"id": f"{first + n}", "function": {"name": name, "arguments": arguments}}
            for n, (name, arguments) in enumerate(calls)
        ),
    )


def verdict_on(task, *messages, **options):
    trajectory = Trajectory((*task.messages, *messages), task.env, task.task_id, None)
    return ToolCallVerifier(**options).verify(task, trajectory)


LOOK, SAY, WAIT = ("look", {"at": "sky"}), ("say", {"text": "Blue sky"}), ("wait", {})
EXPECTED = [{"name": name, "arguments": arguments} for name, arguments in (LOOK, SAY)]
TASK = make_task(EXPECTED, answer="blue")


@pytest.mark.parametrize(
    ("calls", "strict", "any_order", "subset"),
    [
        ([LOOK, SAY], "", "", ""),
        ([SAY, LOOK], "wrong order of tool calls", "", ""),
        ([LOOK], *["too few tool calls"] * 3),
        ([LOOK, WAIT], *["wrong tool"] * 3),
        ([LOOK, ("say", {"text": "x"})], *["wrong arguments"] * 3),
        ([LOOK, LOOK], *["wrong tool"] * 3),
        ([LOOK, WAIT, SAY], *["too many tool calls"] * 2, ""),
        ([WAIT, LOOK, WAIT, SAY], *["too many tool calls"] * 2, ""),
        ([WAIT, LOOK, WAIT, SAY, WAIT], *["too many tool calls"] * 3),
        ([WAIT, LOOK, WAIT], *["too many tool calls"] * 2, "wrong tool"),
    ],
)
def test_orders(calls, strict, any_order, subset):
    turns = [turn(one, first=n) for n, one in enumerate(calls)]
    results = [Message("tool", "ok", tool_call_id=str(n)) for n in range(len(calls))]
    messages = [m for pair in zip(turns, results) for m in pair]
    for order, reason in (("strict", strict), ("any", any_order), ("subset", subset)):
        verdict = verdict_on(TASK, *messages, order=order)
        assert (verdict.outcome is PASS, verdict.reason) == (not reason, reason)


def test_calls_of_one_turn_have_no_order():
    assert verdict_on(TASK, turn(SAY, LOOK)).outcome is PASS


@given(st.permutations([LOOK, SAY, WAIT]), st.integers(0, 3))
def test_a_stricter_order_passes_no_more(calls, size):
    made = [turn(one, first=n) for n, one in enumerate(calls[:size])]
    messages = [
        m for n, one in enumerate(made) for m in (one, Message("tool", "", tool_call_id=str(n)))
    ]
    passes = {
        order: verdict_on(TASK, *messages, order=order).outcome is PASS
        for order in ("strict", "any", "subset")
    }
    assert passes["strict"] <= passes["any"] <= passes["subset"]


def test_max_extra_bounds_the_others():
    calls = turn(WAIT, LOOK, SAY)
    assert verdict_on(TASK, calls, order="subset", max_extra=1).outcome is PASS
    verdict = verdict_on(TASK, calls, order="subset", max_extra=0)
    assert verdict.reason == "too many tool calls"


def test_one_call_cannot_be_two():
    task = make_task([{"name": "wait"}, {"name": "wait"}])
    assert verdict_on(task, turn(WAIT), order="subset").reason == "too few tool calls"
    assert verdict_on(task, turn(WAIT, WAIT)).outcome is PASS


def test_a_trace_may_end_in_calls_if_no_answer_is_judged():
    assert verdict_on(TASK, turn(LOOK, SAY)).outcome is PASS
    verdict = verdict_on(TASK, turn(LOOK, SAY), answer="exact")
    assert (verdict.outcome, verdict.reason) == (FAIL, "no answer")


def test_the_final_answer_is_judged():
    messages = [turn(LOOK, SAY), *(Message("tool", "", tool_call_id=i) for i in "01")]
    assert verdict_on(TASK, *messages, Message("assistant", "blue"), answer="exact").outcome is PASS
    verdict = verdict_on(TASK, *messages, Message("assistant", "red"), answer="exact")
    assert (verdict.outcome, verdict.reason) == (FAIL, "exact: wrong answer")
    verdict = verdict_on(TASK, *messages, Message("assistant", "red"), answer="numeric")
    assert (verdict.outcome, verdict.reason) == (INVALID, "numeric: task has no reference number")


def test_wrong_calls_decide_before_the_answer_is_judged():
    verdict = verdict_on(TASK, Message("assistant", "red"), answer="numeric")
    assert (verdict.outcome, verdict.reason) == (FAIL, "too few tool calls")


def test_no_call_may_be_what_is_right():
    task = make_task([])
    assert verdict_on(task, Message("assistant", "no tool fits")).outcome is PASS
    assert verdict_on(task, turn(WAIT)).reason == "too many tool calls"
    assert verdict_on(task, Message("assistant", " ")).reason == "no answer"
    assert verdict_on(task).reason == "no answer"


@pytest.mark.parametrize(
    "calls",
    [
        None,
        "look",
        {"name": "look"},
        [{"arguments": {}}],
        [{"name": "jump"}],
        [{"name": "look", "arguments": {"at": 1}}],
        [{"name": "look", "accepted": {"at": []}}],
    ],
)
def test_without_a_usable_reference_the_verdict_is_invalid(calls):
    verdict = verdict_on(make_task(calls), turn(LOOK))
    assert verdict.outcome is INVALID
    assert verdict.reason.startswith("task has no usable calls: ")


def test_malformed_tools_are_invalid():
    verdict = verdict_on(attrs.evolve(TASK, tools=(7,)), turn(LOOK))
    assert verdict.outcome is INVALID
    assert "tools[0]" in verdict.reason


@pytest.mark.parametrize(
    ("text", "options", "passes"),
    [
        ("Blue sky", {}, True),
        ("blue sky", {}, False),
        ("blue sky", {"case": False}, True),
        (" Blue\n sky ", {"case": False}, False),
        (" Blue\n sky ", {"whitespace": False}, True),
        (" BLUE  sky", {"whitespace": False, "case": False}, True),
        ("Bluesky", {"whitespace": False, "case": False}, False),
        ("Blue, sky", {"whitespace": False, "case": False}, False),
    ],
)
def test_texts(text, options, passes):
    verdict = verdict_on(TASK, turn(LOOK, ("say", {"text": text})), **options)
    assert (verdict.outcome is PASS) == passes


def test_names_are_compared_character_for_character():
    verdict = verdict_on(TASK, turn(("Look", LOOK[1]), SAY), case=False, whitespace=False)
    assert verdict.reason == "calls an unknown tool"


@pytest.mark.parametrize(
    "value", [float("nan"), float("inf"), {1: "a"}, {"a": {2}}, b"sky", ["x", object()]]
)
def test_arguments_that_no_json_could_say(value):
    verdict = verdict_on(TASK, turn(("look", {"at": value}), SAY))
    assert (verdict.outcome, verdict.reason) == (FAIL, "tool arguments are not a JSON object")


def test_deep_arguments():
    deep = "x"
    for _ in range(5_000):
        deep = [deep]
    for arguments in ({"at": deep}, '{"at": ' + "[" * 200 + "]" * 200 + "}"):
        verdict = verdict_on(TASK, turn(("look", arguments), SAY))
        assert verdict.reason == "tool arguments are nested too deep"


def nested(depth):
    value = "x"
    for _ in range(depth):
        value = [value]
    return {"at": value}


def test_the_bounds_are_included():
    task = make_task([{"name": "look"}] * MAX_CALLS)
    task = attrs.evolve(task, tools=(tool("look", at={"default": "sky"}),))
    assert verdict_on(task, turn(*[("look", {})] * MAX_CALLS)).outcome is PASS
    task = make_task([{"name": "look", "arguments": nested(MAX_DEPTH - 1)}])
    task = attrs.evolve(task, tools=(tool("look", at={}),))
    assert verdict_on(task, turn(("look", nested(MAX_DEPTH - 1)))).outcome is PASS
    too_deep = verdict_on(task, turn(("look", nested(MAX_DEPTH))))
    assert too_deep.reason == "tool arguments are nested too deep"
    text = json.dumps({"at": "x" * (MAX_ARGUMENTS_LENGTH - 10)})
    assert len(text) == MAX_ARGUMENTS_LENGTH
    assert verdict_on(TASK, turn(("look", text))).reason == "too few tool calls"
    too_long = verdict_on(TASK, turn(("look", text + " ")))
    assert too_long.reason == "tool arguments are not a JSON object"


def test_a_broken_trace_names_the_turn():
    assert verdict_on(TASK, turn(("look", "?"))).details == {"turn": 0}
    assert verdict_on(TASK, turn(("jump", {}))).details == {"turn": 0}
    result = Message("tool", "", tool_call_id="0")
    assert verdict_on(TASK, turn(LOOK), result, turn(("look", "?"))).details == {"turn": 1}


def test_many_calls():
    verdict = verdict_on(TASK, turn(*[LOOK] * 1_001), order="subset", max_extra=10_000)
    assert verdict.reason == "too many tool calls"


def test_a_dialogue():
    user = Message("user", "and then?")
    messages = [
        turn(LOOK),
        Message("tool", "", tool_call_id="0"),
        Message("assistant", "It is blue."),
        user,
        turn(SAY, first=1),
    ]
    assert verdict_on(TASK, *messages, dialogue=True).outcome is PASS
    assert verdict_on(TASK, *messages).reason == "unexpected user message"
    verdict = verdict_on(TASK, messages[0], user, *messages[1:], dialogue=True)
    assert verdict.reason == "a tool call has no answer"


def test_calls_shown_in_the_prompt_do_not_count():
    shown = (turn(LOOK, SAY), *(Message("tool", "", tool_call_id=i) for i in "01"))
    task = attrs.evolve(TASK, messages=(*shown, *TASK.messages))
    assert verdict_on(task).reason == "no answer"
    assert verdict_on(task, Message("assistant", "blue")).reason == "too few tool calls"
    assert verdict_on(task, turn(LOOK, SAY)).outcome is PASS


@pytest.mark.parametrize(
    ("options", "message"),
    [
        ({"order": "random"}, "order must be one of strict, any, subset, got 'random'"),
        ({"max_extra": 1}, "max_extra must go with order 'subset', got order 'strict'"),
        (
            {"order": "subset", "max_extra": -1},
            "max_extra must be an integer >= 0, got -1",
        ),
        (
            {"order": "subset", "max_extra": True},
            "max_extra must be an integer >= 0, got True",
        ),
    ],
)
def test_options(options, message):
    with pytest.raises(ConfigError) as caught:
        ToolCallVerifier(**options)
    assert caught.value.message == message


def test_an_unknown_verifier_of_the_answer_is_named():
    with pytest.raises(UnknownNameError, match="exakt"):
        ToolCallVerifier(answer="exakt")


def test_version_tells_options_apart():
    options = [{}, {"order": "any"}, {"case": False}, {"answer": "exact"}, {"dialogue": True}]
    assert len({ToolCallVerifier(**one).version for one in options}) == 5
