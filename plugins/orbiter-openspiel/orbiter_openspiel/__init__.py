"""Games for orbiter: positions to be answered, teachers, self-play data and verified moves, from OpenSpiel.

    environment  openspiel   positions of one or several games, one move each
    verifier     game_move   legal, and throws no value away
    synthesiser  selfplay    games between teachers and policies, as rows
    synthesiser  playout     the present model plays on from positions, each of its decisions an attempt

The files, in the order that they build on each other: ``notation``, ``boards`` and ``cards`` (a game as short text), ``games`` (a
game that can be rendered and parsed), ``solvers`` (what each move is worth), ``snapshot`` (a policy as a table),
``alpha_beta``, ``equilibrium``, ``search`` and ``scores`` (four ways to know), ``teachers`` and ``players`` (who plays), ``arena`` (many
games at once), then ``environment``, ``verifier``, ``rows`` and ``selfplay`` with its ``workers``, ``playout``, and ``metrics`` and
``filtering`` (how well a policy plays).
"""

from __future__ import annotations

from orbiter import hookimpl
from orbiter.registry import Registry


@hookimpl
def orbiter_register(registry: Registry) -> None:
    """Add the environment, the verifier and the synthesisers."""
    registry.add("environment", "openspiel", "orbiter_openspiel.environment:OpenSpielEnvironment")
    registry.add("verifier", "game_move", "orbiter_openspiel.verifier:GameMoveVerifier")
    registry.add("synthesiser", "selfplay", "orbiter_openspiel.selfplay:SelfPlaySynthesiser")
    registry.add("synthesiser", "playout", "orbiter_openspiel.playout:PlayoutSynthesiser")
