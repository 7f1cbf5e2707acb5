"""The recipe: what a run does, as attrs classes; :mod:`orbiter.flywheel.recipe_file` reads it from YAML."""

from __future__ import annotations

import re
from collections.abc import Mapping
from typing import Any

from attrs import field, frozen

from orbiter.errors import RecordError
from orbiter.flywheel.sections import (
    Component,
    Curate,
    Evaluate,
    Gates,
    Generate,
    ModelSpec,
    PolicySpec,
    Teach,
    Train,
    Verify,
    at_least,
)
from orbiter.ledger.ledger import RUN_NAME

_SECRET = re.compile(r"(?:.*_)?(?:api_key|password|secret|access_token)")


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
    rounds: int = field(default=5, validator=at_least(1))
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
