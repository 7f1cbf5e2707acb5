"""What the algorithms that sample for themselves share: tasks in, scores of answers out."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

import orjson
from datasets import Dataset
from transformers import PreTrainedModel, PreTrainedTokenizerBase

from orbiter import jsonl
from orbiter.convert import unstructure
from orbiter.errors import ConfigError, RecordError
from orbiter.records import Message, Task, Trajectory
from orbiter.tasks.toolbox import Toolbox, tools_of
from orbiter.train.backend import TrainJob
from orbiter.train.rewards import Rewards, RewardSpec, check_rewards, combine_rewards
from orbiter_trl.chat import context_of, to_chat
from orbiter_trl.rollouts import check_vllm


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
    if all(map(_is_text, completions)):
        texts = [turns[0]["content"] for turns in completions]
        return combine_rewards(specs, texts, tasks, toolboxes=toolboxes)
    trajectories = [conversation(task, turns) for task, turns in zip(tasks, completions)]
    return combine_rewards(
        specs,
        [trajectory.answer for trajectory in trajectories],
        tasks,
        trajectories=trajectories,
        toolboxes=toolboxes,
    )


def _is_text(turns: Sequence[Any]) -> bool:
    """Return whether an answer is one turn of text, of which the rewards make a conversation where they want one."""
    if len(turns) != 1 or turns[0].keys() != {"role", "content"}:
        return False
    return turns[0]["role"] == "assistant" and isinstance(turns[0]["content"], str)


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


def longest_prompt(tasks: Sequence[Task]) -> Task:
    """Return the task whose prompt has the most bytes, tool calls that it shows among them."""

    def size(message: Message) -> int:
        calls = orjson.dumps(unstructure(message.tool_calls)) if message.tool_calls else b""
        return len(message.text.encode()) + len(calls)

    return max(tasks, key=lambda task: sum(map(size, task.messages)))


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

    # A token is at least a byte, and in plain English four: if this one has room to spare, so have all.
    if 4 * sizes([longest_prompt(tasks)])[0] + room <= context:
        return []
    over = sum(size + room > context for size in sizes(tasks))
    if not over:
        return []
    return [
        f"{over} of {len(tasks)} prompts and {bound}={room} together are longer than "
        f"the model's context of {context} tokens"
    ]
