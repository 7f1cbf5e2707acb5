import pytest
from hypothesis import given
from hypothesis import strategies as st

from orbiter.records import Message, Task, Trajectory
from orbiter.verify.answer import answered, final_answer, prompt_size, without_thoughts, written


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


@pytest.mark.timeout(5)
def test_many_thoughts_take_no_time():
    assert without_thoughts(" <think></think>" * 300_000 + "42") == "42"


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


SHOWN = (Message("user", "1+1="), Message("assistant", "2"), Message("user", "1+2="))
FEW_SHOT = Task("e", "e:1", SHOWN)


def test_what_was_written_comes_after_the_prompt_of_the_task():
    turns = (
        Message("assistant", "<think>so</think>"),
        Message("tool", "x"),
        Message("assistant", "3"),
    )
    said = Trajectory((*SHOWN, *turns), "e", "e:1", None)
    assert prompt_size(FEW_SHOT, said) == 3
    assert written(FEW_SHOT, said) == "<think>so</think>\n3"
    assert written(FEW_SHOT, said, thoughts=False) == "3"


@pytest.mark.parametrize("claimed", [None, 0, 3, 5])
def test_the_prompt_is_the_task_s_whatever_the_row_claims(claimed):
    turns = (Message("assistant", "3"), Message("assistant", "4"))
    said = Trajectory((*SHOWN, *turns), "e", "e:1", None, prompt_size=claimed)
    assert written(FEW_SHOT, said) == "3\n4"


def test_under_another_prompt_every_assistant_turn_was_written():
    other = Trajectory(
        (Message("user", "?"), *SHOWN[1:], Message("assistant", "3")), "e", "e:1", None
    )
    assert prompt_size(FEW_SHOT, other) == 1
    assert written(FEW_SHOT, other) == "2\n3"
    assert prompt_size(FEW_SHOT, Trajectory((Message("user", "?"),), "e", "e:1", None)) == 1


@pytest.mark.parametrize("text", ["", " \n"])
def test_nothing_is_written_if_it_is_blank(text):
    assert written(FEW_SHOT, answered(FEW_SHOT, text)) is None
    assert written(FEW_SHOT, Trajectory(SHOWN, "e", "e:1", None)) is None
