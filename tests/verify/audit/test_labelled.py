import json

import pytest

from orbiter.errors import RecordError
from orbiter.tasks.jsonl import JsonlEnvironment
from orbiter.tasks.sorting import Sorting
from orbiter.verify.audit import audit
from orbiter.verify.audit.labelled import read_labelled
from orbiter.verify.exact import ExactVerifier


def row(said="4", correct=True, **more):
    messages = [{"role": "user", "content": "2+2="}, {"role": "assistant", "content": said}]
    return {"messages": messages, "task_id": "sums:0", "correct": correct, **more}


@pytest.fixture
def write(tmp_path):
    def write(*rows):
        path = tmp_path / "labelled.jsonl"
        path.write_text("".join(f"{r if type(r) is str else json.dumps(r)}\n" for r in rows))
        return path

    return write


def test_rows_bring_their_reference_and_are_judged_unscored(write):
    path = write(
        row(answer="4", score=0.0, verdict={"outcome": "fail", "score": 0.0}, model="m"),
        row("5", False, answer="4", family="arithmetic", env="sums"),
    )
    right, wrong = read_labelled(path)
    assert (right.task.answer, right.task.prompt, right.family) == ("4", "2+2=", "labelled")
    assert (right.trajectory.score, right.trajectory.verdict) == (None, None)
    assert not right.trajectory.extra
    assert (wrong.correct, wrong.family, wrong.task.env) == (False, "arithmetic", "sums")
    found = audit(ExactVerifier(), [right, wrong])
    assert (found.true_positives, found.true_negatives) == (1, 1)


def test_a_prompt_that_shows_turns_says_how_long_it_is(write):
    turns = [("user", "1+1="), ("assistant", "2"), ("user", "2+2="), ("assistant", "4")]
    messages = [{"role": role, "content": text} for role, text in turns]
    path = write(row(answer="4") | {"messages": messages, "prompt_size": 3})
    (item,) = read_labelled(path)
    assert [m.text for m in item.task.messages] == ["1+1=", "2", "2+2="]
    assert audit(ExactVerifier(), [item]).true_positives == 1


def test_tasks_are_looked_up_in_the_environment(write, tmp_path):
    tasks = tmp_path / "tasks.jsonl"
    tasks.write_text('{"q": "2+2=", "a": "4"}\n{"q": "2+3=", "a": "5"}\n')
    environment = JsonlEnvironment(tasks, name="sums", prompt_key="q", answer_key="a")
    path = write(row(), row(answer="7", task_id="other:1"))
    known, unknown = read_labelled(path, environment=environment)
    assert known.task == environment.task(0, seed=0)
    assert unknown.task.answer == "7"
    endless = Sorting()
    task = endless.task(7, seed=3)
    path = write(row(task_id=task.task_id), row(task_id=task.task_id, answer="own"))
    looked_up, own = read_labelled(path, environment=endless, seed=3)
    assert (looked_up.task, own.task.answer) == (task, "own")


@pytest.mark.parametrize(
    ("bad", "says"),
    [
        ({"messages": [], "task_id": "t", "correct": True}, "line 2: field 'messages' must hold"),
        (row(correct="yes"), "line 2: field 'correct' must be true or false, got 'yes'"),
        (row(correct=1), "line 2: field 'correct' must be true or false, got 1"),
        ({"messages": row()["messages"], "task_id": "t"}, "line 2: field 'correct' is missing"),
        (row(task_id=3), "line 2: field 'task_id' must be a string, got 3"),
        (row() | {"messages": [{"role": "me"}]}, "line 2: field 'messages[0].role' must be one of"),
        (row(prompt_size=9), "line 2: field 'prompt_size' must be"),
        ("{", "line 2: line must be JSON"),
        ('{"task_id": "a", "task_id": "b"}', "line 2: field 'task_id' is given twice"),
    ],
    ids=lambda v: v if isinstance(v, str) and v.startswith("line") else "",
)
def test_a_bad_row_is_named_by_file_line_and_field(write, bad, says):
    path = write(row(answer="4"), bad)
    with pytest.raises(RecordError) as caught:
        read_labelled(path)
    assert str(path) in caught.value.message
    assert says in caught.value.message


def test_a_file_of_nothing_and_no_file_are_errors(write, tmp_path):
    with pytest.raises(RecordError, match="must hold at least one labelled answer, got none"):
        read_labelled(write())
    with pytest.raises(RecordError, match="cannot be read: No such file"):
        read_labelled(tmp_path / "none.jsonl")
