import json

import pytest

from orbiter.errors import ConfigError, RecordError
from orbiter.records import Message, Task
from orbiter.tasks import TaskStream
from orbiter.tasks.jsonl import JsonlEnvironment

ROWS = [
    {"index": 10, "question": "1+1?", "ground_truth": "A: 2", "extra": {"x": 1}},
    {"index": 11, "question": "2+2?", "ground_truth": "A: 4", "extra": None},
    {"index": 12, "question": "3+3?", "ground_truth": "A: 6", "extra": []},
]
MAPPED = {"prompt_key": "question", "answer_key": "ground_truth", "id_key": "index"}


@pytest.fixture
def file(tmp_path):
    path = tmp_path / "gsm8k.jsonl"

    def write(rows=ROWS):
        path.write_text("".join(json.dumps(row) + "\n" for row in rows))
        return path

    return write


def test_rows_are_mapped_by_their_keys(file):
    environment = JsonlEnvironment(file(), **MAPPED, metadata_keys=["extra"])
    assert environment.size == 3
    assert environment.task(1, seed=0) == Task(
        "gsm8k", "gsm8k:11", (Message("user", "2+2?"),), answer="A: 4", metadata={"extra": None}
    )


def test_rows_without_an_id_are_numbered(file):
    environment = JsonlEnvironment(file(), prompt_key="question", answer_key="ground_truth")
    assert [environment.task(i, seed=0).task_id for i in range(3)] == [
        "gsm8k:0",
        "gsm8k:1",
        "gsm8k:2",
    ]


def test_a_prompt_may_be_messages_and_a_system_message_comes_first(file):
    path = file([{"prompt": [{"role": "user", "content": "hi"}], "answer": 7}])
    environment = JsonlEnvironment(path, prompt_key="prompt", name="chat", system="be kind")
    task = environment.task(0, seed=0)
    assert [(m.role, m.text) for m in task.messages] == [("system", "be kind"), ("user", "hi")]
    assert (task.env, task.answer) == ("chat", 7)


def test_task_rows_are_taken_as_they_are(file):
    tasks = [
        Task("sums", f"sums:{n}", (Message("user", f"{n}?"),), answer=str(n)) for n in range(3)
    ]
    environment = JsonlEnvironment(file([task.to_row() for task in tasks]))
    assert environment.name == "sums"
    assert [environment.task(i, seed=0) for i in range(3)] == tasks


def test_the_order_is_that_of_the_file_whatever_the_seed(file):
    environment = JsonlEnvironment(file(), **MAPPED)
    assert [environment.task(i, seed=5).task_id for i in range(3)] == [
        f"gsm8k:{n}" for n in (10, 11, 12)
    ]


def test_a_text_is_no_yes_or_no(file):
    rows = [{"question": "1?", "answer": "1"}]
    with pytest.raises(ConfigError, match="shuffle must be true or false, got 'no'"):
        JsonlEnvironment(file(rows), prompt_key="question", shuffle="no")


def test_a_seed_can_shuffle(file):
    rows = [{"question": f"{n}?", "answer": "x"} for n in range(30)]
    environment = JsonlEnvironment(file(rows), prompt_key="question", shuffle=True)
    orders = [[environment.task(i, seed=seed).prompt for i in range(30)] for seed in (0, 1, 0)]
    assert orders[0] == orders[2]
    assert orders[0] != orders[1]
    assert sorted(orders[0]) == sorted(orders[1]) == sorted(row["question"] for row in rows)


def test_demonstrations_are_found_by_id(file):
    environment = JsonlEnvironment(file(), **MAPPED)
    bare = Task("gsm8k", "gsm8k:12", (Message("user", "3+3?"),))
    assert environment.demonstrate(bare) == "A: 6"
    assert environment.demonstrate(Task("gsm8k", "gsm8k:99", ())) is None


def test_chars_are_those_of_prompts_and_answers(file):
    assert JsonlEnvironment(file(), **MAPPED).chars == "".join(sorted(set("1+1?A: 22+2?43+3?6")))


def test_verifier_is_the_one_that_was_named(file):
    assert JsonlEnvironment(file(), **MAPPED).verifier() == "exact"
    assert JsonlEnvironment(file(), **MAPPED, verifier="numeric").verifier() == "numeric"


def test_a_stream_over_a_file_ends_with_it(file):
    environment = JsonlEnvironment(file(), **MAPPED)
    both = [TaskStream(environment, seed=0, split=s, share=0.5) for s in ("train", "held_out")]
    assert sorted(t.task_id for stream in both for t in stream) == [
        "gsm8k:10",
        "gsm8k:11",
        "gsm8k:12",
    ]


SOLVED = [
    {"q": "inc", "test": ["assert inc(1) == 2"], "solution": "inc = lambda x: x + 1"},
    {"q": "dec", "test": "def check(f): ...", "solution": "dec = lambda x: x - 1"},
]


def test_where_the_answer_is_tests_a_solution_is_demonstrated(file):
    environment = JsonlEnvironment(
        file(SOLVED), prompt_key="q", answer_key="test", solution_key="solution"
    )
    tasks = [environment.task(n, seed=0) for n in range(2)]
    assert [environment.demonstrate(task) for task in tasks] == [r["solution"] for r in SOLVED]
    assert environment.demonstrate(Task("gsm8k", "gsm8k:99", ())) is None
    assert "lambda" not in str(tasks)


@pytest.mark.parametrize("wrong", [{}, {"solution": None}, {"solution": ["x"]}])
def test_a_solution_that_is_no_text_is_named(file, wrong):
    path = file([SOLVED[0], {**SOLVED[1], "solution": 1} if not wrong else SOLVED[1] | wrong])
    with pytest.raises(RecordError, match=r"line 2: field 'solution' must be a text"):
        JsonlEnvironment(path, prompt_key="q", answer_key="test", solution_key="solution")
