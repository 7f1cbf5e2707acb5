"""Rewards: named, weighted functions, and their sum, in which what could not be scored stays unscored.

A sample is *unscored* when any of its rewards raises or gives no finite number. It then has no score at all: it never counts
as 0, and a backend leaves it out of baselines and advantages. The reasons are counted.
"""

from __future__ import annotations

import functools
import inspect
import math
import numbers
import sys
from collections import Counter
from collections.abc import Callable, Mapping, Sequence
from typing import Any, Protocol, runtime_checkable

from attrs import field, frozen

from orbiter.errors import ConfigError
from orbiter.records import Task, Trajectory, Verdict
from orbiter.verify.answer import answered
from orbiter.verify.verifier import Verifier, judge, judge_batch


@frozen(kw_only=True)
class RewardSpec:
    """A named reward with a weight.

        RewardSpec(name="brevity", weight=0.2, fn=lambda output: 1 / (1 + len(output)))

    Args:
        name: Name in metrics and reasons.
        weight: What the reward is multiplied by in the sum; a finite number, below 0 for a penalty.
        fn: Called as ``fn(output)``, or with those of ``task``, ``trajectory`` (the whole conversation, tool calls too) and ``toolbox``
            (as the answer left it) that it has a parameter for; returns a finite number (True is 1, numpy's too), or None or an invalid
            :class:`Verdict` when it cannot tell. One with a method ``score_batch`` (:class:`BatchReward`) scores a batch at once.
    """

    name: str
    weight: float = 1.0
    fn: Callable[..., float | Verdict | None]

    def __attrs_post_init__(self) -> None:
        if not isinstance(self.name, str) or not self.name:
            raise ConfigError(f"name of a reward must be a text, got {self.name!r}")
        if _is_truth(self.weight) or finite_number(self.weight)[0] is None:
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
            verifier: Judges what follows the task's prompt: one assistant message, or several with the results of tools between.
            weight: Weight in the sum.
            name: Name of the reward; default: the verifier's.
        """
        return cls(name=name or verifier.name, weight=weight, fn=_VerifierReward(verifier))

    @property
    def version(self) -> str | None:
        """What changes when the reward judges otherwise: the ``version`` of ``fn``, as a verifier has one; None if it has none."""
        version = getattr(self.fn, "version", None)
        return version if isinstance(version, str) else None

    @property
    def needs_task(self) -> bool:
        """Whether ``fn`` cannot be called without a task."""
        parameter = self._parameters.get("task")
        return parameter is not None and parameter.default is parameter.empty

    @property
    def needs_conversation(self) -> bool:
        """Whether ``fn`` looks at the whole conversation that an output ends."""
        return "trajectory" in self._parameters or isinstance(self.fn, BatchReward)

    @functools.cached_property
    def _parameters(self) -> Mapping[str, inspect.Parameter]:
        try:
            return inspect.signature(self.fn).parameters
        except (TypeError, ValueError):  # some built-in functions have no signature
            return {}

    def score(self, output: str, **about: Any) -> tuple[float | None, str]:
        """Return the unweighted reward of one output and an empty reason, or None and why there is none.

        Args:
            output: What the policy wrote.
            about: ``task``, ``trajectory`` and ``toolbox``, as far as they are known; ``fn`` gets those that it has a parameter for.
        """
        told = {
            name: value
            for name, value in about.items()
            if value is not None and name in self._parameters
        }
        try:
            value = self.fn(output, **told)
        except Exception as error:
            return None, f"raised {type(error).__name__}"
        return _score_of(value)

    def score_batch(
        self,
        outputs: Sequence[str],
        tasks: Sequence[Task] | None,
        *,
        trajectories: Sequence[Trajectory] | None = None,
        toolboxes: Sequence[object] | None = None,
    ) -> list[tuple[float | None, str]]:
        """Return what :meth:`score` would say of each output.

        What has a ``score_batch`` of its own scores them together, if there are tasks and trajectories.
        """
        if tasks is not None and trajectories is not None and isinstance(self.fn, BatchReward):
            return self._together(self.fn, list(zip(tasks, trajectories)))
        about = {"task": tasks, "trajectory": trajectories, "toolbox": toolboxes}
        told = {
            name: items
            for name, items in about.items()
            if items is not None and name in self._parameters
        }
        return [
            self.score(output, **{name: items[i] for name, items in told.items()})
            for i, output in enumerate(outputs)
        ]

    def _together(
        self, fn: BatchReward, pairs: Sequence[tuple[Task, Trajectory]]
    ) -> list[tuple[float | None, str]]:
        try:
            values = list(fn.score_batch(pairs))
        except Exception as error:
            return [(None, f"raised {type(error).__name__}")] * len(pairs)
        if len(values) != len(pairs):
            return [(None, f"returned {len(values)} rewards for {len(pairs)} answers")] * len(pairs)
        return [_score_of(value) for value in values]


@runtime_checkable
class BatchReward(Protocol):
    """What scores many answers at once, such as a verifier or a reward model."""

    def score_batch(
        self, pairs: Sequence[tuple[Task, Trajectory]]
    ) -> Sequence[float | Verdict | None]:
        """Return one value per task and the trajectory that answers it, in their order."""
        ...


def _score_of(value: float | Verdict | None) -> tuple[float | None, str]:
    if isinstance(value, Verdict):
        return value.score, "" if value.score is not None else value.reason
    return finite_number(value)


@frozen
class _VerifierReward:
    """A verifier as a reward function; a class, so that it can be pickled for a worker."""

    verifier: Verifier

    @property
    def version(self) -> str:
        return f"{self.verifier.name}@{self.verifier.version}"

    def __call__(self, output: str, task: Task, trajectory: Trajectory | None = None) -> Verdict:
        return judge(self.verifier, task, trajectory or answered(task, output))

    def score_batch(self, pairs: Sequence[tuple[Task, Trajectory]]) -> list[Verdict]:
        """Return the verdicts on several answers, which a pool judges at the same time."""
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
    specs: Sequence[RewardSpec],
    outputs: Sequence[str],
    tasks: Sequence[Task] | None = None,
    *,
    trajectories: Sequence[Trajectory] | None = None,
    toolboxes: Sequence[object] | None = None,
) -> Rewards:
    """Score a batch: for each output the sum over specs of weight * reward.

    An output is unscored when one of its rewards raises, or returns None, NaN, infinity or something that is no number; the
    first such reward, in the order of ``specs``, gives the reason.

    Args:
        specs: At least one reward; names differ.
        outputs: What the policy wrote.
        tasks: The task of each output, for rewards that look at it.
        trajectories: The conversation that each output ends; None: the output is the one turn after the task's prompt.
        toolboxes: What tools each output was written with, as it left them.

    Raises:
        ConfigError: There are no specs, two share a name, one needs tasks and there are none, or there are not as many
            of anything as outputs.
    """
    check_rewards(specs)
    if isinstance(outputs, str):
        raise ConfigError(f"outputs must be a list of texts, got the text {outputs[:60]!r}")
    given = {"tasks": tasks, "trajectories": trajectories, "toolboxes": toolboxes}
    for name, items in given.items():
        if items is not None and len(items) != len(outputs):
            raise ConfigError(
                f"{name} must be as many as outputs, got {len(items)} and {len(outputs)}"
            )
    for spec in specs:
        if tasks is None and spec.needs_task:
            raise ConfigError(f"reward {spec.name!r} needs the task of each output, got none")
    if tasks is not None and trajectories is None and any(s.needs_conversation for s in specs):
        # Once for all rewards.
        trajectories = [answered(task, output) for output, task in zip(outputs, tasks)]
    columns = [
        spec.score_batch(outputs, tasks, trajectories=trajectories, toolboxes=toolboxes)
        for spec in specs
    ]
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
    if not isinstance(value, numbers.Real) and not _is_truth(value):
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


def _is_truth(value: Any) -> bool:
    """Return whether a value is True or False, or numpy's, which is no number to Python."""
    numpy = sys.modules.get("numpy")  # whoever has a value of it has loaded it
    return isinstance(value, bool) or (numpy is not None and isinstance(value, numpy.bool_))
