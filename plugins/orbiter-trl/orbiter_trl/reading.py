"""Reading rows of JSONL."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path
from typing import Any

import orjson


def read_records(path: Path, cls: Any) -> Iterator[Any]:
    """Yield the records of a JSONL file."""
    with path.open("rb") as file:
        for number, line in enumerate(file, start=1):
            row = orjson.loads(line)
            row.pop("id", None)
            yield cls.from_row(row, source=str(path), line=number)
