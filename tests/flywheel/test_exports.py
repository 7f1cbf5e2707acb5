"""The files that a run exports."""

from pathlib import Path

import pytest

from orbiter.errors import (
    ConfigError,
)
from orbiter.flywheel.export import export_run
from orbiter.plugin import registry


def count_lines(path: Path) -> int:
    return path.read_bytes().count(b"\n")


def test_exports_and_pairs_of_a_run(wheel, tmp_path, small_recipe):
    text = small_recipe + "exports: [{name: trl-sft}, {name: trl-preference}]\n"
    result = wheel(text=text).run()
    kept = sum(row["kept"] for row in result.rounds[1:])
    assert count_lines(result.path / "exports/trl-sft.jsonl") == kept
    pairs = sum(row["pairs"] for row in result.rounds[1:])
    assert count_lines(result.path / "exports/trl-preference.jsonl") == pairs > 0
    tasks = export_run(
        result.path, registry().create("exporter", "trl-prompt-only"), tmp_path / "t.jsonl"
    )
    assert tasks.count == 60


def test_export_added_to_a_finished_run_is_written(wheel, small_recipe):
    wheel().run()
    text = small_recipe + "exports: [{name: trl-sft}]\n"
    result = wheel(text=text).run()
    assert not result.was_finished
    assert count_lines(result.path / "exports/trl-sft.jsonl") > 0
    assert wheel(text=text).run().was_finished


def test_exports_that_would_overwrite_each_other_are_refused(wheel, small_recipe):
    text = small_recipe + "exports: [{name: trl-sft}, {name: trl-sft, skip_unfit: true}]\n"
    with pytest.raises(ConfigError, match=r"got two for 'trl-sft\.jsonl'"):
        wheel(text=text).run()
    assert not wheel(text=text).path.exists()
