import json
from pathlib import Path

from orbiter import jsonl
from orbiter.cli import main
from orbiter.records import Trajectory


def test_the_recipe_writes_what_the_verifier_confirmed(web, tmp_path, monkeypatch, capsys):
    recipe = Path(__file__).parents[3] / "examples" / "recipes" / "liveweb.yaml"
    monkeypatch.chdir(tmp_path)
    options = (f"inputs.cache={web.folder}", "stages.web.demonstrate.count=12", "verify.workers=0")
    assert main(["run", str(recipe), "--plain", *options]) == 0
    capsys.readouterr()
    rows = list(jsonl.read("runs/liveweb/data/round-1-kept.jsonl", Trajectory))
    assert [(row.score, row.generator, row.verdict.verifier) for row in rows] == [
        (1.0, "liveweb", "liveweb")
    ] * 12
    exported = (tmp_path / "runs/liveweb/exports/trl-sft.jsonl").read_text().splitlines()
    assert len(exported) == 12
    assert all(json.loads(line)["tools"] for line in exported)
