"""Group-relative policy optimisation (Shao et al. 2024) with TRL's GRPOTrainer."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from pathlib import Path
from typing import Any

from datasets import Dataset
from transformers import PreTrainedModel, PreTrainedTokenizerBase
from trl import GRPOConfig, GRPOTrainer

from orbiter import jsonl
from orbiter.errors import BackendError, ConfigError, RecordError
from orbiter.records import Task
from orbiter.train.backend import TrainJob
from orbiter.train.rewards import RewardSpec, check_rewards, combine_rewards
from orbiter_trl.chat import context_of, to_chat
from orbiter_trl.settings import trl_arguments
from orbiter_trl.tally import Tally

CONFIG = GRPOConfig
"""The class whose arguments a job's options are."""


class CountingGRPOTrainer(GRPOTrainer):
    """TRL's trainer, counting the tokens that carry loss."""

    tally: Tally

    def compute_loss(self, model: Any, inputs: dict[str, Any], *more: Any, **named: Any) -> Any:
        """Compute the loss, as the parent does."""
        if model.training:
            self.tally.token_count += int(inputs["completion_mask"].sum())
        return super().compute_loss(model, inputs, *more, **named)


def check(job: TrainJob) -> None:
    """Raise ConfigError if the job asks for what this algorithm cannot do."""
    check_rewards(job.rewards)
    if job.config.max_length is not None:
        raise ConfigError(
            f"max_length must be None for grpo, got {job.config.max_length!r}",
            hint="bound the answers with the option max_completion_length",
        )


def make_arguments(job: TrainJob, folder: Path) -> GRPOConfig:
    """Return TRL's arguments for the job; ``folder`` gets the resumable checkpoints."""
    return GRPOConfig(
        **trl_arguments(job.config, job.options, folder=folder, evaluate=job.eval_data is not None)
    )


def make_trainer(
    job: TrainJob,
    args: GRPOConfig,
    model: PreTrainedModel,
    tokenizer: PreTrainedTokenizerBase,
    *,
    peft_config: Any,
    tally: Tally,
) -> tuple[CountingGRPOTrainer, list[str]]:
    """Return the trainer, ready to train, and the alarms about its data."""
    tasks = _read_tasks(job.data)
    held_out = [] if job.eval_data is None else _read_tasks(job.eval_data)
    trainer = CountingGRPOTrainer(
        model=model,
        args=args,
        reward_funcs=[_reward(job.rewards, [*tasks, *held_out], args.num_generations, tally)],
        train_dataset=_table(tasks, 0),
        eval_dataset=_table(held_out, len(tasks)) if held_out else None,
        processing_class=tokenizer,
        peft_config=peft_config,
    )
    trainer.tally = tally
    return trainer, _alarms(tasks, args, model, tokenizer)


def _read_tasks(path: Path) -> list[Task]:
    tasks = []
    for line, task in enumerate(jsonl.read(path, Task), start=1):
        if task.tools or any(m.tool_calls for m in task.messages):
            raise RecordError(
                "must be empty for grpo: tools cannot be called in it",
                source=str(path),
                line=line,
                field="tools",
            )
        tasks.append(task)
    if not tasks:
        raise BackendError(f"{path} must hold at least one task, got none")
    return tasks


def _table(tasks: Sequence[Task], start: int) -> Dataset:
    """Return prompts with the number of their task, so that rewards get the task itself and not a table's copy of it."""
    return Dataset.from_list(
        [
            {"prompt": to_chat(task.messages), "task": number}
            for number, task in enumerate(tasks, start)
        ]
    )


def _reward(
    specs: Sequence[RewardSpec], tasks: Sequence[Task], group_size: int, tally: Tally
) -> Callable[..., list[float | None]]:
    """Return the rewards as one function of TRL's kind, which also counts."""

    def combined(
        completions: list[Any], task: list[int], log_metric: Callable[[str, float], None], **_: Any
    ) -> list[float | None]:
        outputs = ["".join(message["content"] or "" for message in turn) for turn in completions]
        rewards = combine_rewards(specs, outputs, [tasks[number] for number in task])
        for name, values in rewards.by_name.items():
            scored = [value for value in values if value is not None]
            if scored:
                log_metric(f"rewards/{name}", sum(scored) / len(scored))
        tally.count_rewards(rewards, group_size=group_size)
        return list(rewards.scores)

    return combined


def _alarms(
    tasks: Sequence[Task],
    args: GRPOConfig,
    model: PreTrainedModel,
    tokenizer: PreTrainedTokenizerBase,
) -> list[str]:
    context = context_of(model)
    if context is None or args.max_completion_length is None:
        return []
    encoded = tokenizer.apply_chat_template(
        [to_chat(t.messages) for t in tasks],
        add_generation_prompt=True,
        tokenize=True,
        return_dict=True,
    )
    over = sum(len(ids) + args.max_completion_length > context for ids in encoded["input_ids"])
    if not over:
        return []
    return [
        f"{over} of {len(tasks)} prompts and max_completion_length={args.max_completion_length} together are longer than "
        f"the model's context of {context} tokens"
    ]
