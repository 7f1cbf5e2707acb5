import sys

import attrs
import pytest

from orbiter.curate.export import verl
from orbiter.curate.export.verl import Verl
from orbiter.errors import MissingPluginError, RecordError
from orbiter.records import Message

parquet = pytest.importorskip("pyarrow.parquet")

ASKED = [{"role": "system", "content": "be brief"}, {"role": "user", "content": "what is 1+1?"}]


def written(tmp_path, records, **options):
    report = Verl(**options).write(records, tmp_path / "data.parquet")
    return report, parquet.read_table(report.files[0])


def test_rl_columns(tmp_path, task):
    other = attrs.evolve(task, task_id="sums:1", answer={"n": 2}, metadata={"ability": "math"})
    report, table = written(tmp_path, [task, other], split="test")
    assert report.count == 2
    assert table.to_pylist() == [
        {
            "data_source": "sums",
            "prompt": ASKED,
            "ability": "sums",
            "reward_model": {"style": "rule", "ground_truth": "2"},
            "extra_info": {"index": 0, "split": "test", "env": "sums", "task_id": "sums:0"},
        },
        {
            "data_source": "sums",
            "prompt": ASKED,
            "ability": "math",
            "reward_model": {"style": "rule", "ground_truth": '{"n":2}'},
            "extra_info": {"index": 1, "split": "test", "env": "sums", "task_id": "sums:1"},
        },
    ]


def test_task_without_an_answer_has_no_ground_truth(tmp_path, task):
    _, table = written(tmp_path, [attrs.evolve(task, answer=None)])
    assert table["reward_model"].to_pylist() == [{"style": "rule", "ground_truth": None}]


def test_sft_columns(tmp_path, plain):
    _, table = written(tmp_path, [plain])
    (row,) = table.to_pylist()
    assert row["messages"] == [*ASKED, {"role": "assistant", "content": "2"}]


def test_groups_of_rows_are_one_file(tmp_path, task, monkeypatch):
    monkeypatch.setattr(verl, "ROWS_PER_GROUP", 3)
    tasks = [attrs.evolve(task, task_id=f"sums:{i}") for i in range(8)]
    _, table = written(tmp_path, tasks)
    assert parquet.ParquetFile(tmp_path / "data.parquet").num_row_groups == 3
    assert [info["index"] for info in table["extra_info"].to_pylist()] == list(range(8))


def test_no_rows_are_an_empty_table(tmp_path):
    report, table = written(tmp_path, [])
    assert (report.count, table.num_rows) == (0, 0)
    assert "reward_model" in table.column_names


def test_failed_export_leaves_no_file(tmp_path, task, plain):
    with pytest.raises(RecordError):
        written(tmp_path, [task, attrs.evolve(task, messages=())])
    assert list(tmp_path.iterdir()) == []


def test_what_parquet_rows_cannot_say_is_refused(task, with_tool, trajectory):
    calls = attrs.evolve(with_tool, tools=())
    cases = {
        "field 'tools' must be empty: verl reads tools from its tool config": with_tool,
        "field 'messages[2]' must be a message of text": calls,
        "field 'messages' must end with an assistant message": trajectory(),
        "field 'messages' must end with a user message": attrs.evolve(task, messages=()),
        "field 'metadata.ability' must be a string": attrs.evolve(task, metadata={"ability": 3}),
        "field 'messages[0].name' must be left out in this format": trajectory(
            "2", prompt=(Message("user", "hi", name="ann"),)
        ),
    }
    for message, record in cases.items():
        with pytest.raises(RecordError) as caught:
            Verl().row(record, index=0)
        assert str(caught.value).startswith(message)


def test_missing_pyarrow_is_named_with_its_install_line(tmp_path, task, monkeypatch):
    monkeypatch.setitem(sys.modules, "pyarrow", None)
    with pytest.raises(MissingPluginError) as caught:
        Verl().write([task], tmp_path / "data.parquet")
    assert str(caught.value) == (
        "exporter 'verl' needs the library pyarrow, which is not installed\n"
        '  pip install "orbiter-train[parquet]"'
    )


@pytest.mark.slow
@pytest.mark.filterwarnings("default")
def test_datasets_reads_what_verl_reads(tmp_path, task):
    """verl loads its files with datasets and takes these columns by name."""
    datasets = pytest.importorskip("datasets")
    report, _ = written(tmp_path, [task])
    datasets.disable_progress_bars()
    (row,) = datasets.load_dataset(
        "parquet", data_files=str(report.files[0]), split="train", cache_dir=str(tmp_path / "cache")
    )
    assert row["prompt"] == ASKED
    assert row["reward_model"]["ground_truth"] == "2"
    assert row["extra_info"]["index"] == 0
