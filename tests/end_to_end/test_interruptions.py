"""Ctrl-C and kill -9 of real runs: the same command goes on, and ends in the data of a run that was never stopped."""

import os
import resource
import signal

import pytest

from orbiter.cli import main

pytestmark = [pytest.mark.slow, pytest.mark.xdist_group("end_to_end")]

SLOW = """\
name: slow
seed: 3
rounds: 2
environment: {name: sorting, length: 5}
policy: {name: slow.py:Slow, accuracy: 0.5}
generate: {tasks: 20, samples: 4}
evaluate: {tasks: 20, audit: 20}
"""
POLICY = """
import asyncio
from orbiter.generate.scripted import ScriptedPolicy

class Slow(ScriptedPolicy):
    name, batch_size, concurrency = "slow", 8, 2

    def __init__(self, *, accuracy, wait_s=0.05):
        super().__init__(environment={"name": "sorting", "length": 5}, accuracy=accuracy)
        self.wait_s = wait_s

    async def complete(self, requests, sampling):
        await asyncio.sleep(self.wait_s)
        return await super().complete(requests, sampling)
"""
GOES_ON = "stopped; what is done is in {}. The same command goes on from there."


@pytest.fixture
def slow(tmp_path):
    """The file of a recipe whose policy takes its time."""
    (tmp_path / "slow.py").write_text(POLICY)
    (tmp_path / "slow.yaml").write_text(SLOW)
    return tmp_path / "slow.yaml"


def test_a_run_stopped_three_times_ends_as_if_it_never_was(
    start, tiny, turn, whole, tmp_path, data_of, line_count
):
    """Ctrl-C in the cold start's training, Ctrl-C in the first round's generation, kill -9 in its training."""
    run = tmp_path / "runs/tiny"
    attempts = run / "attempts.jsonl"
    held_out, sampled = 80, 320

    def training(number):
        return lambda: line_count(run / f"checkpoints/round-{number}/metrics.jsonl") >= 5

    plan = (
        (training(0), signal.SIGINT),
        (lambda: line_count(attempts) >= held_out + 48, signal.SIGINT),
        (training(1), signal.SIGKILL),
    )
    ended, counts = [], []
    for reached, number in plan:
        one = start("run", tiny, "--runs", "runs")
        one.wait_until(reached)
        code, seconds = one.stop(number)
        assert code == (130 if number is signal.SIGINT else -signal.SIGKILL), one.errors
        if number is signal.SIGINT:
            assert one.errors.strip() == GOES_ON.format("runs/tiny")
            assert seconds < 2
            print(f"stopped within {seconds:.2f} s")
        ended.append((run / "checkpoints/round-0/checkpoint").exists())
        counts.append(line_count(attempts))
    assert ended == [False, True, True]
    assert counts[0] == 0
    assert held_out < counts[1] < counts[2] == held_out + sampled
    assert not (run / "checkpoints/round-1/checkpoint").exists()
    result = turn(tiny, tmp_path / "runs")
    assert data_of(result.path) == data_of(whole.path)
    for name in ("checkpoint/model.safetensors", "metrics.jsonl"):
        for number in (0, 1, 2):
            path = f"checkpoints/round-{number}/{name}"
            assert (result.path / path).read_bytes() == (whole.path / path).read_bytes()


@pytest.mark.parametrize("number", [signal.SIGINT, signal.SIGKILL], ids=["ctrl-c", "kill"])
def test_stopped_in_generation_the_same_command_goes_on(
    start, slow, turn, tmp_path, data_of, line_count, number
):
    expected = data_of(turn(slow, tmp_path / "whole", "policy.wait_s=0").path)
    attempts = tmp_path / "runs/slow/attempts.jsonl"
    one = start("run", "slow.yaml")
    one.wait_until(lambda: line_count(attempts) >= 20 + 16)
    code, seconds = one.stop(number)
    assert line_count(attempts) < 20 + 80
    if number is signal.SIGINT:
        assert (code, one.errors.strip()) == (130, GOES_ON.format("runs/slow"))
        assert seconds < 2
    before = attempts.read_bytes()
    again = start("run", "slow.yaml")
    assert again.end() == 0, again.errors
    assert attempts.read_bytes().startswith(before[: before.rindex(b"\n") + 1])
    assert data_of(tmp_path / "runs/slow") == expected
    assert "round 2  yield" in again.output


def test_ctrl_c_before_the_command_has_begun_is_no_traceback(slow, monkeypatch, capsys):
    def interrupted(_):
        raise KeyboardInterrupt

    monkeypatch.setattr("orbiter.cli.importlib.import_module", interrupted)
    assert main(["run", str(slow)]) == 130
    assert capsys.readouterr().err == "\norbiter: interrupted\n"


def test_ctrl_c_on_a_terminal_leaves_the_table_and_says_how_to_go_on(start, slow, line_count):
    one = start("run", slow, terminal=True)
    one.wait_until(lambda: line_count(slow.parent / "runs/slow/attempts.jsonl") >= 20 + 16)
    one.process.stdin.write(b"\x03")  # what the key sends; the terminal makes a signal of it
    one.process.stdin.flush()
    assert one.end() == 130
    assert "[95% CI]" in one.output
    assert GOES_ON.format("runs/slow") in " ".join(one.output.split())
    assert "Traceback" not in one.output
    assert one.output.rstrip().count("\x1b[?25h") == 1  # the cursor is there again


def test_a_finished_run_says_so_at_once_and_loads_no_model(start, whole, tiny, tmp_path):
    (tmp_path / "ask.py").write_text(
        "import sys\nfrom orbiter.cli import main\n"
        "code = main(sys.argv[1:])\n"
        "heavy = {'torch', 'transformers', 'trl', 'datasets'} & set(sys.modules)\n"
        "sys.exit(str(heavy) if heavy else code)\n"
    )
    before = {p: p.stat().st_mtime_ns for p in whole.path.glob("*.jsonl")}
    spent = resource.getrusage(resource.RUSAGE_CHILDREN)
    one = start("run", tiny, "--runs", whole.path.parent, program="ask.py")
    assert one.end() == 0, one.errors
    now = resource.getrusage(resource.RUSAGE_CHILDREN)
    assert "run 'tiny' is finished (2 rounds); nothing to do" in one.output
    assert now.ru_utime + now.ru_stime - spent.ru_utime - spent.ru_stime < 2
    assert {p: p.stat().st_mtime_ns for p in before} == before


def test_a_second_process_is_refused_while_one_is_running(start, slow, tmp_path, line_count):
    one = start("run", slow, "policy.wait_s=60")
    one.wait_until(lambda: line_count(tmp_path / "runs/slow/rounds.jsonl") >= 3)
    first = one.process.pid
    two = start("run", slow, "policy.wait_s=60")
    assert two.end() == 3
    assert two.errors.startswith(f"orbiter: error: run 'slow' is locked by process {first}\n")
    assert one.process.poll() is None
    code, seconds = one.stop(signal.SIGINT)
    assert (code, os.path.exists(tmp_path / "runs/slow/rounds.jsonl")) == (130, True)
    assert seconds < 2
