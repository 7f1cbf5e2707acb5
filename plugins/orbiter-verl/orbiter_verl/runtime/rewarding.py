"""The reward file: verl's reward manager that calls the job's rewards and verifiers.

An answer that cannot be scored has no score at all. verl has no such thing as an answer without a score, but it goes on without an
answer whose scoring failed; so an unscored answer fails here, after it has been noted down.
"""

from __future__ import annotations

import asyncio
import os
from pathlib import Path
from typing import Any

import orjson
from attrs import asdict
from verl import DataProto
from verl.experimental.reward_loop.reward_manager.base import RewardManagerBase

from orbiter import jsonl
from orbiter.records import Task
from orbiter.train.rewards import Rewards, combine_rewards
from orbiter_verl.rewards import Recorded, SealedRewards, recorded
from orbiter_verl.samples import Sample


class Unscored(RuntimeError):  # an outcome, not an error of anybody's
    """An answer could not be scored; says why."""


class OrbiterRewardManager(RewardManagerBase):
    """Scores answers, those that come at the same time together, and notes each down.

    What it needs is in verl's config under ``orbiter``: the file of the rewards and its digest, the files of the tasks, and the
    folder of the samples.
    """

    def __init__(self, config: Any, tokenizer: Any, compute_score: Any = None, **_: Any) -> None:
        super().__init__(config, tokenizer, compute_score)
        mine = config.orbiter
        self._specs = recorded(SealedRewards(mine.rewards, mine.rewards_digest).open())
        self._tasks = {
            split: list(jsonl.read(Path(path), Task)) for split, path in mine.tasks.items()
        }
        folder = Path(mine.samples)
        folder.mkdir(parents=True, exist_ok=True)
        self._file = folder / f"{os.uname().nodename}-{os.getpid()}.jsonl"
        self._waiting: list[tuple[str, Task, asyncio.Future[tuple[Any, ...]]]] = []
        self._scoring: asyncio.Task[None] | None = None

    async def run_single(self, data: DataProto) -> dict[str, Any]:
        """Return the score of one answer.

        Raises:
            Unscored: It has none.
        """
        row = data[-1]  # of several turns, the last holds them all
        responses = row.batch["responses"]
        length = int(row.batch["attention_mask"][-responses.shape[-1] :].sum())
        output = self.tokenizer.decode(responses[:length], skip_special_tokens=True)
        about = row.non_tensor_batch
        split = about["extra_info"]["split"]
        task = self._tasks[split][about["extra_info"]["index"]]
        score, reason, by_name, traceback = await self._score(output, task)
        sample = Sample(
            step=int(about["global_steps"]),
            split=split,
            group=str(about["uid"]),
            task_id=task.task_id,
            output=output,
            score=score,
            reason=reason,
            rewards=by_name,
            token_count=length,
            traceback=traceback,
        )
        with self._file.open("ab") as file:
            file.write(orjson.dumps(asdict(sample)) + b"\n")
        if score is None:
            raise Unscored(reason)
        return {"reward_score": score, "reward_extra_info": {}}

    async def _score(self, output: str, task: Task) -> tuple[Any, ...]:
        answer: asyncio.Future[tuple[Any, ...]] = asyncio.get_running_loop().create_future()
        self._waiting.append((output, task, answer))
        if self._scoring is None or self._scoring.done():
            self._scoring = asyncio.create_task(self._score_those_waiting())
        return await answer

    async def _score_those_waiting(self) -> None:
        """Score what waits, one batch after another: a reward is never called by two threads at once."""
        while self._waiting:
            batch, self._waiting = self._waiting, []
            try:
                rewards = await asyncio.to_thread(
                    combine_rewards,
                    self._specs,
                    [item[0] for item in batch],
                    [item[1] for item in batch],
                )
            except Exception as error:  # goes to those who wait for it
                for *_, answer in batch:
                    if not answer.done():  # who asked may have been cancelled
                        answer.set_exception(error)
                continue
            traces = self._take_tracebacks()
            for i, (*_, answer) in enumerate(batch):
                if not answer.done():
                    answer.set_result((*_outcome(rewards, i), traces))
                    traces = None

    def _take_tracebacks(self) -> str | None:
        """Return the tracebacks that no sample carries yet."""
        found = []
        for spec in self._specs:
            if isinstance(spec.fn, Recorded) and spec.fn.traceback and not spec.fn.told:
                spec.fn.told = True
                found.append(f"reward {spec.name!r}:\n{spec.fn.traceback}")
        return "\n".join(found) or None


def _outcome(rewards: Rewards, i: int) -> tuple[float | None, str | None, dict[str, float | None]]:
    by_name = {name: values[i] for name, values in rewards.by_name.items()}
    return rewards.scores[i], rewards.reasons[i], by_name
