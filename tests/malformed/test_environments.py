"""Malformed options and files of environments: each error names what is wrong, and where."""

import json

import pytest

from orbiter.errors import ConfigError, RecordError
from orbiter.plugin import registry
from orbiter.tasks.jsonl import JsonlEnvironment

OPTIONS = [
    ("sorting", {"length": 0}, "length must be an integer in [1, 1000], got 0"),
    ("sorting", {"length": True}, "length must be an integer in [1, 1000], got True"),
    ("sorting", {"length": 8.0}, "length must be an integer in [1, 1000], got 8.0"),
    ("sorting", {"length": "8"}, "length must be an integer in [1, 1000], got '8'"),
    ("sorting", {"low": -1}, "low must be an integer in [0, 9], got -1"),
    ("sorting", {"high": 10}, "high must be an integer in [0, 9], got 10"),
    ("sorting", {"low": 5, "high": 4}, "low must be at most high, got low=5 and high=4"),
    (
        "sorting",
        {"lenght": 4},
        "environment 'sorting' has no option 'lenght'; did you mean 'length'?",
    ),
    ("addition", {"digits": 0}, "digits must be an integer in [1, 100], got 0"),
    ("addition", {"reverse": 1}, "reverse must be true or false, got 1"),
    ("reversal", {"length": -1}, "length must be an integer in [1, 1000], got -1"),
    *(
        (
            "reversal",
            {"alphabet": bad},
            "alphabet must be two or more distinct characters without white space and colon, "
            f"got {bad!r}",
        )
        for bad in ("", "a", "aa", "a b", "a:", 7)
    ),
    ("countdown", {"numbers": 1}, "numbers must be an integer in [2, 6], got 1"),
    ("countdown", {"numbers": 7}, "numbers must be an integer in [2, 6], got 7"),
    ("countdown", {"low": 0}, "low must be an integer in [1, 9], got 0"),
    ("countdown", {"low": 10}, "low must be an integer in [1, 9], got 10"),
    ("countdown", {"high": 0}, "high must be an integer in [1, 10000], got 0"),
    ("countdown", {"max_target": 8}, "max_target must be an integer in [9, 1000000], got 8"),
    ("jsonl", {}, "environment 'jsonl' needs the option 'path'"),
    ("jsonl", {"path": "/no/such.jsonl"}, "path must be a file of tasks, got '/no/such.jsonl'"),
]


@pytest.mark.parametrize(("name", "options", "message"), OPTIONS)
def test_options(name, options, message):
    with pytest.raises(ConfigError) as caught:
        registry().create("environment", name, options)
    place = f"environment {name!r}"
    assert caught.value.message == (message if message.startswith(place) else f"{place}: {message}")


@pytest.mark.parametrize(
    ("options", "message"),
    [
        ({"name": 5}, "name must be a text, got 5"),
        ({"prompt_key": ["p"]}, "prompt_key must be a text, got ['p']"),
        ({"answer_key": None}, "answer_key must be a text, got None"),
        ({"verifier": {"name": "exact"}}, "verifier must be a text, got {'name': 'exact'}"),
        ({"metadata_keys": "level"}, "metadata_keys must be a list of keys, got 'level'"),
        ({"metadata_keys": [1]}, "metadata_keys must be a list of keys, got [1]"),
    ],
)
def test_options_of_jsonl(tmp_path, options, message):
    path = tmp_path / "tasks.jsonl"
    path.write_text("")
    with pytest.raises(ConfigError) as caught:
        JsonlEnvironment(path, **options)
    assert caught.value.message == message


MAPPED = {"prompt_key": "prompt"}
GOOD = {"prompt": "p", "answer": "a", "id": 1}
TASK = {"env": "e", "task_id": "e:1", "messages": [{"role": "user", "content": "x"}]}
ROWS = [
    ([GOOD, {"prompt": "q"}], MAPPED, "line 2: field 'answer' is missing"),
    (
        [{"promt": "q", "answer": "a"}],
        MAPPED,
        "line 1: field 'prompt' is missing; did you mean 'promt'?",
    ),
    (
        [{"prompt": "", "answer": "a"}],
        MAPPED,
        "line 1: field 'prompt' must be a text or a list of messages, got ''",
    ),
    (
        [{"prompt": 7, "answer": "a"}],
        MAPPED,
        "line 1: field 'prompt' must be a text or a list of messages, got 7",
    ),
    (
        [{"prompt": [], "answer": "a"}],
        MAPPED,
        "line 1: field 'prompt' must be a text or a list of messages, got []",
    ),
    (
        [{"prompt": [{"role": "robot"}], "answer": "a"}],
        MAPPED,
        "line 1: field 'prompt[0].role' must be one of system, developer, user, assistant, tool, got 'robot'",
    ),
    (
        [{"prompt": "p", "answer": None}],
        MAPPED,
        "line 1: field 'answer' must be a reference answer, got None",
    ),
    ([GOOD], {**MAPPED, "id_key": "uid"}, "line 1: field 'uid' is missing; did you mean 'id'?"),
    (
        [{**GOOD, "id": 1.5}],
        {**MAPPED, "id_key": "id"},
        "line 1: field 'id' must be an integer or a text, got 1.5",
    ),
    (
        [{**GOOD, "id": True}],
        {**MAPPED, "id_key": "id"},
        "line 1: field 'id' must be an integer or a text, got True",
    ),
    (
        [{**GOOD, "id": ""}],
        {**MAPPED, "id_key": "id"},
        "line 1: field 'id' must be an integer or a text, got ''",
    ),
    (
        [GOOD, GOOD],
        {**MAPPED, "id_key": "id"},
        "line 2: field 'id' must differ from line 1's, got 'tasks:1'",
    ),
    ([GOOD], {**MAPPED, "metadata_keys": ["level"]}, "line 1: field 'level' is missing"),
    ([GOOD], {}, "line 1: field 'messages' is missing"),
    (
        [{**TASK, "messages": []}],
        {},
        "line 1: field 'messages' must hold at least one message, got none",
    ),
    ([{**TASK, "task_id": 5}], {}, "line 1: field 'task_id' must be a string, got 5"),
    ([TASK, TASK], {}, "line 2: field 'task_id' must differ from line 1's, got 'e:1'"),
    (
        [TASK, {**TASK, "env": "f"}],
        {},
        "line 2: field 'env' must be 'e' in every row, got 'f'",
    ),
    ([TASK], {"name": "other"}, "line 1: field 'env' must be 'other' in every row, got 'e'"),
    ([], MAPPED, "must hold at least one task, got none"),
]


@pytest.mark.parametrize(("rows", "options", "message"), ROWS)
def test_rows(tmp_path, rows, options, message):
    path = tmp_path / "tasks.jsonl"
    path.write_text("".join(json.dumps(row) + "\n" for row in rows))
    with pytest.raises(RecordError) as caught:
        JsonlEnvironment(path, **options)
    separator = " " if message.startswith("line") else ": "
    assert caught.value.message == f"{path}{separator}{message}"


def test_a_missing_key_is_answered_with_the_keys_that_are_there(tmp_path):
    path = tmp_path / "tasks.jsonl"
    path.write_text(json.dumps(GOOD) + "\n")
    with pytest.raises(RecordError, match="the row has: prompt, answer, id"):
        JsonlEnvironment(path, prompt_key="question")
    with pytest.raises(RecordError, match="give prompt_key to map rows that are no tasks"):
        JsonlEnvironment(path)


def test_a_name_must_do_as_a_name(tmp_path):
    path = tmp_path / "my tasks.jsonl"
    path.write_text(json.dumps(GOOD) + "\n")
    with pytest.raises(
        ConfigError, match="name of an environment must be letters, digits"
    ) as caught:
        JsonlEnvironment(path, **MAPPED)
    assert caught.value.hint == "give the option 'name'"
    assert JsonlEnvironment(path, **MAPPED, name="mine").name == "mine"
