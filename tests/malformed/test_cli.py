"""Wrong commands, flags and arguments, and run folders that are none or are damaged."""

import os
import shutil
import subprocess
import sys

import pytest

from orbiter.ledger import Ledger

KNOWN = "known: run, compare, plan, preview, verify, audit, train, yield, report, export, explain, doctor, plugins"

ARGUMENTS = [
    ("rnu", f"unknown command 'rnu'; did you mean 'run'?; {KNOWN}"),
    ("runs/small", f"unknown command 'runs/small'; {KNOWN}"),
    ("-x", "unknown argument '-x'"),
    ("--verison", "unknown argument '--verison'; did you mean '--version'?"),
    ("run", "the following arguments are required: recipe"),
    ("plan", "the following arguments are required: recipe"),
    ("preview", "the following arguments are required: recipe"),
    ("yield", "the following arguments are required: run"),
    ("report", "the following arguments are required: run"),
    ("export", "the following arguments are required: run, format"),
    ("export small", "the following arguments are required: format"),
    ("explain", "the following arguments are required: of"),
    ("explain none", "no run has a checkpoint or row 'none' in 'runs': it is empty"),
    ("compare", "the following arguments are required: recipes"),
    ("run small.yaml --plan", "unknown argument '--plan'; did you mean '--plain'?"),
    ("run small.yaml --pla", "unknown argument '--pla'; did you mean '--plain'?"),
    ("run small.yaml --seed=3", "unknown argument '--seed=3'"),
    ("run small.yaml --runs", "argument --runs: expected one argument"),
    ("run small.yaml --runs small.yaml", "argument --runs: must be a folder, got 'small.yaml'"),
    ("run small.yaml --plain=yes", "argument --plain: ignored explicit argument 'yes'"),
    ("plan small.yaml --probe many", "argument --probe: invalid int value: 'many'"),
    ("plan small.yaml --probe 0", "--probe must be >= 1, got 0"),
    ("plan small.yaml --probe -3", "--probe must be >= 1, got -3"),
    ("preview small.yaml -n 0", "-n must be >= 1, got 0"),
    ("preview small.yaml -n 1.5", "argument -n: invalid int value: '1.5'"),
    ("yield small extra", "unknown argument 'extra'"),
    ("yield small --jsn", "unknown argument '--jsn'; did you mean '--json'?"),
    ("yield --runs small.yaml small", "argument --runs: must be a folder, got 'small.yaml'"),
    ("plugins everything", "unknown argument 'everything'"),
    ("run none.yaml", "recipe 'none.yaml' does not exist"),
    ("plan none.yaml", "recipe 'none.yaml' does not exist"),
    ("preview none.yaml", "recipe 'none.yaml' does not exist"),
    ("run .", "recipe '.' cannot be read: Is a directory"),
    ("yield none", "run must be a run's folder or its name, got 'none'"),
    ("report none", "run must be a run's folder or its name, got 'none'"),
    ("export none trl-sft", "run must be a run's folder or its name, got 'none'"),
    ("explain none row", "run must be a run's folder or its name, got 'none'"),
    ("yield .", "run must be a run's folder or its name, got '.'"),
    ("yield small.yaml", "run must be a run's folder or its name, got 'small.yaml'"),
    ("run small.yaml rounds", "override must look like field=value, got 'rounds'"),
    ("run small.yaml --plain rounds", "override must look like field=value, got 'rounds'"),
]


@pytest.mark.parametrize(("arguments", "message"), ARGUMENTS)
def test_arguments(refused, arguments, message):
    assert refused(*arguments.split())[0] == message


def test_no_command_shows_the_help(orbiter):
    said = orbiter()
    assert said.code == 2
    assert said.out.startswith("usage: orbiter ")


def test_hint_of_a_wrong_argument_is_where_to_read_on(refused):
    assert refused("run", "small.yaml", "--fast")[1] == "see orbiter run --help"
    assert refused("--fast")[1] == "see orbiter --help"


def test_unknown_run_is_refused_with_those_that_there_are(refused, run):
    assert refused("yield", "smal") == (
        "run must be a run's folder or its name, got 'smal'; did you mean 'small'?",
        "runs in 'runs': small",
    )


@pytest.fixture
def run(finished_small, tmp_path):
    """Return the folder of a finished run named ``small``, of one's own."""
    return shutil.copytree(finished_small, tmp_path / "runs" / "small")


def test_exporter_that_is_not_known(refused, run):
    what, todo = refused("export", "small", "trl-sfd")
    assert what == "unknown exporter 'trl-sfd'; did you mean 'trl-sft'?"
    assert todo.startswith("known: llama-factory, ms-swift, openai, ")


def test_export_to_a_place_that_cannot_be(refused, run):
    what, todo = refused("export", "small", "trl-sft", "--out", "small.yaml/kept.jsonl")
    assert what.endswith("small.yaml': file exists")
    assert todo == "give another path"
    what, _ = refused("export", "small", "trl-sft", "--out", "runs")
    assert what.endswith("/runs': is a directory")
    what, _ = refused("export", "small", "trl-sft", "--out", "/")
    assert what == "'/': is a directory"


def test_checkpoint_or_row_that_the_run_does_not_have(refused, run):
    for name in ("checkpoints/round-9", "0123456789abcdef"):
        assert refused("explain", "small", name) == (
            f"run 'runs/small' has no checkpoint and no row {name!r}",
            "checkpoints: none; a row is given by its id",
        )


def test_run_of_another_recipe(refused, run):
    assert refused("run", "small.yaml", "seed=4") == (
        "run 'runs/small' was made by another recipe: seed differs; seed was 3, now 4",
        "choose another name with name=..., or restore the recipe",
    )


def test_run_that_another_process_works_on(refused, run):
    with Ledger.open(run):
        what, todo = refused("run", "small.yaml", "rounds=2", code=3)
    assert what == f"run 'small' is locked by process {os.getpid()}"
    assert todo.startswith("wait for it or stop it")


@pytest.mark.parametrize("command", ["yield small", "report small", "explain small x"])
def test_damaged_line_in_the_middle(refused, run, command):
    lines = (run / "attempts.jsonl").read_bytes().splitlines(keepends=True)
    lines[2] = lines[2][:40] + b"\n"
    (run / "attempts.jsonl").write_bytes(b"".join(lines))
    what, todo = refused(*command.split())
    assert what.startswith("runs/small/attempts.jsonl line 3 is damaged: ")
    assert todo.startswith("restore the file from a copy")


@pytest.mark.parametrize(
    ("file", "line", "message"),
    [
        ("rounds", b"not json\n", "runs/small/rounds.jsonl line {n} is damaged: "),
        (
            "rounds",
            b"{}\n",
            "runs/small/rounds.jsonl line {n} is damaged: Object missing required field `event`",
        ),
        (
            "rounds",
            b'{"event":"ledger_created","format":9}\n',
            "runs/small/rounds.jsonl line {n}: format of a ledger must be 1, got 9",
        ),
        ("verdicts", b'{"round":1}\n', "runs/small/verdicts.jsonl line {n} is damaged: "),
        ("decisions", b"\xff\n", "runs/small/decisions.jsonl line {n} is damaged: "),
        ("attempts", b"\n", "runs/small/attempts.jsonl line {n} is damaged: "),
        (
            "attempts",
            b'{"round":7,"engine":"policy","env":"e","task_id":"t","attempt":0}\n',
            "runs/small/attempts.jsonl line {n} names an attempt that was never planned: ",
        ),
    ],
)
def test_line_that_cannot_be(refused, run, file, line, message):
    path = run / f"{file}.jsonl"
    number = path.read_bytes().count(b"\n") + 1
    with path.open("ab") as out:
        out.write(line)
    assert refused("yield", "small")[0].startswith(message.format(n=number))
    assert refused("run", "small.yaml", "rounds=2")[0].startswith(message.format(n=number))


def test_line_that_stands_there_twice(refused, run):
    lines = (run / "attempts.jsonl").read_bytes().splitlines(keepends=True)
    (run / "attempts.jsonl").write_bytes(b"".join([*lines, lines[0]]))
    what, _ = refused("yield", "small")
    assert (
        what == f"runs/small/attempts.jsonl line {len(lines) + 1} records again what line 1 records"
    )


@pytest.mark.parametrize("file", ["attempts", "verdicts", "decisions"])
def test_file_of_a_run_is_missing(refused, run, file):
    (run / f"{file}.jsonl").unlink()
    for command in (["yield", "small"], ["run", "small.yaml", "rounds=2"]):
        assert refused(*command) == (
            f"{file}.jsonl of run 'runs/small' is missing",
            "restore it from a copy",
        )


def test_dataset_of_a_run_is_missing(refused, run):
    (run / "data" / "round-1-kept.jsonl").unlink()
    what, _ = refused("export", "small", "trl-sft")
    assert what == ("runs/small/data/round-1-kept.jsonl: cannot be read: No such file or directory")


def test_row_of_a_dataset_is_broken(refused, run):
    with (run / "data" / "round-1-kept.jsonl").open("a") as out:
        out.write('{"messages": "none"}\n')
    what, _ = refused("export", "small", "trl-sft")
    assert "round-1-kept.jsonl line " in what


def test_torn_last_line_is_cut_with_a_one_line_warning(orbiter, run):
    with (run / "attempts.jsonl").open("ab") as out:
        out.write(b'{"round":1,"eng')
    said = orbiter("run", "small.yaml", "rounds=2", "--no-report")
    assert said.code == 0
    (warning,) = said.err.splitlines()
    assert warning.startswith("orbiter: warning: attempts.jsonl of run 'runs/small': line ")


@pytest.mark.skipif(os.geteuid() == 0, reason="everything is writable to root")
def test_folder_that_cannot_be_written(refused, tmp_path):
    (tmp_path / "runs").mkdir(mode=0o555)
    what, _ = refused("run", "small.yaml", code=3)
    assert what.startswith("run 'runs/small' cannot be opened: ")


def test_folder_that_the_system_refuses(refused):
    what, _ = refused("run", "small.yaml", "--runs", "/proc/nothing-here", code=3)
    assert what.startswith("run '/proc/nothing-here/small' cannot be opened: ")


def test_real_process_ends_with_the_same_words_and_code(tmp_path):
    command = [sys.executable, "-m", "orbiter.cli", "run", "no such.yaml"]
    done = subprocess.run(command, cwd=tmp_path, capture_output=True, text=True)
    assert (done.returncode, done.stdout) == (2, "")
    assert done.stderr == (
        "orbiter: error: recipe 'no such.yaml' does not exist\n"
        "  give the path of a recipe file (YAML)\n"
    )
