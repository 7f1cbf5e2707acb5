"""What is held out stays out: of the demonstrations, of the kept rows, and of every preference made from them."""

import pytest

from orbiter.errors import ConfigError
from orbiter.flywheel import Flywheel, load_recipe
from orbiter.flywheel.demonstrations import demonstrations
from orbiter.flywheel.exchanges import Exchanges
from orbiter.flywheel.export import export_run
from orbiter.jsonl import read_objects
from orbiter.plugin import registry
from orbiter.tasks.splits import TaskStream
from orbiter.tasks.streams import item_seed

PARTS = """
from orbiter.generate.policy import Completion, Policy
from orbiter.generate.synthesiser import DataSynthesiser
from orbiter.records import Message, Trajectory
from orbiter.tasks import Environment

def story(index):
    return " ".join(f"w{index // 2}x{place}" for place in range(15))

class Twins(Environment):
    '''Tasks 2 n and 2 n + 1 tell one story with two names.'''
    name, size = "twins", 200
    def task(self, index, *, seed):
        return self.make_task(index, f"name{index} {story(index)}", answer="yes")

class Mixed(Policy):
    name = "mixed"
    async def complete(self, requests, sampling):
        return [Completion.of("yes" if request.attempt else "no") for request in requests]

class Dressed(DataSynthesiser):
    '''Writes rows of every task, under a system message of its own.'''
    async def generate(self, count):
        rows = []
        for index in range(min(count, 200)):
            prompt = (Message("system", "be brief"), Message("user", f"name{index} {story(index)}"))
            answer = Message("assistant", "yes")
            rows.append(Trajectory((*prompt, answer), "twins", f"twins:{index}", None))
        return rows
"""

RECIPE = """\
name: leaks
rounds: 1
model: {id: none}
environment: {name: mine.py:Twins}
verifier: {name: regex, pattern: "yes"}
policy: {name: mine.py:Mixed}
teach: {demonstrations: 100, synthesisers: [{name: mine.py:Dressed}]}
generate: {tasks: 100, samples: 3}
curate: {pairs: true}
evaluate: {tasks: 200, share: 0.2, audit: 0}
verify: {workers: 0}
"""


@pytest.fixture
def make(tmp_path):
    (tmp_path / "mine.py").write_text(PARTS)

    def make(text=RECIPE):
        (tmp_path / "recipe.yaml").write_text(text)
        recipe = load_recipe(tmp_path / "recipe.yaml")
        return Flywheel(recipe, runs_dir=tmp_path / "runs", base_dir=tmp_path)

    return make


def stories_held_out(wheel):
    stream = TaskStream(wheel.environment, seed=item_seed(0, "tasks"), split="held_out", share=0.2)
    return {task.prompt.split()[1] for task in stream}


def test_no_pair_or_preference_tells_a_held_out_story(make, tmp_path):
    wheel = make(RECIPE.replace("teach:", "# teach:"))
    result = wheel.run()
    held_out = stories_held_out(wheel)
    decisions = result.rounds[1]["decisions"]
    assert decisions["contaminated"] > 0
    assert decisions["accepted"] > 0
    files = [result.path / "data/round-1-pairs.jsonl"]
    for name in ("trl-preference", "trl-unpaired", "trl-sft"):
        files.append(tmp_path / f"{name}.jsonl")
        assert export_run(result.path, registry().create("exporter", name), files[-1]).count > 0
    for file in files:
        for _, row in read_objects(file):
            prompt = row.get("prompt") or row["messages"]
            assert prompt[0]["content"].split()[1] not in held_out


def test_preferences_wait_until_their_round_is_curated(make, tmp_path):
    result = make(RECIPE.replace("teach:", "# teach:")).run()
    (result.path / "decisions.jsonl").write_bytes(b"")  # as if it had not been curated yet
    with pytest.raises(ConfigError, match="has no Pair to export"):
        export_run(result.path, registry().create("exporter", "trl-preference"), tmp_path / "p")


@pytest.mark.filterwarnings("ignore:teach.demonstrations is:orbiter.errors.OrbiterWarning")
def test_synthesised_rows_do_not_bring_held_out_prompts_under_another_system_message(make):
    wheel = make()
    with wheel:
        rows = demonstrations(wheel, 100, Exchanges())
    held_out = stories_held_out(wheel)
    assert held_out
    assert 50 < len(rows) < 100  # all that there are to be had
    assert not {row.messages[1].text.split()[1] for row in rows} & held_out
