import json

import pytest

from orbiter.errors import ConfigError, RecordError
from orbiter.generate.policy import Completion, Request, Sampling
from orbiter.generate.replay import ReplayPolicy
from orbiter.plugin import registry
from orbiter.records import Message, Trajectory
from orbiter.tasks.jsonl import JsonlEnvironment
from orbiter.testing import check_policy
from orbiter.verify.verifier import judge

SOLVED = [
    {
        "index": 0,
        "question": "1+1?",
        "ground_truth": "2",
        "small": {"is_correct": False, "solution": "3"},
        "large": {"is_correct": True, "solution": "2"},
    },
    {
        "index": 1,
        "question": "2+2?",
        "ground_truth": "4",
        "large": {"is_correct": True, "solution": "4"},
    },
]
MAPPED = {"prompt_key": "question", "solution_key": "solution"}


@pytest.fixture
def file(tmp_path):
    def write(rows):
        path = tmp_path / "recorded.jsonl"
        path.write_text("".join(json.dumps(row) + "\n" for row in rows))
        return path

    return write


def asking(prompt, attempt=0, *, system=None):
    messages = (Message("user", prompt),)
    if system:
        messages = (Message("system", system), *messages)
    return Request(messages=messages, env="e", task_id="e:1", attempt=attempt)


async def shown(policy, *requests):
    completions = await policy.complete(requests, Sampling())
    return [c.error or (c.messages[-1].text, c.model) for c in completions]


async def test_the_nth_attempt_is_the_nth_solution_of_its_model(file):
    policy = ReplayPolicy(file(SOLVED), **MAPPED)
    assert await shown(policy, asking("1+1?"), asking("1+1?", 1), asking("2+2?")) == [
        ("3", "small"),
        ("2", "large"),
        ("4", "large"),
    ]


async def test_further_attempts_have_no_recording(file):
    policy = ReplayPolicy(file(SOLVED), **MAPPED)
    assert await shown(policy, asking("1+1?", 2), asking("2+2?", 1), asking("3+3?")) == [
        "no recording: the task has 2, attempt 2 was asked",
        "no recording: the task has 1, attempt 1 was asked",
        "no recording: the task has 0, attempt 0 was asked",
    ]


async def test_models_choose_and_order(file):
    policy = ReplayPolicy(file(SOLVED), **MAPPED, models=["large", "small"])
    assert await shown(policy, asking("1+1?"), asking("1+1?", 1)) == [
        ("2", "large"),
        ("3", "small"),
    ]
    policy = ReplayPolicy(file(SOLVED), **MAPPED, models=["small"])
    assert await shown(policy, asking("2+2?")) == [
        "no recording: the task has 0, attempt 0 was asked"
    ]


async def test_a_system_message_of_the_task_does_not_matter(file):
    policy = ReplayPolicy(file(SOLVED), **MAPPED)
    assert await shown(policy, asking("2+2?", system="be brief")) == [("4", "large")]


def recorded(text, env="e", task_id="e:1", prompt="q", model="m"):
    messages = (Message("user", prompt), Message("assistant", text))
    return Trajectory(messages, env, task_id, None, model=model).to_row()


async def test_trajectory_rows_are_grouped_by_task(file):
    rows = [
        recorded("a"),
        recorded("x", task_id="e:2"),
        recorded("b", model=None),
        recorded("y", env="f"),
    ]
    policy = ReplayPolicy(file(rows))
    assert await shown(policy, asking("q"), asking("q", 1), asking("q", 2)) == [
        ("a", "m"),
        ("b", None),
        "no recording: the task has 2, attempt 2 was asked",
    ]


async def test_the_whole_continuation_is_given(file):
    call = {"id": "1", "type": "function", "function": {"name": "f", "arguments": "{}"}}
    messages = (
        Message("user", "q"),
        Message("assistant", tool_calls=(call,)),
        Message("tool", "found", tool_call_id="1"),
        Message("assistant", "done"),
    )
    policy = ReplayPolicy(file([Trajectory(messages, "e", "e:1", None).to_row()]))
    [completion] = await policy.complete([asking("q")], Sampling())
    assert completion == Completion(messages=messages[1:])


async def test_a_recording_of_another_prompt_is_not_given(file):
    policy = ReplayPolicy(file([recorded("a", prompt="other")]))
    assert await shown(policy, asking("q")) == [
        "no recording: the recorded prompt is not the one that was asked"
    ]


async def test_with_an_environment_on_the_same_file(file):
    path = file(SOLVED)
    environment = JsonlEnvironment(
        path, prompt_key="question", answer_key="ground_truth", id_key="index"
    )
    policy = registry().create("policy", "replay", {"path": str(path), **MAPPED})
    verifier = registry().create("verifier", environment.verifier())
    outcomes = []
    for index in range(environment.size):
        task = environment.task(index, seed=0)
        request = Request(messages=task.messages, env=task.env, task_id=task.task_id)
        [completion] = await policy.complete([request], Sampling())
        trajectory = Trajectory(
            (*task.messages, *completion.messages), task.env, task.task_id, None
        )
        outcomes.append(judge(verifier, task, trajectory).score)
    assert outcomes == [0.0, 1.0]


def test_contract(file):
    path = file(SOLVED)
    check_policy(lambda: ReplayPolicy(path, **MAPPED), [asking("1+1?"), asking("2+2?")])


@pytest.mark.parametrize(
    ("rows", "options", "message"),
    [
        ([], MAPPED, ": must hold at least one recording, got none"),
        ([{"question": "q"}], MAPPED, ": must hold at least one recording, got none"),
        (
            [{"question": "q", "m": {"solution": 7}}],
            MAPPED,
            " line 1: field 'm.solution' must be the text of a solution, got 7",
        ),
        (
            [{"question": "q", "m": "text"}],
            {**MAPPED, "models": ["m"]},
            " line 1: field 'm.solution' must be the text of a solution, got None",
        ),
        (
            [SOLVED[0], {"quest": "q"}],
            MAPPED,
            " line 2: field 'question' is missing; did you mean 'quest'?",
        ),
        (
            [{"question": "", "m": {"solution": "x"}}],
            MAPPED,
            " line 1: field 'question' must be the text of a prompt, got ''",
        ),
        (
            [SOLVED[0], SOLVED[0]],
            MAPPED,
            " line 2: field 'question' must differ from every row before it",
        ),
        ([recorded("a"), {"env": "e"}], {}, " line 2: field 'messages' is missing"),
    ],
)
def test_malformed_rows(file, rows, options, message):
    path = file(rows)
    with pytest.raises(RecordError) as caught:
        ReplayPolicy(path, **options)
    assert caught.value.message == f"{path}{message}"


def test_options(file):
    with pytest.raises(
        ConfigError, match="source must be a file or an address that a plugin reads, got '/no/such'"
    ):
        ReplayPolicy("/no/such")
    with pytest.raises(ConfigError, match="models must go with solution_key, got models alone"):
        ReplayPolicy(file([recorded("a")]), models=["m"])


@pytest.mark.parametrize("models", ["large", ["large", 3]])
def test_models_are_a_list_of_names(file, models):
    with pytest.raises(ConfigError) as caught:
        ReplayPolicy(file(SOLVED), **MAPPED, models=models)
    assert caught.value.message == f"models must be a list of names, got {models!r}"
