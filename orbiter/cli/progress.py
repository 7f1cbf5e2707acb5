"""What ``orbiter run`` shows: an observer that draws a live table, or prints a line per round."""

from __future__ import annotations

import shlex
from collections.abc import Iterable, Mapping, Sequence
from pathlib import Path
from time import monotonic
from types import TracebackType
from typing import Any, Self

from rich.console import Console, Group
from rich.live import Live
from rich.table import Table
from rich.text import Text

from orbiter import hookimpl
from orbiter.cli.text import printable
from orbiter.flywheel.flywheel import RunResult
from orbiter.flywheel.recipe import Recipe
from orbiter.flywheel.spending import asked_of, unpriced
from orbiter.hookspecs import MetricsEvent, RoundEvent, StateEvent, VerdictsEvent

COLUMNS = {
    "round": "round",
    "yield [95% CI]": "yield\n[95% CI]",
    "demonstrations": "demon-\nstrations",
    "kept/sampled": "kept/\nsampled",
    "dup": "dup",
    "invalid": "invalid",
    "held-out [95% CI]": "held-out\n[95% CI]",
    "g (bound)": "g\n(bound)",
    "loss": "loss",
    "s": "s",
    "tok/s": "tok/s",
}
"""What a round is shown by: the name in a plain line, and the table's heading. Without demonstrations there is no column of them."""

DISPENSABLE = ("tok/s", "s", "dup", "loss", "g (bound)", "invalid", "kept/sampled")
"""Columns that a narrow terminal does without, the first one first; report.html has them all."""

_LAYOUTS = tuple(
    (DISPENSABLE[:hidden], digits)
    # Before a column of substance goes, the ends of the intervals lose a digit.
    for hidden, digits in (*((n, 3) for n in range(5)), *((n, 2) for n in range(4, 8)))
)

GAP = 2
"""Spaces between columns."""

ROOM = 8
"""Lines of the screen that are not rows: title, heading, alarms, status."""


class Progress:
    """Shows a run as it goes.

    Args:
        recipe: The run's recipe.
        live: Draw a table that changes in place; otherwise print one line per round.
        console: Where to; default: standard output.
    """

    def __init__(self, recipe: Recipe, *, live: bool, console: Console | None = None) -> None:
        self._recipe, self._live = recipe, live
        self._console = console or Console(highlight=False, soft_wrap=not live)
        self._rows: list[Mapping[str, Any]] = []
        self._alarms: list[str] = []
        self._status, self._stage_count, self._since = "starting", 0, monotonic()
        self._display: Live | None = None

    def __enter__(self) -> Self:
        if self._live:
            self._display = Live(self, console=self._console, refresh_per_second=4, transient=False)
            self._display.__enter__()
        return self

    def __exit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        trace: TracebackType | None,
    ) -> None:
        if self._display is not None:
            self._status = "done" if error is None else "stopped"
            self._display.__exit__(kind, error, trace)

    def __rich__(self) -> Group:
        """Return the table and the line below it; while the run goes on, as many of its last rows as the screen holds."""
        ended = self._status in ("done", "stopped")
        shown = self._rows if ended else self._rows[-max(1, self._console.height - ROOM) :]
        title = ": ".join(filter(None, (self._recipe.name, printable(self._recipe.description))))
        lines: list[Any] = [Text(title, style="bold", overflow="ellipsis", no_wrap=True)]
        lines.append(round_table(shown, width=self._console.width))
        lines += [Text(f"! {alarm}", style="yellow") for alarm in self._alarms[-3:]]
        if not ended:
            waited = f"{monotonic() - self._since:.0f} s"
            lines.append(Text(f"{self._status}  {waited}", style="dim", no_wrap=True))
        return Group(*lines)

    @hookimpl
    def orbiter_on_state(self, event: StateEvent) -> None:
        """Show the stage that begins."""
        if event.subject == self._recipe.name:
            self._status, self._stage_count, self._since = event.new, 0, monotonic()

    @hookimpl
    def orbiter_on_verdicts(self, event: VerdictsEvent) -> None:
        """Count judged attempts."""
        self._stage_count += len(event.verdicts)
        self._tell(f"{self._stage_count} judged")

    @hookimpl
    def orbiter_on_metrics(self, event: MetricsEvent) -> None:
        """Show the training step."""
        loss = event.metrics.get("loss")
        self._tell(f"step {event.step}" + (f", loss {loss:.3f}" if loss is not None else ""))

    def _tell(self, how_far: str) -> None:
        self._status = f"{self._status.split('  ')[0]}  {how_far}"

    @hookimpl
    def orbiter_on_round(self, event: RoundEvent) -> None:
        """Add the round's row."""
        self._rows.append(event.summary)
        alarms = [
            f"round {event.round}: {printable(text)}" for text in event.summary.get("alarms", ())
        ]
        self._alarms += alarms
        if self._display is not None:
            return
        cells = round_cells(event.summary)
        self._say("  ".join(f"{name} {cell}" for name, cell in cells.items() if cell))
        for alarm in alarms:
            self._say(f"! {alarm}")

    def _say(self, line: str) -> None:
        self._console.print(line, markup=False)


def round_table(rows: Sequence[Mapping[str, Any]], *, width: int) -> Table:
    """Return the table of some rounds in the fullest layout that ``width`` characters hold."""
    for hidden, digits in _LAYOUTS:
        cells = [round_cells(row, digits=digits) for row in rows]
        empty = () if any(row["demonstrations"] for row in cells) else ("demonstrations",)
        names = [name for name in COLUMNS if name not in (*hidden, *empty)]
        columns = [[*COLUMNS[name].split("\n"), *(row[name] for row in cells)] for name in names]
        if sum(max(map(len, column)) + GAP for column in columns) - GAP <= width:
            break
    table = Table(box=None, padding=(0, GAP, 0, 0), pad_edge=False)
    for name in names:
        table.add_column(COLUMNS[name], justify="right", no_wrap=True)
    for row in cells:
        table.add_row(*(row[name] for name in names))
    return table


def round_cells(row: Mapping[str, Any], *, digits: int = 3) -> dict[str, str]:
    """Return the cells for the summary of a round, by column; empty where nothing was measured.

    Args:
        row: The summary.
        digits: Decimals of the ends of intervals.
    """
    decisions = row.get("decisions") or {}
    sampled = row.get("sampled")
    made = sampled is not None
    cells = (
        f"{row['round']} {row['name']}" if row.get("name") else str(row["round"]),
        _rate(row, "yield", digits),
        str(row.get("demonstrations", "")),
        f"{row.get('kept', 0)}/{sampled}" if made else "",
        str(decisions.get("duplicate", 0)) if made else "",
        str(row.get("invalid", 0)) if made else "",
        _rate(row, "held_out", digits),
        _multiplier(row),
        f"{row['loss']:.3f}" if row.get("loss") is not None else "",
        f"{row['seconds']:.1f}",
        f"{row['tokens_per_s']:.0f}" if row.get("tokens_per_s") else "",
    )
    return dict(zip(COLUMNS, cells))


def _rate(row: Mapping[str, Any], name: str, digits: int) -> str:
    if row.get(name) is None:
        return ""
    low, high = row[f"{name}_low"], row[f"{name}_high"]
    return f"{row[name]:.3f} [{low:.{digits}f}, {high:.{digits}f}]"


def _multiplier(row: Mapping[str, Any]) -> str:
    """Return the measured odds multiplier, and the least that the audit leaves for its bound TPR/FPR: ``8.67 (> 90)``."""
    if row.get("g") is None:
        return ""
    bound = row.get("g_bound")
    return f"{row['g']:.2f}" + (f" (> {bound:.0f})" if bound is not None else "")


def print_ending(
    recipe: Recipe, result: RunResult, *, recipe_path: Path, overrides: Iterable[str] = ()
) -> None:
    """Print what the run cost, where its files are, and what to try next.

    Args:
        recipe: The run's recipe.
        result: How the run ended.
        recipe_path: Where the recipe was read from.
        overrides: What replaced its fields on the command line.
    """
    console = Console(highlight=False, soft_wrap=True)

    def say(text: str) -> None:
        console.print(text, markup=False)

    def again(*changes: str) -> str:
        """Return the command of a run like this one but for some fields."""
        changed = {change.split("=")[0] for change in changes}
        kept = [item for item in overrides if item.split("=")[0] not in changed]
        words = ["orbiter", "run", str(recipe_path), *kept, *changes]
        if result.path.parent != Path("runs"):
            words += ["--runs", str(result.path.parent)]
        return shlex.join(words)

    if result.was_finished:
        say(
            f"run {recipe.name!r} is finished ({len(result.rounds) - 1} rounds); nothing to do. "
            f"Its files are in {result.path}; add name=... to start another."
        )
        return
    if result.stopped:
        say(f"stopped after round {len(result.rounds) - 1}: {result.stopped}")
    rounds = [row for row in result.rounds if row["round"] > 0]
    kept = sum(row.get("kept", 0) for row in rounds)
    asked = asked_of(rounds)
    sampled = sum(row.get("sampled", 0) for row in rounds)
    seconds = sum(row["seconds"] for row in result.rounds)
    if kept and asked is not None:
        # A policy that counts no tokens does not work for free.
        counted = f"{asked['tokens'] / kept:.0f} tokens, " if asked["tokens"] else ""
        if asked["priced"]:
            counted += f"price {asked['cost'] / kept:.4g}{unpriced(asked)}, "
        say(
            f"cost per kept row: {asked['samples'] / kept:.2f} answers, {counted}{1000 * seconds / kept:.0f} ms"
            f"  ({kept} rows kept of {sampled} attempts in {seconds:.0f} s)"
        )
    own = sum(row.get("own_s", 0.0) for row in rounds)
    spent = sum(row["seconds"] for row in rounds)
    # Where nothing was generated, verified or trained, what a teacher took is not told from it.
    if own < spent:
        say(f"orbiter's own share of the rounds' time: {100 * own / spent:.1f} %")
    say(f"account:  {result.path}/attempts.jsonl verdicts.jsonl decisions.jsonl rounds.jsonl")
    say(f"data:     {result.path}/data/")
    if result.exports:
        say(f"exports:  {' '.join(map(str, result.exports))}")
    if result.checkpoint is not None:
        say(f"model:    {result.checkpoint}")
    if (result.path / "report.html").exists():
        say(f"report:   {result.path}/report.html")
    say("next:")
    say(f"  {shlex.join(['orbiter', 'yield', str(result.path)])}")
    say(f"  {again(f'name={recipe.name}-2', f'seed={recipe.seed + 1}')}")
    train, teach = recipe.train, recipe.teach
    # Only what the cold start does with the demonstrations can be done again.
    repeats = train is not None and teach is not None and train.algorithm == teach.algorithm
    if repeats and recipe.curate.keep != "none" and not recipe.stages:
        control = again(f"name={recipe.name}-control", "curate.keep=none")
        say(f"  {control}   # the control: the demonstrations again")
