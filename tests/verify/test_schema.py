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


@pytest.mark.timeout(20)
def test_a_pattern_that_takes_too_long_is_unknown():
    pattern = r"^(\w*\w*\w*)*\1$"
    parameters = schema_of(type="string", pattern=pattern)
    tool = {"type": "function", "function": {"name": "f", "parameters": parameters}}
    calls = [{"name": "f", "arguments": {"x": "aa"}}]
    task = Task("e", "e:1", (Message("user", "q"),), tools=(tool,), metadata={"calls": calls})
    arguments = json.dumps({"x": "a" * 5_000 + "!"})
    call = {"id": "1", "function": {"name": "f", "arguments": arguments}}
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
