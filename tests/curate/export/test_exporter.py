import attrs
import pytest

from orbiter import jsonl
from orbiter.curate.export import Exporter, ExportReport
from orbiter.curate.export.chat import check_tool_order, plain_text, tool_calls, tools_of, wrong
from orbiter.errors import ConfigError, RecordError
from orbiter.plugin import registry
from orbiter.records import Message, Pair, Task, Trajectory


class Prompts(Exporter):
    name, takes = "prompts", (Task, Pair)

    def row(self, record, *, index):
        if len(record.messages[0].text) > 3:
            raise wrong("messages[0].content", "must be short", record.messages[0].text)
        return {"text": record.messages[0].text, "index": index}


def task(prompt, task_id="t:0"):
    return Task("t", task_id, (Message("user", prompt),))


def call(name="f", arguments='{"x": 1}', call_id="c1"):
    return {"id": call_id, "type": "function", "function": {"name": name, "arguments": arguments}}


def test_rows_are_written_in_order_and_reported(tmp_path):
    path = tmp_path / "new" / "out.jsonl"
    report = Prompts().write(iter([task("a"), task("b")]), path)
    assert report == ExportReport(count=2, files=(path,), skipped={})
    assert [row for _, row in jsonl.read_objects(path)] == [
        {"text": "a", "index": 0},
        {"text": "b", "index": 1},
    ]


def test_unfit_record_stops_the_export_and_nothing_is_written(tmp_path):
    path = tmp_path / "out.jsonl"
    path.write_text("before\n")
    with pytest.raises(RecordError) as caught:
        Prompts().write([task("a"), task("long", "t:7")], path)
    assert str(caught.value) == (
        "prompts export, record 1 (t:7): field 'messages[0].content' must be short, got 'long'\n"
        "  or give skip_unfit=True: such records are left out and counted"
    )
    assert path.read_text() == "before\n"
    assert list(tmp_path.iterdir()) == [path]


def test_skipped_records_are_counted_by_cause(tmp_path):
    records = [task("a"), task("long"), task("longer"), task("b")]
    report = Prompts(skip_unfit=True).write(records, tmp_path / "out.jsonl")
    assert report.count == 2
    assert report.skipped == {"messages[].content must be short": 2}
    assert [row["index"] for _, row in jsonl.read_objects(report.files[0])] == [0, 1]


def test_wrong_kind_of_record_is_an_error_even_when_skipping(tmp_path):
    row = Trajectory((Message("user", "a"),), "t", "t:0", None)
    with pytest.raises(ConfigError, match="record 0 for exporter 'prompts' must be a Task or Pair"):
        Prompts(skip_unfit=True).write([row], tmp_path / "out.jsonl")


def test_one_file_holds_one_kind(tmp_path):
    pair = Pair((Message("user", "a"),), (), ())
    with pytest.raises(
        ConfigError, match="must be of one class per file, got Pair at 1 after Task"
    ):
        Prompts().write([task("a"), pair], tmp_path / "out.jsonl")


def test_every_exporter_is_registered_under_its_own_name():
    names = {entry.name for entry in registry().entries("exporter") if entry.owner == "orbiter"}
    assert names == {
        "llama-factory",
        "ms-swift",
        "openai",
        "sharegpt",
        "trl-preference",
        "trl-prompt-completion",
        "trl-prompt-only",
        "trl-sft",
        "trl-unpaired",
        "verl",
    }
    for name in names:
        exporter = registry().create("exporter", name, {"skip_unfit": True})
        assert isinstance(exporter, Exporter)
        assert (exporter.name, exporter.skip_unfit) == (name, True)


def test_text_parts_are_joined_and_others_refused():
    text = [{"type": "text", "text": "a"}, {"type": "text", "text": "b"}]
    assert plain_text(Message("user", text), "m") == "ab"
    image = {"type": "image_url", "image_url": {"url": "x"}}
    with pytest.raises(RecordError, match=r"field 'm.content\[1\]' must be a text part"):
        plain_text(Message("user", [text[0], image]), "m")
    cached = {"type": "text", "text": "b", "cache_control": "x"}
    with pytest.raises(RecordError, match=r"field 'm.content\[0\]' must be a text part"):
        plain_text(Message("user", [cached]), "m")
    with pytest.raises(RecordError, match=r"field 'm\.content' must be text, got None"):
        plain_text(Message("assistant", None), "m")


def test_arguments_of_calls_are_decoded():
    message = Message("assistant", tool_calls=(call(), call(arguments={"x": 2}, call_id=None)))
    assert [(c.id, c.name, c.arguments) for c in tool_calls(message, "m")] == [
        ("c1", "f", {"x": 1}),
        (None, "f", {"x": 2}),
    ]


@pytest.mark.parametrize(
    ("bad", "message"),
    [
        ("f(x)", r"'m.tool_calls\[0\]' must be a call of a function"),
        ({"type": "mystery", "function": {}}, r"'m.tool_calls\[0\]' must be a call of a function"),
        (call(name=""), "function.name' must be a non-empty string"),
        (call(arguments="{x"), "function.arguments' must be a JSON object, got '{x'"),
        (call(arguments="[1]"), "function.arguments' must be a JSON object"),
        (call(call_id=3), "id' must be a string, got 3"),
    ],
)
def test_malformed_call_is_refused(bad, message):
    with pytest.raises(RecordError, match=message):
        tool_calls(Message("assistant", tool_calls=(bad,)), "m")


def test_only_the_assistant_calls_tools():
    with pytest.raises(RecordError, match="must be of an assistant message, got 'user'"):
        tool_calls(Message("user", "hi", tool_calls=(call(),)), "m")


def test_answers_stand_in_the_order_of_their_calls():
    calls = Message("assistant", tool_calls=(call(), call(call_id="c2")))
    first, second = (Message("tool", "1", tool_call_id=i) for i in ("c1", "c2"))
    check_tool_order([calls, first, second, Message("assistant", "done")], "messages")
    with pytest.raises(RecordError, match="must be the next open call's, 'c1', got 'c2'"):
        check_tool_order([calls, second, first], "messages")
    with pytest.raises(RecordError, match="must be the answer of the open tool call, got 'user'"):
        check_tool_order([calls, first, Message("user", "well?")], "messages")
    with pytest.raises(RecordError, match="must follow the call that it answers"):
        check_tool_order([first], "messages")


def test_tools_of_a_pair_stand_among_its_extra_keys():
    tool = {"type": "function", "function": {"name": "f"}}
    assert tools_of(Pair((), (), (), extra={"tools": [tool]})) == [tool]
    assert tools_of(Pair((), (), ())) == []
    with pytest.raises(RecordError, match=r"field 'tools\[0\]' must be a function's schema"):
        tools_of(Pair((), (), (), extra={"tools": ["f"]}))


@pytest.mark.parametrize("name", ["openai", "sharegpt", "llama-factory", "ms-swift"])
def test_a_weight_is_refused_where_the_format_has_no_place_for_it(name, pair):
    exporter = registry().create("exporter", name)
    exporter.row(pair, index=0)
    with pytest.raises(RecordError) as caught:
        exporter.row(attrs.evolve(pair, weight=0.5), index=0)
    assert str(caught.value) == (
        "field 'weight' must be 1 in this format, got 0.5\n"
        "  orbiter.curate.oversampled_pairs turns weights into copies"
    )
