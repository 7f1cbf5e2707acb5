"""``orbiter run``: lines of progress, what it leaves behind, going on, and being interrupted."""

import pytest

from orbiter.generate.scripted import ScriptedPolicy


def test_a_line_per_round_and_then_what_it_cost_and_where_it_is(orbiter, tmp_path):
    said = orbiter("run", "small.yaml", "rounds=2")
    assert (said.code, said.err) == (0, "")
    assert [line.split()[1] for line in said.out.splitlines() if line.startswith("round ")] == [
        *("0", "1", "2")
    ]
    assert "cost per kept row: " in said.out
    assert "account:  runs/small/attempts.jsonl" in said.out
    assert (tmp_path / "runs/small/report.html").is_file()


DEMONSTRATIONS = """\
name: shown
environment: {name: sorting, length: 4}
policy: {name: scripted, answers: {}}
stages: {show: {demonstrate: {count: 7}}}
evaluate: {tasks: 0, share: 0, audit: 0}
exports: [{name: trl-sft}, {name: openai}]
"""


def test_data_that_a_teacher_made_is_told_of_as_such(orbiter, tmp_path):
    (tmp_path / "shown.yaml").write_text(DEMONSTRATIONS)
    said = orbiter("run", "shown.yaml").out
    assert "round 1 show  demonstrations 7  s " in said
    assert "exports:  runs/shown/exports/trl-sft.jsonl runs/shown/exports/openai.jsonl\n" in said
    assert "own share" not in said
    page = (tmp_path / "runs/shown/report.html").read_text()
    assert "demonstrations</span><b>7</b>" in page
    assert "Demonstrations of round 1" in page
    assert "0 of 0" not in page
    told = "round 1 demonstrated 7 rows that the verifier passed\n"
    assert told in orbiter("yield", "shown").out


def test_a_line_of_the_account_is_not_broken_at_the_edge_of_a_screen(orbiter, monkeypatch):
    orbiter("run", "small.yaml", "--no-report")
    monkeypatch.setenv("COLUMNS", "50")
    last = "planned 12 = passed 3 + failed 9 + invalid 0 + pending 0"
    assert orbiter("yield", "small").out.splitlines()[-1] == last


def test_no_report(orbiter, tmp_path):
    assert orbiter("run", "small.yaml", "--no-report").code == 0
    assert not (tmp_path / "runs/small/report.html").exists()


def test_finished_run_has_nothing_to_do_and_more_rounds_go_on(orbiter):
    orbiter("run", "small.yaml", "--no-report")
    again = orbiter("run", "small.yaml", "--no-report")
    assert again.code == 0
    assert "is finished (1 rounds); nothing to do" in again.out
    longer = orbiter("run", "small.yaml", "rounds=2", "--no-report")
    rounds = [line for line in longer.out.splitlines() if line.startswith("round ")]
    assert [line.split()[1] for line in rounds] == ["2"]


@pytest.mark.parametrize("order", ["run small.yaml {} --plain", "run small.yaml --plain {}"])
def test_overrides_may_stand_before_and_after_flags(orbiter, order, tmp_path):
    assert orbiter(*order.format("name=other seed=9").split()).code == 0
    assert "seed: 9\n" in (tmp_path / "runs/other/recipe.yaml").read_text()


def test_runs_may_lie_elsewhere(orbiter, tmp_path):
    assert orbiter("run", "small.yaml", "--runs", "far/away", "--no-report").code == 0
    assert (tmp_path / "far/away/small/rounds.jsonl").is_file()


def test_interrupt_says_how_to_go_on_and_loses_nothing(orbiter, tmp_path, monkeypatch):
    complete = ScriptedPolicy.complete

    async def interrupted(self, requests, sampling):
        raise KeyboardInterrupt

    monkeypatch.setattr(ScriptedPolicy, "complete", interrupted)
    said = orbiter("run", "small.yaml", "--no-report")
    assert said.code == 130
    assert said.err == (
        "\nstopped; what is done is in runs/small. The same command goes on from there.\n"
    )
    monkeypatch.setattr(ScriptedPolicy, "complete", complete)
    assert orbiter("run", "small.yaml", "--no-report").code == 0
    assert "small  finished" in orbiter("yield", "small").out


def test_failed_run_exits_with_1_and_says_how_to_go_on(orbiter):
    command = ["run", "small.yaml", "policy={name: scripted, answers: {}}", "--no-report"]
    said = orbiter(*command)
    assert said.code == 1
    assert said.err.startswith("orbiter: error: invalid ")
    assert " must be at most 5.0%, got " in said.err.splitlines()[0]
    assert orbiter(*command, "gates.max_invalid_rate=1").code == 0


def test_corrected_recipe_may_take_the_name_of_one_that_was_refused(orbiter):
    assert orbiter("run", "small.yaml", "policy.name=scriptd").code == 2
    assert orbiter("run", "small.yaml", "exports=[{name: trl-sfd}]").code == 2
    assert orbiter("run", "small.yaml", "--no-report").code == 0


def test_settings_of_a_training_are_refused_before_anything_is_generated(
    orbiter, learning, tmp_path
):
    strict = """
    def check_settings(self, algorithm, config, options):
        from orbiter.errors import ConfigError
        if config.report_to:
            raise ConfigError(f"no tracker {config.report_to[0]} for {algorithm}")
"""
    (tmp_path / "learning.py").write_text(learning + strict)
    train = ("model.id=m", "train.backend=learning.py:Learning", "rounds=1", "--no-report")
    for place in ("train", "teach"):
        teach = ("teach.demonstrations=3", "teach.backend=learning.py:Learning")
        said = orbiter("run", "small.yaml", *train, *teach, f"{place}.report_to=[abacus]")
        assert said.code == 2
        assert "no tracker abacus for sft" in said.err
        assert not (tmp_path / "runs").exists()
    assert orbiter("run", "small.yaml", *train).code == 0
