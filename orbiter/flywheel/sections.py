"""The sections of a recipe: what answers, how a stage samples, judges, keeps, trains, and when it ends."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

import attrs
from attrs import field, frozen

from orbiter.errors import RecordError
from orbiter.generate.policy import Sampling
from orbiter.train.config import TrainConfig
from orbiter.verify.pool import MIN_MEMORY_MB


def at_least(minimum: float) -> Any:
    """Return the rule that a field is None or at least this."""

    def check(_: object, attribute: attrs.Attribute[Any], value: float | None) -> None:
        if value is not None and not value >= minimum:
            raise RecordError(f"must be >= {minimum:g}, got {value!r}", field=attribute.name)

    return check


def _share(_: object, attribute: attrs.Attribute[Any], value: float | None) -> None:
    if value is not None and not 0 <= value <= 1:
        raise RecordError(f"must be in [0, 1], got {value!r}", field=attribute.name)


def _share_above_0(_: object, attribute: attrs.Attribute[Any], value: float | None) -> None:
    if value is not None and not 0 < value <= 1:
        raise RecordError(f"must be in (0, 1], got {value!r}", field=attribute.name)


def _share_below_1(_: object, attribute: attrs.Attribute[Any], value: float) -> None:
    if not 0 <= value < 1:
        raise RecordError(f"must be in [0, 1), got {value!r}", field=attribute.name)


def _above_0(_: object, attribute: attrs.Attribute[Any], value: float) -> None:
    if not value > 0:
        raise RecordError(f"must be above 0, got {value!r}", field=attribute.name)


def _choice(*choices: str) -> Any:
    def check(_: object, attribute: attrs.Attribute[Any], value: str) -> None:
        if value not in choices:
            raise RecordError(
                f"must be one of {', '.join(choices)}, got {value!r}", field=attribute.name
            )

    return check


@frozen(kw_only=True)
class Component:
    """Something made by name: an environment, a verifier, an exporter.

    Args:
        name: Registered name, or ``file.py:Class`` relative to the recipe's folder.
        extra: Its options, written beside the name.
    """

    name: str
    extra: Mapping[str, Any] = field(factory=dict)


@frozen(kw_only=True)
class PolicySpec(Sampling):
    """The policy by name, how it samples, and its own options beside them."""

    name: str
    extra: Mapping[str, Any] = field(factory=dict)

    @property
    def sampling(self) -> Sampling:
        """The sampling part."""
        return Sampling(**{a.name: getattr(self, a.name) for a in attrs.fields(Sampling)})


@frozen(kw_only=True)
class ModelSpec:
    """The model to start from: ``id`` (a hub id or folder), or ``name`` of a maker such as ``nano`` with its options."""

    id: str | None = None
    name: str | None = None
    extra: Mapping[str, Any] = field(factory=dict)

    def __attrs_post_init__(self) -> None:
        if (self.id is None) == (self.name is None):
            raise RecordError("must have either id (a hub id or folder) or name (a model maker)")
        if self.id is not None and self.extra:
            raise RecordError(f"options go with name, not with id, got {sorted(self.extra)!r}")


@frozen(kw_only=True)
class Train(TrainConfig):
    """A training stage: the backend and algorithm, and the hyperparameters of TrainConfig beside them.

    Args:
        backend: Registered backend.
        algorithm: What the backend trains with: ``sft`` imitates the kept rows, ``dpo``, ``kto`` and others learn from what passed and what
            failed, ``grpo`` and others sample for themselves.
        start: ``previous`` goes on from the last checkpoint, ``base`` starts from the first model again.
        options: Passed to the backend's own config, checked there.
    """

    backend: str = "trl"
    algorithm: str = "sft"
    start: str = field(default="previous", validator=_choice("previous", "base"))
    options: Mapping[str, Any] = field(factory=dict)


@frozen(kw_only=True)
class Teach(Train):
    """The cold start: demonstrations that are right by construction, and the training on them.

    Args:
        demonstrations: How many.
        synthesisers: Engines that make them, in equal parts, the later ones making up for what the earlier cannot give; their rows must pass the verifier and answer no held-out
            prompt. Default: the environment demonstrates its own training tasks.
    """

    demonstrations: int = field(default=60, validator=at_least(1))
    synthesisers: tuple[Component, ...] = ()


@frozen(kw_only=True)
class Generate:
    """What a round samples.

    Args:
        tasks: Tasks per round; fresh ones each round until the environment has no more.
        samples: Answers per task.
        target_survivors: Sample a task only until it has so many survivors, and spend the rest where survivors are
            likelier; None samples every task equally. Never more than ``tasks * samples`` in all. The yield is then
            that of the first attempts, since hard tasks are asked more often than easy ones.
        reuse_tasks: Ask the same tasks every round.
    """

    tasks: int = field(default=800, validator=at_least(1))
    samples: int = field(default=8, validator=at_least(1))
    target_survivors: int | None = field(default=None, validator=at_least(1))
    reuse_tasks: bool = False


@frozen(kw_only=True)
class Verify:
    """How verdicts are made: in processes of their own, so that no answer can hang or crash the run.

    Args:
        workers: Processes per verifier; None is half of the cores. 0 judges in the run's own process, where no bound holds: for looking
            into a verifier with a debugger.
        timeout_s: Seconds that one verdict may take before it is invalid.
        memory_mb: Bound on the memory of a worker, in MiB; None is none.
        cache_size: Verdicts remembered in memory, by verifier version, task and answer; 0 judges every answer.
        cache: A file that remembers all verdicts, for other runs too; None is none.
    """

    workers: int | None = field(default=None, validator=at_least(0))
    timeout_s: float = field(default=30.0, validator=_above_0)
    memory_mb: int | None = field(default=2048, validator=at_least(MIN_MEMORY_MB))
    cache_size: int = field(default=10_000, validator=at_least(0))
    cache: str | None = None


@frozen(kw_only=True)
class Curate:
    """What is kept of a round.

    Args:
        keep: ``survivors``, or ``none``: train on the demonstrations again, the control.
        max_per_task: Distinct answers kept of one task.
        min_score: Bar for the verifier's score, beside its pass.
        near_duplicates: Drop rows whose text is this similar (Jaccard) to a kept one; None is off.
        decontaminate: Drop rows that share this many words in a row with a held-out task, or its whole prompt if that
            is shorter; None is off.
        rounds: How many past rounds stay in the training set; None is all.
        demonstrations: Keep the demonstrations in it.
        pairs: Also write best-of-N preference pairs.
    """

    keep: str = field(default="survivors", validator=_choice("survivors", "none"))
    max_per_task: int = field(default=2, validator=at_least(1))
    min_score: float = field(default=0.0, validator=_share)
    near_duplicates: float | None = field(default=None, validator=_share_above_0)
    decontaminate: int | None = field(default=13, validator=at_least(1))
    rounds: int | None = field(default=None, validator=at_least(1))
    demonstrations: bool = True
    pairs: bool = False


@frozen(kw_only=True)
class Evaluate:
    """How a round is measured: on held-out tasks that are never trained on.

    Args:
        tasks: How many; 0 measures nothing.
        samples: Answers per task.
        temperature: 0 is greedy.
        share: Share of all prompts that is held out, by a hash of the prompt.
        audit: Tasks that the verifier is audited with before the first round, on answers of known label; 0 for none.
    """

    tasks: int = field(default=500, validator=at_least(0))
    samples: int = field(default=1, validator=at_least(1))
    temperature: float = field(default=0.0, validator=at_least(0))
    share: float = field(default=0.1, validator=_share_below_1)
    audit: int = field(default=200, validator=at_least(0))

    def __attrs_post_init__(self) -> None:
        if self.share == 0 and self.tasks > 0:
            raise RecordError("must be above 0 unless tasks is 0, got 0", field="share")


@frozen(kw_only=True)
class Gates:
    """When a run stops by itself.

    Args:
        max_invalid_rate: Share of invalid verdicts in a round above which the run fails.
        stop_at: Held-out pass rate at which the run is done.
        goodhart: With an ``audit_verifier``: stop when, since an earlier round, the visible held-out rate rose and the audited one
            fell, both beyond their intervals.
    """

    max_invalid_rate: float = field(default=0.05, validator=_share)
    stop_at: float | None = field(default=None, validator=_share)
    goodhart: bool = True
