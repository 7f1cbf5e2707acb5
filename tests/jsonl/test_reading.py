import io
import json

import numpy as np
import orjson
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from orbiter import jsonl
from orbiter.errors import RecordError
from orbiter.jsonl import faults, reading
from orbiter.records import Message, Task, Trajectory

keys = st.text(max_size=4) | st.sampled_from(['"', "\\", ":", '":', '\\":', '" :', "a b"])
atoms = st.none() | st.booleans() | st.integers(-(2**63), 2**64 - 1) | keys
atoms |= st.floats(allow_nan=False, allow_infinity=False)
plain = st.recursive(
    atoms,
    lambda inner: st.lists(inner, max_size=3) | st.dictionaries(keys, inner, max_size=3),
    max_leaves=10,
)
objects = st.dictionaries(keys, plain, max_size=4)
styles = st.fixed_dictionaries(
    {
        "ensure_ascii": st.booleans(),
        "separators": st.sampled_from([(",", ":"), (", ", ": "), (" ,", " \t :"), (",", " :")]),
    }
)


def text_of(value, **style):
    return json.dumps(value, **style).encode()


@settings(deadline=None)
@given(objects, styles)
def test_every_sound_object_is_read_whatever_its_style(value, style):
    # Equality alone would take 1 for 1.0 and True.
    assert repr(jsonl.loads(text_of(value, **style))) == repr(value)


@settings(deadline=None)
@given(st.dictionaries(keys, plain, min_size=1, max_size=3), styles, st.integers(0, 3))
def test_a_repeated_key_is_found_at_any_depth_in_any_style(value, style, depth):
    comma, colon = style["separators"]
    pairs = [*value.items(), *list(value.items())[:1]]
    escaped = [
        json.dumps(key, ensure_ascii=style["ensure_ascii"]) + colon + json.dumps(item, **style)
        for key, item in pairs
    ]
    broken = "{" + comma.join(escaped) + "}"
    for _ in range(depth):
        broken = f'{{"a":[1,{broken}]}}'
    with pytest.raises(RecordError, match="is given twice"):
        jsonl.loads(broken.encode())


@settings(deadline=None, max_examples=40)
@given(st.lists(st.tuples(objects, styles), max_size=8), st.integers(1, 64), st.booleans())
def test_blocks_hold_every_line_wherever_they_are_cut(tmp_path_factory, rows, size, ended):
    path = tmp_path_factory.mktemp("blocks") / "rows.jsonl"
    texts = [text_of(row, **style) for row, style in rows]
    path.write_bytes(b"\n".join(texts) + (b"\n" if ended and texts else b""))
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(reading, "_BLOCK_SIZE", size)
        blocks = list(reading.blocks(path, max_line_bytes=10**6))
        read = list(jsonl.read_objects(path))
    assert [line for block in blocks for line in block.lines] == [text + b"\n" for text in texts]
    assert read == [(number, row) for number, (row, _) in enumerate(rows, start=1)]
    content = path.read_bytes()
    for block in blocks:
        assert block.number == 1 + content[: block.offsets[0]].count(b"\n")
        for offset, line in zip(block.offsets, block.lines, strict=True):
            assert (content + b"\n")[offset : offset + len(line)] == line


def marks_of(line):
    return len(reading._key_ends(np.frombuffer(line + b"\n", np.uint8)))


def keys_in(value):
    if isinstance(value, dict):
        return len(value) + sum(map(keys_in, value.values()))
    return sum(map(keys_in, value)) if isinstance(value, list) else 0


@settings(deadline=None)
@given(objects, styles)
def test_marks_are_an_upper_bound_of_the_keys(value, style):
    line = text_of(value, **style)
    marks = marks_of(line)
    assert marks >= keys_in(value)
    assert len(reading._KEY_END.findall(line)) >= keys_in(value)


def test_colons_in_text_do_not_call_for_a_closer_look(monkeypatch):
    line = orjson.dumps({"a": 'he said "x": 1, {"b": 2} : c  : d', "f": ["e :", {"g": "\\"}]})
    monkeypatch.setattr(reading, "fault_of_line", lambda data: pytest.fail("looked closely"))
    marks = marks_of(line)
    assert reading.decode(line, marks=marks, source=None, line=None) == orjson.loads(line)


ROW = {"messages": [{"role": "user", "content": "q"}], "env": "e", "task_id": "t", "score": None}


def test_records_are_read_as_trajectories_unless_told_otherwise(tmp_path):
    path = tmp_path / "rows.jsonl"
    path.write_bytes(orjson.dumps(ROW) + b"\r\n" + orjson.dumps(ROW | {"score": 1}))
    message = Message("user", "q")
    assert list(jsonl.read(path)) == [
        Trajectory((message,), "e", "t", None),
        Trajectory((message,), "e", "t", 1),
    ]
    assert next(jsonl.read(path, Task)) == Task("e", "t", (message,), extra={"score": None})


def test_an_empty_file_has_no_rows(tmp_path):
    (tmp_path / "rows.jsonl").touch()
    assert list(jsonl.read(tmp_path / "rows.jsonl")) == []


def test_rows_before_a_bad_one_are_given_first(tmp_path):
    path = tmp_path / "rows.jsonl"
    path.write_bytes(orjson.dumps(ROW) + b"\n" + b"x" * 2000 + b"\n" + orjson.dumps(ROW))
    rows = jsonl.read(path, max_line_bytes=1000)
    assert next(rows).env == "e"
    with pytest.raises(RecordError) as caught:
        next(rows)
    assert caught.value.message == f"{path} line 2: line must be at most 1000 bytes long"


def test_a_line_of_the_greatest_length_is_taken(tmp_path):
    path = tmp_path / "rows.jsonl"
    line = orjson.dumps({"a": "x" * 992})
    path.write_bytes(line + b"\n" + line)
    assert len(list(jsonl.read_objects(path, max_line_bytes=1000))) == 2
    with pytest.raises(RecordError, match="line 1: line must be at most 999 bytes long"):
        list(jsonl.read_objects(path, max_line_bytes=999))


def test_a_line_that_ends_inside_a_text_is_said_to_end_too_early(tmp_path):
    path = tmp_path / "rows.jsonl"
    for ending in (b"", b"\n"):
        path.write_bytes(orjson.dumps(ROW) + b'\n{"a":"b' + ending)
        with pytest.raises(
            RecordError, match="line 2: line must be JSON, got: unterminated string"
        ) as e:
            list(jsonl.read_objects(path))
        assert "ends too early" in e.value.hint


def test_an_endless_line_is_refused_before_it_is_read_whole(monkeypatch):
    class Endless(io.BytesIO):
        taken = 0

        def read(self, size):
            self.taken += size
            assert self.taken < 1000
            return b"x" * size

    monkeypatch.setattr(reading, "_BLOCK_SIZE", 100)
    monkeypatch.setattr(reading, "open", lambda *args, **more: Endless(), raising=False)
    with pytest.raises(RecordError, match="line 1: line must be at most 500 bytes long"):
        list(reading.blocks("endless.jsonl", max_line_bytes=500))


def test_a_repeated_key_is_found_behind_any_number_of_blanks():
    for count in (1, 63, 64, 65, 200):
        line = b'{"a":1,"a"' + b" " * count + b":2}"
        marks = marks_of(line)
        assert marks == 2


def test_the_deepest_nesting_is_read_and_one_more_is_not():
    def nested(depth):
        return b'{"a":' + b"[" * (depth - 1) + b"]" * (depth - 1) + b"}"

    assert list(jsonl.loads(nested(faults.MAX_DEPTH))) == ["a"]
    with pytest.raises(RecordError, match="must be nested at most 128 levels deep"):
        jsonl.loads(nested(faults.MAX_DEPTH + 1))


def test_integers_of_64_bits_are_read_exactly():
    for number in (2**64 - 1, -(2**63), 0):
        assert jsonl.loads(b'{"a":%d}' % number) == {"a": number}
    assert jsonl.loads(b'{"a":1e300}') == {"a": 1e300}


@settings(deadline=None)
@given(
    st.binary(max_size=40) | st.text(alphabet='{}[]":,\\a1 .-eNu\n', max_size=30).map(str.encode)
)
def test_any_bytes_give_an_object_or_a_record_error(data):
    try:
        row = jsonl.loads(data)
    except RecordError:
        return
    assert row == json.loads(data)


def test_a_folder_or_nothing_cannot_be_read(tmp_path):
    with pytest.raises(RecordError) as caught:
        list(jsonl.read(tmp_path / "none.jsonl"))
    assert (
        caught.value.message
        == f"{tmp_path / 'none.jsonl'}: cannot be read: No such file or directory"
    )
    with pytest.raises(RecordError, match="cannot be read: Is a directory"):
        list(jsonl.scan(tmp_path))
