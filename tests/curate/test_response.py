import attrs
import pytest

from orbiter.curate.response import grouped, is_truncated, response, response_key
from orbiter.records import Message, Trajectory


def answered(*turns, env="sums", task_id="sums:0", **more):
    turns = [Message("assistant", turn) if isinstance(turn, str) else turn for turn in turns]
    return Trajectory((Message("user", "1+1"), *turns), env, task_id, None, **more)


def calling(call_id, arguments='{"x": 1}'):
    call = {"id": call_id, "type": "function", "function": {"name": "f", "arguments": arguments}}
    return answered(
        Message("assistant", tool_calls=(call,)),
        Message("tool", "2", tool_call_id=call_id),
        "two",
    )


def test_response_is_what_follows_the_prompt():
    row = answered("2", Message("user", "sure?"), "yes")
    assert [m.text for m in response(row)] == ["2", "sure?", "yes"]
    assert response(attrs.evolve(row, messages=row.prompt)) == ()


def test_white_space_around_an_answer_does_not_count():
    assert response_key(answered("2")) == response_key(answered("  2\n"))


@pytest.mark.parametrize("other", ["2 ", "if x:\n y", "two"])
def test_white_space_inside_an_answer_counts(other):
    assert response_key(answered("if x:\n  y")) != response_key(answered(other))


def test_drawn_ids_of_tool_calls_do_not_count():
    assert response_key(calling("call_a")) == response_key(calling("call_b"))
    assert response_key(calling("call_a")) != response_key(calling("call_a", '{"x": 2}'))


def test_prompt_and_score_do_not_count():
    other = attrs.evolve(answered("2"), score=1.0, env="other")
    assert response_key(answered("2")) == response_key(other)


def test_empty_content_and_none_are_one_answer():
    none = answered(Message("assistant", None))
    assert response_key(none) == response_key(answered(""))


def test_groups_keep_the_order_of_arrival():
    rows = [answered("a", task_id=t) for t in ("b", "a", "b")]
    assert list(grouped(rows).items()) == [(("sums", "b"), [0, 2]), (("sums", "a"), [1])]


@pytest.mark.parametrize(("reason", "expected"), [("length", True), ("stop", False)])
def test_truncated_is_told_by_the_finish_reason(reason, expected):
    assert is_truncated(answered("2", extra={"finish_reason": reason})) is expected


def test_without_a_finish_reason_nothing_was_cut_off():
    assert not is_truncated(answered("2"))
