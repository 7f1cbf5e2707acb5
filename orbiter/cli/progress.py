"""What ``orbiter run`` shows: an observer that draws a live table, or prints a line per round."""

from __future__ import annotations

from collections.abc import Mapping
from time import monotonic
from types import TracebackType
from typing import Any, Self

from rich.console import Console, Group
from rich.live import Live
from rich.table import Table
from rich.text import Text

from orbiter import hookimpl
from orbiter.flywheel.flywheel import RunResult
from orbiter.flywheel.recipe import Recipe
from orbiter.hookspecs import MetricsEvent, RoundEvent, StateEvent, VerdictsEvent

COLUMNS = (
    "round",
    "yield [95% CI]",
    "kept/sampled",
    "dup",
    "invalid",
    "held-out [95% CI]",
    "g (forecast)",
    "loss",
    "s",
    "tok/s",
)


class Progress:
    """Shows a run as it goes.

    Args:
        recipe: The run's recipe.
        live: Draw a table that changes in place; otherwise print one line per round.
    """

    def __init__(self, recipe: Recipe, *, live: bool) -> None:
        self._recipe, self._live = recipe, live
        self._console = Console(highlight=False, width=None if live else 200)
        self._rows: list[tuple[str, ...]] = []
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
        """Return the table and the line below it."""
        table = Table(
            title=f"{self._recipe.name}: {self._recipe.description}", title_justify="left"
        )
        for column in COLUMNS:
            table.add_column(column, justify="right", no_wrap=True)
        for row in self._rows:
            table.add_row(*row)
        lines: list[Any] = [table]
        lines += [Text(f"! {alarm}", style="yellow") for alarm in self._alarms[-3:]]
        if self._status not in ("done", "stopped"):
            lines.append(Text(f"{self._status}  {monotonic() - self._since:.0f} s", style="dim"))
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
        stage = self._status.split("  ")[0]
        self._status = f"{stage}  {self._stage_count} judged"

    @hookimpl
    def orbiter_on_metrics(self, event: MetricsEvent) -> None:
        """Show the training step."""
        stage = self._status.split("  ")[0]
        loss = event.metrics.get("loss")
        self._status = f"{stage}  step {event.step}" + (
            f", loss {loss:.3f}" if loss is not None else ""
        )

    @hookimpl
    def orbiter_on_round(self, event: RoundEvent) -> None:
        """Add the round's row."""
        cells = round_cells(event.summary)
        self._rows.append(cells)
        alarms = [f"round {event.round}: {text}" for text in event.summary.get("alarms", ())]
        self._alarms += alarms
        if self._display is not None:
            return
        self._console.print(
            "  ".join(f"{name} {cell}" for name, cell in zip(COLUMNS, cells) if cell), markup=False
        )
        for alarm in alarms:
            self._console.print(f"! {alarm}", markup=False)


def round_cells(row: Mapping[str, Any]) -> tuple[str, ...]:
    """Return the table's cells for the summary of a round; empty where nothing was measured."""
    decisions = row.get("decisions") or {}
    sampled = row.get("sampled")
    return (
        str(row["round"]),
        _rate(row, "yield"),
        f"{row.get('kept', 0)}/{sampled}" if sampled is not None else "",
        str(decisions.get("duplicate", 0)) if sampled is not None else "",
        str(row.get("invalid", 0)) if sampled is not None else "",
        _rate(row, "held_out"),
        _multiplier(row),
        f"{row['loss']:.3f}" if row.get("loss") is not None else "",
        f"{row['seconds']:.1f}",
        f"{row['tokens_per_s']:.0f}" if row.get("tokens_per_s") else "",
    )


def _rate(row: Mapping[str, Any], name: str) -> str:
    if row.get(name) is None:
        return ""
    return f"{row[name]:.3f} [{row[f'{name}_low']:.3f}, {row[f'{name}_high']:.3f}]"


def _multiplier(row: Mapping[str, Any]) -> str:
    """Return the measured odds multiplier beside the forecast: TPR/FPR, with its lower bound from the audit."""
    measured = f"{row['g']:.2f}" if row.get("g") is not None else ""
    if not measured:
        return ""
    bound = row.get("g_bound")
    return f"{measured} (≤ TPR/FPR, >{bound:.0f})" if bound is not None else measured


def print_ending(recipe: Recipe, result: RunResult, *, recipe_path: Any) -> None:
    """Print what the run cost, where its files are, and what to try next."""
    console = Console(highlight=False, soft_wrap=True)

    def say(text: str) -> None:
        console.print(text, markup=False)

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
    tokens = sum(row.get("tokens", 0) for row in rounds)
    sampled = sum(row.get("sampled", 0) for row in rounds)
    seconds = sum(row["seconds"] for row in result.rounds)
    if kept:
        say(
            f"cost per kept row: {sampled / kept:.2f} samples, {tokens / kept:.0f} tokens, {1000 * seconds / kept:.0f} ms"
            f"  ({kept} rows kept of {sampled} samples in {seconds:.0f} s)"
        )
    own = sum(row.get("own_s", 0.0) for row in rounds)
    spent = sum(row["seconds"] for row in rounds)
    if spent:
        say(f"orbiter's own share of the rounds' time: {100 * own / spent:.1f} %")
    say(f"account:  {result.path}/attempts.jsonl verdicts.jsonl decisions.jsonl rounds.jsonl")
    say(f"data:     {result.path}/data/")
    if result.checkpoint is not None:
        say(f"model:    {result.checkpoint}")
    if (result.path / "report.html").exists():
        say(f"report:   {result.path}/report.html")
    say("next:")
    say(f"  orbiter yield {result.path}")
    say(f"  orbiter run {recipe_path} name={recipe.name}-2 seed={recipe.seed + 1}")
    if recipe.train is not None:
        say(
            f"  orbiter run {recipe_path} name={recipe.name}-control curate.keep=none"
            "   # the control: the demonstrations again"
        )
