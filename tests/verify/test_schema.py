import json
import time

import jsonschema
import pytest
from hypothesis import given
from hypothesis import strategies as st

from orbiter.errors import RecordError
from orbiter.records import Message, Task, Trajectory
from orbiter.verify import judge
from orbiter.verify.schema import fits, tool_schemas
from orbiter.verify.tool_call import ToolCallVerifier

JSON = st.recursive(
    st.none() | st.booleans() | st.integers(-2, 2) | st.floats(-1, 1, width=16) | st.sampled_from(["", "a", "1"]),
    lambda inner: st.lists(inner, max_size=3) | st.dictionaries(st.sampled_from("ab"), inner, max_size=2),
    max_leaves=4,
)  # fmt: skip


def schema_of(**rules):
    return {"type": "object", "properties": {"x": rules}}


@given(st.lists(JSON, max_size=5))
def test_unique_items_are_those_of_jsonschema(items):
    plain = jsonschema.Draft202012Validator({"uniqueItems": True})
    assert fits({"x": items}, schema_of(uniqueItems=True)) == plain.is_valid(items)


@pytest.mark.parametrize("items", [[{"a": n} for n in range(9_000)], [*([n] for n in range(9_000)), "a"]], ids=["objects", "lists"])  # fmt: skip
def test_many_items_take_no_time(items):
    started = time.process_time()
    assert fits({"x": items}, schema_of(uniqueItems=True))
    assert not fits({"x": [*items, items[0]]}, schema_of(uniqueItems=True))
    assert time.process_time() - started < 5  # one by one it is minutes


def test_items_need_not_be_unique():
    assert fits({"x": [1, 1]}, schema_of(uniqueItems=False))
    assert fits({"x": "aa"}, schema_of(uniqueItems=True))


def test_a_pattern_is_searched_for_in_texts_alone():
    schema = schema_of(pattern="^[a-z]+@[a-z]+")
    assert fits({"x": "ada@home"}, schema)
    assert fits({"x": 5}, schema)
    assert not fits({"x": "ada at home"}, schema)


NAMES = st.text("ab_", max_size=4)
SCHEMAS = st.sampled_from([True, False, {"type": "string"}, {"minimum": 0}])


@given(
    st.dictionaries(NAMES, JSON, max_size=3),
    st.dictionaries(NAMES, SCHEMAS, max_size=2),
    st.dictionaries(st.sampled_from(["^a", "b$", "_|aa"]), SCHEMAS, max_size=2),
    SCHEMAS,
)
def test_names_are_looked_up_as_by_jsonschema(arguments, listed, patterns, others):
    schema = {"properties": listed, "patternProperties": patterns, "additionalProperties": others}
    plain = jsonschema.Draft202012Validator(schema)
    assert fits(arguments, schema) == plain.is_valid(arguments)


def test_what_cannot_be_timed_is_refused():
    inner = {"patternProperties": {"(a+)+$": {}}, "unevaluatedProperties": False}
    tool = {"function": {"name": "f", "parameters": {"properties": {"x": {"anyOf": [inner]}}}}}
    with pytest.raises(RecordError, match="must not use unevaluatedProperties beside pattern"):
        tool_schemas(Task("e", "e:1", (), tools=(tool,)))


SLOW = r"^(\w*\w*\w*)*\1$"
"""Takes for ever on a long word that ends in another sign."""

ALMOST = "a" * 5_000 + "!"


@pytest.mark.timeout(20)
@pytest.mark.parametrize(
    ("parameters", "arguments"),
    [
        (schema_of(type="string", pattern=SLOW), {"x": ALMOST}),
        ({"properties": {"x": {}}, "patternProperties": {SLOW: {}}}, {"x": 1, ALMOST: 1}),
        (
            schema_of(additionalProperties={"type": "null"}, patternProperties={SLOW: {}}),
            {"x": {ALMOST: 1}},
        ),
        (schema_of(propertyNames={"pattern": SLOW}), {"x": {ALMOST: 1}}),
        # Each is in time, and all together are not.
        (schema_of(items={"pattern": "a*a*b|!"}), {"x": ["a" * 500 + "!"] * 50}),
    ],
    ids=["text", "name", "nested name", "name of names", "many"],
)
def test_a_pattern_that_takes_too_long_is_unknown(parameters, arguments):
    tool = {"type": "function", "function": {"name": "f", "parameters": parameters}}
    calls = [{"name": "f", "arguments": {}}]
    task = Task("e", "e:1", (Message("user", "q"),), tools=(tool,), metadata={"calls": calls})
    call = {"id": "1", "function": {"name": "f", "arguments": json.dumps(arguments)}}
    started = time.perf_counter()
    verdict = judge(
        ToolCallVerifier(), task, Trajectory.following(task, Message("assistant", tool_calls=(call,)))
    )  # fmt: skip
    assert verdict.outcome == "invalid"
    assert verdict.reason.startswith("timeout: ")
    assert time.perf_counter() - started < 15


def test_a_tool_needs_a_name_of_its_own():
    tool = {"type": "function", "function": {"name": "f"}}
    task = Task("e", "e:1", (), tools=(tool, tool))
    with pytest.raises(RecordError, match="must be a function with a name of its own"):
        tool_schemas(task)
