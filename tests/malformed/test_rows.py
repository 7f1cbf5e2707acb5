"""Malformed rows and files: each is refused with an error whose first line names the place and says what is wrong."""

import pytest

from orbiter import jsonl
from orbiter.errors import RecordError

GOOD = b'{"messages":[{"role":"user","content":"q"}],"env":"e","task_id":"t","score":1}'


def changed(old: bytes, new: bytes) -> bytes:
    assert GOOD.count(old) == 1
    return GOOD.replace(old, new)


def plus(pair: bytes) -> bytes:
    return GOOD[:-1] + b"," + pair + b"}"


# Rows that both the typed reader and the scan refuse.
ROWS = {
    "byte order mark": (b"\xef\xbb\xbf" + GOOD, "line must not begin with a byte order mark"),
    "utf-16": (
        GOOD.decode().encode("utf-16"),
        "line must be UTF-8, got the byte 0xff at offset 0",
    ),
    "latin-1": (
        changed(b'"q"', b'"caf\xe9"'),
        "line must be UTF-8, got the byte 0xe9 at offset 42",
    ),
    "cut character": (
        changed(b'"q"', b'"\xe6\x95"'),
        "line must be UTF-8, got the byte 0xe6 at offset 39",
    ),
    "blank": (b"", "line must hold an object, got a blank line"),
    "spaces": (b" \t ", "line must hold an object, got a blank line"),
    "list": (b"[1]", "line must hold an object, got [1]"),
    "string": (b'"row"', "line must hold an object, got 'row'"),
    "number": (b"3", "line must hold an object, got 3"),
    "null": (b"null", "line must hold an object, got None"),
    "html": (b"<!DOCTYPE html>", "line must be JSON, got: expecting value at column 1"),
    "zero bytes": (b"\x00" * 9, "line must be JSON, got: expecting value at column 1"),
    "two objects": (GOOD + GOOD, "line must be JSON, got: extra data at column 79"),
    "torn between": (GOOD[:-1], "line must be JSON, got: expecting ',' delimiter at column 78"),
    "torn in text": (GOOD[:40], "line must be JSON, got: unterminated string at column 39"),
    "python repr": (
        b"{'env': 'e'}",
        "line must be JSON, got: expecting property name enclosed in double quotes at column 2",
    ),
    "comma at the end": (
        GOOD[:-1] + b",}",
        "line must be JSON, got: expecting property name enclosed in double quotes at column 79",
    ),
    "comment": (GOOD + b" // good", "line must be JSON, got: extra data at column 80"),
    "control character": (
        changed(b'"q"', b'"\x01"'),
        "line must be JSON, got: invalid control character at column 40",
    ),
    "escape": (changed(b'"q"', b'"\\x"'), "line must be JSON, got: invalid \\escape at column 40"),
    "leading zero": (
        changed(b":1}", b":01}"),
        "line must be JSON, got: expecting ',' delimiter at column 78",
    ),
    "half a pair": (
        changed(b'"q"', b'"\\ud83d"'),
        "field 'messages[0].content' must be whole characters, got half of a surrogate pair",
    ),
    "NaN score": (changed(b":1}", b":NaN}"), "field 'score' must be a finite number, got nan"),
    "infinite score": (
        changed(b":1}", b":-Infinity}"),
        "field 'score' must be a finite number, got -inf",
    ),
    "NaN deep inside": (
        plus(b'"metadata":{"x":[0,{"y":NaN}]}'),
        "field 'metadata.x[1].y' must be a finite number, got nan",
    ),
    "number beyond floats": (
        changed(b":1}", b":1e999}"),
        "field 'score' must be a finite number, got inf",
    ),
    "score twice": (plus(b'"score":0'), "field 'score' is given twice"),
    "score twice, equal": (plus(b'"score":1'), "field 'score' is given twice"),
    "score twice, escaped": (plus(b'"\\u0073core":0'), "field 'score' is given twice"),
    "score twice, spaced": (plus(b'"score"\t:\t0'), "field 'score' is given twice"),
    "role twice": (
        changed(b'"user"', b'"user","role":"system"'),
        "field 'messages[0].role' is given twice",
    ),
    "key twice deep inside": (
        plus(b'"metadata":{"a":[{"b":1,"b":2}]}'),
        "field 'metadata.a[0].b' is given twice",
    ),
    "integer beyond 64 bits": (
        plus(b'"seed":18446744073709551616'),
        "field 'seed' must be an integer of at most 64 bits, got 18446744073709551616",
    ),
    "lists too deep": (
        plus(b'"x":' + b"[" * 128 + b"]" * 128),
        "field 'x[0][0][0][0][0][0][0][0][0][0][0][0][0][0][0][0][0][0][0...' "
        "must be nested at most 128 levels deep",
    ),
    "objects far too deep": (
        plus(b'"x":' + b'{"a":' * 5000 + b"1" + b"}" * 5000),
        "must be nested at most 128 levels deep",
    ),
    "nothing": (b"{}", "field 'messages' is missing"),
    "no messages": (changed(b'"messages"', b'"conversation"'), "field 'messages' is missing"),
    "no env": (changed(b'"env":"e",', b""), "field 'env' is missing"),
    "no task_id": (changed(b'"task_id":"t",', b""), "field 'task_id' is missing"),
    "no score": (changed(b',"score":1', b""), "field 'score' is missing"),
    "key in capitals": (changed(b'"score"', b'"Score"'), "field 'score' is missing"),
    "score in words": (changed(b":1}", b':"high"}'), "field 'score' must be a number, got 'high'"),
    "score in quotes": (changed(b":1}", b':"1"}'), "field 'score' must be a number, got '1'"),
    "score true": (changed(b":1}", b":true}"), "field 'score' must be a number, got True"),
    "score in a list": (changed(b":1}", b":[1]}"), "field 'score' must be a number, got [1]"),
    "env a number": (changed(b'"e"', b"3"), "field 'env' must be a string, got 3"),
    "task_id a number": (changed(b'"t"', b"7"), "field 'task_id' must be a string, got 7"),
    "task_id null": (changed(b'"t"', b"null"), "field 'task_id' must be a string, got None"),
    "messages a string": (
        changed(b'[{"role":"user","content":"q"}]', b'"q"'),
        "field 'messages' must be a list, got 'q'",
    ),
    "messages an object": (
        changed(b'[{"role":"user","content":"q"}]', b'{"role":"user"}'),
        "field 'messages' must be a list, got {'role': 'user'}",
    ),
    "message a string": (
        changed(b'{"role":"user","content":"q"}', b'"q"'),
        "field 'messages[0]' must be an object, got 'q'",
    ),
}

# Rows whose fault lies in what the scan leaves to the typed reader.
TYPED = {
    "no role": (changed(b'"role":"user",', b""), "field 'messages[0].role' is missing"),
    "unknown role": (
        changed(b'"user"', b'"bot"'),
        "field 'messages[0].role' must be one of system, developer, user, assistant, tool, got 'bot'",
    ),
    "role a number": (changed(b'"user"', b"1"), "field 'messages[0].role' must be a string, got 1"),
    "content a number": (
        changed(b'"q"', b"5"),
        "field 'messages[0].content' must be a string or a list or null, got 5",
    ),
    "content an object": (
        changed(b'"q"', b'{"text":"q"}'),
        "field 'messages[0].content' must be a string or a list or null, got {'text': 'q'}",
    ),
    "tool_calls an object": (
        changed(b'"q"', b'"q","tool_calls":{}'),
        "field 'messages[0].tool_calls' must be a list, got {}",
    ),
    "unknown outcome": (
        plus(b'"verdict":{"outcome":"maybe","score":1}'),
        "field 'verdict.outcome' must be one of 'pass', 'fail', 'invalid', got 'maybe'",
    ),
    "no outcome": (plus(b'"verdict":{"score":1}'), "field 'verdict.outcome' is missing"),
    "invalid with a score": (
        plus(b'"verdict":{"outcome":"invalid","score":0,"reason":"timeout"}'),
        "field 'verdict.score' must be null when invalid, got 0",
    ),
    "invalid without a reason": (
        plus(b'"verdict":{"outcome":"invalid","score":null}'),
        "field 'verdict.reason' must say why the verdict is invalid",
    ),
    "pass without a score": (
        plus(b'"verdict":{"outcome":"pass"}'),
        "field 'verdict.score' must be a number in [0, 1], got None",
    ),
    "verdict out of range": (
        plus(b'"verdict":{"outcome":"pass","score":7}'),
        "field 'verdict.score' must be a number in [0, 1], got 7",
    ),
    "step score a string": (
        plus(b'"verdict":{"outcome":"pass","score":1,"step_scores":[1,null,"0"]}'),
        "field 'verdict.step_scores[2]' must be a number, got '0'",
    ),
    "verdict a string": (
        plus(b'"verdict":"pass"'),
        "field 'verdict' must be an object, got 'pass'",
    ),
    "seed a float": (plus(b'"seed":1.0'), "field 'seed' must be an integer, got 1.0"),
    "round a boolean": (plus(b'"round":true'), "field 'round' must be an integer, got True"),
    "metadata a list": (plus(b'"metadata":[]'), "field 'metadata' must be an object, got []"),
    "tools a string": (plus(b'"tools":"search"'), "field 'tools' must be a list, got 'search'"),
    "model a number": (plus(b'"model":7'), "field 'model' must be a string, got 7"),
}


def first_line_of_error(reader, path) -> str:
    with pytest.raises(RecordError) as caught:
        list(reader(path))
    return str(caught.value).splitlines()[0]


@pytest.mark.parametrize("reader", [jsonl.read, jsonl.scan])
@pytest.mark.parametrize(("line", "problem"), ROWS.values(), ids=ROWS)
def test_a_malformed_row_is_named_with_file_line_and_field(tmp_path, reader, line, problem):
    path = tmp_path / "rows.jsonl"
    path.write_bytes(b"\n".join([GOOD, GOOD, line, GOOD, b""]))
    assert first_line_of_error(reader, path) == f"{path} line 3: {problem}"


@pytest.mark.parametrize(("line", "problem"), TYPED.values(), ids=TYPED)
def test_a_mistyped_row_is_named_with_file_line_and_field(tmp_path, line, problem):
    path = tmp_path / "rows.jsonl"
    path.write_bytes(GOOD + b"\n" + line)
    assert first_line_of_error(jsonl.read, path) == f"{path} line 2: {problem}"


@pytest.mark.parametrize("reader", [jsonl.read, jsonl.scan])
@pytest.mark.parametrize(
    ("content", "problem"),
    [
        (GOOD + b"\n\n", "line 2: line must hold an object, got a blank line"),
        (b"\n" + GOOD, "line 1: line must hold an object, got a blank line"),
        (
            b"[" + GOOD + b",\n" + GOOD + b"]\n",
            "line 1: line must be JSON, got: expecting value at column 81",
        ),
        (GOOD + b"\r" + GOOD, "line 1: line must be JSON, got: extra data at column 80"),
        (
            b"env,task_id,score\n",
            "line 1: line must be JSON, got: expecting value at column 1",
        ),
        (
            b"\x1f\x8b\x08" + b"\x00" * 20,
            "line 1: line must be UTF-8, got the byte 0x8b at offset 1",
        ),
        (
            GOOD + b"\n" + b" " * 16_000_001,
            "line 2: line must be at most 16000000 bytes long",
        ),
    ],
    ids=["blank at the end", "blank first", "array", "old mac", "csv", "gzip", "endless"],
)
def test_a_malformed_file_is_named_with_its_line(tmp_path, reader, content, problem):
    path = tmp_path / "rows.jsonl"
    path.write_bytes(content)
    assert first_line_of_error(reader, path) == f"{path} {problem}"


def test_the_second_line_of_an_error_says_what_to_do(tmp_path):
    path = tmp_path / "rows.jsonl"
    for line, hint in (
        (b"\xef\xbb\xbf" + GOOD, "save the file as UTF-8 without BOM"),
        (b"", "delete the line"),
        (GOOD[:-1], "the line ends too early; its writer may have been stopped"),
        (changed(b":1}", b":NaN}"), "null stands for unknown"),
        (changed(b":1}", b':"1"}'), "write numbers without quotes"),
        (plus(b'"score":0'), "keep one of the two"),
        (plus(b'"seed":%d' % 2**70), "write it as a string"),
        (
            changed(b',"score":1', b""),
            "required: messages, env, task_id, score (may be null)",
        ),
    ):
        path.write_bytes(line + b"\n")
        with pytest.raises(RecordError) as caught:
            list(jsonl.read(path))
        assert str(caught.value).splitlines()[1:] == ["  " + hint]


def test_a_null_score_is_no_fault(tmp_path):
    path = tmp_path / "rows.jsonl"
    path.write_bytes(changed(b":1}", b":null}"))
    assert [row.score for row in jsonl.read(path)] == [None]
    assert [head.score for head in jsonl.scan(path)] == [None]
