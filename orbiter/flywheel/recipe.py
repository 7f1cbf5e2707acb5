"""The recipe: what a run does, as YAML on attrs classes.

Unknown keys are errors with a suggestion and the line in the file. ``${inputs.name}`` stands for a value of the section
``inputs``, which is how a recipe takes paths from the command line. Dotted overrides replace single fields:
``orbiter run recipe.yaml rounds=3 policy.temperature=0.8``.
"""

from __future__ import annotations

import re
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

import attrs
import yaml
from attrs import field, frozen

from orbiter.convert import show, structure, unstructure
from orbiter.errors import ConfigError, RecordError
from orbiter.flywheel.plain_yaml import read_plain_yaml
from orbiter.generate.policy import Sampling
from orbiter.ledger.ledger import RUN_NAME
from orbiter.train.config import TrainConfig
from orbiter.verify.pool import MIN_MEMORY_MB

_SECRET = re.compile(r"(?:.*_)?(?:api_key|password|secret|access_token)")


def _at_least(minimum: float) -> Any:
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

    demonstrations: int = field(default=60, validator=_at_least(1))
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

    tasks: int = field(default=800, validator=_at_least(1))
    samples: int = field(default=8, validator=_at_least(1))
    target_survivors: int | None = field(default=None, validator=_at_least(1))
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

    workers: int | None = field(default=None, validator=_at_least(0))
    timeout_s: float = field(default=30.0, validator=_above_0)
    memory_mb: int | None = field(default=2048, validator=_at_least(MIN_MEMORY_MB))
    cache_size: int = field(default=10_000, validator=_at_least(0))
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
    max_per_task: int = field(default=2, validator=_at_least(1))
    min_score: float = field(default=0.0, validator=_share)
    near_duplicates: float | None = field(default=None, validator=_share_above_0)
    decontaminate: int | None = field(default=13, validator=_at_least(1))
    rounds: int | None = field(default=None, validator=_at_least(1))
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
        audit: Answers of known label that the verifier is audited with before the first round; 0 for none.
    """

    tasks: int = field(default=500, validator=_at_least(0))
    samples: int = field(default=1, validator=_at_least(1))
    temperature: float = field(default=0.0, validator=_at_least(0))
    share: float = field(default=0.1, validator=_share_below_1)
    audit: int = field(default=200, validator=_at_least(0))

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


@frozen(kw_only=True)
class Recipe:
    """A run.

    Args:
        name: Name of the run, and of its folder.
        environment: Where tasks come from.
        policy: What answers.
        description: One sentence.
        seed: Every random choice of the run derives from it.
        rounds: How often the loop turns.
        inputs: Values for ``${inputs.name}``.
        model: The model to start from; None if the policy needs none.
        verifier: What judges; default: the environment's own.
        audit_verifier: A second judge of the held-out answers, never used for filtering.
        teach: The cold start; None to start with the model as it is.
        generate: What a round samples.
        verify: How verdicts are made.
        curate: What is kept.
        train: The training of each round; None makes data only.
        evaluate: How a round is measured.
        gates: When to stop.
        exports: Formats that the final data is written in.
    """

    name: str
    environment: Component
    policy: PolicySpec
    description: str = ""
    seed: int = 0
    rounds: int = field(default=5, validator=_at_least(1))
    inputs: Mapping[str, Any] = field(factory=dict)
    model: ModelSpec | None = None
    verifier: Component | None = None
    audit_verifier: Component | None = None
    teach: Teach | None = None
    generate: Generate = field(factory=Generate)
    verify: Verify = field(factory=Verify)
    curate: Curate = field(factory=Curate)
    train: Train | None = None
    evaluate: Evaluate = field(factory=Evaluate)
    gates: Gates = field(factory=Gates)
    exports: tuple[Component, ...] = ()

    def __attrs_post_init__(self) -> None:
        self._refuse_secrets()
        if not RUN_NAME.fullmatch(self.name):
            raise RecordError(
                f"must be 1 to 100 letters, digits, '_', '.' and '-', got {self.name!r}",
                field="name",
            )
        for stage in ("teach", "train"):
            if getattr(self, stage) is not None and self.model is None:
                raise RecordError(f"must be given, since there is a {stage} stage", field="model")

    def _refuse_secrets(self) -> None:
        """A recipe is saved with its run and shown in errors, so what it holds is no secret."""
        parts: dict[str, Component | PolicySpec | None] = {
            "environment": self.environment,
            "policy": self.policy,
            "verifier": self.verifier,
            "audit_verifier": self.audit_verifier,
        }
        for place, part in parts.items():
            for key in part.extra if part is not None else ():
                if _SECRET.fullmatch(key):
                    raise RecordError(
                        "must not be in a recipe, which is saved with the run",
                        field=f"{place}.{key}",
                        hint="let the part read it from the environment, and name the variable: api_key_env",
                    )


def load_recipe(path: str | Path, overrides: Sequence[str] = ()) -> Recipe:
    """Read a recipe file and apply dotted overrides.

    Args:
        path: YAML file.
        overrides: Texts like ``policy.temperature=0.8``; the value is read as YAML.

    Raises:
        ConfigError: The file cannot be read, is no YAML, or an override is malformed.
        RecordError: A field is unknown, missing or wrong; names the file, the line and the field.
    """
    path = Path(path)
    try:
        text = path.read_text(encoding="utf-8")
    except FileNotFoundError:
        raise ConfigError(
            f"recipe {str(path)!r} does not exist", hint="give the path of a recipe file (YAML)"
        ) from None
    except OSError as error:
        raise ConfigError(f"recipe {str(path)!r} cannot be read: {error.strerror}") from None
    except UnicodeDecodeError as error:
        raise ConfigError(
            f"recipe {str(path)!r} must be UTF-8, got the byte 0x{error.object[error.start]:02x} "
            f"at offset {error.start}",
            hint="convert the file to UTF-8",
        ) from None
    try:
        root, data = read_plain_yaml(text)
    except RecordError as error:
        raise error.at(str(path), error.line) from None
    if not isinstance(data, dict):
        raise RecordError(f"must be a mapping of fields, got {show(data)}", source=str(path))
    changed = [_override(data, item) for item in overrides]
    try:
        return structure(_fill(data, data.get("inputs") or {}, path=str(path)), Recipe)
    except RecordError as error:
        place = error.field or ""
        given = next(
            (c for c in changed if place == c or place.startswith((c + ".", c + "["))), None
        )
        if given:
            raise error.at(f"override {given!r}") from None
        raise error.at(str(path), _line_of(root, place)) from None


def _override(data: dict[str, Any], item: str) -> str:
    """Set one dotted field in the plain data and return its path."""
    key, sign, text = item.partition("=")
    if not sign or not key or not all(key.split(".")):
        raise ConfigError(
            f"override must look like field=value, got {item!r}",
            hint="example: rounds=3 policy.temperature=0.8",
        )
    try:
        _, value = read_plain_yaml(text)
    except RecordError as error:
        raise ConfigError(
            f"value of override {show(item)} {error.problem}", hint=error.hint
        ) from None
    *parents, last = key.split(".")
    at = data
    for name in parents:
        if at.get(name) is None:
            at[name] = {}
        if not isinstance(at[name], dict):
            raise ConfigError(f"override {item!r} goes into {name!r}, which is not a section")
        at = at[name]
    at[last] = value
    return key


_INPUT = re.compile(r"\$\{inputs\.([\w-]+)\}")


def _fill(value: Any, inputs: Mapping[str, Any], *, path: str) -> Any:
    """Replace ``${inputs.name}`` everywhere; a text that is nothing else takes the value's own type."""
    if isinstance(value, dict):
        return {k: _fill(v, inputs, path=path) for k, v in value.items()}
    if isinstance(value, list):
        return [_fill(v, inputs, path=path) for v in value]
    if not isinstance(value, str):
        return value

    def lookup(match: re.Match[str]) -> Any:
        name = match[1]
        if not isinstance(inputs, Mapping) or inputs.get(name) is None:
            raise RecordError(
                "must be given",
                field=f"inputs.{name}",
                hint=f"add inputs.{name}=... to the command line",
            )
        return inputs[name]

    whole = _INPUT.fullmatch(value)
    return lookup(whole) if whole else _INPUT.sub(lambda m: str(lookup(m)), value)


def _line_of(node: yaml.Node | None, field_path: str) -> int | None:
    """Return the line of a field, or of its nearest section that exists, counted from 1."""
    line: int | None = None
    for step in re.findall(r"[^.\[\]]+", field_path):
        if isinstance(node, yaml.MappingNode):
            found = next(((k, v) for k, v in node.value if k.value == step), None)
            if found is None:
                break
            line, node = found[0].start_mark.line + 1, found[1]
        elif isinstance(node, yaml.SequenceNode) and step.isdigit() and int(step) < len(node.value):
            node = node.value[int(step)]
            line = node.start_mark.line + 1
        else:
            break
    return line


def dump_recipe(recipe: Recipe) -> str:
    """Return the resolved recipe as YAML: every field, defaults included, so that a later default changes nothing."""
    return yaml.safe_dump(_whole(recipe), sort_keys=False, allow_unicode=True, width=100)


def _whole(value: Any) -> Any:
    if attrs.has(type(value)):
        row = {
            a.name: _whole(getattr(value, a.name))
            for a in attrs.fields(type(value))
            if a.name != "extra"
        }
        return row | _whole(dict(getattr(value, "extra", {})))
    if isinstance(value, Mapping):
        return {key: _whole(item) for key, item in value.items()}
    if isinstance(value, list | tuple):
        return [_whole(item) for item in value]
    return unstructure(value)
