"""A policy as a table that can be kept: computed by counterfactual regret minimisation, or read off a model.

Only *sampled* is an equilibrium one: the most likely action of a mixed equilibrium is no equilibrium (in Kuhn poker
NashConv 1/3 instead of 0).
"""

from __future__ import annotations

import functools
import random
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import orjson
import pyspiel
from attrs import field, frozen

from orbiter.checks import check_seed, check_whole_number, is_number
from orbiter.convert import show
from orbiter.errors import ConfigError
from orbiter.jsonl.writing import replace_file
from orbiter_openspiel.games import Game, load_game

ALGORITHMS = ("cfr", "cfr+", "mccfr")
"""CFR (Zinkevich et al. 2007), CFR+ (Tammelin 2014) and external-sampling MCCFR (Lanctot et al. 2009), all in C++."""

MCCFR_ITERATIONS = 100_000
"""Iterations of MCCFR unless the caller says otherwise: one samples a single deal."""

MAX_HISTORIES = 1_000_000
"""Bound on the size of a game whose information states are listed."""

MAX_SOLVED = 100_000
"""Bound on the histories of a game that CFR and CFR+ go through at every iteration."""

_OTHER_GAME = "was it made for another game, or with other parameters?"
_FORMAT = "orbiter-openspiel/policy-1"
_KEYS = {"format", "game", "algorithm", "iterations", "seed", "policy"}


@frozen
class Snapshot:
    """A policy of one game: information state (OpenSpiel's text) to legal action to probability.

    Args:
        game: Name of the game.
        policy: The table.
        algorithm: What made it.
        iterations: How many iterations that took; 0 for what is not iterated.
        seed: Seed of what was sampled.
    """

    game: str
    policy: Mapping[str, Mapping[int, float]] = field(repr=False)
    algorithm: str
    iterations: int = 0
    seed: int = 0

    def probabilities(self, state: Any) -> Mapping[int, float]:
        """Return the probabilities of the legal actions.

        Raises:
            ConfigError: The table does not hold this information state, or an action that is not legal there.
        """
        key = state.information_state_string()
        found = self.policy.get(key)
        if found is None or not found.keys() <= set(state.legal_actions()):
            got = "none" if found is None else f"actions {sorted(found)}"
            raise ConfigError(
                f"policy of {self.game!r} must hold legal actions for every information state, got {got} for {key!r}",
                hint=_OTHER_GAME,
            )
        return found

    def choose(self, state: Any, stream: random.Random) -> int:
        """Return an action, drawn from the policy."""
        found = self.probabilities(state)
        return stream.choices(list(found), weights=list(found.values()))[0]

    def nash_conv(self) -> float:
        """Return what both players together would gain by answering this policy best; 0 is a Nash equilibrium."""
        with self._whole():
            return float(pyspiel.nash_conv(load_game(self.game).spiel, self.spiel_policy()))

    def values(self, opponent: Snapshot) -> tuple[float, float]:
        """Return the expected return of this policy against ``opponent``, in the first seat and in the second."""
        own, other, start = self.spiel_policy(), opponent.spiel_policy(), load_game(self.game).start
        with self._whole():
            first = pyspiel.expected_returns(start(), [own, other], -1, True)
            second = pyspiel.expected_returns(start(), [other, own], -1, True)
        return float(first[0]), float(second[1])

    @contextmanager
    def _whole(self) -> Iterator[None]:
        """Say in one line what a table lacks that OpenSpiel goes through."""
        try:
            yield
        except pyspiel.SpielError as error:
            raise ConfigError(
                f"policy of {self.game!r} must tell each legal action's probability in every information state: "
                + str(error).partition("\n")[0],
                hint=_OTHER_GAME,
            ) from None

    def spiel_policy(self) -> Any:
        """Return it as OpenSpiel's tabular policy."""
        return pyspiel.TabularPolicy({key: list(row.items()) for key, row in self.policy.items()})

    def save(self, path: str | Path) -> None:
        """Write it as JSON; the file appears whole or not at all."""
        table = {key: {str(a): p for a, p in row.items()} for key, row in self.policy.items()}
        data = {
            "format": _FORMAT, "game": self.game, "algorithm": self.algorithm,
            "iterations": self.iterations, "seed": self.seed, "policy": table,
        }  # fmt: skip
        with replace_file(path) as file:
            file.write(orjson.dumps(data, option=orjson.OPT_INDENT_2 | orjson.OPT_APPEND_NEWLINE))

    @classmethod
    def load(cls, path: str | Path) -> Snapshot:
        """Return the policy that a file holds.

        Raises:
            ConfigError: The file cannot be read, or is no policy of a game; says where.
        """
        try:
            data = orjson.loads(Path(path).read_bytes())
        except OSError as error:
            raise ConfigError(f"snapshot {str(path)!r} cannot be read: {error.strerror}") from None
        except orjson.JSONDecodeError as error:
            raise ConfigError(f"snapshot {str(path)!r} must be JSON: {error}") from None
        if not isinstance(data, dict) or data.get("format") != _FORMAT or set(data) != _KEYS:
            raise ConfigError(
                f"snapshot {str(path)!r} must be a policy in the format {_FORMAT!r}",
                hint="write one with Snapshot.save",
            )
        game, table = load_game(data["game"]), data["policy"]
        if not isinstance(table, dict) or not isinstance(data["algorithm"], str):
            raise ConfigError(f"snapshot {str(path)!r} must hold a table of a named algorithm")
        policy = {key: _checked_row(game, str(path), key, row) for key, row in table.items()}
        iterations = check_whole_number("iterations", data["iterations"], low=0)
        seed = check_seed(data["seed"])
        return cls(game.name, policy, data["algorithm"], iterations, seed)


def _checked_row(game: Game, path: str, key: str, row: object) -> dict[int, float]:
    highest = game.spiel.num_distinct_actions()
    if isinstance(row, dict) and row:
        actions = {str(action): action for action in range(highest)}
        sound = all(a in actions and is_number(p) and p >= 0 for a, p in row.items())
        if sound and abs(sum(row.values()) - 1) < 1e-6:
            return {actions[action]: float(share) for action, share in row.items()}
    raise ConfigError(
        f"snapshot {path!r}, information state {key!r} must have probabilities of actions that sum to 1, got {show(row)}"
    )


def uniform(game: Game) -> Snapshot:
    """Return the policy that plays every legal action as often."""
    states = information_states(game)
    table = {k: dict.fromkeys(a := s.legal_actions(), 1 / len(a)) for k, s in states.items()}
    return Snapshot(game.name, table, "uniform")


@functools.lru_cache(maxsize=32)
def solve(game: Game, algorithm: str, *, iterations: int | None = None, seed: int = 0) -> Snapshot:
    """Return the average policy of an algorithm, the same table for the same arguments.

    Args:
        game: A two-player zero-sum game with information states.
        algorithm: One of ``ALGORITHMS``.
        iterations: How many; None: the game's own for CFR and CFR+, 100,000 for MCCFR.
        seed: Selects the deals and actions that MCCFR samples.

    Raises:
        ConfigError: The algorithm cannot solve this game.
    """
    check_solvable(game, algorithm)
    default = MCCFR_ITERATIONS if algorithm == "mccfr" else game.iterations
    count = default if iterations is None else iterations
    check_whole_number("iterations", count, low=1, high=10**9)
    check_seed(seed)
    bound = MAX_HISTORIES if algorithm == "mccfr" else MAX_SOLVED
    states = information_states(game, max_histories=bound, purpose=algorithm)
    if algorithm == "mccfr":
        sampler = pyspiel.ExternalSamplingMCCFRSolver(game.spiel, seed % (2**31 - 1))
        for _ in range(count):
            sampler.run_iteration()
        average = sampler.average_policy()
        table = {key: dict(average.get_state_policy(state)) for key, state in states.items()}
    else:
        maker = {"cfr": pyspiel.CFRSolver, "cfr+": pyspiel.CFRPlusSolver}[algorithm]
        solver = maker(game.spiel)
        for _ in range(count):
            solver.evaluate_and_update_policy()
        average = solver.tabular_average_policy().policy_table()
        table = {key: dict(average[key]) for key in states}
    return Snapshot(game.name, table, algorithm, count, seed)


def check_solvable(game: Game, algorithm: str) -> None:
    """Raise ConfigError unless the algorithms can solve games of this kind."""
    if not game.is_zero_sum or not game.spiel.get_type().provides_information_state_string:
        raise ConfigError(
            f"game must be a two-player zero-sum game with information states for {algorithm}, got {game.name!r}"
        )


@functools.lru_cache(maxsize=32)
def information_states(
    game: Game,
    *,
    max_histories: int = MAX_HISTORIES,
    purpose: str = "a list of what players can know",
) -> Mapping[str, Any]:
    """Return one state for each information state, by its text, in a fixed order.

    Args:
        game: The game.
        max_histories: Bound on its size.
        purpose: What for, in the words of the error.

    Raises:
        ConfigError: The game has more histories than ``max_histories``, or no information states.
    """
    if not game.spiel.get_type().provides_information_state_string:
        raise ConfigError(f"game must have information states, got {game.name!r}")
    found: dict[str, Any] = {}
    for count, state in enumerate(_histories(game), start=1):
        if count > max_histories:
            raise ConfigError(
                f"game must have at most {max_histories} histories for {purpose}, got {game.name!r}",
                hint="name smaller parameters"
                + (", or use mccfr" if purpose.startswith("cfr") else ""),
            )
        if not state.is_chance_node() and not state.is_terminal():
            found.setdefault(state.information_state_string(), state)
    return found


def _histories(game: Game) -> Iterator[Any]:
    stack = [game.start()]
    while stack:
        state = stack.pop()
        yield state
        if not state.is_terminal():
            stack.extend(state.child(action) for action in reversed(state.legal_actions()))
