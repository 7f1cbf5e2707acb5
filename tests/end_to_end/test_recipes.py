"""Every recipe of examples/recipes with stages runs end to end on a model of one layer, and holds together at scale."""

import importlib
import shutil
from pathlib import Path

import attrs
import pytest

from orbiter.flywheel import load_recipe
from orbiter.flywheel.account import read_account
from orbiter.ledger import RunIndex
from orbiter.plugin import registry
from orbiter.records import Pair

RECIPES = Path(__file__).parents[2] / "examples" / "recipes"
STAGED = {
    "back_translation": ["documents"],
    "best_of_n_dpo": ["dpo"],
    "cai": ["revise", "prefer"],
    "evol": ["invent", "evolve"],
    "grpo": ["grpo"],
    "hard_negatives": ["negatives", "own"],
    "kto": ["kto"],
    "multi_turn": ["talk"],
    "online_dpo": ["dpo"],
    "orpo": ["orpo"],
    "r1": ["reasoning", "general", "rejection", "alignment"],
    "raft": ["raft"],
    "rlhf": ["reward", "ppo"],
    "self_play": ["play"],
    "simpo": ["simpo"],
    "spin": ["spin"],
    "star": ["star"],
    "tulu3": ["dpo", "rlvr"],
}
"""Recipe to its stages."""

ELSEWHERE = ("liveweb",)
"""Recipes that train nothing, which the tests of their plugins run."""

SMALL = (
    "model.hidden_size=32", "model.layers=1", "model.heads=2", "generate.tasks=16", "generate.samples=4",
    "evaluate.tasks=16", "evaluate.audit=20", "verify.workers=0",
)  # fmt: skip
COLD = (
    "teach.demonstrations=60", "teach.max_steps=50", "teach.batch_size=32", "teach.learning_rate=1e-2",
    "teach.warmup_steps=5",
)  # fmt: skip

ON_A_CLUSTER = ("rlhf",)
"""Recipes that train with verl; the tests of its plugin run them, since they have to start clusters anyway."""

OWN_START = ("r1", "self_play", "star")
"""Recipes with an environment or letters of their own, whose cold start is no other's."""

GAMES = ("self_play",)
"""Recipes whose tasks are positions of games, at scale too."""


def tiny(name: str) -> list[str]:
    """Return the overrides that make a recipe small: the same model, stages and algorithms, and few steps."""
    plain = load_recipe(RECIPES / f"{name}.yaml")
    changes = list(SMALL)
    if name not in ("star", *GAMES):
        changes.append("environment.length=3")
    if plain.teach is not None:
        changes += COLD
    for stage, spec in plain.stages.items():
        changes.append(f"stages.{stage}.rounds={min(2, spec.rounds)}")
        changes.append(f"stages.{stage}.gates={{goodhart: false}}")
        if spec.demonstrate is not None:
            changes.append(f"stages.{stage}.demonstrate.count=8")
        if spec.synthesise is not None:
            changes.append(f"stages.{stage}.synthesise.tasks=16")
        if spec.train is not None:
            changes += [f"stages.{stage}.train.max_steps=2", f"stages.{stage}.train.batch_size=16"]
    return changes


@pytest.fixture(scope="module")
def cold(tmp_path_factory):
    """The folder of the cold start, which every run of the same start takes over: a backend knows a job that is done."""
    return tmp_path_factory.mktemp("cold")


@pytest.fixture
def run(turn, tmp_path, cold):
    def run(name, *changes):
        place = tmp_path / load_recipe(RECIPES / f"{name}.yaml").name / "checkpoints" / "round-0"
        taught = cold / (name if name in OWN_START else "sorting")
        if taught.exists() and name != "orpo":
            shutil.copytree(taught, place)
        result = turn(RECIPES / f"{name}.yaml", tmp_path, *tiny(name), *changes)
        if not taught.exists() and name != "orpo":
            shutil.copytree(place, taught)
        return result

    return run


def test_every_recipe_is_run_here():
    found = {
        path.stem: list(load_recipe(path).stages)
        for path in RECIPES.glob("*.yaml")
        if "\nstages:" in path.read_text() and path.stem not in ELSEWHERE
    }
    assert found == STAGED


@pytest.mark.parametrize("name", sorted(STAGED.keys() - ON_A_CLUSTER))
def test_a_recipe_runs_and_leads_back(run, name):
    result = run(name)
    assert result.stopped is None
    turns = load_recipe(result.path / "recipe.yaml").turns
    assert [row["round"] for row in result.rounds] == [0, *(turn.number for turn in turns)]
    account = read_account(result.path)
    assert account.state == "finished"
    assert account.total.pending == 0
    for turn, row in zip(turns, result.rounds[1:], strict=True):
        assert row["name"] == turn.name
        if turn.stage.synthesise is not None:
            assert row["sampled"] == sum(row["decisions"].values()) > 0
        if turn.stage.train is None:
            continue
        assert row["steps"] == 2
        assert (row["spent"]["samples"] == 0) == (name == "spin")
        with RunIndex(result.path) as index:
            assert f"checkpoints/round-{turn.number}/checkpoint" in [
                checkpoint.path for checkpoint in index.checkpoints()
            ]
    assert result.rounds[-1]["held_out_valid"] == 16


@pytest.mark.parametrize("name", sorted(STAGED))
def test_a_recipe_holds_together_at_scale(name, tmp_path):
    plain, scaled = (
        load_recipe(RECIPES / f"{name}.yaml"),
        load_recipe(RECIPES / f"{name}.yaml", inputs_of(name, tmp_path), scale=True),
    )
    assert list(scaled.stages) == list(plain.stages)
    assert scaled.model.id.startswith("Qwen/")
    assert scaled.environment.name == ("openspiel" if name in GAMES else "jsonl")
    for stage, spec in scaled.stages.items():
        before = plain.stages[stage].train
        assert (spec.train is None) == (before is None)
        if spec.train is not None and before is not None:
            assert spec.train.algorithm == before.algorithm
            assert (spec.train.max_steps is None) == (spec.train.backend == "trl")
            assert spec.train.learning_rate <= 1e-5
            assert 2 <= rows_at_once(spec.train) <= 16
            check_options_of(spec.train)


def inputs_of(name, folder):
    """Return what a recipe at scale has to be told."""
    named = [] if name in GAMES else ["tasks", *(["general"] if name == "r1" else [])]
    return [f"inputs.{one}={folder / 'tasks.jsonl'}" for one in named]


def rows_at_once(train):
    """Return how many rows a device holds in one pass: of 1500 tokens and a vocabulary of 150,000, sixteen have 14 GB of logits in fp32."""
    if train.backend == "verl":
        return train.batch_size * train.options.get("group_size", 8)
    backend = registry().create("backend", train.backend)
    return train.batch_size * (2 if backend.record_of(train.algorithm) is Pair else 1)


def check_options_of(train):
    """See that the backend knows the options, without a model or data."""
    if train.backend == "verl":
        settings = pytest.importorskip("orbiter_verl.settings").Settings
        assert train.options.keys() <= {field.name for field in attrs.fields(settings)}
        return
    part = importlib.import_module(f"orbiter_trl.{train.algorithm}")
    importlib.import_module("orbiter_trl.settings").check_options(
        train.options, part.CONFIG, idle=part.IDLE
    )


@pytest.mark.parametrize("name", sorted(STAGED))
def test_the_parts_at_scale_exist_and_take_their_options(name, tmp_path):
    (tmp_path / "tasks.jsonl").write_text('{"question": "1+1?", "answer": "#### 2"}\n')
    recipe = load_recipe(RECIPES / f"{name}.yaml", inputs_of(name, tmp_path), scale=True)
    named = [("environment", recipe.environment), ("policy", recipe.policy)]
    named += [("verifier", recipe.verifier)] if recipe.verifier is not None else []
    for spec in recipe.stages.values():
        named += [("verifier", spec.verifier)] if spec.verifier is not None else []
        known = ("task", *recipe.stages)
        named += [("synthesiser", spec.synthesise)] if spec.synthesise is not None else []
        named += [("verifier", reward) for reward in spec.rewards if reward.name not in known]
        if spec.demonstrate is not None and spec.demonstrate.environment is not None:
            named.append(("environment", spec.demonstrate.environment))
    for kind, part in named:
        registry().check(kind, part.name, part.extra, base_dir=RECIPES)


def test_a_budget_of_divergence_ends_a_real_run_and_a_larger_one_lets_it_go_on(run, tmp_path, turn):
    steps = "stages.raft.train.max_steps=30"
    result = run("raft", "stages.raft.gates={max_kl: 0.001}", steps)
    assert "nats per answer from where the stage began" in result.stopped
    row = result.rounds[-1]
    assert (row["round"], row["kl_low"] > 0.001, row["kl"] < row["kl_high"]) == (1, True, True)
    more = "stages.raft.gates={max_kl: 1000, goodhart: false}"
    again = turn(RECIPES / "raft.yaml", tmp_path, *tiny("raft"), more, steps)
    assert (again.stopped, again.rounds[-1]["round"]) == (None, 2)
