"""An engine asks nobody for an answer to a prompt that is held out, whoever wrote the prompt."""

import pytest
from engine_parts import BACK, EVOL, wheels_in

from orbiter import jsonl
from orbiter.records import Task, Trajectory
from orbiter.tasks.splits import is_held_out


@pytest.fixture
def wheel(tmp_path):
    return wheels_in(tmp_path)


def held_out(request, share):
    return is_held_out(Task(request.env, request.task_id, request.messages), share=share)


@pytest.mark.parametrize("stage", [EVOL, EVOL.replace("evol, tasks: 12, depth: 2", "self_instruct, min_words: 2, tasks: 12"), BACK])  # fmt: skip
def test_no_answer_to_a_held_out_prompt_is_asked_for(wheel, asked, stage):
    overrides = ["evaluate.share=0.5", "evaluate.tasks=0", "curate.decontaminate=null"]
    result = wheel(stage, *overrides, "gates.max_invalid_rate=1").run()
    row = result.rounds[1]
    assert row["synthesised"]["dropped"]["held-out prompt"] > 2
    assert len(asked) == row["sampled"] > 2
    assert not any(held_out(request, 0.5) for request in asked)


def test_a_prompt_that_shares_words_with_a_held_out_task_is_not_answered(wheel, asked):
    few = ["evaluate.tasks=2", "evaluate.share=0.02"]
    number = wheel(EVOL, *few).held_out_tasks[0].prompt.removeprefix("sort ").removesuffix(":")
    writer = f'stages.evol.synthesise.writer={{name: "mine.py:Alike", word: "{number}"}}'
    result = wheel(EVOL, writer, *few, "curate.decontaminate=1").run()
    assert result.rounds[1]["synthesised"]["dropped"] == {"repeats a held-out task": 24}
    assert len(asked) == 2  # the held-out tasks themselves
    off = wheel(EVOL, writer, *few, "curate.decontaminate=null", runs="off").run()
    assert "repeats a held-out task" not in off.rounds[1]["synthesised"]["dropped"]


def test_no_engine_of_demonstrations_answers_a_held_out_prompt(wheel, asked):
    one = '{name: "mine.py:Each", policy: {name: scripted, environment: {name: sorting, length: 5}}, environment: {name: sorting, length: 5}}'
    stage = (
        f"  shown: {{demonstrate: {{count: 9, synthesisers: [{one}]}}, generate: {{tasks: 1}}}}\n"
    )
    judged = 'verifier={name: "mine.py:Sorted"}'
    result = wheel(stage, judged, "evaluate.share=0.5", "evaluate.tasks=0").run()
    assert len(list(jsonl.read(result.path / "data/round-1-kept.jsonl", Trajectory))) > 8
    shown = [request for request in asked if not request.attempt]
    assert not any(held_out(request, 0.5) for request in shown)
    assert len(shown) == 9 + 1  # as many as were wanted, and the attempt
