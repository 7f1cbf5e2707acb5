"""``orbiter audit``: measure how often a verifier is wrong, and say what that means."""

from __future__ import annotations

import argparse
import json
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import TYPE_CHECKING

from orbiter.cli.pool_options import add_pool_arguments
from orbiter.cli.stopping import terminable

if TYPE_CHECKING:
    from collections.abc import Callable

    from orbiter.flywheel.audit_report import AuditReport
    from orbiter.verify.audit import LabelledAnswer
    from orbiter.verify.verifier import Verifier


def add_arguments(parser: argparse.ArgumentParser) -> None:
    """Add the command's options."""
    # What stands behind --environment is its options, so the verifier has to come first.
    parser.usage = "%(prog)s verifier [key=value ...] [--environment NAME [key=value ...]] [--labelled FILE] [options]"
    parser.add_argument("verifier", help="name of a verifier, or file.py:Class")
    parser.add_argument(
        "overrides",
        nargs="*",
        default=[],  # or else argparse calls them required
        metavar="key=value",
        help="its options, such as case=false",
    )
    parser.add_argument(
        "--environment",
        nargs="+",
        metavar=("NAME", "key=value"),
        help="make probes from the tasks of this environment; its options stand behind its name",
    )
    parser.add_argument(
        "--labelled",
        type=Path,
        metavar="FILE",
        help="judge the labelled answers of this JSONL file (messages, task_id, correct)",
    )
    parser.add_argument("--tasks", type=int, metavar="N", help="tasks to probe with (default: 200)")
    parser.add_argument("--seed", type=int, default=0, help="selects tasks and probes (default: 0)")
    parser.add_argument(
        "--confidence", type=float, default=0.95, metavar="C", help="of intervals (default: 0.95)"
    )
    parser.add_argument(
        "--max-fpr", type=float, metavar="X", help="exit with 1 unless the FPR is at most this"
    )
    parser.add_argument(
        "--max-fnr", type=float, metavar="Y", help="exit with 1 unless the FNR is at most this"
    )
    parser.add_argument(
        "--pass-rate", type=float, metavar="P", help="share of answers that the verifier passes now"
    )
    parser.add_argument(
        "--target", type=float, metavar="M", help="true pass rate that is wanted, in (0, 1)"
    )
    parser.add_argument(
        "--rows", type=int, metavar="N", help="survivors wanted of each round (default: 1000)"
    )
    add_pool_arguments(parser, timeout_s=10)
    parser.add_argument("--json", type=Path, metavar="FILE", help="write the figures here")
    parser.add_argument("--svg", type=Path, metavar="FILE", help="write the plot here")


def main(options: argparse.Namespace) -> int:
    """Judge, print the tables, write the files; 1 if a stated bound is missed, or most answers could not be judged."""
    from orbiter.cli.audit_table import print_audit
    from orbiter.cli.component import component_spec
    from orbiter.flywheel.audit_report import examine
    from orbiter.verify.audit.stability import judging_in_workers
    from orbiter.verify.component import make_verifier

    _check(options)
    spec = component_spec(options.verifier, options.overrides, what="verifier")

    def make() -> Verifier:
        return make_verifier(spec)

    verifier = make()
    limits = {"fpr": options.max_fpr, "fnr": options.max_fnr}
    with terminable(), _progress() as tell:
        report = examine(
            lambda: judging_in_workers(
                make,
                workers=options.workers,
                timeout_s=options.timeout_s,
                memory_mb=options.memory_mb,
            ),
            _answers(options, verifier),
            verifier=verifier.name,
            version=verifier.version,
            confidence=options.confidence,
            seed=options.seed,
            limits={rate: limit for rate, limit in limits.items() if limit is not None},
            observed=options.pass_rate,
            target=options.target,
            rows=1000 if options.rows is None else options.rows,
            on_progress=tell,
        )
    print_audit(report)
    _write(report, options)
    return 0 if report.kept and report.measured else 1


def _check(options: argparse.Namespace) -> None:
    """Refuse what cannot work, or would have no effect, before anything is judged."""
    from orbiter.checks import check_number, check_whole_number
    from orbiter.errors import ConfigError
    from orbiter.intervals import check_confidence

    check_confidence(options.confidence)
    if options.pass_rate is not None:
        check_number("--pass-rate", options.pass_rate, "[0, 1]")
    if options.tasks is not None:
        check_whole_number("--tasks", options.tasks, low=1)
    if options.environment is None and options.labelled is None:
        raise ConfigError(
            "orbiter audit must be given --environment or --labelled",
            hint="example: orbiter audit exact --environment sorting length=5",
        )
    for needing, needed in (("tasks", "environment"), ("target", "pass_rate"), ("rows", "target")):
        if getattr(options, needing) is not None and getattr(options, needed) is None:
            raise ConfigError(
                f"--{needing} has an effect only with --{needed.replace('_', '-')}",
                hint="give both or neither",
            )
    for path in (options.json, options.svg):
        if path is not None and not path.parent.is_dir():
            raise ConfigError(f"folder of {str(path)!r} does not exist", hint="make it first")


def _answers(options: argparse.Namespace, verifier: Verifier) -> dict[str, list[LabelledAnswer]]:
    from orbiter.cli.component import component_spec
    from orbiter.tasks.component import make_environment
    from orbiter.tasks.environment import Environment
    from orbiter.verify.audit.labelled import read_labelled
    from orbiter.verify.audit.probes import probes

    answers: dict[str, list[LabelledAnswer]] = {}
    environment: Environment | None = None
    if options.environment is not None:
        name, *rest = options.environment
        spec = component_spec(name, rest, what="environment")
        environment = make_environment(spec)
        answers["probes"] = probes(
            environment,
            verifier,
            count=200 if options.tasks is None else options.tasks,
            seed=options.seed,
        )
    if options.labelled is not None:
        answers["labelled"] = read_labelled(
            options.labelled, environment=environment, seed=options.seed
        )
    return answers


@contextmanager
def _progress() -> Iterator[Callable[[int, int], None]]:
    """Show a bar on a terminal while answers are judged, and nothing elsewhere."""
    from rich.console import Console
    from rich.progress import Progress

    console = Console(stderr=True)
    with Progress(console=console, transient=True, disable=not console.is_terminal) as bar:
        task = bar.add_task("judging", total=None)
        yield lambda done, count: bar.update(task, completed=done, total=count)


def _write(report: AuditReport, options: argparse.Namespace) -> None:
    from orbiter.flywheel.audit_chart import audit_chart
    from orbiter.jsonl import replace_file

    if options.json is not None:
        text = json.dumps(report.to_row(), indent=2, ensure_ascii=True, allow_nan=False)
        with replace_file(options.json) as file:
            file.write(f"{text}\n".encode())
    if options.svg is not None:
        with replace_file(options.svg) as file:
            file.write(audit_chart(report).encode())
