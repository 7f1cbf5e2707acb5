"""``orbiter preview``: show a few tasks, answers and verdicts before spending anything."""

from __future__ import annotations

import argparse
from pathlib import Path
from typing import TYPE_CHECKING

from orbiter.cli.run_command import add_recipe_arguments

if TYPE_CHECKING:
    from orbiter.records import Verdict


def add_arguments(parser: argparse.ArgumentParser) -> None:
    """Add the command's options."""
    add_recipe_arguments(parser)
    parser.add_argument("-n", type=int, default=5, metavar="N", help="how many tasks (default: 5)")


def main(options: argparse.Namespace) -> int:
    """Print tasks, a demonstration where there is one, an answer of the model if the recipe asks it, and the verdicts."""
    from orbiter.cli.text import printable
    from orbiter.errors import ConfigError
    from orbiter.flywheel import Flywheel, load_recipe, stages
    from orbiter.flywheel.probe import demonstrated, probing, sample
    from orbiter.tasks.environment import demonstration_of

    if options.n < 1:
        raise ConfigError(f"-n must be >= 1, got {options.n}")
    recipe = load_recipe(options.recipe, options.overrides, scale=options.scale)
    wheel = Flywheel(recipe, runs_dir=options.runs, base_dir=options.recipe.parent)
    if not recipe.asks:
        for row in demonstrated(wheel, options.n):
            print(f"\n{printable(row.task_id)}")
            for message in row.messages:
                called = (call["function"] for call in message.tool_calls)
                calls = (f"{call['name']} {call['arguments']}" for call in called)
                _say(message.role, " ".join(filter(None, (message.text, *calls))))
            if row.verdict is not None:
                _say_verdict(row.verdict)
        return 0
    with probing(wheel) as model:
        tasks = stages.round_tasks(wheel, 1)[: options.n]
        samples, _ = sample(wheel, tasks)
    made = recipe.model is not None and recipe.model.name and not Path(model).exists()
    print(f"answers by {'the model as it is made, before any training' if made else model}")
    for shown in samples:
        print(f"\n{printable(shown.task.task_id)}")
        for message in shown.task.messages:
            _say(message.role, message.text)
        known = demonstration_of(wheel.environment, shown.task)
        if known is not None:
            _say("right", known)
        answer = shown.completion
        said = f"({answer.error})" if answer.error else "".join(m.text for m in answer.messages)
        _say("answer", said)
        _say_verdict(shown.verdict)
    return 0


def _say(what: str, text: str) -> None:
    from orbiter.cli.text import printable

    print(f"  {what:10} {printable(text)}")


def _say_verdict(verdict: Verdict) -> None:
    score = "" if verdict.score is None else f" {verdict.score:g}"
    _say("verdict", f"{verdict.outcome.value}{score}  {verdict.reason}".rstrip())
