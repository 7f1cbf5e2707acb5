import copy
import json

import orjson
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from orbiter import jsonl
from orbiter.errors import RecordError
from orbiter.jsonl import scanning

words = st.text(max_size=6) | st.sampled_from(['"a": 1', '{"b": [', "é :", "\\", "数"])
atoms = st.none() | st.booleans() | st.integers(-5, 5) | st.floats(-1, 1) | words
objects = st.dictionaries(words, atoms, max_size=2)
messages = st.fixed_dictionaries(
    {"role": st.just("user"), "content": words | st.none()},
    optional={"name": words, "tool_calls": st.lists(objects, max_size=1)},
)
rows = st.fixed_dictionaries(
    {
        "messages": st.lists(messages, max_size=3),
        "env": words,
        "task_id": words,
        "score": st.none() | st.integers(0, 1) | st.floats(0, 1),
    },
    optional={
        "verdict": st.none() | objects,
        "metadata": objects | st.dictionaries(words, objects, max_size=2),
        "tools": st.lists(objects, max_size=2),
        "seed": atoms,
    },
)
styles = st.sampled_from(
    [
        orjson.dumps,
        lambda row: json.dumps(row).encode(),
        lambda row: json.dumps(row, indent=1).replace("\n", "").encode(),
    ]
)


@settings(deadline=None, max_examples=60)
@given(st.lists(st.tuples(rows, styles), max_size=12))
def test_the_heads_are_those_of_the_rows(tmp_path_factory, pairs):
    path = tmp_path_factory.mktemp("scan") / "rows.jsonl"
    lines = [style(row) for row, style in pairs]
    path.write_bytes(b"".join(line + b"\n" for line in lines))
    heads = list(jsonl.scan(path))
    assert [(h.line, h.env, h.task_id, h.score, h.raw) for h in heads] == [
        (number, row["env"], row["task_id"], row["score"], line)
        for number, ((row, _), line) in enumerate(zip(pairs, lines, strict=True), start=1)
    ]
    content = path.read_bytes()
    assert all(content[h.offset : h.offset + len(h.raw)] == h.raw for h in heads)


ROW = {
    "messages": [{"role": "user", "content": "q"}, {"role": "assistant", "content": "é"}],
    "env": "e",
    "task_id": "t",
    "score": 0.5,
    "verdict": {"outcome": "pass", "score": 0.5},
    "metadata": {"a": 1, "b": {"c": [1]}},
    "seed": None,
}
GOOD = orjson.dumps(ROW)


def scan_between_good_rows(tmp_path, line):
    """Scan a line when the shape of its neighbours is known already."""
    path = tmp_path / "rows.jsonl"
    path.write_bytes(GOOD + b"\n" + GOOD + b"\n" + line + b"\n" + GOOD + b"\n")
    return [head.line for head in jsonl.scan(path)]


def test_good_rows_are_proven_without_decoding_them_whole(tmp_path, monkeypatch):
    decoded = []
    decode = scanning.decode
    monkeypatch.setattr(
        scanning,
        "decode",
        lambda *args, **more: decoded.append(more["line"]) or decode(*args, **more),
    )
    null = orjson.dumps(ROW | {"verdict": None, "score": None})
    spaced = json.dumps(ROW).encode()
    for line in (GOOD, null, spaced, GOOD):
        scan_between_good_rows(tmp_path, line)
    assert decoded == [1, 1, 3, 1, 1]


@pytest.mark.parametrize(
    ("old", "new", "problem"),
    [
        (b'"env":"e"', b'"env":"e","env":"e"', "field 'env' is given twice"),
        (b'"env":"e"', b'"env":"e","\\u0065nv":"f"', "field 'env' is given twice"),
        (b'"env":"e"', b'"env":"e","env" \t: "f"', "field 'env' is given twice"),
        (b'"role":"user"', b'"role":"user","role":"x"', "field 'messages[0].role' is given twice"),
        (b'"a":1', b'"a":1,"a":1', "field 'metadata.a' is given twice"),
        (b'"c":[1]', b'"c":[{"d":1,"d":2}]', "field 'metadata.b.c[0].d' is given twice"),
        (b'"c":[1]', b'"c":[NaN]', "field 'metadata.b.c[0]' must be a finite number, got nan"),
        (b'"seed":null', b'"seed":-Infinity', "field 'seed' must be a finite number, got -inf"),
        (b'"seed":null', b'"seed":{"x":1,"x":1}', "field 'seed.x' is given twice"),
        (
            b'"content":"q"',
            b'"content":"\xff"',
            "line must be UTF-8, got the byte 0xff at offset 39",
        ),
        (
            b'"content":"q"',
            b'"content":"\\ud800!"',
            "field 'messages[0].content' must be whole characters, got half of a surrogate pair",
        ),
        (
            b'"content":"q"',
            b'"content":"\x01"',
            "line must be JSON, got: invalid control character",
        ),
        (b'"score":0.5,"v', b'"score":"0.5","v', "field 'score' must be a number, got '0.5'"),
        (b'"score":0.5,"v', b'"score":false,"v', "field 'score' must be a number, got False"),
        (b'"score":0.5,"v', b'"v', "field 'score' is missing"),
        (b'"env":"e",', b"", "field 'env' is missing"),
        (b'"task_id":"t"', b'"task_id":null', "field 'task_id' must be a string, got None"),
        (b'"task_id":"t"', b'"task_id":7', "field 'task_id' must be a string, got 7"),
        (b'"task_id":"t",', b"", "field 'task_id' is missing"),
        (b'{"role":"user","content":"q"}', b"[]", "field 'messages[0]' must be an object, got []"),
        (b'"messages":', b'"message":', "field 'messages' is missing"),
        (b'"seed":null}', b'"seed":null', "line must be JSON, got: expecting ',' delimiter"),
    ],
)
def test_faults_are_found_in_rows_of_a_known_shape(tmp_path, old, new, problem):
    assert GOOD.count(old) == 1
    with pytest.raises(RecordError) as caught:
        scan_between_good_rows(tmp_path, GOOD.replace(old, new))
    assert caught.value.message.startswith(f"{tmp_path / 'rows.jsonl'} line 3: {problem}")


@settings(deadline=None, max_examples=200)
@given(st.integers(0, len(GOOD) - 1), st.binary(min_size=1, max_size=1), st.booleans())
def test_scan_takes_a_damaged_row_only_if_the_strict_decoder_does(
    tmp_path_factory, place, byte, insert
):
    path = tmp_path_factory.mktemp("damage") / "rows.jsonl"
    line = GOOD[:place] + byte + GOOD[place + (not insert) :]
    path.write_bytes(GOOD + b"\n" + line)

    def outcome(function):
        try:
            return [*function()]
        except RecordError as error:
            return error.message

    wholes = outcome(lambda: [row for _, row in jsonl.read_objects(path)])
    heads = outcome(lambda: jsonl.scan(path))
    if isinstance(wholes, str):
        assert heads == wholes
    elif not isinstance(heads, str):
        assert [h.task_id for h in heads] == [row["task_id"] for row in wholes]
        assert [h.score for h in heads] == [row["score"] for row in wholes]


def test_a_row_with_its_own_keys_line_and_raw_is_no_danger(tmp_path):
    path = tmp_path / "rows.jsonl"
    row = copy.deepcopy(ROW) | {"line": 9, "raw": "x", "field_0": 1, "class": {"def": 1}}
    path.write_bytes(orjson.dumps(row) + b"\n" + orjson.dumps(row) + b"\n")
    assert [(h.line, h.raw) for h in jsonl.scan(path)] == [(n, orjson.dumps(row)) for n in (1, 2)]


def test_files_whose_rows_all_differ_are_not_learned_for_ever(tmp_path, monkeypatch):
    made = []
    type_of = scanning._type_of
    monkeypatch.setattr(
        scanning, "_type_of", lambda row, **more: made.append(1) or type_of(row, **more)
    )
    path = tmp_path / "rows.jsonl"
    jsonl.write(path, (ROW | {f"key-{n}": n} for n in range(200)))
    assert [head.line for head in jsonl.scan(path)] == list(range(1, 201))
    learned = len(made)
    jsonl.write(path, (ROW | {f"key-{n}": n} for n in range(32)))
    made.clear()
    list(jsonl.scan(path))
    assert learned == len(made)


def test_a_shape_is_learned_once(tmp_path, monkeypatch):
    learned = []
    of = scanning._Shape.of
    monkeypatch.setattr(scanning._Shape, "of", lambda row: learned.append(row) or of(row))
    path = tmp_path / "rows.jsonl"
    text = {"messages": [{"role": "user", "content": "a"}], "metadata": {"messages": 3}}
    # A text that begins with a colon looks like the end of a key: such a row is decoded whole, and its shape is known.
    colon = {"messages": [{"role": "user", "content": ":b"}]}
    jsonl.write(path, [ROW | text, ROW | text | colon, ROW | text | colon, ROW | text])
    assert [head.line for head in jsonl.scan(path)] == [1, 2, 3, 4]
    assert len(learned) == 1
