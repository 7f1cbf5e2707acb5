"""The sections of a recipe: what answers, how a stage samples, judges, keeps, trains, and when it ends."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

import attrs
from attrs import field, frozen

from orbiter.errors import RecordError
from orbiter.generate.policy import Sampling
from orbiter.generate.tool_using import MAX_TURNS
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


def _above_0(_: object, attribute: attrs.Attribute[Any], value: float | None) -> None:
    if value is not None and not value > 0:
        raise RecordError(f"must be above 0, got {value!r}", field=attribute.name)


def _above_1(_: object, attribute: attrs.Attribute[Any], value: float | None) -> None:
    if value is not None and not value > 1:
        raise RecordError(f"must be above 1, got {value!r}", field=attribute.name)


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
    """The policy by name, how it samples, and its own options beside them.

    Args:
        name: Registered name.
        max_turns: Most assistant turns of an answer in an environment with tools, each of whose calls is carried out.
        extra: The policy's own options.
    """

    name: str
    max_turns: int = field(default=MAX_TURNS, validator=at_least(1))
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
        start: ``previous`` goes on from the present model, ``base`` starts from the first one again, ``teach`` or an earlier stage's name
            from the model that that made.
        options: Passed to the backend's own config, checked there.
    """

    backend: str = "trl"
    algorithm: str = "sft"
    start: str = "previous"
    options: Mapping[str, Any] = field(factory=dict)


@frozen(kw_only=True)
class Teach(Train):
    """The cold start: demonstrations that are right by construction, and the training on them.

    Args:
        demonstrations: How many.
        synthesisers: Engines that make them, in equal parts, the later ones making up for what the earlier cannot give; their rows must
            pass the verifier and answer no held-out prompt. Default: the environment demonstrates its own training tasks.
    """

    demonstrations: int = field(default=60, validator=at_least(1))
    synthesisers: tuple[Component, ...] = ()


@frozen(kw_only=True)
class Generate:
    """What a round samples.

    Args:
        tasks: Tasks per round; fresh ones each round, and in turn from the first again when the environment has no more.
        samples: Answers per task.
        target_survivors: Sample a task only until it has so many survivors, and spend the rest where survivors are
            likelier; None samples every task equally. Never more than ``tasks * samples`` in all. The yield is then
            that of the first attempts, since hard tasks are asked more often than easy ones.
        reuse_tasks: Ask the same tasks every round.
        hint: Ask each task that nobody solved once more, with this text after its prompt, in which ``{answer}`` is the right answer. The
            rows that pass are kept under the prompt without the hint: rationales for answers that are known (STaR, Zelikman et al. 2022).
    """

    tasks: int = field(default=800, validator=at_least(1))
    samples: int = field(default=8, validator=at_least(1))
    target_survivors: int | None = field(default=None, validator=at_least(1))
    reuse_tasks: bool = False
    hint: str | None = None

    def __attrs_post_init__(self) -> None:
        if self.hint is not None and "{answer}" not in self.hint:
            raise RecordError(
                f"must have {{answer}} in it, where the right answer goes, got {self.hint!r}",
                field="hint",
            )


@frozen(kw_only=True)
class Revise:
    """A stage's answers are criticised and revised before they are judged (Bai et al. 2022, section 3.1).

    Args:
        constitution: A YAML file of principles, relative to the recipe's folder; None for the default one.
        rounds: Critiques and revisions of an answer.
        critic: What criticises and revises; None for the model that answers.
        temperature: That of critiques and revisions.
        max_new_tokens: Bound on each of them.
    """

    constitution: str | None = None
    rounds: int = field(default=1, validator=at_least(1))
    critic: Component | None = None
    temperature: float = field(default=0.3, validator=at_least(0))
    max_new_tokens: int = field(default=512, validator=at_least(1))


@frozen(kw_only=True)
class Synthesise:
    """An engine makes attempts, and tasks too, of a round's tasks; they are judged, recorded and kept like answers of the policy.

    Args:
        name: A synthesiser over a policy, its registered name or ``file.py:Class``.
        tasks: Tasks that it is given each round.
        extra: Its options, written beside the name. Policy, environment, seed and sampling are the run's unless they are given.
    """

    name: str
    tasks: int = field(default=100, validator=at_least(1))
    extra: Mapping[str, Any] = field(factory=dict)


@frozen(kw_only=True)
class Demonstrate:
    """Demonstrations that a stage has made, right by construction and confirmed by a verifier.

    Args:
        count: How many.
        environment: Whose tasks they answer; None for the recipe's. Another one's are confirmed by its own verifier.
        synthesisers: Engines that make them, in equal parts; default: the environment itself.
    """

    count: int = field(validator=at_least(1))
    environment: Component | None = None
    synthesisers: tuple[Component, ...] = ()


@frozen(kw_only=True)
class Reward:
    """A reward of an algorithm that samples for itself.

    Args:
        name: ``task`` for the verifier that judges the run; the name of an earlier stage whose model scores; or a verifier.
        weight: What its score is multiplied by in the sum.
        extra: The options of a verifier, written beside its name.
    """

    name: str
    weight: float = 1.0
    extra: Mapping[str, Any] = field(factory=dict)


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
        decontaminate: Drop rows that share this many words in a row with a held-out task, or its whole prompt if that is
            shorter; None is off. Rows of files in ``data`` too, which are left out of what is trained on and counted.
        rounds: How many past rounds of the stage stay in the training set; None is all.
        capacity: Most pairs that stay in it, the newest of them: a replay buffer; None is no bound.
        demonstrations: Keep the demonstrations in it.
        gold: Prefer the environment's own answer where it is as good as the model's, so that every task with a failure gives a pair.
        pairs: Also write preference pairs.
        ranked: Pairs of every two answers whose scores differ, C(K, 2) of a ranking of K, each prompt with the same weight: for a reward
            model. Else the best answer that passed against each that failed.
    """

    keep: str = field(default="survivors", validator=_choice("survivors", "none"))
    max_per_task: int = field(default=2, validator=at_least(1))
    min_score: float = field(default=0.0, validator=_share)
    near_duplicates: float | None = field(default=None, validator=_share_above_0)
    decontaminate: int | None = field(default=13, validator=at_least(1))
    rounds: int | None = field(default=None, validator=at_least(1))
    capacity: int | None = field(default=None, validator=at_least(1))
    demonstrations: bool = True
    gold: bool = False
    pairs: bool = False
    ranked: bool = False


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
    """When a run stops by itself, or a stage ends.

    Args:
        max_invalid_rate: Share of invalid verdicts in a round above which the run fails.
        stop_at: Held-out pass rate at which the stage is done; the next one begins, or the run ends.
        goodhart: With an ``audit_verifier``: stop when the visible held-out rate rose and the audited one did not.
        goodhart_rounds: Over how many rounds the audited rate must follow the visible one; one that falls for certain stops the run at
            once.
        min_yield: Stop before training when the yield of the samples is below this, for certain.
        max_fpr: Stop before the first training when the audit of the verifier leaves a higher rate of wrong answers that pass.
        max_kl: Stop when a stage's model is further than this from the one that it started from, in nats per answer.
        max_length_ratio: Stop when the held-out answers are so many times as long, or as short, as before the stage, for certain.
        max_refusal_rise: Stop when the share of refusals among the held-out answers is by so much higher than before the stage, for
            certain.
        max_samples: Start no round when the run has sampled so many answers, those inside training counted too.
        max_tokens: The same, in tokens generated and trained on.
        max_seconds: The same, in seconds of work.
        max_cost: The same, in the currency of the policies' prices; answers whose cost is unknown are not in it, and if it is known of none
            the run stops.
    """

    max_invalid_rate: float = field(default=0.05, validator=_share)
    stop_at: float | None = field(default=None, validator=_share)
    goodhart: bool = True
    goodhart_rounds: int = field(default=2, validator=at_least(1))
    min_yield: float | None = field(default=None, validator=_share)
    max_fpr: float | None = field(default=None, validator=_share)
    max_kl: float | None = field(default=None, validator=_above_0)
    max_length_ratio: float | None = field(default=None, validator=_above_1)
    max_refusal_rise: float | None = field(default=None, validator=_share)
    max_samples: int | None = field(default=None, validator=at_least(1))
    max_tokens: int | None = field(default=None, validator=at_least(1))
    max_seconds: float | None = field(default=None, validator=_above_0)
    max_cost: float | None = field(default=None, validator=_above_0)
