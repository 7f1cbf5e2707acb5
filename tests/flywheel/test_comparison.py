"""Recipes compared on a scripted policy: one start, one budget, and what the runs say of it."""

import json
import xml.etree.ElementTree as ET

import pytest

from orbiter.errors import ConfigError
from orbiter.flywheel import load_recipe
from orbiter.flywheel.comparison import Budget, Course, Mark, compare, standings, within
from orbiter.flywheel.comparison_chart import comparison_chart

PARTS = """
import json
from pathlib import Path
from orbiter.records import Trajectory
from orbiter.train.backend import Backend, TrainResult
from orbiter.train.config import TrainMetrics

class Rising(Backend):
    '''Makes the scripted policy better by a step; counts how often it was asked.'''
    name = "rising"
    algorithms = {"sft": Trajectory}
    def check(self, job):
        pass
    def train(self, job):
        done = job.output_dir / "scripted.json"
        if not done.exists():
            job.output_dir.mkdir(parents=True, exist_ok=True)
            start = Path(job.model) / "scripted.json"
            accuracy = json.loads(start.read_text())["accuracy"] if start.exists() else 0.1
            accuracy = min(1.0, accuracy + job.config.learning_rate)
            done.write_text(json.dumps({"accuracy": accuracy}))
            (job.output_dir / "trained_here").write_text(str(job.output_dir))
        return TrainResult(checkpoint=job.output_dir, metrics=TrainMetrics(steps=1))
"""

RECIPE = """\
name: NAME
model: {id: some-model}
environment: {name: sorting, length: 5}
policy: {name: scripted, environment: {name: sorting, length: 5}}
teach: {backend: "mine.py:Rising", demonstrations: 5, learning_rate: 0.1}
generate: {tasks: 20, samples: 2}
evaluate: {tasks: 50, audit: 0}
verify: {workers: 0}
stages:
  loop: {rounds: 4, generate: {}, train: {backend: "mine.py:Rising", learning_rate: RATE}}
"""


@pytest.fixture
def files(tmp_path):
    (tmp_path / "mine.py").write_text(PARTS)
    for name, rate in (("fast", 0.25), ("slow", 0.05)):
        text = RECIPE.replace("NAME", name).replace("RATE", str(rate))
        (tmp_path / f"{name}.yaml").write_text(text)
    return tmp_path


def test_a_budget_loosens_no_bound_that_a_recipe_has_itself(files):
    recipe = load_recipe(
        files / "fast.yaml", ["stages.loop.gates.max_samples=100", "gates.max_tokens=5000"]
    )
    bounded = within(recipe, Budget(samples=1_000, tokens=2_000, seconds=60))
    gates = bounded.stages["loop"].gates
    assert (gates.max_samples, gates.max_tokens, gates.max_seconds) == (100, 2_000, 60)
    assert (bounded.gates.max_samples, bounded.gates.max_tokens) == (1_000, 2_000)
    assert within(recipe, Budget()) == recipe


def run(files, *, budget=None, seeds=(1, 2), names=("fast", "slow"), **more):
    recipes = [load_recipe(files / f"{name}.yaml", **more) for name in names]
    return compare(
        recipes,
        seeds=seeds,
        budget=budget or Budget(),
        runs_dir=files / "runs",
        base_dirs=[files] * len(recipes),
    )


def test_runs_of_one_seed_share_their_cold_start_and_differ_after_it(files):
    courses = run(files)
    assert [(c.recipe, c.seed) for c in courses] == [
        ("fast", 1),
        ("slow", 1),
        ("fast", 2),
        ("slow", 2),
    ]
    for first, second in (courses[:2], courses[2:]):
        assert first.marks[0] == second.marks[0]
        assert first.rate > second.rate
    trained = {
        name: (files / f"runs/{name}-1/checkpoints/round-0/trained_here").read_text()
        for name in ("fast", "slow")
    }
    assert trained["fast"] == trained["slow"]
    assert [mark.spent["samples"] for mark in courses[0].marks] == [0, 40, 80, 120, 160]


def test_what_is_finished_is_read_and_not_run_again(files):
    first = run(files)
    before = (files / "runs/fast-1/rounds.jsonl").read_bytes()
    assert run(files) == first
    assert (files / "runs/fast-1/rounds.jsonl").read_bytes() == before


def test_a_budget_ends_every_run_and_no_mark_is_beyond_it(files):
    courses = run(files, budget=Budget(samples=100))
    for course in courses:
        assert [mark.spent["samples"] for mark in course.marks] == [0, 40, 80]
        assert "the budget of 100 samples is used up: 120 samples so far" in course.stopped


def test_different_starts_are_refused_and_one_may_be_given_to_all(files):
    text = (files / "slow.yaml").read_text().replace("length: 5}", "length: 6}")
    (files / "slow.yaml").write_text(text)
    with pytest.raises(ConfigError) as error:
        run(files)
    assert "environment of 'slow' is not that of 'fast'" in str(error.value)
    courses = run(files, start=files / "fast.yaml", seeds=[1])
    assert courses[0].marks[0] == courses[1].marks[0]


def test_a_start_from_another_folder_brings_its_own_files(files):
    away = files / "away"
    away.mkdir()
    (files / "mine.py").rename(away / "theirs.py")
    start = (files / "fast.yaml").read_text().replace("mine.py", "theirs.py")
    (away / "start.yaml").write_text(start)
    (files / "mine.py").write_text(PARTS.replace('"rising"', '"own"'))
    (course,) = run(files, start=away / "start.yaml", seeds=[1], names=["slow"])
    assert len(course.marks) == 5
    recipe = (files / "runs/slow-1/recipe.yaml").read_text()
    assert f"{away}/theirs.py:Rising" in recipe
    assert "backend: mine.py:Rising" in recipe


def test_a_start_that_was_half_taken_over_is_taken_over_again(files, monkeypatch):
    import shutil

    copy = shutil.copytree

    def broken(source, target):
        copy(source, target)
        (target / "scripted.json").write_text("{")
        raise KeyboardInterrupt

    monkeypatch.setattr("shutil.copytree", broken)
    with pytest.raises(KeyboardInterrupt):
        run(files, seeds=[1])
    monkeypatch.undo()
    fast, slow = run(files, seeds=[1])
    assert fast.marks[0] == slow.marks[0]
    assert not list((files / "runs").glob(".*"))


def test_two_recipes_of_one_name_are_refused(files):
    with pytest.raises(
        ConfigError, match="names of compared recipes must differ, got 'fast' twice"
    ):
        run(files, names=("fast", "fast"))


def course(recipe, seed, *rates, cost=100):
    marks = tuple(
        Mark(
            round=n,
            rate=rate,
            low=rate - 0.05,
            high=rate + 0.05,
            spent={"samples": n * cost, "tokens": n * 10 * cost, "seconds": n * 1.5},
        )
        for n, rate in enumerate(rates)
    )
    return Course(recipe=recipe, seed=seed, marks=marks)


def test_a_run_that_never_reached_the_target_is_the_dearest():
    courses = [course("a", 1, 0.1, 0.9), course("a", 2, 0.1, 0.5, 0.95), course("a", 3, 0.1, 0.2)]
    (found,) = standings(courses, target=0.9)
    assert (found.reached, found.costs["samples"], found.costs["seconds"]) == (2, 200, 3.0)
    (found,) = standings(courses[1:], target=0.96)
    assert (found.reached, found.costs) == (0, {"samples": None, "tokens": None, "seconds": None})


def test_the_interval_over_seeds_is_students():
    courses = [course("a", n, 0.1, rate) for n, rate in enumerate((0.7, 0.8, 0.9))]
    (found,) = standings(courses, target=0.9)
    assert found.rate.value == pytest.approx(0.8)
    assert found.rate.interval.low == pytest.approx(0.8 - 4.302653 * 0.1 / 3**0.5)
    assert found.rate.interval.high == 1.0  # no rate is above it
    (one,) = standings(courses[:1], target=0.9)
    assert (one.rate.interval.low, one.rate.interval.high) == pytest.approx((0.65, 0.75))


def test_the_plot_is_xml_with_a_line_per_run_in_each_panel_and_escapes_names():
    courses = [course("<b>", 1, 0.1, 0.9), course("<b>", 2, 0.2, 0.8), course("c", 1, 0.1, 0.5)]
    svg = comparison_chart(standings(courses, target=0.9), target=0.9, title="rates & costs")
    root = ET.fromstring(svg)
    space = "{http://www.w3.org/2000/svg}"
    assert len(root.findall(f"{space}polyline")) == 2 * 3
    assert [text.text for text in root.iter(f"{space}text")].count("target") == 2
    assert "<b>" not in svg
    assert json.dumps("&lt;b&gt;, seed 2")[1:-1] in svg
