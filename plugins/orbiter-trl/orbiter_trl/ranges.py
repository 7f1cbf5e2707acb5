"""Ranges: the numbers that options of TRL's configs may be. TRL takes any, and fails late or trains on nonsense."""

from __future__ import annotations

import dataclasses
from collections.abc import Mapping
from typing import Any

from orbiter.checks import check_number, check_whole_number
from orbiter.train.backend import TrainJob

_SAMPLING = {
    "temperature": "(0, inf)",
    "top_p": "(0, 1]",
    "min_p": "[0, 1]",
    "repetition_penalty": "(0, inf)",
}
_RATIO = {"beta": "[0, inf)", "epsilon": "[0, 1]", "epsilon_high": "[0, inf)", "delta": "(1, inf)"}
_DPO = {"loss_weights": "[0, inf)", "ld_alpha": "[0, 1]", "discopop_tau": "(0, inf)"}

INTERVALS: Mapping[str, Mapping[str, str]] = {
    "reward": {"center_rewards_coefficient": "[0, inf)"},
    "dpo": _DPO,
    "simpo": {"cpo_alpha": "[0, inf)", "label_smoothing": "[0, 0.5)"},
    "kto": {"desirable_weight": "[0, inf)", "undesirable_weight": "[0, inf)"},
    "spin": _DPO,
    "grpo": _SAMPLING | _RATIO | {"top_entropy_quantile": "[0, 1]"},
    "rloo": _SAMPLING | _RATIO,
    "online_dpo": _SAMPLING | {"beta": "(0, inf)"},
}
"""Algorithm to the interval of each option that the algorithm's own module does not look at."""

COUNTS: Mapping[str, int] = {
    "generation_batch_size": 1,
    "max_completion_length": 1,
    "max_new_tokens": 1,
    "max_tool_calling_iterations": 0,
    "num_generations": 1,
    "num_iterations": 1,
    "precompute_ref_batch_size": 1,
    "ref_model_sync_steps": 1,
    "steps_per_generation": 1,
    "top_k": 0,
}
"""Option to the least integer that it may be, in every algorithm that has it."""


def check_ranges(job: TrainJob, config_class: type) -> None:
    """Raise ConfigError for an option that is no number, or one that it cannot be; each of a list is looked at.

    Args:
        job: With options that ``config_class`` has.
        config_class: Of TRL; says which options may be None.
    """
    types = {field.name: str(field.type) for field in dataclasses.fields(config_class)}
    intervals = INTERVALS.get(job.algorithm, {})
    for name, value in job.options.items():
        if value is None and "None" in types[name]:
            continue
        if name in COUNTS:
            check_whole_number(name, value, low=COUNTS[name])
        elif name in intervals:
            for one in _each(value, types[name]):
                check_number(name, one, intervals[name])


def _each(value: Any, kind: str) -> Any:
    return value if isinstance(value, list | tuple) and "list" in kind else [value]
