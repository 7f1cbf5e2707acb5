"""Online direct preference optimisation (Guo et al. 2024) with TRL's OnlineDPOTrainer.

Two answers are sampled to each prompt, and the job's rewards say which is better; a judge is a verifier, and a reward as such. TRL takes
an answer that nobody could score for one of reward 0, and of two equal answers the first for the better one. Here such pairs teach nothing.
"""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Sequence
from pathlib import Path
from typing import Any

import torch

from orbiter.errors import ConfigError
from orbiter.records import Task
from orbiter.train.backend import TrainJob
from orbiter.train.rewards import Rewards, RewardSpec
from orbiter.train.tally import Tally
from orbiter_trl.data import Data, read_data
from orbiter_trl.experimental import experimental
from orbiter_trl.online import (
    check_online,
    mean_by_name,
    prompt_alarms,
    read_tasks,
    score,
    task_table,
)
from orbiter_trl.settings import check_choices, trl_arguments
from orbiter_trl.training import Setup
from orbiter_trl.weighing import weigh_gradient

OnlineDPOConfig, OnlineDPOTrainer = experimental(
    "online_dpo", "OnlineDPOConfig", "OnlineDPOTrainer"
)

CONFIG = OnlineDPOConfig
"""The class whose arguments a job's options are."""

IDLE = frozenset(
    {"model_init_kwargs", "remove_unused_columns", "reward_model_path", "reward_weights"}
)
"""Arguments of it that would change nothing here."""

LOSSES = ("sigmoid", "ipo")


class ThreeValuedOnlineDPOTrainer(OnlineDPOTrainer):  # type: ignore[misc, valid-type]
    """TRL's trainer, in which only a pair whose answers have two different rewards teaches."""

    tally: Tally
    specs: Sequence[RewardSpec]
    tasks: Sequence[Task]

    def __init__(self, *args: Any, **named: Any) -> None:
        super().__init__(*args, **named)
        self._scored: dict[str, list[float]] = defaultdict(list)

    def _forward(self, model: Any, prompt_ids: Any, prompt_mask: Any, *answers: Any) -> Any:
        logps = super()._forward(model, prompt_ids, prompt_mask, *answers)
        if logps.requires_grad:
            # The rewards come after the forward pass and before the gradient.
            self._teaches = torch.ones(len(logps))
            weigh_gradient(logps, self._teaches)
        return logps

    def _calculate_rewards_from_functions(
        self,
        prompts: Any,  # noqa: ARG002  # the parent's
        completions: Any,
        completion_ids_list: Any,
        **columns: Any,
    ) -> torch.Tensor:
        rewards = score(self.specs, completions, [self.tasks[i] for i in columns["task"]])
        ends = [self._end(ids) for ids in completion_ids_list]
        penalty = self.args.missing_eos_penalty or 0.0  # which TRL subtracts after this
        compared = [
            None if value is None else value - (penalty if end is None else 0.0)
            for value, end in zip(rewards.scores, ends)
        ]
        half = len(compared) // 2
        pairs = zip(compared[:half], compared[half:])
        teaches = [a is not None and b is not None and a != b for a, b in pairs] * 2
        self._teaches.copy_(torch.tensor(teaches, dtype=torch.float32))
        self._count(rewards, half)
        self.tally.token_count += sum(
            len(ids) if end is None else end + 1
            for ids, end, on in zip(completion_ids_list, ends, teaches)
            if on
        )
        values = [torch.nan if value is None else value for value in rewards.scores]
        return torch.tensor(values, dtype=torch.float32, device=self.accelerator.device)

    def _end(self, ids: list[int]) -> int | None:
        """Return where an answer ends, before its padding; None if it was cut off."""
        return next((i for i, token in enumerate(ids) if token in self.eos_token_ids), None)

    def _count(self, rewards: Rewards, half: int) -> None:
        # TRL has all first answers before all second ones; a tally wants the answers to one prompt side by side.
        order = [i for n in range(half) for i in (n, half + n)]
        paired = Rewards(
            scores=tuple(rewards.scores[i] for i in order),
            reasons=tuple(rewards.reasons[i] for i in order),
        )
        self.tally.count_rewards(paired, group_size=2)
        self.tally.check_scored()
        self._scored["reward"] += [value for value in rewards.scores if value is not None]
        for name, mean in mean_by_name(rewards).items():
            self._scored[f"rewards/{name}"].append(mean)

    def log(self, logs: dict[str, float], *more: Any, **named: Any) -> None:
        """Log, with the mean reward of the answers that have one."""
        logs |= {name: sum(values) / len(values) for name, values in self._scored.items() if values}
        self._scored.clear()
        super().log(logs, *more, **named)


def check(job: TrainJob) -> Data[Task]:
    """Return the job's tasks; raise if it asks for what this algorithm cannot do, or its data are no tasks."""
    check_online(job, bound="max_new_tokens")
    check_choices("loss_type", job.options.get("loss_type", "sigmoid"), LOSSES)
    if job.eval_data is not None:
        raise ConfigError(
            "eval_data must be None for online_dpo, whose trainer cannot evaluate",
            hint="measure the checkpoint with a verifier",
        )
    return read_data(job, lambda path: read_tasks(path, job))


def make_arguments(job: TrainJob, folder: Path) -> Any:
    """Return TRL's arguments for the job; ``folder`` gets the resumable checkpoints."""
    return OnlineDPOConfig(
        **trl_arguments(job.config, job.options, folder=folder, evaluate=False),
        # It cuts prompts from the left; vLLM sets memory aside for it.
        **({} if job.options.get("use_vllm") else {"max_length": 2**31}),
    )


def make_trainer(setup: Setup) -> tuple[ThreeValuedOnlineDPOTrainer, list[str]]:
    """Return the trainer, ready to train, and the alarms about its data."""
    tasks = setup.data.train
    trainer = ThreeValuedOnlineDPOTrainer(
        model=setup.model,
        args=setup.args,
        reward_funcs=[_unused],
        train_dataset=task_table(tasks),
        processing_class=setup.tokenizer,
        peft_config=setup.peft_config,
    )
    trainer.tally, trainer.specs, trainer.tasks = setup.tally, setup.job.rewards, tasks
    alarms = prompt_alarms(
        tasks,
        setup.model,
        setup.tokenizer,
        room=setup.args.max_new_tokens,
        bound="max_new_tokens",
    )
    return trainer, alarms


def _unused(**_: Any) -> list[float]:
    """Stand for the rewards, which TRL wants to be given; :class:`ThreeValuedOnlineDPOTrainer` has them itself."""
    raise NotImplementedError
