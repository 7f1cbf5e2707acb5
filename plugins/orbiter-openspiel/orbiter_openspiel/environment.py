"""Positions of games as tasks: what the player to move may know is the prompt, one move is the answer."""

from __future__ import annotations

import random
from collections.abc import Mapping, Sequence
from typing import Any

from orbiter.errors import ConfigError
from orbiter.records import Message, Task, content_hash
from orbiter.tasks.environment import Environment
from orbiter.tasks.streams import item_seed, item_stream
from orbiter_openspiel.games import Game, load_game
from orbiter_openspiel.solvers import Solver
from orbiter_openspiel.verifier import GameMoveVerifier, position_of

DRAWS = 20
"""Positions of a large game that are looked at to find one where the choice matters."""


class OpenSpielEnvironment(Environment):
    """One position after another, each with one move to be found.

    A task first draws one of the games, then one of its positions. Of a game that can be listed every position is as likely:
    a prompt has one id and one history. Of a larger game a position is a random point of a game of random moves.

    Args:
        game: OpenSpiel's name, such as ``tic_tac_toe`` or ``hex(board_size=5)``.
        games: Several games instead of one, each as likely.
        positions: ``critical``: only where some legal move is surely worse than another; ``all``: wherever there are two
            legal moves or more. Of a large game it is the one with the most at stake among up to 20 when none is critical.
        solver: How moves are judged and demonstrated; see :class:`GameMoveVerifier`.
        simulations: Simulations per legal move of the solver ``mcts``.
        epsilon: Loss of value that still passes; None: the game's own.
        graded: Score losing legal moves by their loss instead of 0.
        instructions: Explain the game and the notation in a system message.
    """

    name = "openspiel"

    def __init__(
        self,
        *,
        game: str | None = None,
        games: Sequence[str] = (),
        positions: str = "critical",
        solver: str = "auto",
        simulations: int = 1000,
        epsilon: float | None = None,
        graded: bool = False,
        instructions: bool = False,
    ) -> None:
        if isinstance(games, str) or (game is None) == (not games):
            raise ConfigError(
                f"one of game and games must be given, and not both, got game={game!r} and games={games!r}"
            )
        if positions not in ("critical", "all"):
            raise ConfigError(f"positions must be one of critical, all, got {positions!r}")
        if type(instructions) is not bool:
            raise ConfigError(f"instructions must be true or false, got {instructions!r}")
        names = [game] if game is not None else list(games)
        if len(set(names)) < len(names):
            raise ConfigError(f"games must differ, got {names!r}")
        self.games = [load_game(name) for name in names]
        self.positions, self.instructions = positions, instructions
        self._verifier = GameMoveVerifier(
            solver=solver, simulations=simulations, epsilon=epsilon, graded=graded
        )
        self._listed: dict[str, Mapping[str, Any] | None] = {}
        self._asked: dict[str, list[Any]] = {}
        if positions == "critical":
            for each in self.games:
                if self._verifier.solver_for(each) is None:
                    raise ConfigError(
                        f"game {each.name!r} must have a solver for critical positions, and none fits it",
                        hint="use positions: all",
                    )
        known = [each.notation.chars for each in self.games]
        # The text of the rules may use any character; a game in OpenSpiel's words may, too.
        if not instructions and None not in known:
            self.chars = "".join(sorted(set("".join(map(str, known)))))

    def task(self, index: int, *, seed: int) -> Task:
        """Return a task whose metadata holds the game and the history that leads to the position."""
        stream = item_stream(self.name, seed, index)
        game = stream.choice(self.games)
        askable = self._list(game)
        state = stream.choice(askable) if askable is not None else self._draw(game, stream)
        return self.task_at(game, state)

    def task_at(self, game: Game, state: Any) -> Task:
        """Return the task of a position where a player moves: where ``task`` may ask it, the same one; else one like it."""
        listed, prompt = self._positions(game), game.prompt(state)
        # A large game may come to one position on two ways, which are two tasks.
        key = game.notation.key(prompt) if listed is not None else content_hash(state.history())
        state = state if listed is None else listed.get(prompt, state)
        messages = [Message("user", prompt)]
        if self.instructions:
            messages.insert(0, Message("system", game.notation.rules))
        return Task(
            env=self.name,
            task_id=f"{self.name}:{game.name}:{key}",
            messages=tuple(messages),
            metadata={"game": game.name, "history": list(state.history())},
        )

    def demonstrate(self, task: Task) -> str | None:
        """Return a move that the solver stands for: any best one, or in games of hidden information one drawn from equilibrium."""
        game, state = position_of(task)
        solver = self._verifier.solver_for(game)
        if solver is None:
            return None
        stream = random.Random(item_seed("demonstrate", task.task_id))
        return game.move(state, solver.choose(state, stream))

    def verifier(self) -> GameMoveVerifier:
        """Return the verifier that judges by the same solver as ``demonstrate``."""
        return self._verifier

    def can_judge(self, game: Game, state: Any) -> bool:
        """Return whether a verdict on a position means something: not where equilibrium play never leads, which no solver knows."""
        listed = self._positions(game)
        return listed is None or len(state.legal_actions()) < 2 or game.prompt(state) in listed

    def another(self, game: Game, state: Any, stream: random.Random) -> Any:
        """Return a state that the player to move cannot tell from this one: what is hidden dealt anew, if the solver knows how."""
        solver = self._verifier.solver_for(game)
        return state if solver is None else solver.another(state, stream)

    def _positions(self, game: Game) -> Mapping[str, Any] | None:
        """Return one state for each position of a choice, by its prompt, or None if they cannot be listed."""
        if game.name not in self._listed:
            solver = self._verifier.solver_for(game)
            states = solver.positions() if solver is not None else None
            self._listed[game.name] = (
                None if states is None else {game.prompt(state): state for state in states}
            )
        return self._listed[game.name]

    def _list(self, game: Game) -> list[Any] | None:
        """Return the states of all askable positions, one per prompt, or None if they cannot be listed."""
        listed = self._positions(game)
        if listed is None:
            return None
        if game.name not in self._asked:
            solver = self._verifier.solver_for(game)
            asked = [state for state in listed.values() if self._is_asked(solver, state)]
            if not asked:
                raise ConfigError(
                    f"game {game.name!r} must have positions to ask, and none is {self.positions}"
                )
            self._asked[game.name] = asked
        return self._asked[game.name]

    def _is_asked(self, solver: Solver | None, state: Any) -> bool:
        if self.positions == "all" or solver is None:
            return len(state.legal_actions()) > 1
        return solver.evaluate(state).is_critical

    def _draw(self, game: Game, stream: random.Random) -> Any:
        """Return a random decision point of a game of random moves; the most telling one of several, if so asked."""
        solver = self._verifier.solver_for(game) if self.positions == "critical" else None
        most, kept = -1.0, None
        for _ in range(DRAWS):
            state = _random_decision(game, stream)
            if solver is None:
                return state
            values = solver.evaluate(state)
            if values.is_critical:
                return state
            stake = values.best - min(values.values.values())
            if stake > most:
                most, kept = stake, state
        return kept


def _random_decision(game: Game, stream: random.Random) -> Any:
    """Return a state where a player has two legal moves or more, drawn from one game of random moves."""
    for _ in range(1000):
        state, choices = game.start(), []
        while not state.is_terminal():
            if state.is_chance_node():
                actions, weights = zip(*state.chance_outcomes())
                state.apply_action(stream.choices(actions, weights=weights)[0])
                continue
            actions = state.legal_actions()
            if len(actions) > 1:
                choices.append(state.clone())
            state.apply_action(stream.choice(actions))
        if choices:
            return stream.choice(choices)
    raise ConfigError(f"game {game.name!r} must offer a choice of moves")
