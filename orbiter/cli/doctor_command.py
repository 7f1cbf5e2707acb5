"""``orbiter doctor``: attack the sandboxes of this machine, and look at what backends and policies need of it."""

from __future__ import annotations

import argparse
import json
import time
from collections.abc import Sequence
from typing import TYPE_CHECKING

from attrs import asdict, frozen

if TYPE_CHECKING:
    from rich.table import Table

    from orbiter.registry import Entry
    from orbiter.train.backend import Finding
    from orbiter.verify.sandbox import Probe


@frozen
class Examination:
    """What became of the attacks on one sandbox.

    Args:
        name: Its full name.
        tier: What it is made of, ``T1`` to ``T3``; empty where it could not be loaded.
        probes: The attacks; none where it did not start.
        problem: Why it did not start, or nothing.
        hint: What to do about it, or nothing.
        seconds: How long it took.
    """

    name: str
    tier: str
    probes: tuple[Probe, ...] = ()
    problem: str = ""
    hint: str = ""
    seconds: float = 0.0

    @property
    def holds(self) -> bool:
        """Whether it was attacked and every attack failed."""
        return bool(self.probes) and all(probe.held for probe in self.probes)


def add_arguments(parser: argparse.ArgumentParser) -> None:
    """Add the command's options."""
    parser.add_argument("--json", action="store_true", help="print JSON")


def main(options: argparse.Namespace) -> int:
    """Print what became of each attack on each sandbox, and what each backend and policy found; 3 if no sandbox holds."""
    from orbiter.errors import SandboxError
    from orbiter.plugin import registry

    found = [examine(entry) for entry in registry().entries("sandbox")]
    found.sort(key=lambda one: (one.tier or "T9", one.name))
    backends = {e.full_name: look_at(e) for e in registry().entries("backend")}
    policies = {e.full_name: look_at_policy(e) for e in registry().entries("policy")}
    if options.json:
        sandboxes = [{**asdict(one), "holds": one.holds} for one in found]
        findings = {
            kind: {name: [asdict(one) for one in each] for name, each in parts.items()}
            for kind, parts in (("backends", backends), ("policies", policies))
        }
        print(json.dumps({"sandboxes": sandboxes, **findings}, indent=2))
    else:
        if found:
            _show(found)
        for name, each in (*backends.items(), *policies.items()):
            _show_findings(name, each)
    if not any(one.holds for one in found):
        raise SandboxError(
            "no sandbox holds on this machine, so code that a model wrote cannot be verified",
            hint="the table says what is missing" if found else "pip install orbiter-code",
        )
    return 0


def examine(entry: Entry) -> Examination:
    """Return what became of the attacks on the sandbox of a registered name."""
    from orbiter.errors import OrbiterError, user_code
    from orbiter.plugin import registry

    begun, tier = time.perf_counter(), ""
    try:
        sandbox = registry().create("sandbox", entry.full_name)
        tier = sandbox.tier
        with user_code(f"sandbox {entry.full_name!r}"):
            try:
                probes = tuple(sandbox.probe())
            finally:
                sandbox.close()
    except OrbiterError as error:
        return Examination(entry.full_name, tier, problem=error.message, hint=error.hint or "")
    return Examination(entry.full_name, tier, probes, seconds=time.perf_counter() - begun)


def look_at(entry: Entry) -> Sequence[Finding]:
    """Return what the backend of a registered name says of this machine."""
    from orbiter.errors import OrbiterError, user_code
    from orbiter.plugin import registry
    from orbiter.train.backend import Finding

    try:
        backend = registry().create("backend", entry.full_name)
        with user_code(f"backend {entry.full_name!r}"):
            return tuple(backend.examine())
    except OrbiterError as error:
        problem = Finding(what="backend", good=False, said=error.message, hint=error.hint or "")
        return (problem,)


def look_at_policy(entry: Entry) -> Sequence[Finding]:
    """Return what the policy of a registered name says of this machine; it is not made, since its options are a recipe's."""
    from orbiter.errors import OrbiterError, user_code
    from orbiter.train.backend import Finding

    try:
        examine = getattr(entry.load(), "examine", tuple)  # a function that makes one has none
        with user_code(f"policy {entry.full_name!r}"):
            return tuple(examine())
    except OrbiterError as error:
        return (Finding(what="policy", good=False, said=error.message, hint=error.hint or ""),)


def _show_findings(name: str, found: Sequence[Finding]) -> None:
    """Print a line per finding, and one below it that says what to do."""
    from orbiter.cli.text import one_line

    marks = {True: "ok", False: "NO", None: "--"}
    for one in found:
        print(f"{marks[one.good]}  {name}  {one_line(one.what)}: {one_line(one.said)}")
        if one.hint:
            print(f"      {one_line(one.hint)}")


def _show(found: Sequence[Examination]) -> None:
    from rich.console import Console

    from orbiter.cli.text import one_line

    console = Console(highlight=False, soft_wrap=True)
    attacked = [one for one in found if one.probes]
    if attacked:
        console.print(_table(attacked))
    for one in found:
        title = f"{one.tier or '?'}  {one.name}"
        if one.problem:
            said = f"not available: {one_line(one.problem)}"
        else:
            held = sum(probe.held for probe in one.probes)
            said = "holds" if one.holds else "does not hold"
            said += f": {held} of {len(one.probes)} attacks refused, in {one.seconds:.2f} s"
        console.print(f"{title}  {said}", markup=False)
        if one.hint:
            console.print(f"      {one_line(one.hint)}", markup=False)


def _table(found: Sequence[Examination]) -> Table:
    """Return a row per attack and a column per sandbox."""
    from rich.table import Table
    from rich.text import Text

    from orbiter.cli.text import printable

    table = Table(box=None, pad_edge=False)
    table.add_column("attack")
    for one in found:
        table.add_column(one.name)
    by_attack: dict[str, dict[str, Probe]] = {}
    for one in found:
        for probe in one.probes:
            by_attack.setdefault(probe.attack, {})[one.name] = probe
    for attack, probes in by_attack.items():
        said = [_outcome(probes.get(one.name)) for one in found]
        table.add_row(*(Text(printable(text)) for text in (attack, *said)))
    return table


def _outcome(probe: Probe | None) -> str:
    if probe is None:
        return "-"
    return "refused" if probe.held else f"SUCCEEDED: {probe.found}"
