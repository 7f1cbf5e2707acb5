"""The page docs/reference/train_api.md: its blocks run as they stand, with nothing but the reader's own names supplied."""

import ast
import importlib
import inspect
import json
import re
import subprocess
import sys
from pathlib import Path
from typing import Any, ClassVar

import pytest

import orbiter.train
from orbiter import hookimpl
from orbiter.errors import MissingPluginError, OrbiterWarning
from orbiter.plugin import plugin_manager
from orbiter.records import Task
from orbiter.train import (
    Backend,
    DataSynthesiser,
    RewardSpec,
    TrainerState,
    TrainMetrics,
    TrainResult,
    TrajectoryDataset,
    TrajectoryItem,
    combine_rewards,
)

PAGE = Path(__file__).parents[2] / "docs" / "reference" / "train_api.md"
BLOCKS = re.findall(
    r"^```python\n(.*?)^```$", PAGE.read_text(encoding="utf-8"), re.DOTALL | re.MULTILINE
)
PUBLIC = [
    "TrajectoryItem",
    "TrajectoryDataset",
    "TrajectoryStrategy",
    "DefaultStrategy",
    "TrainConfig",
    "Trainer",
    "TrainerState",
    "TrainMetrics",
    "SynthesisConfig",
    "SynthesisPipeline",
    "DataSynthesiser",
    "TemplateSynthesiser",
    "EvolutionConfig",
    "EvolutionPipeline",
    "EvolutionStrategy",
    "EvolutionPhase",
    "VeRLConfig",
    "VeRLTrainer",
    "VeRLAlgorithm",
    "RewardSpec",
    "augment_add_noise",
    "augment_swap_io",
    "filter_by_score",
    "deduplicate",
    "split_dataset",
]


@pytest.fixture(autouse=True)
def own_folder(tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)


@pytest.fixture
def no_plugins(monkeypatch):
    """The plugin manager as it is with nothing installed."""
    monkeypatch.setenv("ORBITER_PLUGINS", "")
    plugin_manager.cache_clear()
    yield plugin_manager()
    plugin_manager.cache_clear()


async def execute(containing, **supplied):
    """Run the one block that contains a text, and return its names."""
    (block,) = [block for block in BLOCKS if containing in block]
    names = dict(supplied)
    code = compile(block, str(PAGE), "exec", ast.PyCF_ALLOW_TOP_LEVEL_AWAIT)
    result = eval(code, names)
    if inspect.isawaitable(result):
        await result
    return names


def test_all_blocks_are_run_here():
    source = Path(__file__).read_text(encoding="utf-8")
    texts = re.findall(r'await execute\(\s*"([^"]+)"', source)
    assert [block for block in BLOCKS if not any(text in block for text in texts)] == []
    assert len(BLOCKS) == 12


async def test_basic_usage():
    await execute("# Collect trajectory data")
    assert json.loads(Path("training_data.json").read_bytes()) == [
        {
            "state": "User asks about Python",
            "action": "search(query='Python programming')",
            "reward": 0.8,
            "metadata": {},
        }
    ]


async def test_item():
    item = (await execute("Python decorators"))["item"]
    assert (item.reward, item.metadata) == (0.9, {"agent": "assistant", "step": 3})


async def test_dataset(capsys):
    names = await execute("# Query the dataset", TrajectoryItem=TrajectoryItem)
    assert capsys.readouterr().out == "2\n"
    assert names["items"] == [TrajectoryItem("s1", "a1", 0.7), TrajectoryItem("s2", "a2", 0.9)]
    assert TrajectoryDataset.from_json("trajectories.json") == names["dataset"]
    assert TrajectoryDataset.from_csv("trajectories.csv") == names["dataset"]


async def test_strategy():
    names = await execute(
        "class FilteredStrategy", TrajectoryItem=TrajectoryItem, TrajectoryDataset=TrajectoryDataset
    )
    dataset = names["dataset"]
    assert [dataset.capture(TrajectoryItem("s", "a", reward)) for reward in (0.4, 0.5, 7.0)] == [
        False,
        True,
        True,
    ]
    assert [item.reward for item in dataset] == [0.5, 1.0]


async def test_synthesis(capsys):
    class Scored(DataSynthesiser):
        async def synthesise(self, source, config):
            return [
                {"text": f"{text} number {n}", "score": n / 4} for text in source for n in range(5)
            ]

    names = await execute(
        "pipeline.add_step(my_synthesiser)", my_synthesiser=Scored(), seed_data=["first", "other"]
    )
    assert capsys.readouterr().out == "Generated: 10\nFiltered: 6\n"
    assert [item["score"] for item in names["result"].items] == [0.75, 1.0, 0.75, 1.0]


async def test_templates():
    with pytest.warns(
        OrbiterWarning, match="give 10 different items, 40 fewer than the 50 asked for"
    ):
        items = (await execute("TemplateSynthesiser("))["items"]
    assert len(set(items)) == len(items) == 10
    assert "Compare GraphQL with gRPC" in items


@pytest.mark.parametrize(
    "make",
    [
        lambda n: {"input": f"question {n} of {n * n}", "output": f"answer {n}", "score": n / 40},
        lambda n: TrajectoryItem(f"state {n} of {n * n}", f"action {n}", n / 40),
    ],
)
async def test_augmentation(make):
    data = [make(n) for n in range(40)]
    names = await execute("augment_swap_io,", data=data)
    assert [len(names[part]) for part in ("train", "val", "test")] == [32, 4, 4]
    assert names["filtered"] == data[28:]
    assert len(names["noisy_data"]) == len(names["swapped"]) == 40
    assert names["noisy_data"] != data
    assert names["unique"] == data


async def test_trainer():
    trainer = (await execute("class MyTrainer"))["MyTrainer"](
        agent="agent", dataset=[1], reward_fn=len
    )
    result = await trainer.run()
    assert (result.train_metrics, result.eval_metrics) == (
        TrainMetrics(loss=0.5, accuracy=0.85),
        TrainMetrics(loss=0.3, accuracy=0.9),
    )
    assert trainer.state is TrainerState.COMPLETE


async def test_config():
    assert (await execute("warmup_steps=100"))["config"].eval_every == 500


async def test_evolution(capsys):
    async def score_agent(candidate):
        return -abs(candidate - 42)

    supplied = {
        "Any": Any,
        "score_agent": score_agent,
        "mutate_agent": lambda candidate: candidate + 1,
        "initial_population": [1, 2, 40],
    }
    result = (await execute("class MyStrategy", **supplied))["result"]
    assert capsys.readouterr().out == f"Best score: {result.best_score}\nEpochs completed: 5\n"
    assert result.best_score > -2


class RecordingBackend(Backend):
    """Stands for a plugin that is not installed: it scores what the tasks say, with the rewards of the job."""

    name, algorithms = "verl", {"ppo": Task, "grpo": Task}
    jobs: ClassVar = []

    def check(self, job):
        assert job.data.is_file()

    def train(self, job):
        self.jobs.append(job)
        tasks = [Task.from_row(json.loads(line)) for line in job.data.read_text().splitlines()]
        rewards = combine_rewards(job.rewards, [task.prompt for task in tasks], tasks)
        return TrainResult(
            checkpoint=job.output_dir, metrics=TrainMetrics(loss=0.25, reward=rewards.mean)
        )


DATASET = TrajectoryDataset()
DATASET.extend([TrajectoryItem("four", "4"), TrajectoryItem("eleven", "11")])


async def test_verl(capsys, no_plugins):
    class Plugin:
        @hookimpl
        def orbiter_register(self, registry):
            registry.add("backend", "verl", RecordingBackend)

    no_plugins.register(Plugin())
    names = await execute("trainer = VeRLTrainer(", my_reward_function=len, dataset=DATASET)
    assert capsys.readouterr().out == "Loss: 0.25, Reward: 5.0\n"
    assert names["trainer"].state is TrainerState.TRAINED
    (job,) = RecordingBackend.jobs
    assert (job.algorithm, job.config, job.rewards) == ("ppo", names["config"], (names["reward"],))
    assert job.options == {"kl_coef": 0.1, "clip_range": 0.2, "group_size": 8}


async def test_verl_without_its_plugin(no_plugins):
    with pytest.raises(MissingPluginError) as caught:
        await execute("trainer = VeRLTrainer(", my_reward_function=len, dataset=DATASET)
    assert "needs the plugin orbiter-verl" in caught.value.message
    assert caught.value.hint == "pip install orbiter-verl"


async def test_rewards():
    def reward(output):
        return 1.0

    supplied = dict.fromkeys(("accuracy_reward", "brevity_reward", "safety_reward"), reward)
    rewards = (await execute("accuracy_reward", RewardSpec=RewardSpec, **supplied))["rewards"]
    assert [r.weight for r in rewards] == [0.6, 0.2, 0.2]
    assert combine_rewards(rewards, ["x"]).scores == (pytest.approx(1.0),)


@pytest.mark.parametrize("name", PUBLIC)
def test_every_name_is_public(name):
    assert name in orbiter.train.__all__
    value = getattr(orbiter.train, name)
    assert value is getattr(importlib.import_module(value.__module__), name)
    assert value.__doc__


@pytest.mark.parametrize("then", ["", "from orbiter.train import *"])
def test_importing_it_loads_no_training_library(then):
    code = f"""
import sys, time
import orbiter.train
{then}
heavy = {{"torch", "transformers", "trl", "verl", "ray", "pyspiel", "peft", "datasets"}}
print(sorted(heavy & set(sys.modules)), len([m for m in sys.modules if m.startswith("orbiter.")]))
"""
    out = subprocess.run(
        [sys.executable, "-c", code], capture_output=True, text=True, check=True
    ).stdout
    loaded, count = out.rsplit(maxsplit=1)
    assert loaded == "[]"
    assert (int(count) == 2) == (then == "")  # itself and orbiter.lazy
