"""Rewards: named, weighted functions, and their sum, in which what could not be scored stays unscored.

A sample is *unscored* when any of its rewards raises or gives no finite number. It then has no score at all: it never counts
as 0, and a backend leaves it out of baselines and advantages. The reasons are counted.
"""

from __future__ import annotations

import functools
import inspect
import math
import numbers
from collections import Counter
from collections.abc import Callable, Mapping, Sequence
from typing import Any

from attrs import field, frozen

from orbiter.errors import ConfigError
from orbiter.records import Task, Verdict
from orbiter.verify.answer import answered
from orbiter.verify.verifier import Verifier, judge, judge_batch


@frozen(kw_only=True)
class RewardSpec:
    """A named reward with a weight.

        RewardSpec(name="brevity", weight=0.2, fn=lambda output: 1 / (1 + len(output)))

    Args:
        name: Name in metrics and reasons.
        weight: What the reward is multiplied by in the sum; a finite number, below 0 for a penalty.
        fn: Called as ``fn(output)``, or ``fn(output, task=task)`` if it has a parameter ``task``; returns a finite number
            (True is 1), or None or an invalid :class:`Verdict` when it cannot tell.
    """

    name: str
    weight: float = 1.0
    fn: Callable[..., float | Verdict | None]

    def __attrs_post_init__(self) -> None:
        if not isinstance(self.name, str) or not self.name:
            raise ConfigError(f"name of a reward must be a text, got {self.name!r}")
        if isinstance(self.weight, bool) or finite_number(self.weight)[0] is None:
            raise ConfigError(
                f"weight of reward {self.name!r} must be a finite number, got {self.weight!r}"
            )
        if not callable(self.fn):
            raise ConfigError(f"fn of reward {self.name!r} must be callable, got {self.fn!r}")
        if inspect.iscoroutinefunction(self.fn):
            raise ConfigError(
                f"fn of reward {self.name!r} must be a plain function, got the coroutine function {self.fn!r}"
            )

    @classmethod
    def from_verifier(
        cls, verifier: Verifier, *, weight: float = 1.0, name: str | None = None
    ) -> RewardSpec:
        """Return a reward that is the score of a verifier's verdict; an invalid verdict leaves the sample unscored.

        Args:
            verifier: Judges the output as the one assistant message that follows the task's prompt.
            weight: Weight in the sum.
            name: Name of the reward; default: the verifier's.
        """
        return cls(name=name or verifier.name, weight=weight, fn=_VerifierReward(verifier))

    @property
    def needs_task(self) -> bool:
        """Whether ``fn`` cannot be called without a task."""
        parameter = self._task_parameter
        return parameter is not None and parameter.default is parameter.empty

    @functools.cached_property
    def _task_parameter(self) -> inspect.Parameter | None:
        try:
            return inspect.signature(self.fn).parameters.get("task")
        except (TypeError, ValueError):  # some built-in functions have no signature
            return None

    def score(self, output: str, *, task: Task | None = None) -> tuple[float | None, str]:
        """Return the unweighted reward of one output and an empty reason, or None and why there is none."""
        takes_task = task is not None and self._task_parameter is not None
        try:
            value = self.fn(output, task=task) if takes_task else self.fn(output)
        except Exception as error:
            return None, f"raised {type(error).__name__}"
        return _score_of(value)

    def score_batch(
        self, outputs: Sequence[str], tasks: Sequence[Task] | None
    ) -> list[tuple[float | None, str]]:
        """Return what :meth:`score` would say of each output; a verifier judges them together."""
        if tasks is not None and isinstance(self.fn, _VerifierReward):
            return [_score_of(verdict) for verdict in self.fn.judge_batch(outputs, tasks)]
        each: Sequence[Task | None] = tasks if tasks is not None else [None] * len(outputs)
        return [self.score(output, task=task) for output, task in zip(outputs, each)]


def _score_of(value: float | Verdict | None) -> tuple[float | None, str]:
    if isinstance(value, Verdict):
        return value.score, "" if value.score is not None else value.reason
    return finite_number(value)


@frozen
class _VerifierReward:
    """A verifier as a reward function; a class, so that it can be pickled for a worker."""

    verifier: Verifier

    def __call__(self, output: str, task: Task) -> Verdict:
        return judge(self.verifier, task, answered(task, output))

    def judge_batch(self, outputs: Sequence[str], tasks: Sequence[Task]) -> list[Verdict]:
        """Return the verdicts on several outputs, which a pool judges at the same time."""
        pairs = [(task, answered(task, output)) for output, task in zip(outputs, tasks)]
        return judge_batch(self.verifier, pairs)


@frozen(kw_only=True)
class Rewards:
    """The rewards of a batch of outputs.

    Args:
        scores: One weighted sum per output, or None where the output is unscored.
        reasons: Why an output is unscored, or None where it is scored.
        by_name: Unweighted rewards per spec, one per output.
    """

    scores: tuple[float | None, ...]
    reasons: tuple[str | None, ...]
    by_name: Mapping[str, tuple[float | None, ...]] = field(factory=dict)

    @property
    def unscored(self) -> Counter[str]:
        """How many outputs are unscored, by reason."""
        return Counter(reason for reason in self.reasons if reason is not None)

    @property
    def unscored_count(self) -> int:
        """How many outputs are unscored."""
        return sum(reason is not None for reason in self.reasons)

    @property
    def mean(self) -> float | None:
        """Mean score of the scored outputs, or None if there is none."""
        scored = [score for score in self.scores if score is not None]
        return math.fsum(scored) / len(scored) if scored else None


def combine_rewards(
    specs: Sequence[RewardSpec], outputs: Sequence[str], tasks: Sequence[Task] | None = None
) -> Rewards:
    """Score a batch: for each output the sum over specs of weight * reward.

    An output is unscored when one of its rewards raises, or returns None, NaN, infinity or something that is no number; the
    first such reward, in the order of ``specs``, gives the reason.

    Args:
        specs: At least one reward; names differ.
        outputs: What the policy wrote.
        tasks: The task of each output, for rewards that look at it.

    Raises:
        ConfigError: There are no specs, two share a name, one needs tasks and there are none, or there are not as many
            tasks as outputs.
    """
    check_rewards(specs)
    if isinstance(outputs, str):
        raise ConfigError(f"outputs must be a list of texts, got the text {outputs[:60]!r}")
    if tasks is not None and len(tasks) != len(outputs):
        raise ConfigError(f"tasks must be as many as outputs, got {len(tasks)} and {len(outputs)}")
    for spec in specs:
        if tasks is None and spec.needs_task:
            raise ConfigError(f"reward {spec.name!r} needs the task of each output, got none")
    columns = [spec.score_batch(outputs, tasks) for spec in specs]
    summed = [_sum(specs, [column[i] for column in columns]) for i in range(len(outputs))]
    return Rewards(
        scores=tuple(score for score, _ in summed),
        reasons=tuple(None if score is not None else reason for score, reason in summed),
        by_name={
            spec.name: tuple(value for value, _ in column) for spec, column in zip(specs, columns)
        },
    )


def check_rewards(specs: Sequence[RewardSpec]) -> None:
    """Raise ConfigError unless ``specs`` are rewards with names of their own, at least one."""
    if not specs:
        raise ConfigError("rewards must be at least one RewardSpec, got none")
    for spec in specs:
        if not isinstance(spec, RewardSpec):
            raise ConfigError(f"a reward must be a RewardSpec, got {spec!r}")
    for name, count in Counter(spec.name for spec in specs).items():
        if count > 1:
            raise ConfigError(f"names of rewards must differ, got {name!r} {count} times")


def _sum(
    specs: Sequence[RewardSpec], parts: Sequence[tuple[float | None, str]]
) -> tuple[float | None, str]:
    total = 0.0
    for spec, (value, reason) in zip(specs, parts):
        if value is None:
            return None, f"{spec.name}: {reason}"
        total += spec.weight * value
    return (total, "") if math.isfinite(total) else (None, "the weighted sum is not finite")


def finite_number(value: Any) -> tuple[float | None, str]:
    """Return ``value`` as a float and an empty reason, or None and why it is no finite number; True is 1."""
    if value is None:
        return None, "returned None"
    if not isinstance(value, numbers.Real):
        return None, f"returned {type(value).__name__}, not a number"
    try:
        number = float(value)
    except OverflowError:
        return None, "returned a number too large"
    if math.isnan(number):
        return None, "returned NaN"
    if math.isinf(number):
        return None, "returned infinity"
    return number, ""
