"""``orbiter explain``: trace a checkpoint to its rows, or a row to all it came from and taught."""

from __future__ import annotations

import argparse
import sys
from collections.abc import Iterator, Sequence
from pathlib import Path
from typing import TYPE_CHECKING

from orbiter.cli.yield_command import add_runs_argument

if TYPE_CHECKING:
    from orbiter.ledger import RunIndex
    from orbiter.ledger.index import Checkpoint
    from orbiter.ledger.lineage import GivenLineage, RowLineage


def add_arguments(parser: argparse.ArgumentParser) -> None:
    """Add the command's options."""
    parser.add_argument(
        "run", nargs="?", help="the run's folder or name; default: the one that has it"
    )
    parser.add_argument(
        "of",
        help="a checkpoint, such as checkpoints/round-1 of a run or the path to it, or a row's id",
    )
    add_runs_argument(parser)


def main(options: argparse.Namespace) -> int:
    """Print where it comes from and what was built on it."""
    from orbiter.errors import UnknownNameError, did_you_mean
    from orbiter.flywheel.account import find_run
    from orbiter.ledger import RunIndex

    wanted = options.of.rstrip("/")
    if options.run is None:
        run, wanted = _run_of(wanted, runs_dir=options.runs)
    else:
        run = find_run(options.run, runs_dir=options.runs)
    with RunIndex(run) as index:
        if path := _checkpoint(index, wanted):
            _print_checkpoint(index, path)
        elif _has_row(index, wanted):
            _print_row(index, wanted)
            _print_given(index, wanted)
        else:
            known = [checkpoint.path for checkpoint in index.checkpoints()]
            raise UnknownNameError(
                f"run {str(run)!r} has no checkpoint and no row {wanted!r}{did_you_mean(wanted, known)}",
                hint=f"checkpoints: {', '.join(known) or 'none'}; a row is given by its id",
            )
    return 0


def _checkpoint(index: RunIndex, wanted: str) -> str | None:
    """Return the path of a checkpoint as the run knows it, or None."""
    known = [checkpoint.path for checkpoint in index.checkpoints()]
    return next((path for path in known if path in (wanted, f"{wanted}/checkpoint")), None)


def _has_row(index: RunIndex, wanted: str) -> bool:
    return bool(index.find(id=wanted, limit=1) or index.datasets(with_given=wanted))


def _run_of(wanted: str, *, runs_dir: Path) -> tuple[Path, str]:
    """Return the run that a checkpoint's path lies in, or whose row an id is, and what it is called there.

    Raises:
        UnknownNameError: There is none, or several runs have it.
    """
    from orbiter.cli.text import one_line
    from orbiter.errors import DamagedRunError, UnknownNameError
    from orbiter.ledger import RunIndex

    path = Path(wanted)
    for folder in path.parents:
        if path.exists() and (folder / "rounds.jsonl").is_file():
            return folder, path.relative_to(folder).as_posix()
    runs = sorted(file.parent for file in runs_dir.glob("*/rounds.jsonl"))
    found = []
    for run in runs:
        try:
            with RunIndex(run) as index:
                if _checkpoint(index, wanted) or _has_row(index, wanted):
                    found.append(run)
        except DamagedRunError as error:
            print(f"run {run.name!r} is left out: {one_line(error.message)}", file=sys.stderr)
    if len(found) == 1:
        return found[0], wanted
    names = ", ".join(run.name for run in found or runs)
    problem = (
        f"several runs have {wanted!r}" if found else f"no run has a checkpoint or row {wanted!r}"
    )
    raise UnknownNameError(
        f"{problem} in {str(runs_dir)!r}: {names or 'it is empty'}",
        hint="orbiter explain RUN ROW names the run; orbiter yield RUN lists what it has made",
    )


def _say(text: str) -> None:
    """Print a line of which parts were written by models, servers and files."""
    from orbiter.cli.text import printable

    print(printable(text, limit=2_000))


def _print_checkpoint(index: RunIndex, path: str) -> None:
    from orbiter.ledger import trace_checkpoint

    lineage = trace_checkpoint(index, path)
    number = lineage.checkpoint.round
    _say(f"checkpoint {path} (round {number}{_stage_of(index, number)})")
    for ancestor in lineage.ancestors:
        _say(f"  goes on from {ancestor.path}")
    for dataset in lineage.datasets:
        _say(f"  trained on   {dataset.path}  hash {dataset.hash}")
    for tasks, scored_by in _sampled_for(index, [lineage.checkpoint, *lineage.ancestors]):
        _say(f"  sampled for  {tasks}")
        for model in scored_by:
            _say(f"  rewarded by  {model}")
    models: dict[tuple[int, str], int] = {}
    for attempt in lineage.attempts:
        key = (attempt.key.round, attempt.model or "")
        models[key] = models.get(key, 0) + 1
    for (number, model), count in sorted(models.items()):
        _say(f"  {count:7} rows sampled in round {number} from {model or 'an unnamed model'}")
    if lineage.given:
        _say(f"  {len(lineage.given):7} rows given, as demonstrations are")


def _print_row(index: RunIndex, row: str) -> None:
    from orbiter.ledger import trace_row

    for lineage in trace_row(index, row) if index.find(id=row, limit=1) else ():
        attempt = lineage.attempt
        _say(str(attempt.key))
        model = attempt.model if attempt.model else "an unnamed model"
        _say(f"  generated by {attempt.generator} with {model}, seed {attempt.seed}")
        for verdict in lineage.verdicts:
            why = f": {verdict.reason}" if verdict.reason else ""
            _say(
                f"  verdict      {verdict.outcome.value}{why} ({verdict.verifier} {verdict.version})"
            )
        _say(f"  decision     {attempt.decision or 'none yet'}")
        _print_built(lineage)


def _print_given(index: RunIndex, wanted: str) -> None:
    from orbiter.ledger import trace_given

    lineage = trace_given(index, wanted)
    if lineage is None:
        return
    row = lineage.row or {}
    _say(
        f"no attempt but given, env {row.get('env', 'unknown')!r}, task {row.get('task_id', 'unknown')!r}"
    )
    _say(f"  generated by {row.get('generator') or 'an unnamed engine'}")
    verdict = row.get("verdict")
    if isinstance(verdict, dict):
        _say(
            f"  verdict      {verdict.get('outcome')} ({verdict.get('verifier')} {verdict.get('version')})"
        )
    _print_built(lineage)


def _print_built(lineage: RowLineage | GivenLineage) -> None:
    for dataset in lineage.datasets:
        _say(f"  in           {dataset.path}")
    for checkpoint in lineage.checkpoints:
        _say(f"  taught       {checkpoint.path}")


def _sampled_for(
    index: RunIndex, line: Sequence[Checkpoint]
) -> Iterator[tuple[str, Sequence[str]]]:
    """Yield the tasks of each training that sampled for itself, and the run's own models that rewarded it."""
    from orbiter.ledger import History

    with History.open(index.path) as ledger:
        for checkpoint in line:
            written = ledger.last_event("checkpoint_written", path=checkpoint.path) or {}
            if written.get("tasks"):
                yield str(written["tasks"]), list(map(str, written.get("reward_models") or ()))


def _stage_of(index: RunIndex, number: int) -> str:
    """Return the recipe's stage of a round, to stand behind its number; nothing for a recipe without stages."""
    from orbiter.ledger import History

    with History.open(index.path) as ledger:
        summary = ledger.last_event("stage_done", round=number, stage="round") or {}
    return f", stage {summary['name']}" if summary.get("name") else ""
