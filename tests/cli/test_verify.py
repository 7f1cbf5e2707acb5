"""``orbiter verify``: the rows of a file, and the stored attempts of a run again."""

import json
import os
import pty
import signal
import subprocess
import sys
import time
from pathlib import Path

import pytest

from orbiter import jsonl
from orbiter.cli.verify_command import _cut_torn_line
from orbiter.intervals import wilson
from orbiter.records import Message, Task, Trajectory

VERIFIER = """
import os, time
from orbiter.records import Verdict
from orbiter.verify import Verifier

class Mine(Verifier):
    name = "mine"
    def __init__(self, *, wait_s=0.0):
        self.wait_s = wait_s
    def verify(self, task, trajectory):
        time.sleep(self.wait_s)
        if trajectory.answer == "crash":
            os._exit(1)
        if trajectory.answer == "hang":
            time.sleep(600)
        return Verdict.passed() if trajectory.answer == task.answer else Verdict.failed("no")
"""


def row(text, n=0, env="e", **more):
    messages = (Message("user", f"q{n}"), Message("assistant", text))
    return Trajectory(messages, env, f"{env}:{n}", None, **more)


def own(text, answer="a", **more):
    return row(text, extra={"answer": answer}, **more)


@pytest.fixture
def rows(tmp_path):
    def write(*rows, name="rows.jsonl"):
        jsonl.write(tmp_path / name, rows)
        return name

    return write


def test_rows_that_bring_their_reference(orbiter, rows):
    texts = ["a", "a", "b", "c", "a"]
    file = rows(*(own(t, n=n, model="m") for n, t in enumerate(texts)))
    said = orbiter("verify", file, "--verifier", "exact")
    assert (said.code, said.err) == (0, "")
    low, high = (round(x, 3) for x in (wilson(3, 5).low, wilson(3, 5).high))
    header, names, values = said.out.splitlines()
    assert header == "verifier exact 1"
    assert names.split() == "env model rows passed failed invalid pass rate [95% CI]".split()
    assert values.split() == f"e m 5 3 2 0 0.600 [{low:.3f}, {high:.3f}]".split()


def test_options_of_the_verifier_and_groups_by_env_and_model(orbiter, rows):
    file = rows(own("A", model="m"), own("b", model="n"), own("a", env="f"))
    said = orbiter("verify", file, "--json", "--verifier", "exact", "case=false", "--workers", "1")
    row = json.loads(said.out)
    assert (row["version"], row["passed"], row["failed"], row["invalid"]) == (
        "1;case=False",
        2,
        1,
        0,
    )
    groups = [(g["env"], g["model"], g["rows"], g["pass_rate"]) for g in row["groups"]]
    assert groups == [("e", "m", 1, 1.0), ("e", "n", 1, 0.0), ("f", "", 1, 1.0)]


def test_tasks_from_a_file(orbiter, rows, tmp_path):
    tasks = [Task("e", f"e:{n}", (Message("user", f"q{n}"),), answer=str(n)) for n in range(3)]
    jsonl.write(tmp_path / "tasks.jsonl", tasks)
    file = rows(row("0", 0), row("0", 1), row("2", 2))
    said = orbiter("verify", file, "--verifier", "exact", "--tasks", "tasks.jsonl", "--json")
    assert (json.loads(said.out)["passed"], json.loads(said.out)["failed"]) == (2, 1)
    said = orbiter(
        "verify", rows(row("0", 0), row("0", 9)), "--verifier", "exact", "--tasks", "tasks.jsonl"
    )
    assert said.code == 2
    assert said.err.splitlines()[0] == (
        "orbiter: error: rows.jsonl line 2: field 'task_id' must name a task of file 'tasks.jsonl', "
        "got 'e:9' of env 'e'"
    )


def test_a_file_of_tasks_that_holds_two_of_one_name_is_refused(orbiter, rows):
    file = rows(own("a"), own("b"))
    said = orbiter("verify", file, "--verifier", "exact", "--tasks", file)
    assert said.code == 2
    assert (
        "rows.jsonl line 2: field 'task_id' must name one task of file 'rows.jsonl', but two that differ have 'e:0'"
        in said.err
    )


def test_tasks_and_verifier_from_an_environment_or_a_run(orbiter):
    assert orbiter("run", "small.yaml", "--plain", "--no-report").code == 0
    attempts = "runs/small/attempts.jsonl"
    said = orbiter("verify", attempts, "--run", "small", "--json")
    found = json.loads(said.out)
    with open("runs/small/verdicts.jsonl") as file:
        outcomes = [json.loads(line)["outcome"] for line in file]
    assert (found["verifier"], found["rows"]) == ("exact", len(outcomes))
    assert found["passed"] == outcomes.count("pass") > 0
    wrong = orbiter("verify", attempts, "--environment", "sorting", "length=3")
    assert wrong.code == 2
    assert "must name a task of environment 'sorting' with seed 0" in wrong.err


def test_judged_rows_take_the_place_of_the_file_when_all_went_well(orbiter, rows, tmp_path):
    given = [own("a", seed=3), own("b", generator="g"), own("?", answer=None)]
    file = rows(*given)
    said = orbiter("verify", file, "--verifier", "exact", "--out", "rows.jsonl")
    assert "invalid: 1 x task has no reference text" in said.out
    new = list(jsonl.read(tmp_path / "rows.jsonl"))
    assert [r.score for r in new] == [1.0, 0.0, None]
    assert [r.verdict.outcome.value for r in new] == ["pass", "fail", "invalid"]
    assert [r.id for r in new] == [r.id for r in given]
    assert (new[0].seed, new[1].generator) == (3, "g")
    assert sorted(p.name for p in tmp_path.iterdir()) == ["rows.jsonl", "small.yaml"]


def test_not_one_valid_verdict_is_a_failure(orbiter, rows):
    said = orbiter("verify", rows(row("a")), "--verifier", "exact")
    assert said.code == 1
    assert said.out.splitlines()[-2].split() == "e 1 0 0 1 -".split()


def test_rows_without_references_are_told_where_to_take_them_from(orbiter, rows):
    file = rows(row("a"))
    said = orbiter("verify", file, "--verifier", "gsm8k")
    assert said.code == 1
    assert "--tasks, --environment or --run names the tasks" in said.err
    assert orbiter("verify", rows(own("7", "7")), "--verifier", "gsm8k").err == ""


def test_long_names_leave_the_numbers_whole(orbiter, rows, monkeypatch):
    monkeypatch.setenv("COLUMNS", "80")
    file = rows(*(own("a", n=n, env="e" * 40, model=m * 20) for n, m in enumerate("mn")))
    said = orbiter("verify", file, "--verifier", "exact")
    assert said.out.count("1.000 [0.207, 1.000]") == 2
    heads = said.out.splitlines()[1]
    assert heads.split() == "env model rows passed failed invalid pass rate [95% CI]".split()


def test_answers_that_harm_the_verifier_cost_their_rows_alone(orbiter, rows, tmp_path):
    (tmp_path / "mine.py").write_text(VERIFIER)
    file = rows(own("a"), own("hang"), own("b"), own("crash"), own("a"))
    said = orbiter(
        "verify", file, "--verifier", "mine.py:Mine", "--timeout-s", "1", "--workers", "1", "--json"
    )
    found = json.loads(said.out)
    assert (found["passed"], found["failed"], found["invalid"]) == (2, 1, 2)
    assert found["reasons"] == {
        "timeout: no verdict within 1 s": 1,
        "crash: the worker left with exit code 1": 1,
    }


def test_text_of_a_row_cannot_steer_the_terminal(orbiter, rows):
    said = orbiter("verify", rows(own("a", env="\x1b[2Jx", model="[red]m")), "--verifier", "exact")
    assert "\x1b" not in said.out
    assert "\\x1b[2Jx" in said.out
    assert "[red]m" in said.out


@pytest.mark.parametrize(
    ("arguments", "message"),
    [
        ("", "orbiter verify must be given either a file, or a run with --rescore"),
        ("rows.jsonl --rescore small", "orbiter verify must be given either a file, or a run with --rescore"),
        ("rows.jsonl", "--verifier must be given unless an environment or a run says it"),
        ("--rescore small --run small", "--run has no effect with --rescore: a run knows its tasks"),
        ("rows.jsonl --verifier exact --seed 1", "--seed has an effect only with --environment"),
        ("rows.jsonl --verifier exakt", "unknown verifier 'exakt'; did you mean 'exact'?"),
        ("rows.jsonl --verifier exact kase=1", "verifier 'exact' has no option 'kase'; did you mean 'case'?"),
        ("rows.jsonl --verifier exact --workers -1", "workers must be an integer >= 0, got -1"),
        ("rows.jsonl --verifier exact --timeout-s 0", "timeout_s must be a number of seconds above 0, got 0.0"),
        ("rows.jsonl --verifier exact --memory-mb 1", "memory_mb must be an integer >= 128 or None, got 1"),
        ("rows.jsonl --verifier exact --out no/x.jsonl", "folder of 'no/x.jsonl' does not exist"),
        ("rows.jsonl --verifier exact --out .", "--out must be a file, got the folder '.'"),
        ("/dev/null --verifier exact", "'/dev/null' must be a file that can be read twice, got a pipe or device"),
        ("none.jsonl --verifier exact", "none.jsonl: cannot be read: No such file or directory"),
        ("bad.jsonl --verifier exact", "bad.jsonl line 2: field 'task_id' must be a string, got 7"),
        ("empty.jsonl --verifier exact", "empty.jsonl: must hold at least one row, got none"),
        ("--rescore none", "run must be a run's folder or its name, got 'none'"),
    ],
)  # fmt: skip
def test_what_is_wrong_is_said_in_a_line(orbiter, rows, tmp_path, arguments, message):
    rows(own("a"))
    good = jsonl.dumps(own("a")).decode()
    (tmp_path / "bad.jsonl").write_text(f"{good}\n{good.replace(chr(34) + 'e:0' + chr(34), '7')}\n")
    (tmp_path / "empty.jsonl").write_text("")
    said = orbiter("verify", *arguments.split())
    assert said.code == 2
    assert said.err.splitlines()[0] == f"orbiter: error: {message}"
    assert said.out == ""


def test_a_run_judged_again_lists_what_flipped(orbiter, tmp_path):
    assert orbiter("run", "small.yaml", "--plain", "--no-report").code == 0
    pattern = ("--verifier", "regex", "pattern='[01].*'")
    said = orbiter("verify", "--rescore", "small", *pattern, "--out", "flips.jsonl")
    assert (said.code, said.err) == (0, "")
    flips = [flip for _, flip in jsonl.read_objects(tmp_path / "flips.jsonl")]
    lines = said.out.splitlines()
    assert lines[0].startswith(
        "run small: 12 attempts judged with regex 1;pattern='[01].*', 0 judged"
    )
    assert lines[1].startswith("flipped: ")
    assert sum(int(word) for word in lines[1].split() if word.isdigit()) == len(flips) + 12
    for flip in flips:
        assert f"  {flip['id']}  round {flip['round']}" in said.out
        shown = orbiter("explain", "small", flip["id"]).out
        for outcome in (flip["before"], flip["after"]):
            assert f"  verdict      {outcome}" in shown
    again = json.loads(orbiter("verify", "--rescore", "small", *pattern, "--json").out)
    assert (again["judged"], again["known"], again["flips"]) == (0, 12, flips)
    taken_back = [flip for flip in flips if flip["before"] == "pass" and flip["round"] == 1]
    assert {d["path"] for d in again["datasets"]} == {"data/round-1-kept.jsonl"}
    assert 0 < again["datasets"][0]["rows"] <= len(taken_back)
    assert orbiter("yield", "small").code == 0


def test_a_run_whose_new_verifier_never_answers_is_given_up_and_gone_on_with(orbiter, tmp_path):
    assert orbiter("run", "small.yaml", "--plain", "--no-report").code == 0
    lost = VERIFIER.replace('trajectory.answer == "crash"', "True")
    (tmp_path / "mine.py").write_text(lost)
    again = ("verify", "--rescore", "small", "--verifier", "mine.py:Mine", "--json")
    said = orbiter(*again, "--give-up-after", "3")
    assert (said.code, said.out) == (1, "")
    assert "verifier 'mine' was given up: its process was lost 3 times in a row" in said.err
    assert "the same command goes on from there with --rescore" in said.err
    (tmp_path / "mine.py").write_text(VERIFIER)
    assert json.loads(orbiter(*again).out)["judged"] == 12


# A shell's background jobs inherit that the signal is ignored.
INTERRUPTIBLE = """
import signal, sys
signal.signal(signal.SIGINT, signal.default_int_handler)
from orbiter.cli import main
sys.exit(main(sys.argv[1:]))
"""


def start(folder, *arguments, **more):
    return subprocess.Popen(
        [sys.executable, "-c", INTERRUPTIBLE, "verify", *arguments],
        cwd=folder,
        stdin=subprocess.DEVNULL,
        text=True,
        **more,
    )


def descendants(pid):
    found = []
    for task in Path(f"/proc/{pid}/task").iterdir():
        for child in (task / "children").read_text().split():
            found += [child, *descendants(child)]
    return found


@pytest.mark.parametrize(("signum", "code"), [(signal.SIGINT, 130), (signal.SIGTERM, 143)])
def test_stopping_keeps_what_is_judged_and_says_where(rows, tmp_path, signum, code):
    (tmp_path / "mine.py").write_text(VERIFIER)
    file = rows(*(own("a" if n % 2 else "b") for n in range(2000)))
    process = start(
        tmp_path,
        *(file, "--verifier", "mine.py:Mine", "wait_s=0.001", "--out", "out.jsonl"),
        stdout=subprocess.PIPE,
        stderr=subprocess.PIPE,
    )
    partial = tmp_path / "out.jsonl.partial"
    deadline = time.monotonic() + 60
    while not (partial.exists() and partial.stat().st_size) and time.monotonic() < deadline:
        assert process.poll() is None
        time.sleep(0.005)
    started = descendants(process.pid)
    process.send_signal(signum)
    out, err = process.communicate(timeout=30)
    assert process.returncode == code
    assert len(started) >= 2  # a guard and its judging process
    assert [pid for pid in started if Path(f"/proc/{pid}").exists()] == []
    kept = list(jsonl.read(partial))
    assert 0 < len(kept) < 2000
    assert [r.score for r in kept] == [float(n % 2) for n in range(len(kept))]
    assert err.strip() == f"stopped after {len(kept)} of 2000 rows; these are in out.jsonl.partial"
    assert f" {len(kept)} " in out
    assert not (tmp_path / "out.jsonl").exists()


def test_a_verifier_that_never_answers_is_given_up_and_the_same_command_goes_on(
    orbiter, rows, tmp_path
):
    (tmp_path / "mine.py").write_text(VERIFIER)
    file = rows(*(own("a", n=n) for n in range(40)), *(own("crash", n=n) for n in range(40, 100)))
    arguments = ("verify", file, "--verifier", "mine.py:Mine", "--cache", "known.sqlite", "--out", "out.jsonl", "--workers", "1")  # fmt: skip
    said = orbiter(*arguments, "--give-up-after", "3")
    assert said.code == 1
    kept = list(jsonl.read(tmp_path / "out.jsonl.partial"))
    assert len(kept) == 32  # whole groups
    assert f"stopped after {len(kept)} of 100 rows; these are in out.jsonl.partial" in said.err
    assert "orbiter: error: verifier 'mine' was given up: its process was lost 3 times in a row, the last time with: crash: " in said.err  # fmt: skip
    assert "--give-up-after (0: never); the same command goes on from there with" in said.err
    assert " 32 " in said.out
    (tmp_path / "mine.py").write_text(VERIFIER.replace("os._exit(1)", "return Verdict.failed('')").replace("time.sleep(self.wait_s)", "assert task.task_id >= 'e:4'"))  # fmt: skip
    again = orbiter(*arguments, "--json")
    assert (again.code, again.err) == (0, "")
    total = json.loads(again.out)
    assert (total["passed"], total["failed"], total["invalid"]) == (40, 60, 0)


@pytest.mark.parametrize("lines", [0, 1, 3])
@pytest.mark.parametrize("torn", [0, 1, 200_000])
def test_a_row_whose_writing_is_interrupted_is_cut(tmp_path, lines, torn):
    whole = row("a" * 100_000)
    path = tmp_path / "out.jsonl.partial"
    path.write_bytes((jsonl.dumps(whole) + b"\n") * lines + b"x" * torn)
    _cut_torn_line(path)
    assert list(jsonl.read(path)) == [whole] * lines


def test_a_terminal_shows_a_bar(rows, tmp_path):
    (tmp_path / "mine.py").write_text(VERIFIER)
    file = rows(*(own("a") for _ in range(600)))
    ours, theirs = pty.openpty()
    process = start(
        tmp_path,
        *(file, "--verifier", "mine.py:Mine", "wait_s=0.001"),
        stdout=subprocess.PIPE,
        stderr=theirs,
        env={**os.environ, "TERM": "xterm", "COLUMNS": "80"},
    )
    os.close(theirs)
    out, _ = process.communicate(timeout=60)
    shown = b""
    while True:
        try:
            data = os.read(ours, 4096)
        except OSError:  # how Linux says that the other end is closed
            break
        if not data:
            break
        shown += data
    os.close(ours)
    assert process.returncode == 0
    assert b"judging" in shown
    assert b"/600" in shown
    assert "600" in out
