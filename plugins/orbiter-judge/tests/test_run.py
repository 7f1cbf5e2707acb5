"""A run whose verifier is a judge behind a program, with the real command line and a real server."""

from collections import Counter

import pytest
import yaml

from orbiter import jsonl
from orbiter.cli import main

SECRET = "sk-very-secret-0123456789"
SAID = {"even": '{"score": 10}', "odd": '{"score": 0}', "seven": '{"score": null}'}


def parity(digits):
    return "seven" if digits[-1] == "7" else "odd" if int(digits) % 2 else "even"


def grade(body):
    answer = body["messages"][1]["content"].partition("[[BEGIN ANSWER ")[2].splitlines()[1]
    return SAID[parity(answer.removeprefix("| "))]


@pytest.mark.slow
def test_a_run_with_a_judge(server, tmp_path, monkeypatch, capsys):
    monkeypatch.setenv("THE_KEY", SECRET)
    monkeypatch.chdir(tmp_path)
    server.responses = [grade]
    judge = {
        "name": "pointwise_judge",
        "rubric": "It is even.",
        "reference": False,
        "model": {"name": "openai", "base_url": server.url, "model": "m", "api_key_env": "THE_KEY"},
    }
    recipe = {
        "name": "judged",
        "rounds": 1,
        "environment": {"name": "sorting", "length": 4},
        "verifier": {"name": "all_of", "verifiers": ["exact", judge]},
        "policy": {"name": "scripted", "environment": {"name": "sorting", "length": 4}, "accuracy": 0.7},
        "generate": {"tasks": 60, "samples": 1},
        "evaluate": {"tasks": 2, "audit": 0},
        "gates": {"max_invalid_rate": 0.5},
        "verify": {"workers": 1},
    }  # fmt: skip
    (tmp_path / "recipe.yaml").write_text(yaml.safe_dump(recipe))
    assert main(["run", "recipe.yaml", "--plain"]) == 0, capsys.readouterr()

    reasons = Counter()
    for _, row in jsonl.read_objects(tmp_path / "runs/judged/verdicts.jsonl"):
        exact, *judged = row["details"]["verdicts"]
        reasons[row["outcome"], row.get("reason", "")] += 1
        assert len(judged) == (exact["outcome"] == "pass")
        for one in judged:
            assert (one["details"]["model"], one["details"]["prompt_tokens"]) == ("m", 300)
    assert set(reasons) == {
        ("fail", "exact: wrong answer"),
        ("fail", "pointwise_judge: rubric not met"),
        ("invalid", "pointwise_judge: abstain: judge cannot tell"),
        ("pass", ""),
    }
    assert len(server.seen) == sum(reasons.values()) - reasons["fail", "exact: wrong answer"]
    assert {headers["Authorization"] for headers, _ in server.seen} == {f"Bearer {SECRET}"}
    files = [path for path in tmp_path.rglob("*") if path.is_file()]
    assert not [path for path in files if SECRET.encode() in path.read_bytes()]
    assert SECRET not in "".join(capsys.readouterr())
