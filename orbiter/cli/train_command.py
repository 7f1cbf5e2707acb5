"""``orbiter train``: train a model once with a backend, or print what the backend's library would be told."""

from __future__ import annotations

import argparse
import sys
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Any

from orbiter.cli.stopping import stop_code, terminable

if TYPE_CHECKING:
    from orbiter.train.backend import Backend, TrainJob
    from orbiter.train.config import TrainConfig
    from orbiter.train.rewards import RewardSpec


def add_arguments(parser: argparse.ArgumentParser) -> None:
    """Add the command's options."""
    parser.add_argument(
        "overrides",
        nargs="*",
        default=[],
        metavar="field=value",
        help="a hyperparameter, such as learning_rate=1e-5, or options.NAME for one of the backend's own",
    )
    parser.add_argument("--backend", default="trl", metavar="NAME", help="default: trl")
    parser.add_argument("--algorithm", metavar="NAME", help="default: the backend's first")
    parser.add_argument(
        "--model", default="", metavar="ID", help="model id or folder to start from"
    )
    parser.add_argument("--data", type=Path, metavar="FILE", help="JSONL of what is trained on")
    parser.add_argument(
        "--eval-data", type=Path, metavar="FILE", help="JSONL of what is evaluated on"
    )
    parser.add_argument(
        "--reward",
        action="append",
        default=[],
        metavar="FILE:NAME",
        help="function in a Python file that scores an answer; may be given again",
    )
    parser.add_argument(
        "--verifier",
        nargs="+",
        metavar=("NAME", "key=value"),
        help="verifier whose score is a reward, and its options",
    )
    parser.add_argument(
        "--output",
        type=Path,
        metavar="DIR",
        help="folder of the checkpoint (default: runs/ALGORITHM)",
    )
    parser.add_argument(
        "--print-config",
        action="store_true",
        help="print the whole configuration of the library below, and train nothing",
    )


def main(options: argparse.Namespace) -> int:
    """Train, print a line per row of metrics, and end with where the checkpoint is."""
    from orbiter.errors import ConfigError, user_code
    from orbiter.plugin import registry

    backend: Backend = registry().create("backend", options.backend)
    job = make_job(options, backend)
    if options.print_config:
        print(backend.native_config(job), end="")
        return 0
    for name, given in (("--model", job.model), ("--data", options.data)):
        if not given:
            raise ConfigError(f"{name} must be given to train, got none")
    try:
        with terminable(), user_code(f"backend {backend.name!r}", "train"):
            result = backend.prepare(job)()
    except KeyboardInterrupt as stop:
        print(
            f"\nstopped; what is done is in {job.output_dir}. The same command goes on from there.",
            file=sys.stderr,
        )
        return stop_code(stop)
    for alarm in result.alarms:
        print(f"alarm: {alarm}")
    print(f"{result.metrics.steps} steps in {result.seconds:.1f} s: {result.checkpoint}")
    return 0


def make_job(options: argparse.Namespace, backend: Backend) -> TrainJob:
    """Return the job that the command line describes."""
    from orbiter.train.backend import TrainJob

    fields, own = read_overrides(options.overrides)
    algorithm = options.algorithm or next(iter(backend.algorithms))
    backend.record_of(algorithm)
    return TrainJob(
        algorithm=algorithm,
        model=options.model,
        data=options.data or Path(),
        output_dir=options.output or Path("runs") / algorithm,
        config=_config(fields),
        rewards=_rewards(options.reward, options.verifier),
        eval_data=options.eval_data,
        options=own,
        on_metrics=_print_row,
    )


def read_overrides(overrides: Sequence[str]) -> tuple[dict[str, Any], dict[str, Any]]:
    """Return hyperparameters, and options of the backend's own, from ``field=value`` and ``options.name=value``."""
    from orbiter.cli.component import component_spec
    from orbiter.errors import ConfigError

    fields = [text for text in overrides if not text.startswith("options.")]
    own = [text.removeprefix("options.") for text in overrides if text.startswith("options.")]
    found = [component_spec("", texts, what="training") for texts in (fields, own)]
    for spec in found:
        del spec["name"]
    if "options" in found[0]:
        raise ConfigError("options must be given one by one, as options.name=value")
    return found[0], found[1]


def _config(fields: Mapping[str, Any]) -> TrainConfig:
    from orbiter.convert import structure
    from orbiter.train.config import TrainConfig

    return structure(dict(fields), TrainConfig, source="command line")


def _rewards(functions: Sequence[str], verifier: Sequence[str] | None) -> tuple[RewardSpec, ...]:
    from orbiter.cli.component import component_spec
    from orbiter.plugin import registry
    from orbiter.train.rewards import RewardSpec
    from orbiter.verify.component import make_verifier

    found = [
        RewardSpec(name=text.rpartition(":")[2], fn=registry().get("reward", text))
        for text in functions
    ]
    if verifier:
        spec = component_spec(verifier[0], verifier[1:], what="verifier")
        judge = make_verifier(spec)
        found.append(RewardSpec.from_verifier(judge))
    return tuple(found)


def _print_row(step: int, metrics: Mapping[str, float]) -> None:
    shown = (name for name in ("loss", "reward", "accuracy", "kl") if name in metrics)
    print(
        f"step {step:>6}  " + "  ".join(f"{name} {metrics[name]:.4f}" for name in shown), flush=True
    )
