"""A policy at the table, and players by name: teachers, past models, the model that is being trained."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any

import attrs

from orbiter.errors import ConfigError
from orbiter.generate.engine import Asking
from orbiter.generate.policy import Completion, Policy, Request, Sampling, ask_all
from orbiter.plugin import registry
from orbiter_openspiel.games import Game
from orbiter_openspiel.teachers import TEACHERS, Teacher, make_teacher

MOVE = Sampling(max_new_tokens=16)
"""How a policy is sampled unless the caller says otherwise: a move is short."""

_SAMPLING = {one.name for one in attrs.fields(Sampling)}


class PolicyPlayer:
    """A policy that plays: it is asked for the moves of many games at once, as many as its batches and their number hold.

    Args:
        policy: Any policy: the model that is being trained, an older one, a server.
        sampling: How it is sampled.
        asking: What asks it.
    """

    def __init__(
        self, policy: Policy, sampling: Sampling = MOVE, *, asking: Asking = ask_all
    ) -> None:
        self.policy, self.sampling, self._asking = policy, sampling, asking

    @property
    def label(self) -> str:
        """Name and model of the policy, as rows name them."""
        model = self.policy.model
        return self.policy.name if model is None else f"{self.policy.name}:{model}"

    async def answer(self, requests: Sequence[Request]) -> list[Completion]:
        """Answer each request once, in their order."""
        return await self._asking(self.policy, requests, self.sampling)


Spec = str | Mapping[str, Any] | Policy | PolicyPlayer | Teacher
"""A player as a caller names it: a teacher's name, a teacher or a policy with its options, or an object."""


def make_player(spec: Spec, game: Game, *, simulations: int = 100) -> Teacher | PolicyPlayer:
    """Return a player.

    Args:
        spec: ``"cfr+"``; ``{"name": "mccfr", "iterations": 10_000}``; the name and options of a policy, those of its sampling
            among them, such as ``{"name": "transformers", "model": "runs/a/checkpoints/3", "temperature": 0.5}``; a policy; a
            player.
        game: The game that it plays.
        simulations: Simulations per move of ``mcts``, unless its options say otherwise.

    Raises:
        ConfigError: There is no such player, or it cannot play this game.
    """
    if isinstance(spec, Teacher | PolicyPlayer):
        return spec
    if isinstance(spec, Policy):
        return PolicyPlayer(spec)
    if isinstance(spec, str):
        return make_teacher(spec, game, simulations=simulations)
    if not isinstance(spec, Mapping) or not isinstance(spec.get("name"), str):
        raise ConfigError(
            f"player must be a name, or a name with options, got {spec!r}",
            hint=f"teachers: {', '.join(TEACHERS)}; or {{name: a policy, and its options}}",
        )
    options = {key: value for key, value in spec.items() if key != "name"}
    if spec["name"] in TEACHERS:
        try:
            return make_teacher(spec["name"], game, **{"simulations": simulations, **options})
        except TypeError:
            raise ConfigError(
                f"options of teacher {spec['name']!r} must be among simulations, iterations, seed, path, got {sorted(options)!r}"
            ) from None
    sampling = {key: options.pop(key) for key in sorted(_SAMPLING & set(options))}
    policy = registry().create("policy", spec["name"], options)
    return PolicyPlayer(policy, attrs.evolve(MOVE, **sampling))


def label_of(spec: Spec) -> str:
    """Return the name of a player, as rows name it; a policy's model is named with it."""
    if isinstance(spec, str):
        return spec
    if isinstance(spec, Mapping):
        model = spec.get("model", spec.get("path"))
        return spec["name"] if model is None else f"{spec['name']}:{model}"
    if isinstance(spec, Policy):
        return PolicyPlayer(spec).label
    return spec.label if isinstance(spec, PolicyPlayer) else type(spec).__name__
