import json
import math
import os

import pytest
from attrs import evolve
from hypothesis import given, settings
from hypothesis import strategies as st

from orbiter import jsonl
from orbiter.curate.quality import FilterReport, exact_dedup, filter_file, filter_quality
from orbiter.errors import ConfigError, RecordError
from orbiter.records import Message, Trajectory


def row(task_id="t", score=1.0, env="e", text="a"):
    return Trajectory((Message("user", "q"), Message("assistant", text)), env, task_id, score)


trajectories = st.lists(
    st.builds(
        row,
        task_id=st.sampled_from(["", "a", "b", "c"]),
        score=st.none() | st.sampled_from([0, 0.25, 0.5, 0.75, 1]),
        env=st.sampled_from(["e", "f"]),
        text=st.sampled_from(["x", "y"]),
    ),
    max_size=12,
)


def test_the_best_row_of_each_task_is_kept_in_the_order_of_the_rows():
    rows = [row("a", 0.5), row("b", 0.9), row("a", 0.8), row("c", 0.4), row("a", 0.7)]
    filtered = filter_quality(rows, min_score=0.5)
    assert filtered.kept == (rows[1], rows[2])
    assert filtered.report == FilterReport(kept=2, below=1, unscored=0, duplicate=2, unnamed=0)


def test_of_equal_scores_the_first_row_wins():
    rows = [row(score=1, text="first"), row(score=1.0, text="second")]
    assert filter_quality(rows, min_score=0).kept == (rows[0],)


def test_the_bar_itself_is_kept():
    assert filter_quality([row(score=0.5)], min_score=0.5).report.kept == 1


def test_an_unscored_row_is_neither_kept_nor_below():
    report = filter_quality([row(score=None), row(score=-1.0)], min_score=-1).report
    assert report == FilterReport(kept=1, below=0, unscored=1, duplicate=0, unnamed=0)


def test_rows_without_a_task_id_are_never_collapsed_into_one():
    rows = [row("", 0.9), row("", 0.9, text="b"), row("", 0.1)]
    filtered = filter_quality(rows, min_score=0.5)
    assert filtered.kept == tuple(rows[:2])
    assert filtered.report == FilterReport(kept=2, below=1, unscored=0, duplicate=0, unnamed=2)


def test_the_same_task_id_in_two_environments_is_two_tasks():
    rows = [row(env="e"), row(env="f")]
    assert filter_quality(rows, min_score=0).kept == tuple(rows)


def test_without_dedup_every_row_at_the_bar_is_kept():
    rows = [row("a", 0.9), row("a", 0.9), row("a", 0.1)]
    assert filter_quality(rows, min_score=0.5, dedup=False).kept == tuple(rows[:2])


@pytest.mark.parametrize("bar", [math.nan, math.inf, None, "0.5", True])
def test_the_bar_must_be_a_number(bar, tmp_path):
    with pytest.raises(ConfigError) as caught:
        filter_quality([], min_score=bar)
    assert caught.value.message == f"min_score must be a finite number, got {bar!r}"
    jsonl.write(tmp_path / "in.jsonl", [row()])
    with pytest.raises(ConfigError):
        filter_file(tmp_path / "in.jsonl", tmp_path / "out.jsonl", min_score=bar)
    assert os.listdir(tmp_path) == ["in.jsonl"]


@settings(deadline=None, max_examples=60)
@given(trajectories, st.sampled_from([0, 0.3, 0.5, 1]), st.booleans())
def test_every_row_is_accounted_for_and_the_best_are_kept(rows, bar, dedup):
    filtered = filter_quality(rows, min_score=bar, dedup=dedup)
    report = filtered.report
    assert report.total == len(rows)
    assert report.kept == len(filtered.kept)
    assert report.unscored == sum(r.score is None for r in rows)
    passing = [r for r in rows if r.score is not None and r.score >= bar]
    assert report.below == len(rows) - report.unscored - len(passing)
    if not dedup:
        assert filtered.kept == tuple(passing)
        return
    tasks = {(r.env, r.task_id) for r in passing if r.task_id}
    assert {(r.env, r.task_id) for r in filtered.kept if r.task_id} == tasks
    assert len(filtered.kept) == len(tasks) + report.unnamed
    for kept in filtered.kept:
        rivals = [r for r in passing if (r.env, r.task_id) == (kept.env, kept.task_id)]
        if kept.task_id:
            best = max(r.score for r in rivals)
            assert kept is next(r for r in rivals if r.score == best)


@settings(deadline=None, max_examples=40)
@given(trajectories, st.sampled_from([0, 0.3, 0.5]), st.booleans())
def test_the_file_form_does_what_the_record_form_does(tmp_path_factory, rows, bar, dedup):
    folder = tmp_path_factory.mktemp("filter")
    lines = [json.dumps(r.to_row() | {"note": n}, indent=None) for n, r in enumerate(rows)]
    (folder / "in.jsonl").write_text("\n".join(lines))
    report = filter_file(folder / "in.jsonl", folder / "out.jsonl", min_score=bar, dedup=dedup)
    marked = [evolve(r, extra={"note": n}) for n, r in enumerate(rows)]
    expected = filter_quality(marked, min_score=bar, dedup=dedup)
    assert report == expected.report
    out = (folder / "out.jsonl").read_text()
    assert out == "".join(lines[r.extra["note"]] + "\n" for r in expected.kept)


def test_a_file_may_be_filtered_in_place(tmp_path):
    path = tmp_path / "rows.jsonl"
    rows = [row("a", 0.1), row("b", 0.9)]
    jsonl.write(path, rows)
    assert filter_file(path, path, min_score=0.5).kept == 1
    assert list(jsonl.read(path)) == rows[1:]


def test_a_bad_row_stops_the_filter_and_nothing_is_written(tmp_path):
    path, target = tmp_path / "in.jsonl", tmp_path / "out.jsonl"
    target.write_text("old")
    good = jsonl.dumps(row())
    path.write_bytes(good + b"\n" + good.replace(b'"task_id":"t",', b""))
    with pytest.raises(RecordError) as caught:
        filter_file(path, target, min_score=0.5)
    assert caught.value.message == f"{path} line 2: field 'task_id' is missing"
    assert target.read_text() == "old"


def test_a_source_that_changes_meanwhile_is_an_error(tmp_path, monkeypatch):
    path, target = tmp_path / "in.jsonl", tmp_path / "out.jsonl"
    jsonl.write(path, [row("a"), row("b")])

    def scan_and_append(source):
        yield from jsonl.scan(source)
        with open(source, "ab") as file:
            file.write(jsonl.dumps(row("c")) + b"\n")

    monkeypatch.setattr("orbiter.curate.quality.scan", scan_and_append)
    with pytest.raises(RecordError) as caught:
        filter_file(path, target, min_score=0)
    assert caught.value.message == f"{path}: must not change while it is filtered"
    assert os.listdir(tmp_path) == ["in.jsonl"]


def test_a_missing_source_is_named(tmp_path):
    with pytest.raises(RecordError, match="cannot be read: No such file or directory"):
        filter_file(tmp_path / "none.jsonl", tmp_path / "out.jsonl", min_score=0)


def test_exact_dedup_compares_env_task_and_messages_alone():
    first = row(score=0.1)
    rows = [first, row(score=0.9), row(env="f"), row("u"), row(text="b"), row(env="f")]
    deduplicated = exact_dedup(rows)
    assert deduplicated.kept == (first, rows[2], rows[3], rows[4])
    assert deduplicated.dropped == ((1, 0), (5, 2))


@settings(deadline=None, max_examples=40)
@given(trajectories)
def test_exact_dedup_keeps_each_content_once(rows):
    deduplicated = exact_dedup(rows)
    assert [r.id for r in deduplicated.kept] == list(dict.fromkeys(r.id for r in rows))
    assert len(deduplicated.kept) + len(deduplicated.dropped) == len(rows)
    assert all(rows[index].id == rows[of].id for index, of in deduplicated.dropped)
