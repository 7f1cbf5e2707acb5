"""The commands that look at a run: yield, report, export and explain."""

import json
import shutil

import pytest

from orbiter import jsonl
from orbiter.flywheel.account import read_account
from orbiter.records import Trajectory


def test_yield_is_the_account(orbiter, finished, monkeypatch):
    monkeypatch.setenv("COLUMNS", "300")  # however deep the folder of the run is
    said = orbiter("yield", "small", "--runs", finished)
    assert (said.code, said.err) == (0, "")
    total = read_account(finished / "small").total
    assert total.planned == 2 * 6 * 3 + 3 * 4
    assert said.out.splitlines()[0].startswith("small  finished  (")
    assert said.out.splitlines()[-1] == (
        f"planned {total.planned} = passed {total.passed} + failed {total.failed} + invalid 0 + pending 0"
    )


def test_yield_as_json_adds_up(orbiter, finished):
    account = json.loads(orbiter("yield", finished / "small", "--json").out)
    assert account["state"] == "finished"
    assert [(row["round"], row["engine"]) for row in account["rounds"]] == [
        *((0, "held_out"), (1, "held_out"), (1, "policy"), (2, "held_out"), (2, "policy"))
    ]
    for row in account["rounds"]:
        assert row["planned"] == row["passed"] + row["failed"] + row["pending"]
        assert row["yield"] == pytest.approx(row["passed"] / row["planned"])


def test_report_is_written_where_it_says(orbiter, copy):
    (copy / "report.html").unlink()
    said = orbiter("report", "small")
    assert (said.code, said.err, said.out) == (0, "", "runs/small/report.html\n")
    assert (copy / "report.html").read_text().startswith("<!doctype html>")


def test_export_to_the_run_and_elsewhere(orbiter, copy, tmp_path):
    kept = sum(
        len(list(jsonl.read(copy / f"data/round-{n}-kept.jsonl", Trajectory))) for n in (1, 2)
    )
    said = orbiter("export", "small", "trl-sft")
    assert (said.code, said.err) == (0, "")
    assert said.out == f"{kept} rows as trl-sft: runs/small/exports/trl-sft.jsonl\n"
    assert orbiter("export", copy, "trl-sft", "--out", "new/rows.jsonl").code == 0
    there = (tmp_path / "new/rows.jsonl").read_bytes()
    assert there == (copy / "exports/trl-sft.jsonl").read_bytes()
    assert there.count(b"\n") == kept > 0


def test_lineage_of_a_row(orbiter, finished):
    row = next(iter(jsonl.read(finished / "small/data/round-1-kept.jsonl", Trajectory)))
    said = orbiter("explain", "small", row.id, "--runs", finished)
    assert (said.code, said.err) == (0, "")
    assert "  verdict      pass (exact 1)\n" in said.out
    assert "  decision     accepted\n" in said.out
    assert "  in           data/round-1-kept.jsonl\n" in said.out


def test_lineage_of_a_checkpoint(orbiter, learning, tmp_path):
    (tmp_path / "learning.py").write_text(learning)
    train = ("model.id=m", "train.backend=learning.py:Learning", "rounds=2")
    assert orbiter("run", "small.yaml", *train, "--no-report").code == 0
    said = orbiter("explain", "small", "checkpoints/round-2")
    assert (said.code, said.err) == (0, "")
    lines = said.out.splitlines()
    assert lines[0] == "checkpoint checkpoints/round-2/checkpoint (round 2)"
    assert lines[1] == "  goes on from checkpoints/round-1/checkpoint"
    assert "  trained on   data/round-2.jsonl  hash " in said.out
    second = jsonl.read(tmp_path / "runs/small/data/round-2-kept.jsonl", Trajectory)
    count = len(list(second))
    assert lines[-1].split() == (
        f"{count} rows sampled in round 2 from checkpoints/round-1/checkpoint".split()
    )


def test_what_a_server_calls_itself_cannot_steer_the_terminal(orbiter, tmp_path):
    (tmp_path / "mine.py").write_text(
        "from orbiter.generate.policy import Completion, Policy\n"
        "class Liar(Policy):\n"
        "    name = 'liar'\n"
        "    async def complete(self, requests, sampling):\n"
        "        return [self.answer(r) for r in requests]\n"
        "    def answer(self, r):\n"
        "        if r.attempt == 1:\n"
        "            return Completion.failed('\\x1b[2Jgone')\n"
        "        right = ''.join(sorted(r.messages[-1].text[5:-1]))\n"
        "        return Completion.of(right, model=f'\\x1b[31m{r.attempt}')\n"
    )
    (tmp_path / "recipe.yaml").write_text(
        "name: liar\nrounds: 1\nenvironment: {name: sorting, length: 4}\n"
        "policy: {name: mine.py:Liar}\ngenerate: {tasks: 3, samples: 3}\n"
        "evaluate: {tasks: 0, audit: 0}\ngates: {max_invalid_rate: 1}\n"
    )
    assert orbiter("run", tmp_path / "recipe.yaml", "--plain", "--no-report").code == 0
    row = next(iter(jsonl.read(tmp_path / "runs/liar/data/round-1-kept.jsonl", Trajectory)))
    for command in (["yield", "liar"], ["explain", "liar", row.id]):
        said = orbiter(*command)
        assert (said.code, said.err) == (0, "")
        assert "\\x1b[31m" in said.out
        assert "\x1b" not in said.out


def test_nor_can_the_names_in_the_files_of_a_run(orbiter, copy):
    for file in copy.glob("*.jsonl"):
        text = file.read_text()
        for key, name in (("engine", "policy"), ("generator", "scripted"), ("verifier", "exact")):
            text = text.replace(f'"{key}":"{name}"', f'"{key}":"\\u001b[2J[red]{name}"')
        file.write_text(text)
    (copy / "index.sqlite").unlink(missing_ok=True)
    row = json.loads((copy / "attempts.jsonl").read_text().splitlines()[0])
    account = orbiter("yield", "small")
    assert "\\x1b[2J" in account.out
    lineage = orbiter("explain", "small", row["id"])
    assert "generated by \\x1b[2J[red]scripted with" in lineage.out
    assert "\x1b" not in account.out + lineage.out


def test_a_row_and_a_checkpoint_are_found_without_their_run(orbiter, finished, tmp_path):
    row = next(jsonl.read(finished / "small/data/round-1-kept.jsonl", Trajectory))
    named = orbiter("explain", "small", row.id, "--runs", finished)
    assert orbiter("explain", row.id, "--runs", finished).out == named.out
    shutil.copytree(finished / "small", tmp_path / "two/one")
    shutil.copytree(finished / "small", tmp_path / "two/other")
    said = orbiter("explain", row.id, "--runs", tmp_path / "two")
    assert said.code == 2
    assert f"several runs have {row.id!r}" in said.err
    assert "one, other" in said.err
    (tmp_path / "two/other/attempts.jsonl").write_bytes(b"not json\n")
    (tmp_path / "two/other/index.sqlite").unlink(missing_ok=True)
    said = orbiter("explain", row.id, "--runs", tmp_path / "two")
    assert (said.code, said.out) == (0, named.out)
    assert said.err.startswith("run 'other' is left out: ")
    said = orbiter("explain", "nothing", "--runs", finished)
    assert "no run has a checkpoint or row 'nothing'" in said.err
