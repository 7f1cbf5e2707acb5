"""A recipe whose policy answers turn by turn with the ten actions: what it was shown, the verifier's replay confirms."""

import json

import pytest

from orbiter.flywheel import Flywheel, load_recipe
from orbiter.ledger import History

SLIPS = (
    ("fly", {}),
    ("click", {"ref": 1}),
    ("goto", {}),
    ("goto", {"url": 3}),
    ("scroll", {"direction": "left"}),
    ("view_more", {"more": 1}),
)
"""Calls that are wrong, before a page is open."""

PLAYER = """
import json
from orbiter.generate.policy import Completion, Policy
from orbiter.records import Message
from orbiter_liveweb.composing import questions_of
from orbiter_liveweb.teacher import TeacherGenerator

class Pupil(Policy):
    '''Slips, and then takes the turns that the teacher would take.'''

    name = "pupil"
    batch_size = 3

    def __init__(self, *, cache, slips="[]"):
        self.teacher = TeacherGenerator(cache)
        self.slips = [Message("assistant", None, tool_calls=(call,)) for call in json.loads(slips)]

    async def complete(self, requests, sampling):
        return [Completion(messages=(self.turn(r),), token_count=1) for r in requests]

    def turn(self, request):
        assert {tool["function"]["name"] for tool in request.tools} >= {"goto", "stop"}
        guide = self.teacher.act(questions_of(request.task_id), seed=1)
        turns = [*self.slips, *(m for m in guide.messages if m.role == "assistant")]
        return turns[sum(m.role == "assistant" for m in request.messages)]
"""

RECIPE = """
name: pupil
environment: {{name: liveweb, cache_dir: "{web}", num_subtasks: [1, 2]}}
policy: {{name: "player.py:Pupil", cache: "{web}", max_turns: 40}}
rounds: 1
generate: {{tasks: 6, samples: 1}}
evaluate: {{tasks: 0, share: 0, audit: 0}}
verify: {{workers: 0}}
"""


@pytest.fixture
def run(web, tmp_path):
    """Run the recipe, and return its last round and its rows."""
    (tmp_path / "player.py").write_text(PLAYER)
    (tmp_path / "recipe.yaml").write_text(RECIPE.format(web=web.folder))

    def run(*overrides):
        recipe = load_recipe(tmp_path / "recipe.yaml", overrides)
        done = Flywheel(recipe, runs_dir=tmp_path / "runs", base_dir=tmp_path).run()
        with History.open(done.path) as ledger:
            return done.rounds[-1], [attempt.trajectory for attempt in ledger.attempts()]

    return run


def test_right_turns_pass(run):
    row, rows = run()
    assert (row["sampled"], row["passed"]) == (6, 6)
    assert all(m.role == "assistant" for one in rows for m in one.messages[-1:])


def test_what_a_slip_is_told_is_what_the_replay_tells(run):
    calls = [
        {"id": "x", "type": "function", "function": {"name": name, "arguments": json.dumps(given)}}
        for name, given in SLIPS
    ]
    row, rows = run(f"policy.slips={json.dumps(json.dumps(calls))}")
    assert (row["sampled"], row["passed"]) == (6, 6)
    told = [m.text for m in rows[0].messages if m.role == "tool"][: len(SLIPS)]
    assert all(text.startswith("Error: ") for text in told)


def test_too_few_turns_are_cut_off_and_fail(run):
    row, rows = run("policy.max_turns=2")
    assert (row["sampled"], row["passed"], row["failed"]) == (6, 0, 6)
    assert {one.extra["finish_reason"] for one in rows} == {"length"}
