import datetime
import math
import os
import stat

import pytest
from attrs import frozen
from hypothesis import given, settings
from hypothesis import strategies as st

from orbiter import jsonl
from orbiter.errors import RecordError
from orbiter.records import Message, Task, Trajectory

TRAJECTORY = Trajectory((Message("user", "q"),), "e", "t", 0.5, metadata={"a": None})


def test_records_and_mappings_are_written_one_a_line_and_read_back(tmp_path):
    path = tmp_path / "new" / "rows.jsonl"
    assert jsonl.write(path, [TRAJECTORY, TRAJECTORY.to_row()]) == 2
    assert path.read_bytes().count(b"\n") == 2
    assert list(jsonl.read(path)) == [TRAJECTORY, TRAJECTORY]


def test_a_file_that_cannot_be_written_is_named_as_it_was_given(tmp_path):
    path = tmp_path / ("a" * 250)  # with what a draft adds, the name is too long
    with pytest.raises(OSError, match="too long") as error:
        jsonl.write(path, [TRAJECTORY])
    assert error.value.filename == str(path)


def test_nothing_makes_an_empty_file(tmp_path):
    assert jsonl.write(tmp_path / "rows.jsonl", iter(())) == 0
    assert (tmp_path / "rows.jsonl").read_bytes() == b""


def test_a_record_without_to_row_is_written_by_its_fields():
    @frozen
    class Note:
        text: str
        weight: int = 1

    assert jsonl.dumps(Note("a")) == b'{"text":"a"}'


@pytest.mark.parametrize(
    ("row", "message"),
    [
        ({"a": {"b": [1, math.nan]}}, "field 'a.b[1]' must be a finite number, got nan"),
        ({"a": -math.inf}, "field 'a' must be a finite number, got -inf"),
        ({"a": 2**64}, "field 'a' must be an integer of at most 64 bits, got 18446744073709551616"),
        (
            {"a": "\ud800"},
            "field 'a' must be whole characters, got half of a surrogate pair",
        ),
        ({"a": {3: 4}}, "field 'a' must have text keys, got the key 3"),
        ({"\udfff": 4}, "must have text keys, got the key '\\udfff'"),
        ({"a": {1, 2}}, "field 'a' must be plain data, got {1, 2}"),
        (
            {"a": datetime.date(2024, 1, 2)},
            "field 'a' must be plain data, got datetime.date(2024, 1, 2)",
        ),
        ([1], "row must be a record or a mapping, got [1]"),
        ("text", "row must be a record or a mapping, got 'text'"),
    ],
)
def test_what_would_not_read_back_the_same_is_refused(row, message):
    with pytest.raises(RecordError) as caught:
        jsonl.dumps(row)
    assert caught.value.message == message


def nested(depth):
    value = 1
    for _ in range(depth - 1):
        value = [value]
    return {"a": value}


@pytest.mark.parametrize("depth", [jsonl.MAX_DEPTH + 1, 254, 300, 5000])
def test_what_is_too_deep_to_be_read_is_not_written(depth):
    with pytest.raises(RecordError, match="must be nested at most 128 levels deep"):
        jsonl.dumps(nested(depth))


def test_the_greatest_depth_is_written_and_read():
    row = nested(jsonl.MAX_DEPTH)
    assert jsonl.loads(jsonl.dumps(row)) == row


anything = st.recursive(
    st.none() | st.booleans() | st.integers() | st.floats() | st.text() | st.binary(max_size=2),
    lambda inner: (
        st.lists(inner, max_size=3)
        | st.dictionaries(st.text(max_size=3) | st.integers(), inner, max_size=3)
    ),
    max_leaves=8,
)


@settings(deadline=None)
@given(st.dictionaries(st.text(max_size=3), anything, max_size=3))
def test_what_is_written_reads_back_the_same(row):
    try:
        line = jsonl.dumps(row)
    except RecordError:
        return
    assert repr(jsonl.loads(line)) == repr(row)


def test_a_failure_leaves_the_old_file_and_no_draft(tmp_path):
    path = tmp_path / "rows.jsonl"
    path.write_text("old")
    with pytest.raises(RecordError) as caught:
        jsonl.write(path, [TRAJECTORY, {"score": math.nan}])
    assert caught.value.message == f"{path} line 2: field 'score' must be a finite number, got nan"
    with pytest.raises(RuntimeError):
        jsonl.write(path, (1 / 0 if n else _stop() for n in range(1)))
    assert os.listdir(tmp_path) == ["rows.jsonl"]
    assert path.read_text() == "old"


def _stop():
    raise RuntimeError


def test_a_line_that_could_not_be_read_is_not_written(tmp_path):
    with pytest.raises(RecordError, match="line 1: line must be at most 20 bytes long"):
        jsonl.write(tmp_path / "rows.jsonl", [TRAJECTORY], max_line_bytes=20)
    assert os.listdir(tmp_path) == []


def test_the_file_appears_at_the_end(tmp_path):
    path = tmp_path / "rows.jsonl"
    with jsonl.replace_file(path) as file:
        file.write(b"x")
        file.flush()
        assert not path.exists()
    assert path.read_bytes() == b"x"


def test_a_link_stays_a_link_and_the_mode_is_that_of_any_new_file(tmp_path):
    (tmp_path / "real.jsonl").write_text("old")
    (tmp_path / "link.jsonl").symlink_to(tmp_path / "real.jsonl")
    jsonl.write(tmp_path / "link.jsonl", [{"a": 1}])
    assert (tmp_path / "link.jsonl").is_symlink()
    assert (tmp_path / "real.jsonl").read_bytes() == b'{"a":1}\n'
    (tmp_path / "other").touch()
    modes = {stat.S_IMODE((tmp_path / name).stat().st_mode) for name in ("real.jsonl", "other")}
    assert len(modes) == 1


def test_the_data_is_synced_before_the_name_and_the_folder_after(tmp_path, monkeypatch):
    done = []
    fsync, replace = os.fsync, os.replace
    monkeypatch.setattr(
        os, "fsync", lambda fd: done.append(os.path.isdir(f"/proc/self/fd/{fd}")) or fsync(fd)
    )
    monkeypatch.setattr(os, "replace", lambda a, b: done.append("replace") or replace(a, b))
    jsonl.write(tmp_path / "rows.jsonl", [{"a": 1}])
    assert done == [False, "replace", True]


def test_tasks_are_written_too(tmp_path):
    task = Task("e", "t", (Message("user", "q"),), answer=[1, None])
    jsonl.write(tmp_path / "tasks.jsonl", [task])
    assert list(jsonl.read(tmp_path / "tasks.jsonl", Task)) == [task]
