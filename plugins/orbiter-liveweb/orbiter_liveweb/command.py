"""``orbiter liveweb``: record, import, export and check caches, teach from them, and look at trajectories."""

from __future__ import annotations

import argparse
import json
import sys
from collections import Counter
from collections.abc import Callable
from contextlib import ExitStack
from pathlib import Path

from orbiter.cli.command import Command
from orbiter.cli.text import one_line, printable

MAX_NOTES = 10
"""Notes of one kind that a check prints unasked: a recorded part of a site has hundreds of links out of it."""


class LiveWebCommand(Command):
    """The subcommands; each does nothing that a script could not."""

    what = "record web pages, check them, and teach from them"

    def add_arguments(self, parser: argparse.ArgumentParser) -> None:
        """Add the subcommands."""
        subs = parser.add_subparsers(dest="action", metavar="ACTION", required=True)

        def add(
            name: str, run: Callable[[argparse.Namespace], int], what: str
        ) -> argparse.ArgumentParser:
            sub = subs.add_parser(
                name, help=what, description=what[0].upper() + what[1:] + ".", allow_abbrev=False
            )
            sub.set_defaults(run=run)
            return sub

        sub = add("synth", _synth, "make the synthetic web in a folder")
        sub.add_argument("cache", type=Path, metavar="CACHE")
        sub.add_argument("--seed", type=int, default=0, help="selects the web (default: 0)")
        sub.add_argument("--size", default="small", help="small or full (default: small)")

        sub = add("record", _record, "fetch pages into a cache")
        sub.add_argument("urls", nargs="+", metavar="URL")
        sub.add_argument(
            "--cache",
            type=Path,
            required=True,
            metavar="CACHE",
            help="the folder; made if it is not there",
        )
        sub.add_argument(
            "--http", action="store_true", help="fetch by plain HTTP instead of with Chromium"
        )
        sub.add_argument(
            "--follow", metavar="PREFIX", help="follow links to addresses that begin so"
        )
        sub.add_argument(
            "--max-pages", type=int, default=1_000, metavar="N", help="most pages (default: 1000)"
        )
        sub.add_argument(
            "--delay",
            type=float,
            default=0.0,
            metavar="S",
            help="seconds between pages (default: 0)",
        )
        sub.add_argument(
            "--ignore-robots",
            action="store_true",
            help="do not go by robots.txt: for sites of your own",
        )

        sub = add("import", _import, "take the pages of a HAR or WARC file into a cache")
        sub.add_argument("archive", type=Path, metavar="FILE", help=".har, .warc or .warc.gz")
        sub.add_argument("--cache", type=Path, required=True, metavar="CACHE")

        sub = add("export", _export, "write a cache as a HAR file")
        sub.add_argument("cache", type=Path, metavar="CACHE")
        sub.add_argument("out", type=Path, metavar="OUT.har")

        sub = add("check", _check, "say what is wrong with a cache")
        sub.add_argument("cache", type=Path, metavar="CACHE")
        sub.add_argument(
            "--max-age-days", type=float, metavar="D", help="name pages that are older"
        )
        sub.add_argument(
            "--all", action="store_true", help=f"list every note, not {MAX_NOTES} of a kind"
        )
        sub.add_argument("--json", action="store_true", help="print JSON, every finding")

        sub = add("teach", _teach, "write trajectories of the teacher, scored by replay")
        sub.add_argument("cache", type=Path, metavar="CACHE")
        sub.add_argument("out", type=Path, metavar="OUT.jsonl")
        sub.add_argument("-n", type=int, default=100, metavar="N", help="how many (default: 100)")
        sub.add_argument("--seed", type=int, default=0)
        sub.add_argument(
            "--plugins",
            nargs="+",
            metavar="SITE",
            help="sites, or file.py:Class of your own (default: all known ones that the cache has)",
        )
        sub.add_argument(
            "--templates",
            nargs="+",
            metavar="NAME",
            help="templates by site or site/template (default: all)",
        )
        sub.add_argument(
            "--subtasks",
            nargs="+",
            type=int,
            default=[1, 3],
            metavar="N",
            help="questions per task: N, or MIN MAX (default: 1 3)",
        )
        sub.add_argument(
            "--split", choices=("train", "held_out"), help="only entities of this side"
        )
        sub.add_argument(
            "--held-out-share",
            type=float,
            default=0.1,
            help="share of entities held out (default: 0.1)",
        )
        sub.add_argument(
            "--no-gate", action="store_true", help="write a corpus of poor coverage all the same"
        )

        sub = add(
            "coverage", _coverage, "show which site, template and action a corpus shows how often"
        )
        sub.add_argument("rows", type=Path, metavar="ROWS.jsonl")

        sub = add("view", _view, "show one trajectory as a page, with what the model saw")
        sub.add_argument("rows", type=Path, metavar="ROWS.jsonl")
        sub.add_argument(
            "-n", type=int, default=0, metavar="N", help="which row, from 0 (default: 0)"
        )
        sub.add_argument(
            "-o", "--out", type=Path, metavar="OUT.html", help="where to (default: beside the rows)"
        )

    def main(self, options: argparse.Namespace) -> int:
        """Run the subcommand."""
        code: int = options.run(options)
        return code


def _synth(options: argparse.Namespace) -> int:
    from orbiter_liveweb.synthetic import build

    cache = build(options.cache, seed=options.seed, size=options.size)
    print(f"{len(cache.urls())} pages in {options.cache}")
    return 0


def _record(options: argparse.Namespace) -> int:
    from orbiter_liveweb.cache import Cache
    from orbiter_liveweb.fetching import BrowserFetcher, Fetcher, HttpFetcher
    from orbiter_liveweb.record import record

    with ExitStack() as stack:
        fetcher: Fetcher = HttpFetcher()
        if not options.http:
            from orbiter_liveweb.chromium import launched

            fetcher = BrowserFetcher(stack.enter_context(launched()))
        cache = Cache(options.cache, create=True)
        found = record(
            cache,
            options.urls,
            fetcher=fetcher,
            follow=options.follow,
            max_pages=options.max_pages,
            delay_s=options.delay,
            robots=not options.ignore_robots,
        )
    _print_refused(found.refused)
    print(f"{len(found.recorded)} pages recorded in {options.cache}, {len(found.refused)} refused")
    return 0 if found.recorded else 1


def _print_refused(refused: list[tuple[str, str]]) -> None:
    for url, why in refused:
        print(f"refused  {one_line(url)} {one_line(why)}", file=sys.stderr)


def _import(options: argparse.Namespace) -> int:
    from orbiter.errors import ConfigError
    from orbiter_liveweb.cache import Cache
    from orbiter_liveweb.har import import_har
    from orbiter_liveweb.warc import import_warc

    name = options.archive.name.lower()
    if not name.endswith((".har", ".warc", ".warc.gz")):
        raise ConfigError(f"archive must be a .har, .warc or .warc.gz file, got {name!r}")
    options.archive.stat()  # a file that is not there is named before a folder is made
    cache = Cache(options.cache, create=True)
    found = (import_har if name.endswith(".har") else import_warc)(cache, options.archive)
    _print_refused(found.refused)
    for kept, other in found.clashes:
        print(
            f"clash    {one_line(kept)} and {one_line(other)} are one address with two pages",
            file=sys.stderr,
        )
    print(
        f"{len(found.imported)} pages imported, {len(found.older)} older than the cache's, {len(found.refused)} refused, "
        f"{found.skipped} answers that are no pages"
    )
    return 0 if not found.clashes and (found.imported or found.older) else 1


def _export(options: argparse.Namespace) -> int:
    from orbiter_liveweb.cache import Cache
    from orbiter_liveweb.har import export_har

    print(f"{export_har(Cache(options.cache), options.out)} pages in {options.out}")
    return 0


def _check(options: argparse.Namespace) -> int:
    from attrs import asdict

    from orbiter.checks import check_number
    from orbiter.errors import ConfigError
    from orbiter_liveweb.cache import Cache, CacheError
    from orbiter_liveweb.checking import check_cache
    from orbiter_liveweb.sites import topology_of
    from orbiter_liveweb.topology import Topology

    if options.max_age_days is not None:
        check_number("--max-age-days", options.max_age_days, "[0, inf)")
    cache = Cache(options.cache)
    topology: Topology | None
    try:
        topology = topology_of(cache)
    except (CacheError, ConfigError):  # pages of no known site have no truths
        topology = None
    age = None if options.max_age_days is None else options.max_age_days * 86_400
    found = check_cache(cache, topology, max_age_s=age)
    errors = sum(finding.is_error for finding in found)
    if options.json:
        print(json.dumps([asdict(finding) for finding in found], indent=2))
        return 1 if errors else 0
    notes: Counter[str] = Counter()
    for finding in found:
        notes[finding.kind] += not finding.is_error
        if finding.is_error or options.all or notes[finding.kind] <= MAX_NOTES:
            mark = "ERROR" if finding.is_error else "note "
            print(f"{mark}  {finding.kind}: {printable(finding.url)} {one_line(finding.said)}")
    for kind, count in notes.items():
        if count > MAX_NOTES and not options.all:
            print(f"note   {kind}: {count - MAX_NOTES} more; --all lists them")
    print(f"{errors} errors and {len(found) - errors} notes")
    return 1 if errors else 0


def _teach(options: argparse.Namespace) -> int:
    import asyncio

    from orbiter import jsonl
    from orbiter.checks import check_whole_number
    from orbiter.records import Outcome
    from orbiter_liveweb.coverage import CoverageGate, coverage_of
    from orbiter_liveweb.teacher import TeacherGenerator

    check_whole_number("-n", options.n, low=1)
    subtasks = options.subtasks[0] if len(options.subtasks) == 1 else options.subtasks
    teacher = TeacherGenerator(
        options.cache,
        options.plugins,
        seed=options.seed,
        num_subtasks=subtasks,
        templates=options.templates,
        split=options.split,
        held_out_share=options.held_out_share,
    )
    options.out.parent.mkdir(parents=True, exist_ok=True)
    rows = asyncio.run(teacher.generate(options.n))
    others: dict[str, list[str]] = {}
    for row in rows:
        if row.verdict is not None and row.verdict.outcome is not Outcome.PASS:
            others.setdefault(row.verdict.reason, []).append(row.task_id)
    passed = len(rows) - sum(map(len, others.values()))
    coverage = coverage_of(rows)
    rate = coverage.duplicate_rate or 0
    print(f"{len(rows)} trajectories, {passed} of them pass; near duplicates {rate:.1%}")
    for reason, names in list(others.items())[:MAX_NOTES]:
        print(f"not passed: {len(names)} x {one_line(reason)}, such as {printable(names[0])}")
    print("calls    " + "  ".join(f"{name} {n}" for name, n in coverage.actions.items()))
    faults = CoverageGate().faults(coverage, teacher.templates)
    _print_faults(faults)
    if faults and not options.no_gate:
        print("nothing is written; more rows (-n), more templates, or --no-gate", file=sys.stderr)
        return 1
    jsonl.write(options.out, rows)
    return 0 if passed == len(rows) else 1


def _coverage(options: argparse.Namespace) -> int:
    from orbiter import jsonl
    from orbiter.records import Trajectory
    from orbiter_liveweb.coverage import CoverageGate, coverage_of

    coverage = coverage_of(jsonl.read(options.rows, Trajectory))
    rate = coverage.duplicate_rate or 0
    print(f"{coverage.rows} trajectories; near duplicates {rate:.1%}")
    for line in coverage.table():
        print(printable(line))
    faults = CoverageGate().faults(coverage, sorted(coverage.templates))
    _print_faults(faults)
    return 1 if faults else 0


def _print_faults(faults: list[str]) -> None:
    for fault in faults:
        print(f"coverage: {printable(fault)}", file=sys.stderr)


def _view(options: argparse.Namespace) -> int:
    from orbiter import jsonl
    from orbiter.errors import ConfigError
    from orbiter.records import Trajectory
    from orbiter_liveweb.rendering import render

    row, number = None, -1
    for number, row in enumerate(jsonl.read(options.rows, Trajectory)):  # noqa: B007
        if number == options.n:
            break
    else:
        raise ConfigError(
            f"-n must be the number of a row, counted from 0, got {options.n}; {options.rows} has {number + 1} rows"
        )
    out = options.out or options.rows.with_suffix(f".{options.n}.html")
    with jsonl.replace_file(out) as file:
        file.write(render(row).encode())
    print(out)
    return 0
