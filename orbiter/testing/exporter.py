"""The check of an Exporter."""

from __future__ import annotations

import json
import tempfile
import warnings
from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from pathlib import Path
from typing import Any

import attrs
import orjson

from orbiter import jsonl
from orbiter.curate.export import Exporter, ExportReport
from orbiter.curate.pairs import UnpairedPreference
from orbiter.errors import ConfigError, OrbiterWarning, RecordError
from orbiter.records import Message, Pair, Task, Trajectory, content_hash
from orbiter.testing.contract import Contract, shown

KINDS = (Trajectory, Task, Pair, UnpairedPreference)
"""The record classes that an exporter may take."""

Contents = dict[str, bytes]
"""What a folder holds: file name to bytes."""


def check_exporter(
    make: Callable[[], Exporter], records: Sequence[Any], *, unfit: Sequence[Any] = ()
) -> None:
    """Check that an exporter keeps its contract.

    The clauses: it is named and says which record classes it takes and how its files end; ``row`` gives the same dict again,
    leaves the record as it is and leaves out no text of a message and no name of a called tool; ``write`` reports how many rows
    it wrote and every file; an existing file is replaced whole; the same records give the same bytes, from a fresh instance too;
    JSONL holds one row a line; a record of another class, or of two classes in one file, is refused; a record that does not fit
    is refused, or left out and counted with ``skip_unfit``; where ``write`` raises, no file is made or changed.

        def test_prompts():
            check_exporter(Prompts, [Task("sums", "sums:0", (Message("user", "1+1="),))])

    Args:
        make: Makes a fresh instance: the class, or a function that passes options to it.
        records: Records that fit, at least one of each class that the exporter takes.
        unfit: Records of these classes that the format cannot express.

    Raises:
        AssertionError: A clause is broken; the message names it.
    """
    exporter = make()
    contract = Contract("exporter", str(getattr(exporter, "name", type(exporter).__name__)))
    _check_attributes(contract, exporter)
    groups = _by_class(exporter, records, what="records")
    misfits = _by_class(exporter, unfit, what="unfit")
    for cls in exporter.takes:
        if not groups[cls]:
            raise ValueError(f"records must hold a {cls.__name__}, since the exporter takes it")
    with tempfile.TemporaryDirectory() as folder, warnings.catch_warnings():
        warnings.simplefilter("ignore", OrbiterWarning)
        for cls, group in groups.items():
            place = Path(folder) / cls.__name__
            _check_rows(contract, exporter, group)
            contents = _check_write(contract, make, group, place)
            wrong = [object(), *(rs[0] for kind, rs in groups.items() if kind is not cls)]
            _check_wrong_classes(contract, make, group, wrong, place)
            _check_broken_source(contract, make, group, place)
            _check_unfit(contract, make, group, misfits[cls], contents, place)


def _check_attributes(contract: Contract, exporter: Exporter) -> None:
    name = getattr(exporter, "name", None)
    contract.clause("name", isinstance(name, str) and name, f"name must be a text, got {name!r}")
    takes = getattr(exporter, "takes", None)
    contract.clause(
        "takes",
        isinstance(takes, tuple) and takes and all(cls in KINDS for cls in takes),
        f"takes must be a tuple of {', '.join(cls.__name__ for cls in KINDS)}, got {takes!r}",
    )
    suffix = exporter.suffix
    contract.clause(
        "suffix",
        isinstance(suffix, str) and suffix.startswith(".") and len(suffix) > 1,
        f"suffix must be an ending such as '.jsonl', got {suffix!r}",
    )


def _by_class(exporter: Exporter, records: Sequence[Any], *, what: str) -> dict[type, list[Any]]:
    groups: dict[type, list[Any]] = {cls: [] for cls in exporter.takes}
    for record in records:
        if type(record) not in groups:
            raise ValueError(f"{what} must be of the classes that are taken, got {shown(record)}")
        groups[type(record)].append(record)
    return groups


def _check_rows(contract: Contract, exporter: Exporter, records: Sequence[Any]) -> None:
    for index, record in enumerate(records):
        before = content_hash(record)
        with contract.without_error("rows", f"row({shown(record)})"):
            row, again = (exporter.row(record, index=index) for _ in range(2))
        contract.clause(
            "rows",
            isinstance(row, dict) and all(isinstance(key, str) for key in row),
            f"row() must return a dict with text keys, got {shown(row)}",
        )
        contract.clause(
            "same row again",
            again == row,
            f"row() must give the same row again, got {shown(again)} after {shown(row)}",
        )
        contract.clause(
            "nothing is changed",
            content_hash(record) == before,
            f"row() must leave the record as it is, got {shown(record)}",
        )
        leaves = list(_leaves(row))
        for part in _said(record):
            contract.clause(
                "nothing is left out",
                any(form in leaf for form in _forms(part) for leaf in leaves),
                f"the row must say all that the messages say, got {shown(row)} without {part!r}",
            )


def _said(record: Any) -> Iterator[str]:
    """Yield the texts of a record's messages and the names of the tools that they call."""
    for attribute in attrs.fields(type(record)):
        value = getattr(record, attribute.name)
        for message in value if isinstance(value, tuple) else ():
            if isinstance(message, Message):
                yield message.text
                yield from (call["function"]["name"] for call in message.tool_calls)


def _forms(text: str) -> tuple[str, ...]:
    """Return a text as it may stand in a row: as it is, or inside a JSON text."""
    forms = [text, json.dumps(text)[1:-1], json.dumps(text, ensure_ascii=False)[1:-1]]
    return tuple(dict.fromkeys(forms))


def _leaves(value: Any) -> Iterator[str]:
    if isinstance(value, str):
        yield value
    elif isinstance(value, Mapping):
        for item in value.values():
            yield from _leaves(item)
    elif isinstance(value, list | tuple):
        for item in value:
            yield from _leaves(item)


def _check_write(
    contract: Contract, make: Callable[[], Exporter], records: Sequence[Any], place: Path
) -> Contents:
    """Write in three folders, and return what the first then holds."""
    exporter = make()
    name = f"data{exporter.suffix}"
    report = _write(contract, exporter, iter(records), place / "first" / name)
    contents = _contents(place / "first")
    contract.clause(
        "report",
        report.count == len(records) and not report.skipped,
        f"{len(records)} records must give as many rows and none skipped, got {report!r}",
    )
    contract.clause(
        "report",
        report.files[:1] == (place / "first" / name,)
        and {str(path.relative_to(place / "first")) for path in report.files} == set(contents),
        f"files must list what was written, the data first, got {report.files} and {set(contents)}",
    )
    if exporter.suffix == ".jsonl":
        _check_lines(contract, make(), records, contents[name])
    for folder, again in (("same", exporter), ("fresh", make())):
        path = place / folder / name
        path.parent.mkdir()
        path.write_bytes(b"what was here before " * 1000)
        _write(contract, again, iter(records), path)
        contract.clause(
            "same bytes again",
            _contents(path.parent) == contents,
            f"the same records must give the same bytes from the {folder} instance, "
            "in the place of an existing file too, got others",
        )
    empty = _write(contract, make(), iter(()), place / "empty" / name)
    contract.clause(
        "report", empty.count == 0, f"no records must give no rows, got {empty.count!r}"
    )
    return contents


def _write(
    contract: Contract, exporter: Exporter, records: Iterable[Any], path: Path
) -> ExportReport:
    with contract.without_error("write", "write() of records that fit"):
        report = exporter.write(records, path)
    contract.clause(
        "report",
        isinstance(report, ExportReport),
        f"write() must return an ExportReport, got {shown(report)}",
    )
    return report


def _check_lines(
    contract: Contract, exporter: Exporter, records: Sequence[Any], data: bytes
) -> None:
    with contract.without_error("one row a line", "reading the lines as JSON"):
        lines = [orjson.loads(line) for line in data.splitlines()]
        rows = [
            orjson.loads(jsonl.dumps(exporter.row(record, index=index)))
            for index, record in enumerate(records)
        ]
    contract.clause(
        "one row a line",
        lines == rows and data.endswith(b"\n"),
        f"the lines must be the rows, got {shown(lines)} for {shown(rows)}",
    )


def _check_wrong_classes(
    contract: Contract,
    make: Callable[[], Exporter],
    records: Sequence[Any],
    wrong: Sequence[Any],
    place: Path,
) -> None:
    for number, other in enumerate(wrong):
        for skip_unfit in (False, True):
            exporter = make()
            exporter.skip_unfit = skip_unfit
            kind = type(other).__name__
            _check_refused(
                contract,
                exporter,
                [*records, other],
                place / f"wrong-{number}-{skip_unfit}",
                "other classes are refused",
                f"write() with a {kind} after a {type(records[0]).__name__}",
                ConfigError,
                naming=kind,
            )


class _Planted(Exception):
    """Raised on purpose, to see what the exporter leaves behind."""


def _check_broken_source(
    contract: Contract, make: Callable[[], Exporter], records: Sequence[Any], place: Path
) -> None:
    def source() -> Iterator[Any]:
        yield from records
        raise _Planted

    doing = "write() of records whose source raises"
    _check_refused(
        contract, make(), source(), place / "broken", "whole or not at all", doing, _Planted
    )


def _check_unfit(
    contract: Contract,
    make: Callable[[], Exporter],
    records: Sequence[Any],
    unfit: Sequence[Any],
    contents: Contents,
    place: Path,
) -> None:
    for number, record in enumerate(unfit):
        folder = place / f"unfit-{number}"
        doing = f"write() with {shown(record)}"
        _check_refused(
            contract, make(), [*records, record], folder, "unfit records", doing, RecordError
        )
    exporter = make()
    exporter.skip_unfit = True
    path = place / "skipping" / f"data{exporter.suffix}"
    report = _write(contract, exporter, [*unfit, *records, *unfit], path)
    contract.clause(
        "unfit records",
        report.count == len(records) and sum(report.skipped.values()) == 2 * len(unfit),
        f"skip_unfit must count {2 * len(unfit)} skipped of {2 * len(unfit) + len(records)}, got {report!r}",
    )
    contract.clause(
        "unfit records",
        all(isinstance(reason, str) and reason for reason in report.skipped),
        f"skipped must name reasons, got {dict(report.skipped)!r}",
    )
    contract.clause(
        "unfit records",
        _contents(path.parent) == contents,
        "records that are left out must leave the bytes of the others as they are, got others",
    )


def _check_refused(
    contract: Contract,
    exporter: Exporter,
    records: Iterable[Any],
    folder: Path,
    name: str,
    doing: str,
    error: type[Exception],
    *,
    naming: str | None = None,
) -> None:
    """Demand the error from ``write``, and the folder as it was."""
    folder.mkdir()
    path = folder / f"data{exporter.suffix}"
    path.write_bytes(b"what was here before")
    with contract.refusal(name, doing, error, naming=naming):
        exporter.write(records, path)
    contract.clause(
        "whole or not at all",
        _contents(folder) == {path.name: b"what was here before"},
        f"{doing} must neither make nor change a file, got {sorted(_contents(folder))}",
    )


def _contents(folder: Path) -> Contents:
    files = (path for path in folder.rglob("*") if path.is_file())
    return {str(path.relative_to(folder)): path.read_bytes() for path in files}
