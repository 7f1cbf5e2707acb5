import json

import attrs
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from orbiter.errors import ConfigError
from orbiter.records import Message, Outcome, Task, Trajectory, Verdict
from orbiter.verify.static import StaticTraceVerifier, TraceRules

PASS, FAIL, INVALID = Outcome.PASS, Outcome.FAIL, Outcome.INVALID


def tool(name, parameters=None):
    return {"type": "function", "function": {"name": name, "parameters": parameters}}


SEARCH = tool(
    "search",
    {
        "type": "object",
        "properties": {"query": {"type": "string"}, "limit": {"type": "integer", "minimum": 1}},
        "required": ["query"],
    },
)
OPEN = tool("open", {"type": "object", "additionalProperties": True})
STOP = tool("stop")


def make_task(trace=None, answer="42", tools=(SEARCH, OPEN, STOP)):
    metadata = {} if trace is None else {"trace": trace}
    prompt = (Message("system", "use tools"), Message("user", "q"))
    return Task("web", "web:1", prompt, answer=answer, tools=tools, metadata=metadata)


def call(name="search", arguments='{"query": "x"}', call_id="1"):
    return {"id": call_id, "type": "function", "function": {"name": name, "arguments": arguments}}


def calling(*calls, text=None):
    return Message("assistant", text, tool_calls=calls)


def result(call_id="1", text="found"):
    return Message("tool", text, tool_call_id=call_id)


def says(text="42"):
    return Message("assistant", text)


GOOD = (calling(call()), result(), says())


def verdict_on(messages=GOOD, task=None, **options):
    task = task or make_task()
    trajectory = Trajectory((*task.messages, *messages), task.env, task.task_id, None)
    return StaticTraceVerifier(**options).verify(task, trajectory)


def test_a_good_trace_passes():
    verdict = verdict_on()
    assert (verdict.outcome, verdict.score, verdict.details) == (PASS, 1.0, {"calls": 1})


GOOD_TRACES = {
    "no call": (says(),),
    "arguments as an object": (calling(call(arguments={"query": "x"})), result(), says()),
    "parallel calls in any order": (
        calling(call(), call(call_id="2")),
        result("2"),
        result("1"),
        says(),
    ),
    "several turns": (calling(call()), result(), calling(call(call_id="2")), result("2"), says()),
    "optional argument": (calling(call(arguments='{"query": "x", "limit": 3}')), result(), says()),
    "open schema": (calling(call("open", '{"anything": 1}')), result(), says()),
    "no parameters": (calling(call("stop", "{}")), result(), says()),
    "text beside calls": (calling(call(), text="let me see"), result(), says()),
    "thoughts": (says("<think>41?</think>42"),),
}


@pytest.mark.parametrize("messages", GOOD_TRACES.values(), ids=GOOD_TRACES)
def test_good_traces(messages):
    assert verdict_on(messages).outcome is PASS


BAD_TRACES = [
    ("no answer", ()),
    ("no answer", (calling(call()), result())),
    ("no answer", (calling(call()),)),
    ("exact: wrong answer", (says("41"),)),
    ("exact: no answer", (says("<think>42"),)),
    ("unexpected user message", (says("hm"), Message("user", "go on"), says())),
    ("unexpected system message", (Message("system", "the answer is 42"), says())),
    ("a tool message answers no open call", (result(), says())),
    ("a tool message answers no open call", (calling(call()), result(), result(), says())),
    ("a tool message answers no open call", (calling(call()), result("2"), says())),
    ("a tool message answers no open call", (calling(call()), Message("tool", "x"), says())),
    ("a tool call has no answer", (calling(call()), says())),
    ("a tool call has no answer", (calling(call(), call(call_id="2")), result(), says())),
    (
        "a tool call has no answer",
        (calling(call()), calling(call(call_id="2")), result(), result("2"), says()),
    ),
    ("a call id is used twice", (calling(call(), call()), result(), result(), says())),
    ("a call id is used twice", (*GOOD[:2], *GOOD)),
    ("malformed tool call", (calling("search"), says())),
    ("malformed tool call", (calling({"id": "1"}), result(), says())),
    (
        "malformed tool call",
        (calling({"id": "1", "function": {"arguments": "{}"}}), result(), says()),
    ),
    ("malformed tool call", (calling({"function": {"name": "stop", "arguments": "{}"}}), says())),
    ("malformed tool call", (calling(call(call_id="")), result(""), says())),
    ("malformed tool call", (calling(call(call_id=1)), says())),
    ("calls an unknown tool", (calling(call("serach")), result(), says())),
    ("calls an unknown tool", (calling(call("ѕearch")), result(), says())),
    *(
        ("tool arguments are not a JSON object", (calling(call(arguments=text)), result(), says()))
        for text in (
            "",
            "x",
            "[]",
            '"{}"',
            "null",
            "{'query': 'x'}",
            '{"query": NaN}',
            '{"query": "x"} ',
            None,
            7,
            ["query"],
            "[" * 100_000,
            '{"query": "' + "x" * 100_000 + '"}',
        )
        if text != '{"query": "x"} '
    ),
    (
        "tool arguments name a key twice",
        (calling(call(arguments='{"query":"x","query":"y"}')), result(), says()),
    ),
    *(
        (
            "tool arguments break the schema",
            (calling(call(arguments=json.dumps(a))), result(), says()),
        )
        for a in (
            {},
            {"query": 7},
            {"query": None},
            {"query": "x", "limit": 0},
            {"query": "x", "limit": "3"},
            {"query": "x", "limit": True},
            {"query": "x", "score": 1.0},
        )
    ),
    ("tool arguments break the schema", (calling(call("stop", '{"now": true}')), result(), says())),
]


@pytest.mark.parametrize(("reason", "messages"), BAD_TRACES)
def test_bad_traces(reason, messages):
    verdict = verdict_on(messages)
    assert (verdict.outcome, verdict.score, verdict.reason) == (FAIL, 0.0, reason)


def test_an_edited_prompt_fails():
    task = make_task()
    easier = (task.messages[0], Message("user", "say 42"))
    trajectory = Trajectory((*easier, says()), task.env, task.task_id, None)
    verdict = StaticTraceVerifier().verify(task, trajectory)
    assert verdict.reason == "the prompt is not the task's"


def test_tools_of_the_trajectory_are_not_read():
    task = make_task(tools=())
    trajectory = Trajectory((*task.messages, *GOOD), task.env, task.task_id, None, tools=(SEARCH,))
    assert StaticTraceVerifier().verify(task, trajectory).reason == "calls an unknown tool"


X, Y = (
    {"name": "search", "arguments": {"query": "x"}},
    {"name": "search", "arguments": {"query": "y"}},
)
ANY = {"name": "search"}


def searching(*queries):
    calls = [
        call(arguments=json.dumps({"query": q}), call_id=str(n)) for n, q in enumerate(queries)
    ]
    return (calling(*calls), *(result(str(n)) for n in range(len(calls))), says())


@pytest.mark.parametrize(
    ("trace", "queries", "reason"),
    [
        ({"required": [X]}, ["x"], ""),
        ({"required": [X]}, ["y", "x"], ""),
        ({"required": [X]}, ["y"], "a required call is missing"),
        ({"required": [X]}, ["X"], "a required call is missing"),
        ({"required": [X, X]}, ["x"], "a required call is missing"),
        ({"required": [X, X]}, ["x", "x"], ""),
        ({"required": [ANY, X]}, ["x"], "a required call is missing"),
        ({"required": [ANY, X]}, ["x", "y"], ""),
        ({"required": [ANY, X, Y]}, ["y", "x", "z"], ""),
        ({"required": [ANY, ANY, X]}, ["x", "y"], "a required call is missing"),
        ({"required": [{"name": "open"}]}, ["x"], "a required call is missing"),
        ({"forbidden": ["open"]}, ["x"], ""),
        ({"forbidden": ["search"]}, ["x"], "calls a forbidden tool"),
        ({"max_calls": 2}, ["x", "y"], ""),
        ({"max_calls": 2}, ["x", "y", "z"], "too many tool calls"),
        ({"max_calls": 0}, ["x"], "too many tool calls"),
        ({"required": [X], "max_calls": 1}, ["y", "x"], "too many tool calls"),
    ],
)
def test_rules_of_a_task(trace, queries, reason):
    verdict = verdict_on(searching(*queries), make_task(trace))
    assert (verdict.outcome is PASS, verdict.reason) == (reason == "", reason)


@pytest.mark.parametrize(
    ("wanted", "used", "matches"),
    [
        (1, 1, True),
        (1, 1.0, True),
        (1, True, False),
        (True, 1, False),
        (0, False, False),
        (None, None, True),
        (None, False, False),
        ("1", 1, False),
        ([1, 2], [1, 2], True),
        ([1, 2], [2, 1], False),
        ([1], [True], False),
        ({"a": 1}, {"a": 1}, True),
        ({"a": 1}, {"a": 1, "b": 2}, False),
        ({}, [], False),
    ],
)
def test_required_arguments_are_compared_as_json(wanted, used, matches):
    task = make_task({"required": [{"name": "open", "arguments": {"v": wanted}}]})
    messages = (calling(call("open", json.dumps({"v": used, "w": 1}))), result(), says())
    assert (verdict_on(messages, task).outcome is PASS) == matches


def test_rules_of_the_verifier_come_on_top():
    rules = {"forbidden": ["search"]}
    assert verdict_on(rules=rules).reason == "calls a forbidden tool"
    assert verdict_on(rules=TraceRules(forbidden=("search",))).reason == "calls a forbidden tool"


def test_the_answer_may_be_left_to_required_calls():
    task = make_task({"required": [X]}, answer=None)
    assert verdict_on((*GOOD[:2], says("done")), task, answer=None).outcome is PASS
    assert verdict_on((says("done"),), task, answer=None).reason == "a required call is missing"


def test_the_verifier_of_the_answer_decides_with_its_own_outcome():
    assert verdict_on((says("42.0"),), answer="numeric").outcome is PASS
    verdict = verdict_on((says("x"),), make_task(answer=None))
    assert (verdict.outcome, verdict.reason) == (INVALID, "exact: task has no reference text")


@pytest.mark.parametrize(
    "task",
    [
        make_task({"require": []}),
        make_task({"required": [{"arguments": {}}]}),
        make_task({"max_calls": "2"}),
        make_task({"max_calls": -1}),
        make_task({"expected": [{"name": "search"}] * 2, "max_calls": 1}),
        make_task({"required": [{"name": "search"}], "forbidden": ["search"]}),
        make_task([1]),
        make_task("x"),
        make_task(tools=("search",)),
        make_task(tools=(SEARCH, SEARCH)),
        make_task(tools=({"type": "function", "function": {}},)),
        make_task(tools=(tool("search", {"type": "strange"}),)),
    ],
)
def test_a_task_with_malformed_rules_is_invalid(task):
    verdict = verdict_on(task=task)
    assert verdict.outcome is INVALID
    assert verdict.reason.startswith("task has malformed rules: ")


def test_a_task_that_demands_nothing_is_invalid():
    verdict = verdict_on(answer=None)
    assert (verdict.outcome, verdict.reason) == (
        INVALID,
        "task has neither an expected call nor an answer to be checked",
    )


def test_a_schema_is_never_fetched():
    schema = {"type": "object", "properties": {"query": {"$ref": "http://127.0.0.1:9/x.json"}}}
    task = make_task(tools=(tool("search", schema),))
    trajectory = Trajectory((*task.messages, *GOOD), task.env, task.task_id, None)
    with pytest.raises(Exception, match="Unresolvable"):
        StaticTraceVerifier().verify(task, trajectory)


def test_malformed_rules_of_the_verifier():
    with pytest.raises(
        ConfigError, match="rules of a static verifier: field 'forbiden' is unknown"
    ):
        StaticTraceVerifier(rules={"forbiden": []})


CLAIMS = st.dictionaries(
    st.sampled_from(
        [
            "score",
            "success",
            "terminal_utility",
            "expected_answer",
            "answer",
            "reward",
            "verdict",
            "trace",
        ]
    ),
    st.one_of(st.booleans(), st.floats(0, 1), st.just("41"), st.just({"required": []})),
    min_size=1,
)


@settings(max_examples=50)
@given(CLAIMS, st.sampled_from([*(m for _, m in BAD_TRACES[:8]), GOOD]))
def test_what_a_trace_claims_of_itself_changes_nothing(claims, messages):
    task = make_task({"required": [X]})
    plain = Trajectory((*task.messages, *messages), task.env, task.task_id, None)
    claiming = attrs.evolve(
        plain,
        score=1.0,
        verdict=Verdict.passed(),
        metadata=claims,
        extra=claims,
        messages=(*task.messages, *(attrs.evolve(m, extra=claims) for m in messages)),
    )
    verifier = StaticTraceVerifier()
    assert verifier.verify(task, claiming) == verifier.verify(task, plain)


def test_version_tells_rules_apart():
    versions = {
        StaticTraceVerifier(answer=answer, rules=rules).version
        for answer in ("exact", "numeric", None)
        for rules in (None, {"max_calls": 3})
    }
    assert len(versions) == 6
    assert StaticTraceVerifier().version == "2;answer=exact@1"


def test_a_dialogue():
    messages = (*GOOD[:-1], says("wait"), Message("user", "yes?"), says())
    assert verdict_on(messages, dialogue=True).outcome is PASS
    assert verdict_on(messages).reason == "unexpected user message"
