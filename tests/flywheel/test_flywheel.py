"""The loop on a scripted policy: every attempt accounted for, stopped and gone on with at any point."""

import json
import os
import subprocess
import sys
from pathlib import Path

import pytest

from orbiter import jsonl
from orbiter.errors import (
    BudgetExceededError,
    ConfigError,
    LedgerWarning,
    PolicyError,
    RunLockedError,
    UserCodeError,
)
from orbiter.flywheel import Flywheel, load_recipe
from orbiter.flywheel.account import read_account
from orbiter.flywheel.export import export_run
from orbiter.generate.scripted import ScriptedPolicy
from orbiter.intervals import wilson
from orbiter.ledger import History, Ledger
from orbiter.plugin import registry
from orbiter.records import Trajectory
from orbiter.verify.exact import ExactVerifier

RECIPE = """\
name: small
seed: 3
rounds: 2
environment: {name: sorting, length: 5}
policy:
  name: scripted
  accuracy: 0.5
  environment: {name: sorting, length: 5}
generate: {tasks: 30, samples: 4}
curate: {max_per_task: 1, pairs: true}
evaluate: {tasks: 20, audit: 20}
verify: {workers: 0}
"""
KILLS = 200


@pytest.fixture
def wheel(tmp_path):
    """Make a flywheel of the small recipe; ``folder`` keeps several runs of it apart."""
    file = tmp_path / "recipe.yaml"

    def make(*overrides, text=RECIPE, folder="runs"):
        file.write_text(text)
        return Flywheel(load_recipe(file, overrides), runs_dir=tmp_path / folder, base_dir=tmp_path)

    return make


def data_of(run: Path) -> dict[str, bytes]:
    return {p.name: p.read_bytes() for p in sorted((run / "data").iterdir())}


def count_lines(path: Path) -> int:
    return path.read_bytes().count(b"\n")


def test_every_attempt_is_accounted_for(wheel):
    result = wheel().run()
    account = read_account(result.path)
    assert account.state == "finished"
    assert account.total.planned == 2 * 30 * 4 + 3 * 20
    assert account.total.pending == 0
    for row in account.rounds:
        assert row["planned"] == row["passed"] + row["failed"] + sum(row["invalid"].values())
        if row["engine"] == "policy":
            assert sum(row["decisions"].values()) == row["planned"]
            assert 0 < row["yield"] < 1
    assert [row["round"] for row in result.rounds] == [0, 1, 2]


def test_kept_rows_passed_are_distinct_and_lead_back_to_their_attempts(wheel):
    result = wheel().run()
    rows = list(jsonl.read(result.path / "data/round-1-kept.jsonl", Trajectory))
    assert rows
    assert all(row.verdict.outcome == "pass" and row.score == 1 for row in rows)
    assert len({row.task_id for row in rows}) == len(rows)
    assert all(row.extra["engine"] == "policy" for row in rows)
    assert rows[0].sampling["temperature"] == 1.0


def test_rounds_ask_fresh_tasks_and_never_held_out_ones(wheel):
    result = wheel().run()
    prompts = {}
    with History.open(result.path) as ledger:
        for attempt in ledger.attempts():
            where = (attempt.key.engine, attempt.key.round if attempt.key.engine == "policy" else 0)
            prompts.setdefault(where, set()).add(attempt.trajectory.messages[0].content)
    first, second, held_out = prompts["policy", 1], prompts["policy", 2], prompts["held_out", 0]
    assert (len(first), len(second), len(held_out)) == (30, 30, 20)
    assert not first & second
    assert not (first | second) & held_out


def test_same_seed_same_bytes_and_another_seed_others(wheel):
    first = data_of(wheel(folder="a").run().path)
    assert data_of(wheel(folder="b").run().path) == first
    assert data_of(wheel("seed=4", folder="c").run().path) != first


def test_finished_run_does_nothing_and_more_rounds_go_on(wheel):
    wheel().run()
    before = (wheel().path / "rounds.jsonl").read_bytes()
    again = wheel().run()
    assert again.was_finished
    assert (again.path / "rounds.jsonl").read_bytes() == before
    longer = wheel("rounds=3").run()
    assert not longer.was_finished
    assert [row["round"] for row in longer.rounds] == [0, 1, 2, 3]
    assert data_of(wheel("rounds=3", folder="at-once").run().path) == data_of(longer.path)


def test_folder_of_another_recipe_is_refused(wheel):
    wheel().run()
    with pytest.raises(ConfigError, match="seed was 3, now 4"):
        wheel("seed=4", "rounds=5").run()


@pytest.mark.parametrize("calls", [0, 1, 3, 5, 6])
def test_interrupted_run_ends_as_if_it_had_not_been(wheel, monkeypatch, calls):
    whole = data_of(wheel(folder="whole").run().path)
    left = calls
    complete = ScriptedPolicy.complete

    async def interrupted(self, requests, sampling):
        nonlocal left
        if left == 0:
            raise KeyboardInterrupt
        left -= 1
        return await complete(self, requests, sampling)

    monkeypatch.setattr(ScriptedPolicy, "complete", interrupted)
    with pytest.raises(KeyboardInterrupt):
        wheel().run()
    monkeypatch.setattr(ScriptedPolicy, "complete", complete)
    result = wheel().run()
    assert data_of(result.path) == whole
    read_account(result.path)


@pytest.mark.slow
def test_run_killed_at_200_random_points_has_the_bytes_of_one_that_never_was(tmp_path):
    """kill -9, at a random moment of each start, until 200 kills have hit; then nothing is lost and nothing is there twice."""
    recipe = tmp_path / "recipe.yaml"
    recipe.write_text(
        "name: small\nseed: 3\nrounds: 2\n"
        "environment: {name: sorting, length: 5}\n"
        "policy: {name: scripted, accuracy: 0.5, environment: {name: sorting, length: 5}}\n"
        "generate: {tasks: 5, samples: 2}\n"
        "curate: {max_per_task: 1}\n"
        "evaluate: {tasks: 4, audit: 0}\n"
        "verify: {workers: 0}\n"
    )
    script = Path(__file__).with_name("kill_runs.py")
    done = subprocess.run(
        [sys.executable, script, recipe, tmp_path, str(KILLS)],
        env={**os.environ, "ORBITER_PLUGINS": ""},
        capture_output=True,
        text=True,
        timeout=240,
    )
    assert done.returncode == 0, done.stderr
    result = json.loads(done.stdout)
    assert result["kills"] >= KILLS
    expected = data_of(Path(result["whole"]))
    assert len(expected) == 2
    for path in result["stopped"]:
        assert data_of(Path(path)) == expected


def test_second_process_on_one_run_is_refused(wheel, monkeypatch):
    complete = ScriptedPolicy.complete

    async def while_running(self, requests, sampling):
        with pytest.raises(RunLockedError):
            wheel().run()
        return await complete(self, requests, sampling)

    monkeypatch.setattr(ScriptedPolicy, "complete", while_running)
    wheel("rounds=1").run()


def test_adaptive_sampling_keeps_as_much_for_no_more(wheel):
    uniform = wheel("generate.samples=6", folder="uniform").run()
    adaptive = wheel("generate.samples=6", "generate.target_survivors=1", folder="adaptive").run()
    for one, other in zip(uniform.rounds[1:], adaptive.rounds[1:]):
        assert other["sampled"] < one["sampled"]
        assert other["kept"] >= one["kept"]
    read_account(adaptive.path)
    assert data_of(
        wheel("generate.samples=6", "generate.target_survivors=1", folder="again").run().path
    ) == (data_of(adaptive.path))


def test_yield_of_adaptive_sampling_is_that_of_the_first_attempts(wheel):
    """All attempts together would understate it: a task is asked again only while it fails."""
    result = wheel("generate.samples=6", "generate.target_survivors=1", "generate.tasks=60").run()
    for row, counted in zip(
        result.rounds[1:], (r for r in read_account(result.path).rounds if r["engine"] == "policy")
    ):
        everything = row["passed"] / (row["passed"] + row["failed"])
        assert row["yield"] == counted["yield"]
        assert row["yield_low"] < 0.5 < row["yield_high"]  # the scripted accuracy
        assert everything != row["yield"]


def test_too_many_invalid_verdicts_stop_the_run_and_a_larger_budget_goes_on(wheel):
    text = RECIPE.replace(
        "accuracy: 0.5\n  environment: {name: sorting, length: 5}", "answers: {nothing: x}"
    )
    with pytest.raises(BudgetExceededError, match=r"held_out .*got 20 of 20: 20 x no answer: no "):
        wheel(text=text).run()
    with pytest.raises(BudgetExceededError):
        wheel(text=text).run()
    result = wheel("gates.max_invalid_rate=1", text=text).run()
    assert result.rounds[-1]["kept"] == 0
    assert result.rounds[-1].get("yield") is None  # nothing valid is no yield, and not 0


def test_run_stops_at_the_wanted_pass_rate(wheel):
    result = wheel("gates.stop_at=0.1", "rounds=4").run()
    assert result.stopped.startswith("held-out pass rate")
    assert len(result.rounds) == 2
    again = wheel("gates.stop_at=0.1", "rounds=4").run()
    assert (again.was_finished, again.stopped) == (True, result.stopped)
    opened = wheel("rounds=4").run()
    assert (opened.was_finished, opened.stopped, len(opened.rounds)) == (False, None, 5)


GATE = """
from orbiter.records import Verdict
from orbiter.verify import Verifier
from orbiter.generate.scripted import ScriptedPolicy

class Long(Verifier):
    name, version = "long", "1"
    def verify(self, task, trajectory):
        return Verdict.passed() if len(trajectory.answer) > 5 else Verdict.failed("short")

class Hacker(ScriptedPolicy):
    '''Learns to write long answers, which are never right.'''
    name = "hacker"
    def __init__(self):
        self.calls = 0
        super().__init__(answers=self.answer)
    def answer(self, request):
        self.calls += 1
        long = self.calls > 75
        return "123456" if long and self.calls % 3 else "".join(sorted(request.messages[0].text[5:-1]))
"""


def test_goodhart_gate_stops_when_only_the_visible_yield_rises(wheel, tmp_path):
    (tmp_path / "mine.py").write_text(GATE)
    text = RECIPE.replace(
        "name: scripted\n  accuracy: 0.5\n  environment: {name: sorting, length: 5}",
        "name: mine.py:Hacker",
    )
    text += "verifier: {name: mine.py:Long}\naudit_verifier: {name: exact}\n"
    result = wheel("generate.tasks=20", "evaluate.audit=0", "rounds=3", text=text).run()
    assert "while the audited one fell from 1.000" in result.stopped
    assert len(result.rounds) == 2


def test_second_opinions_stand_in_the_ledger_beside_the_verdicts_of_record(wheel, tmp_path):
    (tmp_path / "mine.py").write_text(GATE)
    text = RECIPE + "verifier: {name: mine.py:Long}\naudit_verifier: {name: exact}\n"
    overrides = ("generate.tasks=4", "evaluate.audit=0", "rounds=1", "evaluate.samples=3")
    result = wheel(*overrides, text=text).run()
    for row in result.rounds:
        with History.open(result.path) as ledger:
            attempts = list(ledger.attempts(row["round"], "held_out"))
            trails = [ledger.verdicts_of(attempt.key) for attempt in attempts]
        assert len(attempts) == 20 * 3
        assert {tuple(v.verifier for v in trail) for trail in trails} == {("long", "exact")}
        assert row["audited"] == sum(trail[1].outcome == "pass" for trail in trails) / 60
        assert row["held_out"] == sum(trail[0].outcome == "pass" for trail in trails) / 60
    (account,) = (
        row
        for row in read_account(result.path).rounds
        if row["engine"] == "held_out" and row["round"]
    )
    assert (account["passed"], account["planned"]) == (0, 60)
    assert account["yield_high"] == result.rounds[1]["held_out_high"]


def test_second_opinions_of_a_run_that_was_stopped_among_them_are_not_asked_again(
    wheel, tmp_path, monkeypatch
):
    (tmp_path / "mine.py").write_text(GATE)
    text = RECIPE + "verifier: {name: mine.py:Long}\naudit_verifier: {name: exact}\n"
    overrides = ("generate.tasks=4", "evaluate.audit=0", "rounds=1")
    whole = wheel(*overrides, text=text, folder="whole").run()
    add_event = Ledger.add_event

    def stop(self, event, **fields):
        if fields.get("stage") == "evaluate" and fields.get("round") == 1:
            raise KeyboardInterrupt
        add_event(self, event, **fields)

    stopped = wheel(*overrides, text=text)
    monkeypatch.setattr(Ledger, "add_event", stop)
    with pytest.raises(KeyboardInterrupt):
        stopped.run()
    monkeypatch.setattr(Ledger, "add_event", add_event)

    def refuse(self, task, trajectory):
        raise AssertionError("asked again")

    monkeypatch.setattr(ExactVerifier, "verify", refuse)
    result = wheel(*overrides, text=text).run()
    assert result.rounds[1]["audited"] == whole.rounds[1]["audited"] > 0
    assert (result.path / "verdicts.jsonl").read_bytes() == (
        whole.path / "verdicts.jsonl"
    ).read_bytes()


def test_one_verifier_in_both_roles_is_recorded_once(wheel):
    text = RECIPE + "audit_verifier: {name: exact}\n"
    result = wheel("generate.tasks=4", "evaluate.audit=0", "rounds=1", text=text).run()
    assert result.rounds[1]["audited"] == result.rounds[1]["held_out"]
    with History.open(result.path) as ledger:
        assert {len(ledger.verdicts_of(a.key)) for a in ledger.attempts(1, "held_out")} == {1}


def test_several_answers_to_a_held_out_task_are_worth_less_than_as_many_tasks(wheel):
    result = wheel("generate.tasks=4", "evaluate.samples=4", "rounds=1").run()
    row = result.rounds[1]
    assert row["held_out_valid"] == 80
    assert 0 < row["held_out_effective"] <= 80
    expected = wilson(row["held_out_passed"], 80, effective=row["held_out_effective"])
    assert (row["held_out_low"], row["held_out_high"]) == (expected.low, expected.high)
    assert "held_out_effective" not in wheel("rounds=1", folder="one").run().rounds[1]


MINE = """
from orbiter.generate.policy import Completion, Policy
from orbiter.records import Verdict
from orbiter.tasks import Environment
from orbiter.verify import Verifier

class Doubling(Environment):
    name = "doubling"
    def task(self, index, *, seed):
        return self.make_task(index, f"double {index}", answer=str(2 * index))
    def verifier(self):
        return Doubled()

class Doubled(Verifier):
    name, version = "doubled", "1"
    def verify(self, task, trajectory):
        if not trajectory.answer.isdigit():
            raise ValueError("no number")
        return Verdict.passed() if trajectory.answer == task.answer else Verdict.failed("wrong")

class Guess(Policy):
    name = "guess"
    batch_size = 7
    def __init__(self, *, fails=""):
        self.fails = fails
    async def complete(self, requests, sampling):
        if self.fails == "raises":
            raise RuntimeError("no idea")
        if self.fails == "short":
            return []
        out = []
        for request in requests:
            number = int(request.messages[-1].text.split()[1])
            answer = "what?" if request.attempt == 2 else str(2 * number + request.attempt)
            out.append(Completion.of(answer))
        return out
"""


@pytest.fixture
def own_parts(wheel, tmp_path):
    (tmp_path / "mine.py").write_text(MINE)
    text = (
        "name: mine\nrounds: 1\nenvironment: {name: mine.py:Doubling}\npolicy: {name: mine.py:Guess}\n"
        "generate: {tasks: 10, samples: 3}\nevaluate: {tasks: 0, audit: 5}\ngates: {max_invalid_rate: 0.5}\n"
    )
    return lambda *overrides: wheel(*overrides, text=text)


def test_environment_verifier_and_policy_of_ones_own(own_parts):
    row = own_parts().run().rounds[1]
    assert (row["passed"], row["failed"], row["invalid"], row["kept"]) == (10, 10, 10, 10)
    assert row["reasons"]["error: ValueError: no number"] == 10
    assert row["yield"] == 0.5  # invalid is in neither part


def test_policy_that_raises_is_named_and_one_that_miscounts_too(own_parts):
    with pytest.raises(UserCodeError, match=r"policy 'guess' raised RuntimeError: no idea"):
        own_parts("policy.fails=raises").run()
    with pytest.raises(PolicyError, match=r"must return a list of 7 completions, got 0"):
        own_parts("policy.fails=short", "name=other").run()


def test_exports_and_pairs_of_a_run(wheel, tmp_path):
    text = RECIPE + "exports: [{name: trl-sft}, {name: trl-preference}]\n"
    result = wheel(text=text).run()
    kept = sum(row["kept"] for row in result.rounds[1:])
    assert count_lines(result.path / "exports/trl-sft.jsonl") == kept
    pairs = sum(row["pairs"] for row in result.rounds[1:])
    assert count_lines(result.path / "exports/trl-preference.jsonl") == pairs > 0
    tasks = export_run(
        result.path, registry().create("exporter", "trl-prompt-only"), tmp_path / "t.jsonl"
    )
    assert tasks.count == 60


def test_export_added_to_a_finished_run_is_written(wheel):
    wheel().run()
    text = RECIPE + "exports: [{name: trl-sft}]\n"
    result = wheel(text=text).run()
    assert not result.was_finished
    assert count_lines(result.path / "exports/trl-sft.jsonl") > 0
    assert wheel(text=text).run().was_finished


def test_exports_that_would_overwrite_each_other_are_refused(wheel):
    text = RECIPE + "exports: [{name: trl-sft}, {name: trl-sft, skip_unfit: true}]\n"
    with pytest.raises(ConfigError, match=r"got two for 'trl-sft\.jsonl'"):
        wheel(text=text).run()
    assert not wheel(text=text).path.exists()


def test_finished_run_that_goes_on_is_unfinished_until_it_ends_again(wheel, monkeypatch):
    path = wheel().run().path
    assert read_account(path).state == "finished"

    async def interrupted(self, requests, sampling):
        raise KeyboardInterrupt

    with monkeypatch.context() as patched:
        patched.setattr(ScriptedPolicy, "complete", interrupted)
        with pytest.raises(KeyboardInterrupt):
            wheel("rounds=3").run()
    assert read_account(path).state == "unfinished"
    wheel("rounds=3").run()
    assert read_account(path).state == "finished"


def test_least_precision_is_that_of_the_worst_verifier_the_audit_allows(wheel):
    account = read_account(wheel("policy.accuracy=0.1").run().path)
    fpr, tpr = account.audit["fpr_high"], account.audit["tpr"]
    for row in account.rounds:
        # Wrong survivors are a share fpr * (1 - p) / yield of all, where p solves yield = p tpr + (1 - p) fpr.
        p = max(0.0, (row["yield"] - fpr) / (tpr - fpr))
        expected = p * tpr / (p * tpr + (1 - p) * fpr)
        assert row["precision_low"] == pytest.approx(expected)


def test_run_that_goes_on_with_another_verifier_says_so_once(wheel, tmp_path):
    (tmp_path / "mine.py").write_text(GATE)
    text = RECIPE + "verifier: {name: mine.py:Long}\n"
    wheel(text=text).run()
    (tmp_path / "mine.py").write_text(GATE.replace('"long", "1"', '"long", "2"'))
    with pytest.warns(LedgerWarning, match="goes on with other versions .*: verifier changed"):
        wheel("rounds=3", text=text).run()
    wheel("rounds=4", text=text).run()


def test_train_stage_needs_a_model_and_a_known_algorithm(wheel):
    text = RECIPE + "model: {id: somewhere}\ntrain: {backend: trl, algorithm: sftt}\n"
    pytest.importorskip("orbiter_trl")
    with pytest.raises(ConfigError, match="algorithm of the backend 'trl' must be one of"):
        wheel(text=text).run()


def test_nothing_heavy_is_imported_by_a_run_without_a_model():
    code = (
        "import sys, orbiter.flywheel, orbiter.cli, orbiter.train; "
        "heavy = {'torch','transformers','trl','verl','ray','pyspiel','peft','datasets'} & set(sys.modules); "
        "sys.exit(str(heavy) if heavy else 0)"
    )
    subprocess.run([sys.executable, "-c", code], check=True)
