"""The probe: what ``orbiter plan`` says, and that it leaves nothing behind."""

import tempfile

import pytest

from orbiter.cli import main
from orbiter.errors import PolicyError, UserCodeError
from orbiter.flywheel import Flywheel, load_recipe, odds, probe
from orbiter.flywheel.probe import estimate, expected_kept, probing, sample
from orbiter.records import Outcome

RECIPE = """\
name: planned
rounds: 3
environment: {name: sorting, length: 5}
policy: {name: scripted, accuracy: 0.4, environment: {name: sorting, length: 5}}
generate: {tasks: 50, samples: 4}
curate: {max_per_task: 2}
evaluate: {tasks: 20, samples: 2}
verify: {workers: 0}
"""
PARTS = """
import asyncio
from pathlib import Path
from orbiter.generate.policy import Completion, Policy
from orbiter.records import Trajectory
from orbiter.train.backend import Backend

class Waiting(Policy):
    name, concurrency = "waiting", 5
    open = most = 0
    async def complete(self, requests, sampling):
        self.open += 1
        self.most = max(self.most, self.open)
        await asyncio.sleep(0)
        self.open -= 1
        return [Completion.of(request.task_id) for request in requests]

class Ticking(Backend):
    name, algorithms = "ticking", {"sft": Trajectory}
    def check(self, job): pass
    def train(self, job):
        clock = Path(__file__).with_name("clock")
        clock.write_text(str(int(clock.read_text()) + job.config.max_steps))

class Same(Policy):
    name = "same"
    async def complete(self, requests, sampling):
        digits = [request.messages[0].text[5:-1] for request in requests]
        return [Completion.of("".join(sorted(d)) if d < "4" else d) for d in digits]

class Bad(Policy):
    name, batch_size = "bad", 4
    def __init__(self, *, how):
        self.how = how
    async def complete(self, requests, sampling):
        if self.how == "raises":
            raise RuntimeError("no idea")
        if self.how == "short":
            return [Completion.of("1")]
        return [Completion.failed("no room") for _ in requests]
"""


@pytest.fixture
def recipe(tmp_path):
    """The recipe's file."""
    (tmp_path / "parts.py").write_text(PARTS)
    path = tmp_path / "recipe.yaml"
    path.write_text(RECIPE)
    return path


@pytest.fixture
def wheel(recipe, tmp_path):
    def make(*overrides, text=RECIPE):
        recipe.write_text(text)
        return Flywheel(
            load_recipe(recipe, overrides), runs_dir=tmp_path / "runs", base_dir=tmp_path
        )

    return make


def bad(how: str) -> str:
    scripted = "{name: scripted, accuracy: 0.4, environment: {name: sorting, length: 5}}"
    return RECIPE.replace(scripted, f"{{name: parts.py:Bad, how: {how}}}")


def test_the_estimate_counts_what_the_run_will_sample(wheel):
    made = wheel()
    found = estimate(made, tasks=16)
    assert found.samples == 3 * 50 * 4 + 4 * 20 * 2
    assert found.probed == 32
    assert found.tokens == found.samples * 5  # a character is a token
    assert found.train_s is None
    assert found.seconds == found.sample_s > 0


def test_the_estimate_agrees_with_the_run(wheel):
    found = estimate(wheel(), tasks=50)
    rows = wheel().run().rounds
    made = sum(row.get("sampled", 0) for row in rows) + sum(row["held_out_valid"] for row in rows)
    assert made == found.samples
    assert sum(row["tokens"] for row in rows) == found.tokens
    interval = found.pass_rate_interval
    assert interval.low <= 0.4 <= interval.high
    for row in rows[1:]:
        assert row["kept"] <= 50 * 2
        # Right answers to one task are all the same, so one of them is kept.
        assert row["kept"] == pytest.approx(
            50 * odds.expected_survivors(found.pass_rate, samples=4, cap=1), rel=0.25
        )


def test_a_training_takes_as_long_as_all_the_rows_it_is_given(wheel, tmp_path, monkeypatch):
    """A step of the backend is a tick of the clock, and so is the start of a training."""
    (tmp_path / "clock").write_text("0")
    monkeypatch.setattr(probe, "perf_counter", lambda: int((tmp_path / "clock").read_text()))
    train = 'train: {backend: "parts.py:Ticking", batch_size: 10}'
    text = RECIPE + f"model: {{id: some-model}}\n{train}\n"
    assert estimate(wheel(text=text), tasks=4).train_s == 3 + 10 + 20 + 30
    assert estimate(wheel("curate.rounds=1", text=text), tasks=4).train_s == 3 + 3 * 10


def test_expected_rows_grow_with_the_pass_rate_up_to_the_cap(wheel):
    made = wheel()
    assert expected_kept(made, 0.0) == 0
    assert expected_kept(made, 1.0) == 50 * 2
    assert expected_kept(made, 0.3) < expected_kept(made, 0.4)


def test_the_probe_leaves_nothing_behind(wheel, tmp_path, monkeypatch):
    monkeypatch.setattr(tempfile, "tempdir", str(tmp_path / "temporary"))
    (tmp_path / "temporary").mkdir()
    estimate(wheel(), tasks=4)
    assert list((tmp_path / "temporary").iterdir()) == []
    assert not (tmp_path / "runs").exists()


def test_answers_of_the_probe_are_not_those_of_the_run(wheel):
    made = wheel()
    with probing(made) as model:
        assert model == "scripted"
        tasks = made.stream("train").take(3)
        samples, seconds = sample(made, tasks, samples=2)
    assert [s.task for s in samples] == [t for t in tasks for _ in range(2)]
    assert seconds >= 0
    assert {s.verdict.outcome for s in samples} <= {Outcome.PASS, Outcome.FAIL}


def test_the_probe_asks_as_much_at_once_as_a_run_does(wheel):
    """A server that bears many requests would seem as slow as one that bears a single one."""
    scripted = "{name: scripted, accuracy: 0.4, environment: {name: sorting, length: 5}}"
    made = wheel(text=RECIPE.replace(scripted, "{name: parts.py:Waiting}"))
    with probing(made):
        tasks = made.stream("train").take(20)
        samples, _ = sample(made, tasks)
        assert made.policy.most == 5
    assert [s.completion.messages[0].text for s in samples] == [task.task_id for task in tasks]


def test_two_answers_to_a_task_are_no_two_tasks(wheel):
    """Answers that depend on the task alone say no more when they are given again."""
    scripted = "{name: scripted, accuracy: 0.4, environment: {name: sorting, length: 5}}"
    found = estimate(wheel(text=RECIPE.replace(scripted, "{name: parts.py:Same}")), tasks=40)
    assert 0 < found.pass_rate < 1
    alone = odds.wilson(round(40 * found.pass_rate), 40)
    assert found.pass_rate_interval.width == pytest.approx(alone.width, rel=0.1)


def test_nothing_valid_is_no_pass_rate_and_never_0(wheel):
    found = estimate(wheel(text=bad("failed")), tasks=4)
    assert (found.pass_rate, found.pass_rate_interval, found.kept_per_round) == (None, None, None)


def test_a_policy_that_fails_in_the_probe_is_named(wheel):
    with pytest.raises(UserCodeError, match="'bad' raised RuntimeError: no idea"):
        estimate(wheel(text=bad("raises")), tasks=4)
    with pytest.raises(PolicyError, match=r"a list of 2 completions, got 1"):
        estimate(wheel(text=bad("short")), tasks=4)


def test_the_command_says_what_a_run_costs(recipe, tmp_path, capsys):
    assert main(["plan", str(recipe), "--runs", str(tmp_path / "runs"), "--probe", "8"]) == 0
    lines = capsys.readouterr().out.splitlines()
    assert lines[0] == "planned: 3 rounds of 50 tasks x 4 samples"
    assert lines[1].split()[:2] == ["samples", "760"]
    assert lines[2].split()[:2] == ["tokens", "3,800"]
    assert lines[3].split()[0] == "time"
    assert lines[4].split()[:4] == ["probe", "16", "answers,", "pass"]
    assert "rows a round at the probed pass rate; at most 20 at 0.1" in lines[5]
    assert not (tmp_path / "runs").exists()


def test_the_command_says_when_nothing_was_valid(recipe, tmp_path, capsys):
    recipe.write_text(bad("failed"))
    assert main(["plan", str(recipe), "--runs", str(tmp_path), "--probe", "4"]) == 0
    assert "8 answers, none with a valid verdict" in capsys.readouterr().out


def test_a_probe_of_nothing_is_refused(recipe, capsys):
    assert main(["plan", str(recipe), "--probe", "0"]) == 2
    assert "--probe must be >= 1, got 0" in capsys.readouterr().err
