"""What is read of an answer: choices, tokens and their shares, log-probabilities, reasoning, cost."""

import math

import orjson
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from orbiter.generate.openai.answer import Reading, _shares
from orbiter.generate.openai.faults import Fault
from orbiter.records import Message


def body(*texts, tokens=12, finish="stop", **message):
    choices = [
        {
            "index": number,
            "message": {"role": "assistant", "content": text, **message},
            "finish_reason": finish,
        }
        for number, text in enumerate(texts)
    ]
    return {"choices": choices, "usage": {"prompt_tokens": 6, "completion_tokens": tokens}}


def with_logprobs(answer, *logprobs):
    for choice, values in zip(answer["choices"], logprobs):
        content = [{"token": "x", "logprob": value, "top_logprobs": []} for value in values]
        choice["logprobs"] = {"content": content}
    return answer


def read(answer, count=1, **options):
    return Reading(model="m", **options).read(orjson.dumps(answer), count)


def test_choices_go_by_their_index_and_what_is_missing_is_none():
    answer = body("a", "b", "c")
    answer["choices"] = [answer["choices"][2], answer["choices"][0]]
    first, second, third = read(answer, 3)
    assert (first.messages[0].text, second, third.messages[0].text) == ("a", None, "c")


def test_tokens_of_several_choices_are_shared_by_length_and_say_so():
    long, short = read(body("x" * 100, "x" * 20, tokens=13), 2)
    assert long.token_count + short.token_count == 13
    assert long.token_count > short.token_count > 0
    assert long.metadata == short.metadata == {"token_count": "shared"}
    assert read(body("a", tokens=13))[0].metadata == {}


@pytest.mark.parametrize(
    ("tokens", "counts", "notes"), [(5, [2, 3], {}), (9, [4, 5], {"token_count": "shared"})]
)
def test_tokens_go_by_the_log_probabilities_where_those_are_all(tokens, counts, notes):
    answer = with_logprobs(body("a", "b", tokens=tokens), [-0.5, -1.0], [-2.0, -3.0, -4.0])
    found = read(answer, 2, logprobs=True)
    assert [one.token_count for one in found] in (counts, counts[::-1])
    assert sum(one.token_count for one in found) == tokens
    assert found[0].metadata == {
        "logprobs": {"tokens": ["x", "x"], "logprobs": [-0.5, -1.0]},
        **notes,
    }


@pytest.mark.parametrize(
    "given",
    [
        None,
        {},
        {"content": None},
        {"content": [{"token": "x"}]},
        {"content": [{"token": 7, "logprob": -1}]},
        {"content": [{"token": "x", "logprob": "-1"}]},
        {"content": ["x"]},
        "no",
    ],
)
def test_log_probabilities_that_are_none_are_left_out(given):
    answer = body("a")
    answer["choices"][0]["logprobs"] = given
    [found] = read(answer, logprobs=True)
    assert (found.messages[0].text, found.metadata) == ("a", {})


def test_log_probabilities_that_nobody_asked_for_are_left_out():
    assert read(with_logprobs(body("a"), [-1.0]))[0].metadata == {}


@pytest.mark.parametrize("name", ["reasoning", "reasoning_content"])
@pytest.mark.parametrize(
    ("where", "message", "metadata"),
    [
        ("message", Message("assistant", "42", extra={"reasoning_content": "6*7"}), {}),
        ("metadata", Message("assistant", "42"), {"reasoning": "6*7"}),
        ("think", Message("assistant", "<think>\n6*7\n</think>\n\n42"), {}),
    ],
)
def test_reasoning_is_kept_where_it_is_wanted(name, where, message, metadata):
    [found] = read(body("42", **{name: "6*7"}), reasoning=where)
    assert (found.messages, found.metadata) == ((message,), metadata)


def test_reasoning_beside_tool_calls_and_an_answer_that_is_cut_off_in_it():
    call = {"id": "1", "type": "function", "function": {"name": "f", "arguments": "{}"}}
    [found] = read(body(None, reasoning="why", tool_calls=[call], finish="tool_calls"))
    assert found.messages[0].tool_calls == (call,)
    assert found.messages[0].extra == {"reasoning_content": "why"}
    [cut] = read(body(None, reasoning="wh", finish="length"))
    assert (cut.messages[0].content, cut.finish_reason) == ("", "length")


@pytest.mark.parametrize("arguments", ["{", "", "[]", {"a": 1}])
@pytest.mark.parametrize("more", [{}, {"id": None}, {"id": "1", "type": "function"}])
def test_the_arguments_of_a_tool_call_are_the_affair_of_the_model(arguments, more):
    call = {**more, "function": {"name": "f", "arguments": arguments}}
    [found] = read(body(None, tool_calls=[call], finish="tool_calls"))
    assert found.messages[0].tool_calls == (call,)


@pytest.mark.parametrize("reasoning", [None, {"steps": []}])
def test_what_is_no_text_is_no_reasoning(reasoning):
    [found] = read(body("42", reasoning=reasoning), reasoning="metadata")
    assert (found.messages[0].content, found.metadata) == ("42", {})


def test_the_cost_is_of_prompt_and_tokens_and_unknown_without_usage():
    priced = {"prompt_price": 2.0, "completion_price": 10.0}
    assert read(body("a"), **priced)[0].cost == (6 * 2 + 12 * 10) / 1e6
    assert read(body("a"))[0].cost is None
    assert read({**body("a"), "usage": None}, **priced)[0].cost is None
    both = read(body("a", "b"), 2, **priced)  # the prompt is paid for once
    assert math.isclose(sum(one.cost for one in both), (6 * 2 + 12 * 10) / 1e6)
    [filtered] = read(body("a", finish="content_filter"), **priced)
    assert filtered.cost == (6 * 2 + 12 * 10) / 1e6


@pytest.mark.parametrize("count", [-1, 2**63, 1e30, 2.0, "7", True, None])
@pytest.mark.parametrize("field", ["prompt_tokens", "completion_tokens"])
def test_what_is_no_count_of_tokens_is_unknown_and_so_is_the_cost(field, count):
    usage = {"prompt_tokens": 6, "completion_tokens": 12, field: count}
    [found] = read({**body("a"), "usage": usage}, prompt_price=2.0, completion_price=10.0)
    assert found.cost is None
    counts = {"prompt_tokens": found.prompt_token_count, "completion_tokens": found.token_count}
    assert counts == {"prompt_tokens": 6, "completion_tokens": 12, field: 0}


def test_an_answer_of_which_nothing_is_one_is_a_fault():
    for answer in (body(), body(7, 8), {"choices": "ab"}, {"choices": [None, None]}, [], 7):
        with pytest.raises(Fault, match="answer is no chat completion"):
            read(answer, 2)
    beyond = body("a")
    beyond["choices"][0]["index"] = 5
    with pytest.raises(Fault, match="none of the choices that were asked for"):
        read(beyond, 2)


@settings(deadline=None)
@given(st.integers(0, 10**6), st.lists(st.integers(1, 10**6), min_size=1, max_size=9))
def test_shares_are_whole_and_their_sum_exact(total, sizes):
    counts = _shares(total, sizes)
    assert sum(counts) == total
    for count, size in zip(counts, sizes):
        assert abs(count - total * size / sum(sizes)) <= 1


json = st.recursive(
    st.none() | st.booleans() | st.integers(-9, 9) | st.text(max_size=3),
    lambda inner: (
        st.lists(inner, max_size=3)
        | st.dictionaries(
            st.sampled_from("choices message role content index finish_reason usage".split()),
            inner,
            max_size=5,
        )
    ),
    max_leaves=20,
)


@settings(deadline=None, max_examples=50)
@given(st.dictionaries(st.sampled_from(["choices", "usage", "model"]), json), st.integers(1, 3))
def test_whatever_comes_is_an_answer_or_a_fault(answer, count):
    try:
        found = read(answer, count, logprobs=True, prompt_price=1.0, completion_price=1.0)
    except Fault:
        return
    assert len(found) == count
    assert any(found)
