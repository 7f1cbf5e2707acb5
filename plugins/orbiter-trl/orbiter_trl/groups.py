"""What the algorithms that sample groups of answers share: arguments, rewards as one function, and a trainer that counts."""

from __future__ import annotations

import math
from collections.abc import Callable, Iterator, Sequence
from itertools import islice
from pathlib import Path
from typing import Any, TypeVar

import torch
from torch.utils.data import Sampler

from orbiter import jsonl
from orbiter.errors import ConfigError
from orbiter.records import Task
from orbiter.tasks.toolbox import Toolbox
from orbiter.train.backend import TrainJob
from orbiter.train.rewards import RewardSpec
from orbiter.train.tally import Tally
from orbiter_trl.online import mean_by_name, prompt_alarms, score, task_table
from orbiter_trl.settings import trl_arguments
from orbiter_trl.tools import environment_argument, shown_tools, tools_are_wanted
from orbiter_trl.training import Setup

C = TypeVar("C")


class PassSampler(Sampler[int]):
    """Gives each pass over the tasks the order that it has in a run that is never stopped.

    TRL's sampler draws one order after the other from one stream, so that a run that goes on in a later pass would see the
    order of the first.

    Args:
        sampler: TRL's, which repeats each task for its answers.
        seed: What TRL seeds its stream with.
    """

    def __init__(self, sampler: Any, *, seed: int) -> None:
        self._sampler, self._seed, self._pass = sampler, seed, 0

    def set_epoch(self, epoch: int) -> None:
        """Go by the order of this pass from now on."""
        self._pass = epoch

    def __len__(self) -> int:
        return len(self._sampler)

    def __iter__(self) -> Iterator[int]:
        if self._sampler.shuffle:
            stream = self._sampler.generator
            stream.manual_seed(self._seed)
            for _ in range(self._pass):
                torch.randperm(self._sampler.num_samples, generator=stream)
        return iter(self._sampler)


class GroupTrainer:
    """Mixed into a trainer of TRL that samples groups of answers: counts the tokens that carry loss, and sees each pass in its order."""

    tally: Tally

    def _get_train_sampler(self, dataset: Any = None) -> PassSampler:
        sampler = super()._get_train_sampler(dataset)  # type: ignore[misc]
        return PassSampler(sampler, seed=self.args.seed)  # type: ignore[attr-defined]

    def compute_loss(self, model: Any, inputs: dict[str, Any], *more: Any, **named: Any) -> Any:
        """Compute the loss, as the parent does."""
        if model.training:
            written = inputs["completion_mask"]
            if "tool_mask" in inputs:  # what tools answered was not written by the model
                written = written * inputs["tool_mask"]
            self.tally.token_count += int(written.sum())
        return super().compute_loss(model, inputs, *more, **named)  # type: ignore[misc]


def group_reward(
    specs: Sequence[RewardSpec],
    tasks: Sequence[Task],
    tally: Tally,
    *,
    group_size: int,
    trained_count: int,
) -> Callable[..., list[float | None]]:
    """Return the rewards as one function of TRL's kind, which also counts the answers to the first ``trained_count`` tasks.

    The rest are held out, in groups of another size.
    """

    def combined(
        completions: list[Any],
        task: list[int],
        log_metric: Callable[[str, float], None],
        environments: list[Toolbox] | None = None,
        **_: Any,
    ) -> list[float | None]:
        rewards = score(specs, completions, [tasks[number] for number in task], environments)
        for name, mean in mean_by_name(rewards).items():
            log_metric(f"rewards/{name}", mean)
        if task[0] < trained_count:  # TRL evaluates in batches of their own
            tally.count_rewards(rewards, group_size=group_size)
            tally.check_scored()
        return list(rewards.scores)

    return combined


def make_group_arguments(config_class: type[C], job: TrainJob, folder: Path) -> C:
    """Return TRL's arguments for a job that samples groups of answers.

    Raises:
        ConfigError: There are not the tasks of one batch of answers, or a checkpoint would come amid the steps that share one.
    """
    args: Any = config_class(
        **trl_arguments(job.config, job.options, folder=folder, evaluate=job.eval_data is not None)
    )
    asked = args.generation_batch_size // args.num_generations
    count = sum(1 for _ in islice(jsonl.read_objects(job.data), asked))
    if count < asked:
        raise ConfigError(
            f"data must hold at least the {asked} tasks of one batch of {args.generation_batch_size} answers, got {count}",
            hint="lower batch_size or gradient_accumulation, raise num_generations, or give more tasks",
        )
    batches, saved = args.steps_per_generation * args.num_iterations, job.config.save_every
    steps = math.lcm(batches, args.gradient_accumulation_steps) // args.gradient_accumulation_steps
    if saved is not None and saved % steps:
        raise ConfigError(
            f"save_every must be a multiple of {steps}, since so many steps share their answers, got {saved}",
            hint="the answers are not kept with a checkpoint, so that a run could not go on with them",
        )
    return args  # type: ignore[no-any-return]


def make_group_trainer(trainer_class: Any, setup: Setup) -> tuple[Any, list[str]]:
    """Return a trainer that samples ``num_generations`` answers per prompt, and the alarms about its data."""
    job, args = setup.job, setup.args
    tasks, held_out = setup.data.train, setup.data.held_out or []
    every = [*tasks, *held_out]
    with tools_are_wanted():
        trainer = trainer_class(
            model=setup.model,
            args=args,
            reward_funcs=[
                group_reward(
                    job.rewards,
                    every,
                    setup.tally,
                    group_size=args.num_generations,
                    trained_count=len(tasks),
                )
            ],
            train_dataset=task_table(tasks),
            eval_dataset=task_table(held_out, len(tasks)) if held_out else None,
            processing_class=setup.tokenizer,
            peft_config=setup.peft_config,
            **environment_argument(job.toolbox, every),
        )
    trainer.tally = setup.tally
    alarms = prompt_alarms(
        tasks,
        setup.model,
        setup.tokenizer,
        room=args.max_completion_length,
        bound="max_completion_length",
        tools=shown_tools(job.toolbox),
    )
    return trainer, alarms
