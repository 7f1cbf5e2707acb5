"""Every example runs as it stands, without a warning, and prints what it promises."""

import os
import runpy
import subprocess
import sys
from pathlib import Path

import pytest

from orbiter.cli import main
from orbiter.flywheel.account import read_account
from orbiter.flywheel.odds import best_of_n_success
from orbiter.testing import check_environment, check_policy, check_verifier
from orbiter.user_file import load_from_file

EXAMPLES = Path(__file__).parents[1] / "examples"
LAST_LINES = {
    "environment": "RomanNumerals keeps the contract of an environment",
    "evolution": "TuneRubric keeps the contract of an evolution strategy",
    "judge": "WaveringModel keeps the contract of a judge model",
    "policy": "ForgetfulPolicy keeps the contract of a policy",
    "synthesiser": "WorkedAnswers keeps the contract of a synthesiser",
    "trainer": "BigramTrainer keeps the contract of a trainer",
    "trajectory_strategy": "Discounted keeps the contract of a trajectory strategy",
    "verifier": "LengthVerifier keeps the contract of a verifier",
}


@pytest.fixture(scope="module")
def printed(tmp_path_factory):
    """Return a function that runs a script once, elsewhere, and gives the lines that it prints."""
    folder, seen = tmp_path_factory.mktemp("elsewhere"), {}

    def run(name):
        if name not in seen:
            done = subprocess.run(
                [sys.executable, "-W", "error", str(EXAMPLES / f"{name}.py")],
                cwd=folder,
                env={**os.environ, "ORBITER_PLUGINS": ""},
                capture_output=True,
                text=True,
                timeout=60,
            )
            assert (done.stderr, done.returncode) == ("", 0)
            seen[name] = done.stdout.splitlines()
        return seen[name]

    return run


@pytest.fixture
def parts():
    return {
        name: load_from_file(f"my_parts.py:{name}", base_dir=EXAMPLES)
        for name in ("MyEnvironment", "MyVerifier", "MyPolicy")
    }


def test_every_script_is_tested():
    scripts = {path.stem for path in EXAMPLES.glob("*.py")}
    assert scripts == {*LAST_LINES, "my_parts"}


@pytest.mark.slow
@pytest.mark.parametrize("name", sorted(LAST_LINES))
def test_a_script_runs_and_keeps_its_contract(printed, name):
    assert printed(name)[-1] == LAST_LINES[name]


@pytest.mark.slow
def test_the_lenient_verifier_is_seen_to_know_nothing(printed):
    lenient, length = (line for line in printed("verifier") if "TPR/FPR" in line)
    assert lenient.startswith("lenient  TPR 0.667  FPR 0.667 ")
    assert length.startswith("length   TPR 1.000  FPR 0.000 ")


@pytest.mark.slow
def test_samples_make_a_judge_abstain_rather_than_err(printed):
    lines = printed("judge")
    assert lines[0].split()[:3] == ["wavering", "prefers", "first"]
    assert lines[1].endswith("neither abstain: orders disagree")
    one, three, five = (
        {"fpr": float(words[3]), "abstains": int(words[7])}
        for words in (line.replace("%", "").split() for line in lines[2:5])
    )
    assert one["fpr"] > 0.1 > max(three["fpr"], five["fpr"])
    assert three["abstains"] > five["abstains"] > one["abstains"] == 0


@pytest.mark.slow
def test_best_of_n_is_set_beside_its_formula(printed):
    lines = printed("policy")
    rate = float(lines[0].removeprefix("pass rate of one sample: "))
    table = [line.split() for line in lines[2:7]]
    assert [int(row[0]) for row in table] == [1, 2, 4, 8, 16]
    for n, solved, formula, _ in table:
        assert float(formula) == pytest.approx(best_of_n_success(rate, samples=int(n)), abs=2e-3)
        assert 0 < float(solved) <= 1


@pytest.mark.slow
def test_the_counts_of_a_pipeline_add_up(printed):
    words = printed("synthesiser")[0].split()
    generated, *parts = [int(word) for word in words if word.isdigit()]
    assert (generated, len(parts)) == (sum(parts), 5)


@pytest.mark.slow
def test_evolution_finds_a_rubric_that_is_never_wrong(printed):
    assert "its audit: TPR 1.000, FPR 0.000" in printed("evolution")


@pytest.mark.slow
def test_counting_learns(printed):
    before, after = (
        float(line.split()[1]) for line in printed("trainer") if line[:7] in ("before:", "after: ")
    )
    assert after < before - 0.5


def test_the_recipe_of_ones_own_parts_runs(tmp_path, capsys):
    assert main(["run", str(EXAMPLES / "my_parts.yaml"), "--runs", str(tmp_path), "--plain"]) == 0
    account = read_account(tmp_path / "my-parts")
    assert account.state == "finished"
    assert account.total.planned == 2 * 200 * 4 + 3 * 80
    assert account.total.pending == account.total.invalid_count == 0
    assert 0 < account.total.passed < account.total.planned
    assert (tmp_path / "my-parts/exports/trl-preference.jsonl").stat().st_size > 0
    assert "cost per kept row" in capsys.readouterr().out


def test_ones_own_parts_keep_their_contracts(parts):
    from orbiter.generate import Request
    from orbiter.verify.audit.probes import NEAR_MISSES, probes

    environment = parts["MyEnvironment"]()
    check_environment(parts["MyEnvironment"], verifier=parts["MyVerifier"]())
    make = parts["MyVerifier"]
    check_verifier(make, probes(environment, make(), count=5, seed=0, families=NEAR_MISSES))
    tasks = [environment.task(index, seed=0) for index in range(5)]
    check_policy(parts["MyPolicy"], [Request(messages=task.messages, seed=3) for task in tasks])


@pytest.mark.slow
def test_the_example_of_self_play_teaches_and_measures(tmp_path, monkeypatch, capsys):
    # In this process, which has loaded torch.
    script = EXAMPLES / "self_play" / "kuhn_grading.py"
    monkeypatch.chdir(tmp_path)
    monkeypatch.setattr(sys, "argv", [str(script), *"--seeds 1 --games 100 --steps 4".split()])
    runpy.run_path(str(script), run_name="__main__")
    table = [line.split() for line in capsys.readouterr().out.splitlines()]
    assert [row[1] for row in table[1:3]] == ["winners", "graded"]
    assert all(0 < float(row[3]) < 3 and 0 <= float(row[7]) <= 1 for row in table[1:3])
    assert table[5:7] == [
        ["winners,", "imitated", "exactly:", "0.755"],
        ["graded,", "imitated", "exactly:", "0.167"],
    ]
