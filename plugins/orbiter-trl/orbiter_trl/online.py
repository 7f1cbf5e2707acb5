"""What the algorithms that sample for themselves share: tasks in, rewards as one function, and a count of what is learned from."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from pathlib import Path
from typing import Any

from datasets import Dataset
from transformers import PreTrainedModel, PreTrainedTokenizerBase

from orbiter import jsonl
from orbiter.errors import BackendError, ConfigError, RecordError
from orbiter.records import Task
from orbiter.train.backend import TrainJob
from orbiter.train.rewards import Rewards, RewardSpec, check_rewards, combine_rewards
from orbiter.train.tally import Tally
from orbiter_trl.chat import context_of, to_chat


class CountingTrainer:
    """Mixed into a trainer of TRL that samples groups of answers: counts the tokens that carry loss."""

    tally: Tally

    def compute_loss(self, model: Any, inputs: dict[str, Any], *more: Any, **named: Any) -> Any:
        """Compute the loss, as the parent does."""
        if model.training:
            self.tally.token_count += int(inputs["completion_mask"].sum())
        return super().compute_loss(model, inputs, *more, **named)  # type: ignore[misc]


def check_online(job: TrainJob, *, bound: str) -> None:
    """Raise ConfigError if the job asks for what no such algorithm can do.

    Args:
        job: Has rewards, and no ``max_length``.
        bound: The option that bounds an answer's length.
    """
    check_rewards(job.rewards)
    if job.config.max_length is not None:
        raise ConfigError(
            f"max_length must be None for {job.algorithm}, got {job.config.max_length!r}",
            hint=f"bound the answers with the option {bound}",
        )


def read_tasks(path: Path, *, algorithm: str) -> list[Task]:
    """Return the tasks of a file.

    Raises:
        RecordError: A row is no task, or has tools, which cannot be called here; names file, line and field.
        BackendError: There is none.
    """
    tasks = []
    for line, task in enumerate(jsonl.read(path, Task), start=1):
        if task.tools or any(m.tool_calls for m in task.messages):
            raise RecordError(
                f"must be empty for {algorithm}: tools cannot be called in it",
                source=str(path),
                line=line,
                field="tools",
            )
        tasks.append(task)
    if not tasks:
        raise BackendError(f"{path} must hold at least one task, got none")
    return tasks


def task_table(tasks: Sequence[Task], start: int = 0) -> Dataset:
    """Return prompts with the number of their task, so that rewards get the task itself and not a table's copy of it."""
    return Dataset.from_list(
        [
            {"prompt": to_chat(task.messages), "task": number}
            for number, task in enumerate(tasks, start)
        ]
    )


def score(
    specs: Sequence[RewardSpec], completions: Sequence[Any], tasks: Sequence[Task]
) -> Rewards:
    """Return the rewards of answers in chat form."""
    outputs = ["".join(message["content"] or "" for message in turn) for turn in completions]
    return combine_rewards(specs, outputs, tasks)


def mean_by_name(rewards: Rewards) -> dict[str, float]:
    """Return the mean of each reward over the answers that it scored."""
    scored = {
        name: [value for value in values if value is not None]
        for name, values in rewards.by_name.items()
    }
    return {name: sum(values) / len(values) for name, values in scored.items() if values}


def group_reward(
    specs: Sequence[RewardSpec], tasks: Sequence[Task], group_size: int, tally: Tally
) -> Callable[..., list[float | None]]:
    """Return the rewards as one function of TRL's kind, which also counts."""

    def combined(
        completions: list[Any], task: list[int], log_metric: Callable[[str, float], None], **_: Any
    ) -> list[float | None]:
        rewards = score(specs, completions, [tasks[number] for number in task])
        for name, mean in mean_by_name(rewards).items():
            log_metric(f"rewards/{name}", mean)
        tally.count_rewards(rewards, group_size=group_size)
        return list(rewards.scores)

    return combined


def prompt_alarms(
    tasks: Sequence[Task],
    model: PreTrainedModel,
    tokenizer: PreTrainedTokenizerBase,
    *,
    room: int | None,
    bound: str,
) -> list[str]:
    """Return an alarm if prompts leave too little of the model's context for an answer.

    Args:
        tasks: Their prompts.
        model: Says how long its context is.
        tokenizer: With a chat template.
        room: Longest answer in tokens; None if it has no bound.
        bound: The option that says so.
    """
    context = context_of(model)
    if context is None or room is None:
        return []
    encoded = tokenizer.apply_chat_template(
        [to_chat(t.messages) for t in tasks],
        add_generation_prompt=True,
        tokenize=True,
        return_dict=True,
    )
    over = sum(len(ids) + room > context for ids in encoded["input_ids"])
    if not over:
        return []
    return [
        f"{over} of {len(tasks)} prompts and {bound}={room} together are longer than "
        f"the model's context of {context} tokens"
    ]


def make_group_trainer(
    trainer_class: Any,
    job: TrainJob,
    args: Any,
    model: PreTrainedModel,
    tokenizer: PreTrainedTokenizerBase,
    *,
    peft_config: Any,
    tally: Tally,
) -> tuple[Any, list[str]]:
    """Return a trainer that samples ``num_generations`` answers per prompt, and the alarms about its data."""
    tasks = read_tasks(job.data, algorithm=job.algorithm)
    held_out = [] if job.eval_data is None else read_tasks(job.eval_data, algorithm=job.algorithm)
    trainer = trainer_class(
        model=model,
        args=args,
        reward_funcs=[group_reward(job.rewards, [*tasks, *held_out], args.num_generations, tally)],
        train_dataset=task_table(tasks),
        eval_dataset=task_table(held_out, len(tasks)) if held_out else None,
        processing_class=tokenizer,
        peft_config=peft_config,
    )
    trainer.tally = tally
    alarms = prompt_alarms(
        tasks, model, tokenizer, room=args.max_completion_length, bound="max_completion_length"
    )
    return trainer, alarms
