"""What ``orbiter run`` shows: plain lines for a file, a table on a terminal, and never a control sequence of a model's."""

import io
import os
import pty
import re
import subprocess
import sys
from pathlib import Path

import attrs
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from rich.console import Console

from orbiter.cli import main
from orbiter.cli.progress import (
    COLUMNS,
    DISPENSABLE,
    Progress,
    print_ending,
    round_cells,
    round_table,
)
from orbiter.flywheel import RunResult, load_recipe
from orbiter.hookspecs import MetricsEvent, RoundEvent, StateEvent, VerdictsEvent
from orbiter.records import Verdict

RECIPE = """\
name: shown
description: sort five digits
rounds: 2
environment: {name: sorting, length: 5}
policy: {name: scripted, accuracy: 0.5, environment: {name: sorting, length: 5}}
generate: {tasks: 12, samples: 4}
evaluate: {tasks: 10, audit: 20}
verify: {workers: 0}
"""
ROW = {
    "round": 3,
    "yield": 0.27812,
    "yield_low": 0.2361,
    "yield_high": 0.3227,
    "sampled": 6400,
    "asked": {"samples": 6400, "tokens": 32000, "cost": None, "priced": 0},
    "kept": 273,
    "decisions": {"accepted": 273, "duplicate": 840},
    "invalid": 2,
    "held_out": 0.676,
    "held_out_low": 0.634,
    "held_out_high": 0.716,
    "g": 8.671,
    "g_bound": 90.4,
    "loss": 0.12345,
    "seconds": 12.34,
    "tokens_per_s": 9292.3,
    "alarms": [],
}
# Escape sequences other than the few by which rich redraws: colours, erase line, lines up, cursor off and on.
DRAWING = re.compile(r"\x1b\[(?:[0-9;]*m|[0-9]*[AK]|\?25[lh])")


@pytest.fixture
def recipe(tmp_path):
    path = tmp_path / "recipe.yaml"
    path.write_text(RECIPE)
    return path


@pytest.fixture
def progress(recipe):
    """Make a display of a given width that writes to a string, and return both."""

    def make(*overrides, live, width=120, height=25):
        out = io.StringIO()
        console = Console(
            file=out, width=width, height=height, force_terminal=live, highlight=False,
            soft_wrap=not live, color_system=None,
        )  # fmt: skip
        return Progress(load_recipe(recipe, overrides), live=live, console=console), out

    return make


def draw(rows, *, width: int) -> list[str]:
    console = Console(file=io.StringIO(), width=1000, color_system=None)
    console.print(round_table(rows, width=width))
    return [line.rstrip() for line in console.file.getvalue().splitlines()]


def test_cells_are_short_and_clear():
    assert round_cells(ROW) == {
        "round": "3",
        "yield [95% CI]": "0.278 [0.236, 0.323]",
        "demonstrations": "",
        "kept/sampled": "273/6400",
        "dup": "840",
        "invalid": "2",
        "held-out [95% CI]": "0.676 [0.634, 0.716]",
        "g (bound)": "8.67 (> 90)",
        "loss": "0.123",
        "s": "12.3",
        "tok/s": "9292",
    }


def test_what_was_not_measured_is_blank_and_never_0():
    cells = round_cells(
        {"round": 0, "seconds": 1.0, "held_out": 0.5, "held_out_low": 0.4, "held_out_high": 0.6}
    )
    assert {name for name, cell in cells.items() if cell} == {"round", "held-out [95% CI]", "s"}
    assert round_cells({**ROW, "g_bound": None})["g (bound)"] == "8.67"
    assert round_cells({**ROW, "g": None})["g (bound)"] == ""
    assert round_cells({**ROW, "yield": None})["yield [95% CI]"] == ""


@pytest.mark.parametrize(
    ("width", "hidden"),
    [
        (140, set()),
        (100, {"tok/s"}),
        (80, {"tok/s", "s", "dup", "loss"}),
        (60, {"tok/s", "s", "dup", "loss", "g (bound)", "invalid"}),
        (10, set(DISPENSABLE)),
    ],
)
def test_a_narrow_terminal_does_without_the_least_columns(width, hidden):
    heading = draw([ROW], width=width)[:2]
    shown = [name for name in COLUMNS if name not in (*hidden, "demonstrations")]
    words = " ".join(heading).split()
    for name in COLUMNS:
        first = COLUMNS[name].split("\n")[0]
        assert (first in words) == (name in shown), name


@given(st.integers(20, 200), st.lists(st.integers(0, 10**7), min_size=1, max_size=5))
@settings(max_examples=60, deadline=None)
def test_no_cell_is_ever_cut_off(width, counts):
    rows = [{**ROW, "sampled": n, "kept": n // 2, "g": n / 7, "seconds": n / 10} for n in counts]
    lines = draw(rows, width=width)
    assert "…" not in "".join(lines)
    assert len(lines) == 2 + len(rows)
    least = 5 + 2 + 18 + 2 + 18
    assert max(map(len, lines)) <= max(width, least)


def test_plain_lines_name_every_figure(progress):
    shown, out = progress(live=False)
    with shown:
        shown.orbiter_on_round(RoundEvent("shown", 3, {**ROW, "alarms": ["yield is 0"]}))
    line, alarm = out.getvalue().splitlines()
    assert line.startswith(
        "round 3  yield [95% CI] 0.278 [0.236, 0.323]  kept/sampled 273/6400  dup"
    )
    assert line.endswith("g (bound) 8.67 (> 90)  loss 0.123  s 12.3  tok/s 9292")
    assert alarm == "! round 3: yield is 0"


def test_the_table_follows_the_run(progress):
    shown, _ = progress(live=True)
    with shown:
        shown.orbiter_on_state(StateEvent("shown", "", "round 1: generate"))
        verdicts = (Verdict.passed(),) * 7
        shown.orbiter_on_verdicts(VerdictsEvent("shown", 1, (), verdicts))
        shown.orbiter_on_verdicts(VerdictsEvent("shown", 1, (), verdicts))
        assert "round 1: generate  14 judged" in rendered(shown)
        shown.orbiter_on_state(StateEvent("shown", "", "round 1: train"))
        shown.orbiter_on_metrics(MetricsEvent("shown", 20, {"loss": 0.5}))
        assert "round 1: train  step 20, loss 0.500" in rendered(shown)
        shown.orbiter_on_round(RoundEvent("shown", 3, ROW))
        assert "0.676 [0.634, 0.716]" in rendered(shown)
    last = rendered(shown)
    assert "shown: sort five digits" in last
    assert "step 20" not in last


def rendered(shown) -> str:
    """What a whole redrawing shows."""
    console = Console(file=io.StringIO(), width=120, color_system=None)
    console.print(shown)
    return console.file.getvalue()


def test_states_of_others_are_not_shown(progress):
    shown, _ = progress(live=True)
    shown.orbiter_on_state(StateEvent("another run", "", "round 9: generate"))
    assert "round 9" not in rendered(shown)


def test_a_long_run_shows_its_last_rounds_and_all_of_them_at_its_end(progress):
    shown, _ = progress(live=True, height=20)
    with shown:
        for number in range(100, 160):
            shown.orbiter_on_round(RoundEvent("shown", number, {**ROW, "round": number}))
        going = [line for line in rendered(shown).splitlines() if "0.676" in line]
    assert [line.split()[0] for line in going] == [str(n) for n in range(148, 160)]
    ended = [line for line in rendered(shown).splitlines() if "0.676" in line]
    assert len(ended) == 60


def test_a_description_cannot_steer_the_terminal(progress):
    shown, _ = progress(live=True)
    shown._recipe = attrs.evolve(shown._recipe, description="\x1b[2J\x1b]0;owned\x07[bold]x[/bold]")
    text = rendered(shown)
    assert r"\x1b[2J\x1b]0;owned\x07[bold]x[/bold]" in text
    assert "\x1b[2J" not in text


def ending(recipe_path, capsys, *overrides, runs="runs", **more) -> str:
    recipe = load_recipe(recipe_path, overrides)
    row = {**ROW, "tokens": 99, "own_s": 0.1}
    result = RunResult(
        path=Path(runs) / recipe.name, rounds=({**row, "round": 0}, row), checkpoint=None, **more
    )
    print_ending(recipe, result, recipe_path=Path("my recipes/r.yaml"), overrides=overrides)
    return capsys.readouterr().out


def test_the_next_commands_repeat_what_was_given(recipe, capsys):
    given = ("policy.accuracy=0.7", "seed=4", "description=two words")
    lines = ending(recipe, capsys, *given, runs="else where").splitlines()
    assert lines[-2] == "  orbiter yield 'else where/shown'"
    assert lines[-1] == (
        "  orbiter run 'my recipes/r.yaml' policy.accuracy=0.7 'description=two words' name=shown-2 seed=5 "
        "--runs 'else where'"
    )


def test_a_recipe_that_learns_from_a_cold_start_has_a_control(recipe, capsys):
    learning = ("model.id=m", "train.max_steps=3", "teach.demonstrations=9")
    assert "curate.keep=none   # the control" in ending(recipe, capsys, *learning)
    assert "control" not in ending(recipe, capsys, *learning, "curate.keep=none")
    assert "control" not in ending(recipe, capsys)
    # A stage may name the rows that it trains on, whatever is kept.
    graph = ("rounds=1", "stages.one.generate.tasks=3", "stages.one.train.max_steps=3")
    assert "control" not in ending(recipe, capsys, *learning, *graph)


def test_a_finished_run_says_only_that(recipe, capsys):
    (line,) = ending(recipe, capsys, was_finished=True).splitlines()
    assert line.startswith("run 'shown' is finished (1 rounds); nothing to do.")


def test_not_a_terminal_no_control_sequence(recipe, tmp_path, capsys):
    assert main(["run", str(recipe), "--runs", str(tmp_path)]) == 0
    out, err = capsys.readouterr()
    assert err == ""
    assert "\x1b" not in out
    rounds = [line for line in out.splitlines() if line.startswith("round ")]
    assert [line.split()[1] for line in rounds] == ["0", "1", "2"]
    assert max(map(len, rounds)) > 100  # a line is a line, however long


PARTS = """
from orbiter.generate.scripted import ScriptedPolicy
from orbiter.records import Verdict
from orbiter.verify import Verifier

EVIL = "\\x1b[2J\\x1b]0;owned\\x07\\x1b[31m\\x9b2J\\r\\x08 evil [red]x[/red]"

class Evil(ScriptedPolicy):
    name = "evil"
    def __init__(self):
        super().__init__(answers=lambda request: EVIL)
    @property
    def model(self):
        return EVIL

class Repeating(Verifier):
    name, version = "repeating", EVIL
    def verify(self, task, trajectory):
        if len(task.task_id) % 2:
            raise ValueError(trajectory.answer)
        return Verdict.failed(reason=trajectory.answer)
"""


def on_a_terminal(arguments, *, columns: int, cwd) -> tuple[str, int]:
    """Run ``orbiter`` on a pseudo-terminal, and return all that it wrote and its exit code."""
    master, slave = pty.openpty()
    env = {**os.environ, "COLUMNS": str(columns), "LINES": "25", "TERM": "xterm-256color"}
    process = subprocess.Popen(
        [sys.executable, "-m", "orbiter.cli", *arguments],
        cwd=cwd, env=env, stdin=slave, stdout=slave, stderr=slave,
    )  # fmt: skip
    os.close(slave)
    chunks = []
    try:
        while chunk := os.read(master, 65536):
            chunks.append(chunk)
    except OSError:
        pass  # that the other end is closed is an error on Linux
    os.close(master)
    return b"".join(chunks).decode(), process.wait(60)


@pytest.mark.parametrize("columns", [80, 100, 140])
def test_a_terminal_shows_a_table(recipe, columns):
    seen, code = on_a_terminal(["run", recipe.name], columns=columns, cwd=recipe.parent)
    assert code == 0, seen
    assert "\x1b[?25l" in seen
    assert seen.count("\x1b[?25h") == 1  # the cursor is there again
    lines = [line.rstrip() for line in DRAWING.sub("", seen).replace("\r", "\n").split("\n")]
    assert "\x1b" not in "".join(lines)
    assert "shown: sort five digits" in lines
    start = max(i for i, line in enumerate(lines) if line == "shown: sort five digits")
    heading, rows = lines[start + 1 : start + 5], [line for line in lines[start:] if line.strip()]
    assert any("held-out" in line for line in heading)
    assert [row.split()[0] for row in rows[3:6]] == ["0", "1", "2"]
    assert "…" not in "".join(rows[:6])
    assert max(len(row) for row in rows[:6]) <= columns


def test_nothing_that_a_model_wrote_steers_the_terminal(recipe):
    (recipe.parent / "parts.py").write_text(PARTS)
    text = RECIPE.replace(
        "{name: scripted, accuracy: 0.5, environment: {name: sorting, length: 5}}",
        "{name: parts.py:Evil}",
    )
    text += "verifier: {name: parts.py:Repeating}\ngates: {max_invalid_rate: 1}\n"
    recipe.write_text(text.replace("audit: 20", "audit: 0"))
    commands = (
        ["run", recipe.name],
        ["run", recipe.name, "name=strict", "gates.max_invalid_rate=0"],
        ["yield", "shown"],
        ["preview", recipe.name],
        ["plan", recipe.name, "--probe", "2"],
    )
    for command in commands:
        seen, code = on_a_terminal(command, columns=120, cwd=recipe.parent)
        assert code in (0, 1), seen
        rest = DRAWING.sub("", seen).replace("\r\n", "\n").replace("\r", "")
        assert not [c for c in rest if not c.isprintable() and c != "\n"], command
        assert "\x1b[31m" not in seen


def test_a_display_that_breaks_does_not_end_the_run(recipe, tmp_path, monkeypatch, capsys):
    def broken(*_):
        raise RuntimeError("no ink")

    monkeypatch.setattr("orbiter.cli.progress.round_cells", broken)
    assert main(["run", str(recipe), "--runs", str(tmp_path)]) == 0
    out, err = capsys.readouterr()
    assert (
        "plugin 'Progress' is switched off: its orbiter_on_round raised RuntimeError: no ink" in err
    )
    assert "cost per kept row" in out
