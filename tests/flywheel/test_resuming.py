"""A run that was stopped, killed or finished goes on as if nothing had been."""

import json
import os
import subprocess
import sys
from pathlib import Path

import pytest

from orbiter.errors import (
    BudgetExceededError,
    ConfigError,
    LedgerWarning,
    RunLockedError,
)
from orbiter.flywheel.account import read_account
from orbiter.generate.scripted import ScriptedPolicy
from orbiter.testing import ChatServer, Reply, chat

KILLS = 200


def test_same_seed_same_bytes_and_another_seed_others(wheel, data_of):
    first = data_of(wheel(folder="a").run().path)
    assert data_of(wheel(folder="b").run().path) == first
    assert data_of(wheel("seed=4", folder="c").run().path) != first


def test_finished_run_does_nothing_and_more_rounds_go_on(wheel, data_of):
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


SERVED = """
name: served
inputs: {url: null}
environment: {name: sorting, length: 4}
policy: {name: openai, base_url: "${inputs.url}", model: m, retries: 0}
rounds: 1
generate: {tasks: 4, samples: 1}
evaluate: {tasks: 0, audit: 0}
verify: {workers: 0}
"""


def test_a_run_goes_on_with_the_server_at_another_address(wheel):
    with pytest.raises(BudgetExceededError, match="Cannot connect"):
        wheel("inputs.url=http://127.0.0.1:9/v1", text=SERVED).run()
    with pytest.raises(ConfigError, match="was made by another recipe") as refused:
        wheel("inputs.url=http://127.0.0.1:9/v1", "generate.tasks=2", text=SERVED).run()
    assert refused.value.hint.endswith("delete the folder: nothing was made there yet")
    with ChatServer(lambda asked: Reply(body=chat("1234"))) as server:
        moved = (f"inputs.url={server.url}", "policy.concurrency=2")
        assert len(wheel(*moved, text=SERVED).run().rounds) == 2
        with pytest.raises(ConfigError, match=r"policy\.model was 'm', now 'other'"):
            wheel(*moved, "policy.model=other", text=SERVED).run()


@pytest.mark.parametrize("calls", [0, 1, 3, 5, 6])
def test_interrupted_run_ends_as_if_it_had_not_been(wheel, monkeypatch, calls, data_of):
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
def test_run_killed_at_200_random_points_has_the_bytes_of_one_that_never_was(tmp_path, data_of):
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


LONG = """
from orbiter.records import Verdict
from orbiter.verify import Verifier

class Long(Verifier):
    name, version = "long", "1"
    def verify(self, task, trajectory):
        return Verdict.passed() if len(trajectory.answer) > 5 else Verdict.failed("short")
"""


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


def test_run_that_goes_on_with_another_verifier_says_so_once(wheel, tmp_path, small_recipe):
    (tmp_path / "mine.py").write_text(LONG)
    text = small_recipe + "verifier: {name: mine.py:Long}\n"
    wheel(text=text).run()
    (tmp_path / "mine.py").write_text(LONG.replace('"long", "1"', '"long", "2"'))
    with pytest.warns(LedgerWarning, match="goes on with other code or files .*: verifier changed"):
        wheel("rounds=3", text=text).run()
    wheel("rounds=4", text=text).run()
