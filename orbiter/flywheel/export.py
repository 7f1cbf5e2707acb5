"""The data of a run in other tools' formats."""

from __future__ import annotations

from pathlib import Path

from orbiter import jsonl
from typing import TYPE_CHECKING

from orbiter.errors import ConfigError
from orbiter.records import Pair, Task, Trajectory

if TYPE_CHECKING:
    from orbiter.curate.export import Exporter, ExportReport


def export_rounds(run: Path, exporter: Exporter, target: Path) -> ExportReport:
    """Write what all rounds of a run kept with an exporter.

    Args:
        run: Folder of the run.
        exporter: It takes trajectories (the kept rows, demonstrations first), pairs or tasks.
        target: File or folder to write.

    Raises:
        ConfigError: The run has no data of the kind that the exporter takes.
    """
    return exporter.write(_records(run, exporter), target)
