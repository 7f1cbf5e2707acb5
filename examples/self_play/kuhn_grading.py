"""Teach a nano model Kuhn poker from the same games twice: by the moves of those who won, and by the moves that lose no value.

    OMP_NUM_THREADS=1 python examples/self_play/kuhn_grading.py [--seeds 5] [--games 1000] [--steps 400] [--players uniform]

Both models of a seed begin with the same random weights and see the same games; only what is kept of them differs. A model is
asked for its probabilities at every information state, and what two best responses would win from it together is its
NashConv: 0 for an equilibrium, 11/12 for uniform play. The last lines say what the moves themselves, imitated exactly, would give.
"""

from __future__ import annotations

import argparse
import asyncio
import statistics
import tempfile
from pathlib import Path
from typing import Any

from orbiter_openspiel.environment import OpenSpielEnvironment
from orbiter_openspiel.filtering import graded, imitated, winners
from orbiter_openspiel.games import load_game
from orbiter_openspiel.metrics import StudentPolicy, move_accuracy, play_match, student_policy
from orbiter_openspiel.selfplay import SelfPlaySynthesiser
from orbiter_openspiel.snapshot import solve, uniform
from orbiter_trl.nano import make_nano_model
from orbiter_trl.policy import TransformersPolicy

from orbiter import jsonl
from orbiter.records import Trajectory
from orbiter.train import ModelTrainer, TrainConfig

GAME = "kuhn_poker"


def games(folder: Path, keep: str, *, players: str, count: int, seed: int) -> list[Trajectory]:
    """Return the kept moves of the same games: those of the winners, or those that the solver finds right."""
    synthesiser = SelfPlaySynthesiser(game=GAME, players=players, keep=keep, seed=seed)
    path = folder / f"{keep}.jsonl"
    synthesiser.write(path, games=count)
    return [row for row in jsonl.read(path) if row.score == 1.0]


def teach(folder: Path, rows: list[Trajectory], *, steps: int, seed: int) -> Path:
    """Return a nano model that has imitated the rows."""
    chars = load_game(GAME).notation.chars or ""
    model = make_nano_model(folder / "base", hidden_size=96, layers=2, chars=chars, seed=seed)
    config = TrainConfig(
        max_steps=steps,
        batch_size=64,
        learning_rate=4e-3,
        lr_scheduler="cosine",
        warmup_steps=20,
        adam_beta2=0.98,
        seed=seed,
    )
    trainer = ModelTrainer(model, data=rows, config=config, output_dir=folder / "taught")
    asyncio.run(trainer.run())
    return folder / "taught" / "checkpoint"


async def examine(checkpoint: Path) -> dict[str, Any]:
    """Return the NashConv of a model, its move accuracy and its results."""
    policy = TransformersPolicy(checkpoint)
    student: StudentPolicy = await student_policy(policy, game=GAME)
    nash = solve(load_game(GAME), "cfr+")
    accuracy = await move_accuracy(policy, environment=OpenSpielEnvironment(game=GAME))
    match = await play_match(policy, "uniform", game=GAME, games=400)
    await policy.aclose()
    return {
        "nash_conv": student.nash_conv,
        "illegal": student.illegal_rate,
        "against Nash": sum(student.snapshot.values(nash)) / 2,
        "accuracy": accuracy.value,
        "wins against uniform": match.wins.value,
    }


def main() -> None:
    """Teach and examine both models of each seed, and print a table."""
    parser = argparse.ArgumentParser()
    parser.add_argument("--seeds", type=int, default=5)
    parser.add_argument("--games", type=int, default=1000)
    parser.add_argument("--steps", type=int, default=400)
    parser.add_argument("--players", default="uniform")
    options = parser.parse_args()
    found: dict[str, list[float]] = {"winners": [], "graded": []}
    print(
        "seed  kept     rows  NashConv  value against Nash  wins against uniform  accuracy  illegal"
    )
    for seed in range(options.seeds):
        for keep, nash_convs in found.items():
            with tempfile.TemporaryDirectory() as folder:
                rows = games(
                    Path(folder), keep, players=options.players, count=options.games, seed=seed
                )
                taught = teach(Path(folder), rows, steps=options.steps, seed=seed)
                result = asyncio.run(examine(taught))
            nash_convs.append(result["nash_conv"])
            print(
                f"{seed:4}  {keep:7}  {len(rows):4}  {result['nash_conv']:8.3f}  {result['against Nash']:18.3f}  "
                f"{result['wins against uniform']:20.3f}  {result['accuracy']:8.3f}  {result['illegal']:7.4f}",
                flush=True,
            )
    lower = sum(g < w for g, w in zip(found["graded"], found["winners"]))
    for keep, nash_convs in found.items():
        print(f"{keep}: mean NashConv {statistics.mean(nash_convs):.3f}, from {min(nash_convs):.3f} to {max(nash_convs):.3f}")  # fmt: skip
    game = load_game(GAME)
    played = uniform(game) if options.players == "uniform" else solve(game, options.players)
    for keep, weight in (("winners", winners), ("graded", graded(game))):
        print(f"{keep}, imitated exactly: {imitated(played, weight).nash_conv():.3f}")
    print(f"graded is lower in {lower} of {options.seeds} seeds")


if __name__ == "__main__":
    main()
