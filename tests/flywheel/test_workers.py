"""Runs that judge in worker processes: the same data as without, whatever an answer does to the verifier, and however the run is killed."""

import json
import os
import subprocess
import sys
import time
from pathlib import Path

import pytest

from orbiter.errors import BudgetExceededError, ConfigError, RecordError
from orbiter.flywheel.account import read_account
from orbiter.ledger import History

PARTS = """
import os, time
from pathlib import Path

from orbiter.records import Verdict
from orbiter.verify import Verifier

HERE = Path(__file__).parent

class Hostile(Verifier):
    name, version = "hostile", "1"
    def verify(self, task, trajectory):
        with open(HERE / "pids", "a") as file:
            print(os.getpid(), file=file)
        if (HERE / "hostile").exists():
            last = int(trajectory.answer[-1:] or 0)
            if last == 1:
                os._exit(1)
            if last == 2 and "2" * 2 in trajectory.answer:
                time.sleep(600)
        if trajectory.answer == task.answer:
            return Verdict.passed()
        return Verdict.failed("wrong")
"""
RECIPE = """\
name: mine
seed: 3
rounds: 2
environment: {name: sorting, length: 5}
policy: {name: scripted, accuracy: 0.5, environment: {name: sorting, length: 5}}
verifier: {name: mine.py:Hostile}
audit_verifier: {name: exact}
generate: {tasks: 30, samples: 4}
evaluate: {tasks: 20, audit: 20}
verify: {workers: 2, timeout_s: 2}
"""


def pids(folder) -> set[int]:
    return {int(pid) for pid in (folder / "pids").read_text().split()}


def test_a_run_that_judges_in_workers_has_the_data_of_one_that_does_not(wheel, tmp_path, data_of):
    whole = wheel("verify.workers=0", folder="whole").run()
    assert pids(tmp_path) == {os.getpid()}
    (tmp_path / "pids").unlink()
    for cache in (0, 10_000):
        folder = f"cache-{cache}"
        result = wheel(f"verify.cache_size={cache}", folder=folder).run()
        assert data_of(result.path) == data_of(whole.path)
        assert read_account(result.path).total == read_account(whole.path).total
    found = pids(tmp_path)
    assert os.getpid() not in found
    assert len(found) == 4  # kept over rounds and stages
    assert [pid for pid in found if os.path.exists(f"/proc/{pid}")] == []


def test_hostile_answers_cost_their_own_verdicts_alone(wheel, tmp_path):
    clean = wheel("rounds=1", "evaluate.tasks=0", "evaluate.audit=0", folder="clean").run()
    (tmp_path / "hostile").touch()
    result = wheel(
        *("rounds=1", "evaluate.tasks=0", "evaluate.audit=0"),
        *("verify.timeout_s=1", "gates.max_invalid_rate=1", "curate.decontaminate=null"),
    ).run()
    reasons = dict(read_account(result.path).total.invalid)
    assert set(reasons) <= {
        "crash: the worker left with exit code 1",
        "timeout: no verdict within 1 s",
    }
    assert reasons["crash: the worker left with exit code 1"] > 0
    before, after = (
        {a.key: (a.trajectory.answer, ledger.verdict_of(a.key)) for a in ledger.attempts()}
        for ledger in map(History.open, (clean.path, result.path))
    )
    for key, (answer, verdict) in after.items():
        harmful = answer[-1:] == "1" or (answer[-1:] == "2" and "22" in answer)
        assert (verdict.outcome == "invalid") is harmful
        if not harmful:
            assert (answer, verdict) == before[key]


def test_verifier_that_is_lost_too_often_ends_the_run_and_the_run_goes_on_when_it_is_mended(
    wheel, tmp_path, data_of
):
    whole = wheel(folder="whole").run()
    (tmp_path / "hostile").touch()
    with pytest.raises(BudgetExceededError, match="x crash: the worker left with exit code 1"):
        wheel("evaluate.audit=0", "gates.max_invalid_rate=0.01").run()
    (tmp_path / "hostile").unlink()
    again = wheel("evaluate.audit=0", "gates.max_invalid_rate=0.01").run()
    assert data_of(again.path) == data_of(whole.path)


def test_how_a_run_verifies_may_change_when_it_goes_on(wheel, data_of):
    wheel("rounds=1").run()
    longer = wheel(
        "rounds=2", "verify.workers=1", "verify.timeout_s=9", "verify.cache_size=0"
    ).run()
    assert data_of(longer.path) == data_of(wheel(folder="at-once").run().path)


def test_a_cache_on_disk_serves_other_runs(wheel, tmp_path, data_of):
    cache = f"verify.cache={tmp_path / 'verdicts.sqlite'}"
    first = wheel(cache, "verify.workers=0").run()
    (tmp_path / "pids").unlink()
    again = wheel(cache, "verify.workers=0", folder="again").run()
    assert data_of(again.path) == data_of(first.path)
    assert not (tmp_path / "pids").exists()  # nothing was judged a second time


@pytest.mark.parametrize(
    ("override", "message"),
    [
        ("verify.workers=-1", "must be >= 0, got -1"),
        ("verify.timeout_s=0", "must be above 0, got 0"),
        ("verify.memory_mb=64", "must be >= 128, got 64"),
        ("verify.worker=1", "is unknown; did you mean 'workers'?"),
    ],
)
def test_options_out_of_range_are_refused_with_the_recipe(wheel, override, message):
    with pytest.raises(RecordError, match=message.replace("?", r"\?")):
        wheel(override)


def test_a_verifier_that_cannot_be_sent_is_refused_before_the_run(wheel, tmp_path):
    code = PARTS.replace(
        "    def verify", "    def __init__(self):\n        self.f = lambda: 0\n    def verify"
    )
    (tmp_path / "mine.py").write_text(code)
    with pytest.raises(ConfigError, match="verifier 'hostile' cannot be sent to a worker"):
        wheel().run()
    assert not wheel().path.exists()


@pytest.mark.slow
def test_a_run_killed_while_workers_judge_loses_nothing_and_leaves_nobody(tmp_path, data_of):
    recipe = tmp_path / "recipe.yaml"
    recipe.write_text(
        "name: small\nseed: 3\nrounds: 2\n"
        "environment: {name: sorting, length: 5}\n"
        "policy: {name: scripted, accuracy: 0.5, environment: {name: sorting, length: 5}}\n"
        "verifier: {name: mine.py:Hostile}\n"
        "generate: {tasks: 5, samples: 2}\n"
        "evaluate: {tasks: 4, audit: 0}\n"
        "verify: {workers: 1}\n"
    )
    (tmp_path / "mine.py").write_text(PARTS)
    script = Path(__file__).with_name("kill_runs.py")
    done = subprocess.run(
        [sys.executable, script, recipe, tmp_path, "15"],
        env={**os.environ, "ORBITER_PLUGINS": ""},
        capture_output=True,
        text=True,
        timeout=240,
    )
    assert done.returncode == 0, done.stderr
    result = json.loads(done.stdout)
    expected = data_of(Path(result["whole"]))
    for path in result["stopped"]:
        assert data_of(Path(path)) == expected
    deadline = time.monotonic() + 20
    while (left := [p for p in pids(tmp_path) if os.path.exists(f"/proc/{p}")]) and (
        time.monotonic() < deadline
    ):
        time.sleep(0.05)
    assert left == []
