"""``orbiter verify``: judge the rows of a file, or the stored attempts of a run again."""

from __future__ import annotations

import argparse
import json
import sys
from collections.abc import Iterator
from contextlib import ExitStack, closing, contextmanager, suppress
from pathlib import Path
from typing import TYPE_CHECKING, BinaryIO

from orbiter.cli.pool_options import add_pool_arguments
from orbiter.cli.stopping import stop_code, terminable
from orbiter.cli.yield_command import add_runs_argument

GIVE_UP_AFTER = 10
"""Verdicts in a row that a verifier may be lost over before it is given up."""

_BLOCK = 1 << 16

if TYPE_CHECKING:
    from collections.abc import Callable

    from orbiter.errors import BudgetExceededError
    from orbiter.records import Trajectory
    from orbiter.verify.pool import VerifierPool
    from orbiter.verify.scoring import TaskOf
    from orbiter.verify.verifier import Verifier


def add_arguments(parser: argparse.ArgumentParser) -> None:
    """Add the command's options."""
    parser.add_argument("file", nargs="?", type=Path, help="JSONL file of trajectories")
    parser.add_argument(
        "--rescore", metavar="RUN", help="judge the stored attempts of this run instead of a file"
    )
    parser.add_argument(
        "--verifier",
        nargs="+",
        metavar=("NAME", "key=value"),
        help="name of a verifier, or file.py:Class, and its options (default: that of the environment or run)",
    )
    where = parser.add_mutually_exclusive_group()
    where.add_argument("--tasks", type=Path, metavar="FILE", help="JSONL file of the rows' tasks")
    where.add_argument(
        "--environment",
        nargs="+",
        metavar=("NAME", "key=value"),
        help="environment that the rows' tasks come from, and its options",
    )
    where.add_argument("--run", metavar="RUN", help="run that the rows' tasks come from")
    parser.add_argument(
        "--seed", type=int, metavar="N", help="of the environment's tasks (default: 0)"
    )
    parser.add_argument(
        "--out",
        type=Path,
        metavar="FILE",
        help="write the judged rows, or the flipped labels, here",
    )
    add_pool_arguments(parser, timeout_s=30)
    parser.add_argument(
        "--give-up-after",
        type=int,
        default=GIVE_UP_AFTER,
        metavar="N",
        help=f"stop when N verdicts in a row hung, crashed or took too much memory (default: {GIVE_UP_AFTER}; 0: never)",
    )
    parser.add_argument(
        "--cache",
        type=Path,
        metavar="FILE",
        help="remember passes and fails here, so that the same command goes on where it stopped",
    )
    parser.add_argument("--json", action="store_true", help="print JSON")
    add_runs_argument(parser)


def main(options: argparse.Namespace) -> int:
    """Judge and print what came of it; 1 if not one verdict is valid."""
    _check(options)
    with terminable():
        return _rescore(options) if options.rescore is not None else _verify(options)


def _check(options: argparse.Namespace) -> None:
    """Refuse what cannot work, or would have no effect, before anything is judged."""
    from orbiter.errors import ConfigError

    if (options.file is None) == (options.rescore is None):
        raise ConfigError(
            "orbiter verify must be given either a file, or a run with --rescore",
            hint="example: orbiter verify rows.jsonl --verifier exact",
        )
    for name in ("tasks", "environment", "run"):
        if options.rescore is not None and getattr(options, name) is not None:
            raise ConfigError(
                f"--{name} has no effect with --rescore: a run knows its tasks", hint="leave it out"
            )
    if options.seed is not None and options.environment is None:
        raise ConfigError("--seed has an effect only with --environment", hint="leave it out")
    if options.file is not None and not (options.verifier or options.environment or options.run):
        raise ConfigError(
            "--verifier must be given unless an environment or a run says it",
            hint="orbiter plugins lists the names",
        )
    if options.file is not None and (options.file.is_fifo() or options.file.is_char_device()):
        raise ConfigError(
            f"{str(options.file)!r} must be a file that can be read twice, got a pipe or device",
            hint="save the rows first",
        )
    if options.give_up_after < 0:
        raise ConfigError(f"--give-up-after must be >= 0, got {options.give_up_after}")
    if options.out is not None and options.out.is_dir():
        raise ConfigError(f"--out must be a file, got the folder {str(options.out)!r}")
    if options.out is not None and not options.out.parent.is_dir():
        raise ConfigError(f"folder of {str(options.out)!r} does not exist", hint="make it first")


def _made_verifier(options: argparse.Namespace) -> Verifier:
    from orbiter.cli.component import component_spec
    from orbiter.verify.component import make_verifier

    name, *rest = options.verifier
    spec = component_spec(name, rest, what="verifier")
    return make_verifier(spec)


@contextmanager
def _pool(options: argparse.Namespace, verifier: Verifier) -> Iterator[VerifierPool]:
    from orbiter.verify.pool import VerdictCache, VerifierPool

    with ExitStack() as open_ones:
        cache = None
        if options.cache is not None:
            cache = open_ones.enter_context(closing(VerdictCache(path=options.cache)))
        yield open_ones.enter_context(
            VerifierPool(
                verifier,
                workers=options.workers,
                timeout_s=options.timeout_s,
                memory_mb=options.memory_mb,
                cache=cache,
                give_up_after=options.give_up_after or None,
            )
        )


def _verify(options: argparse.Namespace) -> int:
    from orbiter import jsonl
    from orbiter.cli.verify_table import print_summary, summary_row
    from orbiter.errors import BudgetExceededError
    from orbiter.verify.scoring import Tally, check_rows, judge_rows, own_task, scored

    task_of, default = _tasks(options)
    verifier = default if options.verifier is None else _made_verifier(options)
    assert verifier is not None  # noqa: S101  # _check saw to it
    count, tally = check_rows(options.file, task_of), Tally()
    stopped: KeyboardInterrupt | BudgetExceededError | None = None
    try:
        with _pool(options, verifier) as pool, _writing(options.out) as write, _progress() as tell:
            judged = judge_rows(jsonl.read(options.file), pool, task_of=task_of)
            for done, (row, verdict) in enumerate(judged, start=1):
                write(scored(row, verdict))
                tally.add(row, verdict)
                tell(done, count)
    except (KeyboardInterrupt, BudgetExceededError) as stop:
        stopped, where = stop, ""
        if options.out is not None and _draft(options.out).exists():
            # What is in the file is what is said: the interrupt may have come between the two.
            where, tally = f"; these are in {_draft(options.out)}", Tally()
            for row in jsonl.read(_draft(options.out)):
                if row.verdict is not None:
                    tally.add(row, row.verdict)
        done = tally.summary.total.total
        print(f"\nstopped after {done} of {count} rows{where}", file=sys.stderr)
    summary = tally.summary
    if options.json:
        print(json.dumps(summary_row(summary, verifier), indent=2))
    else:
        print_summary(summary, verifier)
    if isinstance(stopped, BudgetExceededError):
        raise _given_up(stopped)
    if stopped is not None:
        return stop_code(stopped)
    if summary.total.pass_rate.value is not None:
        return 0
    if task_of is own_task:
        print(
            "nothing could be judged; where the rows bring no references, --tasks, --environment or --run names the tasks",
            file=sys.stderr,
        )
    return 1


def _given_up(error: BudgetExceededError) -> BudgetExceededError:
    """Return the error of a verifier that was given up, with what to do about it."""
    error.hint = (
        "mend it, or give it more with --timeout-s, --memory-mb and --give-up-after (0: never); "
        "the same command goes on from there with --rescore or --cache FILE"
    )
    return error


def _tasks(options: argparse.Namespace) -> tuple[TaskOf, Verifier | None]:
    """Return what finds the task of a row, and the verifier that comes with the tasks."""
    from orbiter import jsonl
    from orbiter.cli.component import component_spec
    from orbiter.flywheel.account import find_run
    from orbiter.flywheel.rescore import open_run, run_tasks
    from orbiter.ledger import History
    from orbiter.records import Task
    from orbiter.tasks.component import make_environment
    from orbiter.verify.component import make_verifier
    from orbiter.verify.scoring import own_task, task_among, tasks_of

    if options.tasks is not None:
        tasks = jsonl.read(options.tasks, Task)
        of = f"file {str(options.tasks)!r}"
        return task_among(tasks, of=of, path=options.tasks), None
    if options.run is not None:
        path = find_run(options.run, runs_dir=options.runs)
        wheel = open_run(path)
        with History.open(path) as ledger:
            return task_among(run_tasks(wheel, ledger), of=f"run {str(path)!r}"), wheel.verifier
    if options.environment is None:
        return own_task, None
    name, *rest = options.environment
    spec = component_spec(name, rest, what="environment")
    environment = make_environment(spec)
    seed = options.seed or 0
    tasks = tasks_of(environment, jsonl.read(options.file), seed=seed)
    verifier = None
    if options.verifier is None:
        verifier = make_verifier(environment.verifier())
    return task_among(tasks, of=f"environment {environment.name!r} with seed {seed}"), verifier


def _draft(out: Path) -> Path:
    return out.with_name(f"{out.name}.partial")


@contextmanager
def _writing(out: Path | None) -> Iterator[Callable[[Trajectory], None]]:
    """Give a function that adds a row to a file, which takes its place when all went well; else its draft stays."""
    import os

    from orbiter import jsonl

    if out is None:
        yield lambda _: None
        return
    draft = _draft(out)
    try:
        with open(draft, "wb") as file:
            yield lambda row: _write_line(file, jsonl.dumps(row))
            file.flush()
            os.fsync(file.fileno())
    except BaseException:
        with suppress(OSError):
            _cut_torn_line(draft)
        raise
    os.replace(draft, out)


def _write_line(file: BinaryIO, line: bytes) -> None:
    file.write(line + b"\n")


def _cut_torn_line(path: Path) -> None:
    """Take away what stands after the last line break: a row whose writing was interrupted, or for which there was no space."""
    with open(path, "rb+") as file:
        place = end = file.seek(0, 2)
        while place > 0:
            place = file.seek(max(0, place - _BLOCK))
            if (found := file.read(min(_BLOCK, end - place)).rfind(b"\n")) >= 0:
                file.truncate(place + found + 1)
                return
        file.truncate(0)


@contextmanager
def _progress() -> Iterator[Callable[[int, int], None]]:
    """Show a bar on a terminal, and elsewhere a line every ten seconds."""
    from time import monotonic

    from rich.console import Console
    from rich.progress import BarColumn, MofNCompleteColumn, Progress, TimeRemainingColumn

    console = Console(stderr=True)
    if not console.is_terminal:
        said = [monotonic()]

        def tell(done: int, count: int) -> None:
            if monotonic() - said[0] >= 10:
                said[0] = monotonic()
                print(f"judged {done} of {count}", file=sys.stderr, flush=True)

        yield tell
        return
    columns = ("judging", BarColumn(), MofNCompleteColumn(), TimeRemainingColumn())
    with Progress(*columns, console=console, transient=True) as bar:
        task = bar.add_task("judging", total=None)
        yield lambda done, count: bar.update(task, completed=done, total=count)


def _rescore(options: argparse.Namespace) -> int:
    from orbiter.cli.verify_table import flip_rows, print_rescored, rescored_row
    from orbiter.errors import BudgetExceededError
    from orbiter.flywheel.account import find_run
    from orbiter.flywheel.rescore import open_run, rescore

    run = find_run(options.rescore, runs_dir=options.runs)
    wheel = open_run(run)
    verifier = wheel.verifier if options.verifier is None else _made_verifier(options)
    try:
        with _pool(options, verifier) as pool, _progress() as tell:
            found = rescore(run, pool, wheel=wheel, on_progress=tell)
    except KeyboardInterrupt as stop:
        print("\nstopped; the same command goes on from there", file=sys.stderr)
        return stop_code(stop)
    except BudgetExceededError as error:
        raise _given_up(error) from None
    if options.out is not None:
        from orbiter import jsonl

        jsonl.write(options.out, flip_rows(found))
    if options.json:
        print(json.dumps(rescored_row(found), indent=2))
    else:
        print_rescored(found, name=run.name)
    return 1 if found.faults and not found.judged else 0
