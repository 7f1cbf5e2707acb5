"""What the algorithms that sample for themselves share: tasks in, rewards as one function, and a count of what is learned from."""

from __future__ import annotations

import math
from collections.abc import Callable, Iterator, Mapping, Sequence
from pathlib import Path
from typing import Any, TypeVar

from datasets import Dataset
from torch.utils.data import Sampler
from transformers import PreTrainedModel, PreTrainedTokenizerBase

from orbiter import jsonl
from orbiter.errors import ConfigError, RecordError
from orbiter.records import Message, Task, Trajectory
from orbiter.tasks.streams import item_seed
from orbiter.tasks.toolbox import Toolbox, tools_of
from orbiter.train.backend import TrainJob
from orbiter.train.rewards import Rewards, RewardSpec, check_rewards, combine_rewards
from orbiter.train.tally import Tally
from orbiter_trl.chat import context_of, to_chat
from orbiter_trl.rollouts import check_vllm
from orbiter_trl.settings import trl_arguments
from orbiter_trl.tools import environment_argument, shown_tools, tools_are_wanted

C = TypeVar("C")


class PassSampler(Sampler[int]):
    """Draws the order of each pass over the tasks from a stream of its own.

    TRL's sampler goes on with one stream, so that a run that goes on in a later pass would see the order of the first.

    Args:
        sampler: TRL's, which repeats each task for its answers.
        seed: Of the order.
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
            self._sampler.generator.manual_seed(item_seed("tasks", self._seed, self._pass))
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


def check_online(job: TrainJob, *, bound: str) -> None:
    """Raise ConfigError if the job asks for what no such algorithm can do.

    Args:
        job: Has rewards, and no ``max_length``.
        bound: The option that bounds an answer's length.
    """
    check_rewards(job.rewards)
    check_vllm(job)
    if job.config.max_length is not None:
        raise ConfigError(
            f"max_length must be None for {job.algorithm}, got {job.config.max_length!r}",
            hint=f"bound the answers with the option {bound}",
        )


def read_tasks(path: Path, job: TrainJob) -> list[Task]:
    """Return the tasks of a file.

    Raises:
        RecordError: There is none, a row is no task, or offers tools that cannot be called; names file, line and field.
    """
    tasks = list(jsonl.read(path, Task))
    known = {} if job.toolbox is None else tools_of(job.toolbox())
    for line, task in enumerate(tasks, start=1):
        if not task.messages:
            raise RecordError(
                "must hold a message, got none", source=str(path), line=line, field="messages"
            )
        names = [_name_of(tool) for tool in task.tools]
        if unknown := [name for name in names if name not in known]:
            raise RecordError(
                f"must name tools of the job's toolbox ({', '.join(known) or 'it has none'}), got {unknown[0]!r}",
                source=str(path),
                line=line,
                field="tools",
                hint=None if known else f"give {job.algorithm} a toolbox, if it can use one",
            )
    if not tasks:
        raise RecordError("must hold at least one task, got none", source=str(path))
    return tasks


def _name_of(tool: object) -> object:
    function = tool.get("function", tool) if isinstance(tool, Mapping) else None
    return function.get("name") if isinstance(function, Mapping) else None


def task_table(tasks: Sequence[Task], start: int = 0) -> Dataset:
    """Return prompts with the number of their task, so that rewards get the task itself and not a table's copy of it."""
    return Dataset.from_list(
        [
            {"prompt": to_chat(task.messages), "task": number}
            for number, task in enumerate(tasks, start)
        ]
    )


def score(
    specs: Sequence[RewardSpec],
    completions: Sequence[Any],
    tasks: Sequence[Task],
    toolboxes: Sequence[Toolbox] | None = None,
) -> Rewards:
    """Return the rewards of answers in chat form; the output of one with tools is the last that the model said."""
    trajectories = [conversation(task, turns) for task, turns in zip(tasks, completions)]
    return combine_rewards(
        specs,
        [trajectory.answer for trajectory in trajectories],
        tasks,
        trajectories=trajectories,
        toolboxes=toolboxes,
    )


def conversation(task: Task, turns: Sequence[Any]) -> Trajectory:
    """Return the conversation in which messages of TRL follow a task; what is no message is taken for its text.

    The tool calls in it were read out of what a model wrote, and may be anything.
    """
    messages = []
    for turn in turns:
        try:
            messages.append(Message.from_row(turn))
        except RecordError:
            content = turn.get("content")
            messages.append(Message(turn["role"], content if isinstance(content, str) else ""))
    return Trajectory.following(task, *messages)


def mean_by_name(rewards: Rewards) -> dict[str, float]:
    """Return the mean of each reward over the answers that it scored."""
    scored = {
        name: [value for value in values if value is not None]
        for name, values in rewards.by_name.items()
    }
    return {name: sum(values) / len(values) for name, values in scored.items() if values}


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
        return list(rewards.scores)

    return combined


def prompt_alarms(
    tasks: Sequence[Task],
    model: PreTrainedModel,
    tokenizer: PreTrainedTokenizerBase,
    *,
    room: int | None,
    bound: str,
    tools: list[Any] | None = None,
) -> list[str]:
    """Return an alarm if prompts leave too little of the model's context for an answer.

    Args:
        tasks: Their prompts.
        model: Says how long its context is.
        tokenizer: With a chat template.
        room: Longest answer in tokens; None if it has no bound.
        bound: The option that says so.
        tools: What is shown with each prompt.
    """
    context = context_of(model)
    if context is None or room is None:
        return []

    def sizes(some: Sequence[Task]) -> list[int]:
        encoded = tokenizer.apply_chat_template(
            [to_chat(t.messages) for t in some],
            tools=tools,
            add_generation_prompt=True,
            tokenize=True,
            return_dict=True,
        )
        return [len(ids) for ids in encoded["input_ids"]]

    longest = max(tasks, key=lambda t: sum(len(m.text.encode()) for m in t.messages))
    # A token is at least a byte, and in plain English four: if this one has room to spare, so have all.
    if 4 * sizes([longest])[0] + room <= context:
        return []
    over = sum(size + room > context for size in sizes(tasks))
    if not over:
        return []
    return [
        f"{over} of {len(tasks)} prompts and {bound}={room} together are longer than "
        f"the model's context of {context} tokens"
    ]


def make_group_arguments(config_class: type[C], job: TrainJob, folder: Path) -> C:
    """Return TRL's arguments for a job that samples groups of answers.

    Raises:
        ConfigError: There are not the tasks of one batch of answers, or a checkpoint would come amid the steps that share one.
    """
    args: Any = config_class(
        **trl_arguments(job.config, job.options, folder=folder, evaluate=job.eval_data is not None)
    )
    asked = args.generation_batch_size // args.num_generations
    count = sum(1 for _ in jsonl.read_objects(job.data))
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
    tasks = read_tasks(job.data, job)
    held_out = [] if job.eval_data is None else read_tasks(job.eval_data, job)
    every = [*tasks, *held_out]
    with tools_are_wanted():
        trainer = trainer_class(
            model=model,
            args=args,
            reward_funcs=[
                group_reward(
                    job.rewards,
                    every,
                    tally,
                    group_size=args.num_generations,
                    trained_count=len(tasks),
                )
            ],
            train_dataset=task_table(tasks),
            eval_dataset=task_table(held_out, len(tasks)) if held_out else None,
            processing_class=tokenizer,
            peft_config=peft_config,
            **environment_argument(job.toolbox, every),
        )
    trainer.tally = tally
    alarms = prompt_alarms(
        tasks,
        model,
        tokenizer,
        room=args.max_completion_length,
        bound="max_completion_length",
        tools=shown_tools(job.toolbox),
    )
    return trainer, alarms
