import math

import pytest

from orbiter.errors import RecordError
from orbiter.generate.item import at_item, score_of, task_of, text_of
from orbiter.records import Message, Pair, Task, Trajectory, TrajectoryItem

USER, ANSWER = Message("user", "2+2"), Message("assistant", "4")
TRAJECTORY = Trajectory(messages=(USER, ANSWER), env="e", task_id="t", score=0.5)


@pytest.mark.parametrize(
    ("item", "expected"),
    [
        (TRAJECTORY, 0.5),
        (TrajectoryItem("s", "a", 2.0), 2.0),
        (TrajectoryItem("s", "a"), None),
        ({"score": 0}, 0),
        ({"reward": -1.5}, -1.5),
        ({"score": None, "reward": 1.0}, None),
        ({"text": "t"}, None),
        ("text", None),
    ],
)
def test_score(item, expected):
    assert score_of(item) == expected


@pytest.mark.parametrize("score", [math.nan, math.inf, "high", True, [1]])
def test_a_score_is_a_finite_number(score):
    with pytest.raises(
        RecordError, match=r"item 3: field 'score' must be a finite number or None, got"
    ):
        at_item(2, score_of, {"score": score})


@pytest.mark.parametrize(
    ("item", "expected"),
    [
        ("hello", "hello"),
        ({"input": "a", "output": "b", "id": 1}, "a\nb"),
        ({"prompt": "a", "completion": "b"}, "a\nb"),
        ({"prompt": "a", "chosen": "b", "rejected": "c"}, "a\nb\nc"),
        ({"prompt": "a", "id": 1}, "a"),
        ({"text": "a"}, "a"),
        ({"state": [1, 2], "action": {"b": 1, "a": 2}}, '[1,2]\n{"a":2,"b":1}'),
        (
            {"messages": [{"role": "user", "content": "a"}, {"role": "assistant", "content": "b"}]},
            "a\nb",
        ),
        ({"instruction": "add 2", "input": "2", "output": "4"}, "add 2\n2\n4"),
        ({"instruction": "add 2", "input": "2"}, "add 2\n2"),
        (TrajectoryItem("s", "a"), "s\na"),
        (next(TRAJECTORY.steps()), "2+2\n4"),
        (TRAJECTORY, "2+2\n4"),
        (Task("e", "t", (USER,)), "2+2"),
        (Pair((USER,), (ANSWER,), (Message("assistant", "5"),)), "2+2\n4\n5"),
    ],
)
def test_text(item, expected):
    assert text_of(item) == expected


def test_a_tool_call_is_part_of_what_is_said():
    calls = [Message("assistant", None, ({"function": {"name": name}},)) for name in ("a", "b")]
    texts = {text_of(Trajectory((USER, call), "e", "t", None)) for call in calls}
    assert len(texts) == 2


@pytest.mark.parametrize("item", [3, None, {}, {"x": 1}, [1]])
def test_an_item_without_text(item):
    with pytest.raises(
        RecordError, match="item must be a text, a TrajectoryItem, a Trajectory or a dict"
    ):
        text_of(item)
    with pytest.raises(RecordError, match="item 1: item must hold plain JSON to be compared"):
        at_item(0, text_of, {"state": object(), "action": 1})


@pytest.mark.parametrize(
    ("item", "asked", "answer"),
    [
        ("why?", "why?", None),
        ({"prompt": "why?", "n": 3}, "why?", None),
        ({"question": "2+2=", "answer": "4"}, "2+2=", "4"),
        ({"instruction": "add 2", "input": "2", "output": "4"}, "add 2\n\n2", "4"),
        ({"instruction": "add 2 to 2", "input": "", "output": "4"}, "add 2 to 2", "4"),
        ({"instruction": "add 2 to 2", "output": "4"}, "add 2 to 2", "4"),
    ],
)
def test_a_text_or_a_dict_poses_a_task(item, asked, answer):
    task = task_of(item)
    assert (task.prompt, task.answer, task.env) == (asked, answer, "instructions")


@pytest.mark.parametrize("item", [None, 3, " ", {}, {"question": "", "answer": "4"}, {"prompt": ["a"]}, {"messages": []}])  # fmt: skip
def test_what_poses_no_task_is_refused_in_a_line(item):
    with pytest.raises(RecordError, match="item must pose a task, got"):
        task_of(item)
