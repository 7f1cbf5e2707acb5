import pytest
from hypothesis import given
from hypothesis import strategies as st

from orbiter.records import Message, Trajectory
from orbiter.verify.answer import final_answer, without_thoughts


def trajectory(*messages):
    return Trajectory(tuple(messages), "e", "e:1", None)


def said(text):
    return trajectory(Message("user", "q"), Message("assistant", text))


@pytest.mark.parametrize(
    ("text", "answer"),
    [
        ("42", "42"),
        ("", ""),
        (" 42\n", " 42\n"),
        ("<think>6*7</think>42", "42"),
        ("\n <think>6*7</think>\n\n42", "\n\n42"),
        ("<think></think>", ""),
        ("<think>a</think><think>b</think>42", "42"),
        ("<think>6*7", None),
        ("<think>a</think><think>b", None),
        ("<think>42</think", None),
        ("6*7</think>42", "42"),
        ("41</think>42</think>43", "42</think>43"),
        ("<think>a<think>b</think>42", "42"),
        ("42 <think>or not</think>", "42 <think>or not</think>"),
        ("42 <think>", "42 <think>"),
        ("<Think>42", "<Think>42"),
    ],
)
def test_thoughts_are_no_part_of_the_answer(text, answer):
    assert final_answer(said(text)) == answer


@given(st.text(), st.text())
def test_whatever_is_thought_the_answer_stays(thought, answer):
    if "</think>" not in thought + answer and not answer.lstrip().startswith("<think>"):
        assert without_thoughts(f"<think>{thought}</think>{answer}") == answer


def test_thoughts_can_be_kept():
    assert final_answer(said("<think>a</think>b"), thoughts=True) == "<think>a</think>b"


def test_no_answer_without_a_closing_assistant_turn():
    user, tool = Message("user", "q"), Message("tool", "42", tool_call_id="1")
    calls = Message("assistant", "42", tool_calls=({"id": "1"},))
    for messages in (
        (),
        (user,),
        (user, Message("assistant", "42"), user),
        (user, calls),
        (user, calls, tool),
    ):
        assert final_answer(trajectory(*messages)) is None


def test_an_example_in_the_prompt_is_no_answer():
    example = (Message("user", "1+1"), Message("assistant", "2"), Message("user", "2+2"))
    assert final_answer(trajectory(*example)) is None


def test_parts_of_text_are_joined():
    message = Message("assistant", [{"type": "text", "text": "4"}, {"type": "text", "text": "2"}])
    assert final_answer(trajectory(message)) == "42"
