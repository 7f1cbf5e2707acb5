"""The commands that ask before anything is spent, plan and preview, and the list of plugins."""

import re

import pytest

import orbiter as package
from orbiter.cli import COMMANDS


def test_plan_counts_and_records_nothing(orbiter, tmp_path):
    said = orbiter("plan", "small.yaml", "--probe", "4", "rounds=3")
    assert (said.code, said.err) == (0, "")
    lines = said.out.splitlines()
    assert lines[0] == "small: 3 rounds of 4 tasks x 2 samples"
    assert lines[1] == f"  samples   {3 * 4 * 2 + 4 * 2} (held-out ones included)"
    assert re.search(r"probe +8 answers, pass rate 0\.\d{3} \[0\.\d{3}, 0\.\d{3}\]", said.out)
    assert not (tmp_path / "runs").exists()


def test_plan_of_answers_that_cannot_be_judged(orbiter):
    said = orbiter("plan", "small.yaml", "policy={name: scripted, answers: {}}")
    assert said.code == 0
    assert said.out.splitlines()[-1].endswith(
        "answers, none with a valid verdict: no answer: no scripted answer for this prompt"
    )


def test_nobody_is_asked_for_what_only_demonstrates(orbiter, tmp_path):
    shown = ("stages={show: {demonstrate: {count: 9}}}", "evaluate.tasks=0")
    said = orbiter("preview", "small.yaml", "-n", "2", *shown)
    assert (said.code, said.err) == (0, "")
    assert said.out.count("\n  verdict    pass 1\n") == 2
    assert len(re.findall(r"^  assistant  \d{4}$", said.out, re.MULTILINE)) == 2
    said = orbiter("plan", "small.yaml", *shown)
    assert said.out == (
        "small: show (1 round, 9 demonstrations)\n  samples   none: its policy is not asked\n"
    )
    assert not (tmp_path / "runs").exists()


def test_preview_shows_tasks_answers_and_verdicts(orbiter, tmp_path):
    said = orbiter("preview", "small.yaml", "-n", "2", "policy.accuracy=1")
    assert (said.code, said.err) == (0, "")
    assert said.out.count("\n  verdict    pass 1") == 2
    right = re.findall(r"^  right +(\d{4})$", said.out, re.MULTILINE)
    assert right == re.findall(r"^  answer +(\d{4})$", said.out, re.MULTILINE)
    assert [list(r) == sorted(r) for r in right] == [True, True]
    assert not (tmp_path / "runs").exists()


@pytest.mark.parametrize(
    ("known", "why"),
    [
        ("raise KeyError('x')", "environment 'mine' raised in demonstrate: KeyError: 'x'"),
        ("return 5", "demonstrate of environment 'mine' must return a text or None, got 5 for task 'mine:0'"),
    ],
)  # fmt: skip
def test_demonstrations_that_cannot_be_shown_are_the_environments_fault(
    orbiter, tmp_path, known, why
):
    (tmp_path / "mine.py").write_text(
        "from orbiter.tasks.environment import Environment\n"
        "class Mine(Environment):\n"
        "    name = 'mine'\n"
        "    def task(self, index, *, seed): return self.make_task(index, f'q{index}', answer='1')\n"
        "    def verifier(self): return 'exact'\n"
        f"    def demonstrate(self, task): {known}\n"
    )
    mine = ("environment={name: 'mine.py:Mine'}", "policy={name: scripted, answers: {}}")
    said = orbiter("preview", "small.yaml", *mine, "evaluate={tasks: 0, share: 0}")
    assert said.code == 1
    assert said.err.splitlines()[0] == f"orbiter: error: {why}"


def test_preview_never_prints_control_characters(orbiter, tmp_path):
    (tmp_path / "rows.jsonl").write_text('{"q": "\\u001b[2Jx", "answer": "\\u0007"}\n')
    said = orbiter(
        *("preview", "small.yaml", "policy={name: scripted, answers: {}}"),
        *(
            "environment={name: jsonl, path: rows.jsonl, prompt_key: q}",
            "evaluate={tasks: 0, share: 0}",
        ),
    )
    assert said.code == 0, said
    assert "\\x1b[2Jx" in said.out
    assert "\x1b" not in said.out
    assert "\x07" not in said.out


def test_plugins_lists_the_built_in_names(orbiter):
    said = orbiter("plugins")
    assert "built-in  (orbiter-train " in said.out
    assert re.search(r"^    verifier +all_of, any_of, ", said.out, re.MULTILINE)


def test_version_and_help(orbiter):
    assert orbiter("--version").out == f"orbiter {package.__version__}\n"
    for command in COMMANDS:
        said = orbiter(command, "--help")
        assert said.code == 0
        assert said.out.startswith(f"usage: orbiter {command} ")
