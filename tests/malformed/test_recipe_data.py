"""Recipes whose files of data have every kind of fault: which file, which line, what to do."""

import pytest

ROW = '{"question": "2+2", "answer": "4"}\n'


ROWS = [
    ("", ": must hold at least one task, got none"),
    ("\n", " line 1: line must hold an object, got a blank line"),
    (ROW + "not json\n", " line 2: line must be JSON, got: "),
    (ROW + '{"question": "2+3"\n', " line 2: line must be JSON, got: "),
    (ROW + "[1]\n", " line 2: line must hold an object, got [1]"),
    ("\ufeff" + ROW, " line 1: line must not begin with a byte order mark"),
    (ROW + '{"question": "a", "answer": NaN}\n', " line 2: field 'answer' must be a finite number"),
    (ROW + '{"question": "a", "question": "b"}\n', " line 2: field 'question' is given twice"),
    (ROW + '{"question": "2+3"}\n', " line 2: field 'answer' is missing"),
    (
        ROW + '{"question": 5, "answer": "5"}\n',
        " line 2: field 'question' must be a text or a list",
    ),
    (
        ROW + '{"question": "", "answer": "5"}\n',
        " line 2: field 'question' must be a text or a list",
    ),
    (
        ROW + '{"queston": "a", "answer": "5"}\n',
        " line 2: field 'question' is missing; did you mean",
    ),
    (ROW + '{"question": [{"role": "x"}], "answer": "5"}\n', " line 2: field 'question[0]"),
    (
        ROW + '{"question": "a", "answer": ' + 200 * "[" + 200 * "]" + "}\n",
        " line 2: field 'answer",
    ),
]


@pytest.mark.parametrize(("rows", "message"), ROWS)
@pytest.mark.parametrize("command", ["run", "preview"])
def test_data_file(refused, tmp_path, rows, message, command):
    (tmp_path / "rows.jsonl").write_text(rows)
    what, _ = refused(
        command, "small.yaml", "environment={name: jsonl, path: rows.jsonl, prompt_key: question}"
    )
    assert what.startswith("rows.jsonl" + message)


def test_recordings_that_are_broken(refused, tmp_path):
    (tmp_path / "said.jsonl").write_text('{"env": "sorting"}\n')
    what, _ = refused("run", "small.yaml", "policy={name: replay, path: said.jsonl}")
    assert what.startswith("said.jsonl line 1: field 'messages' is missing")
