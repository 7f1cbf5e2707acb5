"""Self-play fine-tuning (Chen et al. 2024): the demonstrations are chosen, and the model's own answers to their prompts rejected.

The model that a job starts from answers each prompt once, and is the reference of the DPO that follows. To iterate, start the next job
from the checkpoint of the last. Whether an own answer is right is not asked; one that equals the demonstration is left out.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, field
from pathlib import Path

import attrs
from trl import DPOConfig

from orbiter import jsonl
from orbiter.checks import check_number, check_whole_number
from orbiter.curate.pairs import tools_of
from orbiter.curate.response import response
from orbiter.errors import BackendError, ConfigError, RecordError
from orbiter.generate.policy import Request, Sampling
from orbiter.records import Pair, Trajectory
from orbiter.tasks.streams import item_seed
from orbiter.train.backend import TrainJob
from orbiter_trl import dpo
from orbiter_trl.answering import Answerer
from orbiter_trl.data import Data, read_data
from orbiter_trl.offline import make_config
from orbiter_trl.settings import check_reference, refuse_rewards
from orbiter_trl.training import Setup


@dataclass
class SpinConfig(DPOConfig):
    """TRL's arguments of DPO, and how the model's own answers are sampled."""

    temperature: float = field(default=1.0)
    max_completion_length: int = field(default=256)
    generation_batch_size: int = field(default=256)


CONFIG = SpinConfig
"""The class whose arguments a job's options are."""

IDLE = dpo.IDLE
"""Arguments of it that would change nothing here."""


def check(job: TrainJob) -> Data[Trajectory]:
    """Return the job's demonstrations; raise if it asks for what SPIN cannot do, or its data are no demonstrations of one turn."""
    refuse_rewards(job)
    dpo.check_losses(job)
    check_reference(job, beta=0.1)
    check_number("temperature", job.options.get("temperature", 1.0), "[0, inf)")
    for name in ("max_completion_length", "generation_batch_size"):
        check_whole_number(name, job.options.get(name, 256), low=1)
    if job.eval_data is not None:
        raise ConfigError(
            "eval_data must be None for spin, whose pairs are made of the model's own answers"
        )
    return read_data(job, read_demonstrations)


def read_demonstrations(path: Path) -> list[Trajectory]:
    """Return the demonstrations of a file.

    Raises:
        RecordError: A row is no trajectory whose prompt one assistant turn follows, or there is none; names file, line and field.
    """
    rows = list(jsonl.read(path, Trajectory))
    for line, row in enumerate(rows, start=1):
        answer = response(row)
        if len(answer) != 1 or not answer[0].text:
            raise RecordError(
                f"must hold a prompt and one assistant turn after it for spin, got {len(answer)}",
                source=str(path),
                line=line,
                field="messages",
            )
    if not rows:
        raise RecordError("must hold at least one demonstration, got none", source=str(path))
    return rows


def make_arguments(job: TrainJob, folder: Path) -> SpinConfig:
    """Return TRL's arguments for the job; ``folder`` gets the resumable checkpoints."""
    return make_config(SpinConfig, job, folder)


def make_trainer(setup: Setup) -> tuple[dpo.PairDPOTrainer, list[str]]:
    """Return the trainer, ready to train, and the alarms about its data."""
    pairs, alarms = own_pairs(setup.data.train, setup.job, setup.args)
    trainer, more = dpo.make_trainer(
        attrs.evolve(setup, data=attrs.evolve(setup.data, train=pairs))
    )
    return trainer, alarms + more


def own_pairs(
    rows: Sequence[Trajectory], job: TrainJob, args: SpinConfig
) -> tuple[list[Pair], list[str]]:
    """Return each demonstration beside the answer of the model that the job starts from, and the alarms about them.

    The same job draws the same answers, so that one that goes on after a crash trains on the same pairs.
    """
    sampling = Sampling(temperature=args.temperature, max_new_tokens=args.max_completion_length)
    answerer = Answerer.open(
        job.model,
        device="cpu" if args.use_cpu else "auto",
        trust_remote_code=args.trust_remote_code,
    )
    requests = [
        Request(
            messages=row.prompt, tools=row.tools, seed=item_seed("spin", job.config.seed, number)
        )
        for number, row in enumerate(rows)
    ]
    answers = []
    for start in range(0, len(requests), args.generation_batch_size):
        answers += answerer.answer(requests[start : start + args.generation_batch_size], sampling)
    pairs = [
        Pair(
            row.prompt,
            response(row),
            answer.messages,
            env=row.env,
            task_id=row.task_id,
            extra=tools_of(row),
        )
        for row, answer in zip(rows, answers)
        if answer.messages and answer.messages != response(row)
    ]
    if not pairs:
        raise BackendError(
            f"model {job.model!r} must answer otherwise than the demonstrations, got the same {len(rows)} answers",
            hint="nothing is left to learn by spin",
        )
    left_out = len(rows) - len(pairs)
    if not left_out:
        return pairs, []
    return pairs, [
        f"{left_out} of {len(rows)} demonstrations were left out: the model answered the same, or could not answer"
    ]
