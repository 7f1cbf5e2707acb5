import itertools
import os

import attrs
import pytest

from orbiter import jsonl
from orbiter.curate.export import Exporter
from orbiter.curate.export.chat import wrong
from orbiter.errors import ConfigError
from orbiter.records import Message, Pair, Task
from orbiter.testing import check_exporter

ASK, ANSWER, WORSE = Message("user", "2+2="), Message("assistant", "4"), Message("assistant", "5")
TASKS = [Task("sums", "sums:0", (ASK,)), Task("sums", "sums:1", (Message("user", '"3"+3='),))]
PAIR = Pair((ASK,), (ANSWER,), (WORSE,))
RECORDS = [*TASKS, PAIR]
UNFIT = [Task("sums", "sums:2", (ASK, ASK)), attrs.evolve(PAIR, chosen=(ANSWER, ANSWER))]


class Texts(Exporter):
    """A right one, to be broken in one way each."""

    name, takes = "texts", (Task, Pair)

    def row(self, record, *, index):
        if isinstance(record, Pair):
            messages = (*record.prompt, *record.chosen, *record.rejected)
            expected = 3
        else:
            messages, expected = record.messages, 1
        if len(messages) != expected:
            raise wrong("messages", "must be single", len(messages))
        return {"number": index, "texts": [m.text for m in messages]}


def test_a_right_exporter_passes():
    check_exporter(Texts, RECORDS)
    check_exporter(Texts, RECORDS, unfit=UNFIT)


def test_every_class_that_is_taken_must_be_shown():
    with pytest.raises(ValueError, match="records must hold a Pair, since the exporter takes it"):
        check_exporter(Texts, TASKS)
    with pytest.raises(ValueError, match="unfit must be of the classes that are taken, got 'x'"):
        check_exporter(Texts, RECORDS, unfit=["x"])


class Nameless(Texts):
    name = ""


class TakesTexts(Texts):
    takes = (str,)


class Endless(Texts):
    suffix = "jsonl"


class Raising(Texts):
    def row(self, record, *, index):
        raise wrong("messages", "must be better")


class Lists(Texts):
    def row(self, record, *, index):
        return list(super().row(record, index=index).items())


class Counter(Texts):
    calls = itertools.count()

    def row(self, record, *, index):
        return super().row(record, index=index) | {"number": next(self.calls)}


class Marking(Texts):
    def row(self, record, *, index):
        record.metadata["exported"] = True
        return super().row(record, index=index)


class Losing(Texts):
    def row(self, record, *, index):
        row = super().row(record, index=index)
        return row | {"texts": row["texts"][-1:]}


class NoReport(Texts):
    def write(self, records, path):
        super().write(records, path)


class OverCounting(Texts):
    def save(self, rows, path):
        count, files = super().save(rows, path)
        return count + 1, files


class Secretive(Texts):
    def save(self, rows, path):
        count, files = super().save(rows, path)
        (path.parent / "notes.txt").write_text("done")
        return count, files


class Wordy(Texts):
    def save(self, rows, path):
        return super().save(itertools.chain([{"header": True}], rows), path)[0] - 1, (path,)


class Stamped(Texts):
    stamps = itertools.count()

    def save(self, rows, path):
        count, files = super().save(rows, path)
        notes = path.with_suffix(".txt")
        notes.write_text(str(next(self.stamps)))
        return count, (*files, notes)


class Appending(Texts):
    def save(self, rows, path):
        data = b"".join(jsonl.dumps(row) + b"\n" for row in rows)
        path.parent.mkdir(parents=True, exist_ok=True)
        with path.open("ab") as file:
            file.write(data)
        return data.count(b"\n"), (path,)


class Mixing(Texts):
    def _check_kind(self, record, kind, place):
        if not isinstance(record, self.takes):
            raise ConfigError(f"records must be tasks, got {type(record).__name__}")


class Skipping(Texts):
    """Leaves other classes out in silence."""

    def write(self, records, path):
        return super().write([r for r in records if isinstance(r, self.takes)], path)


class Partial(Texts):
    """Writes row by row into the file itself."""

    def save(self, rows, path):
        path.parent.mkdir(parents=True, exist_ok=True)
        count = 0
        with path.open("wb") as file:
            for row in rows:
                file.write(jsonl.dumps(row) + b"\n")
                count += 1
        return count, (path,)


class Littering(Texts):
    """Leaves its draft behind when it fails."""

    def save(self, rows, path):
        draft = path.with_suffix(".draft")
        draft.parent.mkdir(parents=True, exist_ok=True)
        with draft.open("wb") as file:
            count = sum(bool(file.write(jsonl.dumps(row) + b"\n")) for row in rows)
        os.replace(draft, path)
        return count, (path,)


class Lenient(Texts):
    """Writes what does not fit without what does not fit."""

    def row(self, record, *, index):
        if isinstance(record, Task):
            record = attrs.evolve(record, messages=record.messages[:1])
        else:
            record = attrs.evolve(record, chosen=record.chosen[:1])
        return super().row(record, index=index)


class Uncounted(Texts):
    def write(self, records, path):
        return attrs.evolve(super().write(records, path), skipped={})


class Numbered(Texts):
    """Numbers the records and not the rows."""

    def write(self, records, path):
        places = []

        def watched():
            for place, record in enumerate(records):
                places.append(place)
                yield record

        def row(record, index):
            return {**Texts.row(self, record, index=index), "number": places[-1]}

        self.row = lambda record, *, index: row(record, index)
        return super().write(watched(), path)


@pytest.mark.parametrize(
    ("broken", "clause"),
    [
        (Nameless, "name"),
        (TakesTexts, "takes"),
        (Endless, "suffix"),
        (Raising, "rows"),
        (Lists, "rows"),
        (Counter, "same row again"),
        (Marking, "nothing is changed"),
        (Losing, "nothing is left out"),
        (NoReport, "report"),
        (OverCounting, "report"),
        (Secretive, "report"),
        (Wordy, "one row a line"),
        (Stamped, "same bytes again"),
        (Appending, "same bytes again"),
        (Mixing, "other classes are refused"),
        (Skipping, "other classes are refused"),
        (Partial, "whole or not at all"),
        (Littering, "whole or not at all"),
        (Lenient, "unfit records"),
        (Uncounted, "unfit records"),
        (Numbered, "unfit records"),
    ],
)
def test_a_broken_clause_is_named(broken, clause):
    with pytest.raises(AssertionError) as caught:
        check_exporter(broken, RECORDS, unfit=UNFIT)
    assert f" breaks {clause!r}: " in str(caught.value)


def test_texts_inside_json_text_count_as_said():
    class Packed(Texts):
        def row(self, record, *, index):
            return {"row": jsonl.dumps(super().row(record, index=index)).decode()}

    check_exporter(Packed, RECORDS)


def test_an_exporter_that_is_no_jsonl_passes():
    class Lines(Texts):
        suffix = ".txt"

        def save(self, rows, path):
            lines = [f"{row['texts']}\n" for row in rows]
            with jsonl.replace_file(path) as file:
                file.write("".join(lines).encode())
            return len(lines), (path,)

    check_exporter(Lines, RECORDS, unfit=UNFIT)
