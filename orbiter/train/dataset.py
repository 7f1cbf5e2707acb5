"""TrajectoryDataset: collects state-action-reward items, writes them as JSON or CSV and reads them back unchanged."""

from __future__ import annotations

import csv
import io
import sys
from abc import ABC, abstractmethod
from collections.abc import Callable, Iterable, Iterator
from pathlib import Path
from typing import Any, TypeVar

import orjson

from orbiter.errors import RecordError, UserCodeError
from orbiter.records import TrajectoryItem

T = TypeVar("T")

COLUMNS = ("state", "action", "reward", "metadata")

# What makes a spreadsheet take a cell for a formula; the guard itself is in the list so that reading can take it off again.
_GUARD = "'"
_GUARDED = ("=", "+", "-", "@", "\t", "\r", "\n", _GUARD)


class TrajectoryStrategy(ABC):
    """Decides which items a dataset keeps, and how.

    A small complete subclass:

        class Scored(TrajectoryStrategy):
            def should_capture(self, item: TrajectoryItem) -> bool:
                return item.reward is not None

            def process(self, item: TrajectoryItem) -> TrajectoryItem:
                return item

    Contract: ``should_capture`` is called once per item, and ``process`` after it if it said yes. The reward of an item that nobody
    scored is None, which compares with no number.
    """

    @abstractmethod
    def should_capture(self, item: TrajectoryItem) -> bool:
        """Return whether to keep the item."""

    @abstractmethod
    def process(self, item: TrajectoryItem) -> TrajectoryItem:
        """Return the item as it is to be kept."""


class DefaultStrategy(TrajectoryStrategy):
    """Keeps every item as it is."""

    def should_capture(self, item: TrajectoryItem) -> bool:  # noqa: ARG002  # every item is welcome
        """Return True."""
        return True

    def process(self, item: TrajectoryItem) -> TrajectoryItem:
        """Return the item."""
        return item


class TrajectoryDataset:
    """A growing list of state-action-reward items.

        dataset = TrajectoryDataset()
        dataset.capture(TrajectoryItem(state="s1", action="a1", reward=0.7))
        dataset.export_json("trajectories.json")
        assert TrajectoryDataset.from_json("trajectories.json") == dataset

    Two datasets are equal when their items are.

    Args:
        strategy: Which items to keep, and how; default: all, as they are.
    """

    def __init__(self, strategy: TrajectoryStrategy | None = None) -> None:
        self.strategy = DefaultStrategy() if strategy is None else strategy
        self._items: list[TrajectoryItem] = []

    @property
    def items(self) -> list[TrajectoryItem]:
        """The items, in the order of their capture; a new list each time."""
        return list(self._items)

    def capture(self, item: TrajectoryItem) -> bool:
        """Keep the item if the strategy wants it, and return whether it did.

        Raises:
            RecordError: It is no TrajectoryItem.
            UserCodeError: The strategy raised, or processed the item into something else.
        """
        if not isinstance(item, TrajectoryItem):
            raise RecordError(
                f"item must be a TrajectoryItem, got {item!r}",
                hint="a Trajectory gives its items: dataset.extend(trajectory.steps())",
            )
        if not self._ask(self.strategy.should_capture, item):
            return False
        kept = self._ask(self.strategy.process, item)
        if not isinstance(kept, TrajectoryItem):
            raise UserCodeError(
                f"{type(self.strategy).__name__}.process must return a TrajectoryItem, got {kept!r}"
            )
        self._items.append(kept)
        return True

    def extend(self, items: Iterable[TrajectoryItem]) -> int:
        """Capture every item, and return how many were kept."""
        return sum(self.capture(item) for item in items)

    def _ask(self, question: Callable[[TrajectoryItem], T], item: TrajectoryItem) -> T:
        try:
            return question(item)
        except Exception as error:
            unscored = "; the reward of an unscored item is None" if item.reward is None else ""
            raise UserCodeError(
                f"{type(self.strategy).__name__}.{question.__name__} raised "
                f"{type(error).__name__}: {error}{unscored}"
            ) from error

    def __len__(self) -> int:
        return len(self._items)

    def __iter__(self) -> Iterator[TrajectoryItem]:
        return iter(self.items)

    def __getitem__(self, index: int) -> TrajectoryItem:
        return self._items[index]

    def __eq__(self, other: object) -> bool:
        if not isinstance(other, TrajectoryDataset):
            return NotImplemented
        return self._items == other._items

    __hash__ = None  # type: ignore[assignment]  # it grows

    def __repr__(self) -> str:
        return f"TrajectoryDataset({len(self)} items)"

    def export_json(self, path: str | Path) -> None:
        """Write a JSON list with one object per item: state, action, reward (a number or null), metadata.

        Raises:
            RecordError: A value is not plain JSON and would not be read back as it is.
        """
        rows = [_plain_row(item, number) for number, item in enumerate(self._items, start=1)]
        data = orjson.dumps(rows, option=orjson.OPT_INDENT_2 | orjson.OPT_APPEND_NEWLINE)
        Path(path).write_bytes(data)

    @classmethod
    def from_json(
        cls, path: str | Path, *, strategy: TrajectoryStrategy | None = None
    ) -> TrajectoryDataset:
        """Return the dataset that :meth:`export_json` wrote.

        Args:
            path: The file.
            strategy: For items captured later; the items of the file were captured before.

        Raises:
            RecordError: The file is not such a list; names the item and field.
        """
        try:
            rows = orjson.loads(Path(path).read_bytes())
        except orjson.JSONDecodeError as error:
            raise RecordError(f"must be JSON: {error}", source=str(path)) from None
        if not isinstance(rows, list):
            raise RecordError(
                f"must hold a list of objects, got {type(rows).__name__}", source=str(path)
            )
        return cls._of(
            strategy,
            (
                TrajectoryItem.from_row(row, source=f"{path} item {number}")
                for number, row in enumerate(rows, start=1)
            ),
        )

    def export_csv(self, path: str | Path) -> None:
        """Write a CSV file with the columns state, action, reward, metadata.

        A text is written as it is, unless it would read as JSON (``12``, ``true``, ``"a"``): then, like every other value, it is
        written as JSON. No reward is an empty cell. A text cell that a spreadsheet would take for a formula gets an
        apostrophe in front, which :meth:`from_csv` takes off again.

        Raises:
            RecordError: A value is not plain JSON and would not be read back as it is.
        """
        out = io.StringIO(newline="")
        writer = csv.writer(out)
        writer.writerow(COLUMNS)
        for number, item in enumerate(self._items, start=1):
            row = _plain_row(item, number)
            reward = "" if row["reward"] is None else _json(row["reward"])
            writer.writerow(
                (_cell(row["state"]), _cell(row["action"]), reward, _json(row["metadata"]))
            )
        Path(path).write_bytes(out.getvalue().encode())

    @classmethod
    def from_csv(
        cls, path: str | Path, *, strategy: TrajectoryStrategy | None = None
    ) -> TrajectoryDataset:
        """Return the dataset that :meth:`export_csv` wrote.

        Args:
            path: The file.
            strategy: For items captured later; the items of the file were captured before.

        Raises:
            RecordError: The file has other columns, or a cell cannot be read; names line and field.
        """
        return cls._of(strategy, _csv_items(Path(path)))

    @classmethod
    def _of(
        cls, strategy: TrajectoryStrategy | None, items: Iterable[TrajectoryItem]
    ) -> TrajectoryDataset:
        dataset = cls(strategy=strategy)
        dataset._items.extend(items)
        return dataset


def _plain_row(item: TrajectoryItem, number: int) -> dict[str, Any]:
    row = {name: getattr(item, name) for name in COLUMNS}
    if isinstance(item.reward, float):
        row["reward"] = float(item.reward)  # numpy's float64 is a float that orjson refuses
    return {name: _plain(value, name, number) for name, value in row.items()}


def _plain(value: Any, name: str, number: int) -> Any:
    """Return ``value`` if JSON holds it unchanged."""
    try:
        if orjson.loads(orjson.dumps(value)) == value:
            return value
    except (orjson.JSONEncodeError, RecursionError):
        pass
    shown = repr(value)
    raise RecordError(
        f"must be plain JSON, got {shown if len(shown) <= 80 else shown[:77] + '...'}",
        source=f"item {number}",
        field=name,
        hint="plain JSON: text, finite numbers, true, false, null, lists (not tuples), objects with text keys",
    )


def _json(value: Any) -> str:
    return orjson.dumps(value).decode()


def _parse(cell: str) -> tuple[bool, Any]:
    """Return whether the cell is JSON, and its value."""
    try:
        return True, orjson.loads(cell)
    except orjson.JSONDecodeError:
        return False, cell


def _cell(value: Any) -> str:
    as_it_is = isinstance(value, str) and not _parse(value)[0]
    cell = value if as_it_is else _json(value)
    return _GUARD + cell if cell.startswith(_GUARDED) and as_it_is else cell


def _uncell(cell: str) -> Any:
    return cell.removeprefix(_GUARD) if cell.startswith(_GUARD) else _parse(cell)[1]


def _csv_items(path: Path) -> Iterator[TrajectoryItem]:
    limit = csv.field_size_limit(sys.maxsize)  # the default refuses a state of more than 128 KiB
    try:
        with path.open(encoding="utf-8", newline="") as file:
            reader = csv.reader(file, strict=True)
            header = tuple(next(reader, ()))
            if header != COLUMNS:
                raise RecordError(
                    f"must have the columns {', '.join(COLUMNS)}, got {', '.join(header) or 'none'}",
                    source=str(path),
                    line=1,
                )
            for cells in reader:
                yield _csv_item(cells, str(path), reader.line_num)
    except (csv.Error, UnicodeDecodeError) as error:
        raise RecordError(f"must be CSV in UTF-8: {error}", source=str(path)) from None
    finally:
        csv.field_size_limit(limit)


def _csv_item(cells: list[str], source: str, line: int) -> TrajectoryItem:
    if len(cells) != len(COLUMNS):
        raise RecordError(
            f"must have {len(COLUMNS)} cells, got {len(cells)}", source=source, line=line
        )
    state, action, reward, metadata = cells
    row = {"state": _uncell(state), "action": _uncell(action)}
    row["reward"] = None if reward == "" else _parse(reward)[1]
    row["metadata"] = _parse(metadata)[1] if metadata else {}
    return TrajectoryItem.from_row(row, source=source, line=line)
