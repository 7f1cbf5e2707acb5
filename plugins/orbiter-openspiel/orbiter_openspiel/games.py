"""A game of OpenSpiel that can be written as text, parsed and rebuilt from its history."""

from __future__ import annotations

import functools
from collections.abc import Callable, Iterable, Mapping
from typing import Any

import pyspiel
from attrs import field, frozen

from orbiter.errors import ConfigError, did_you_mean
from orbiter.verify.answer import without_thoughts
from orbiter_openspiel.boards import (
    BreakthroughNotation,
    ClobberNotation,
    ConnectFourNotation,
    HexNotation,
    NimNotation,
    OthelloNotation,
    TicTacToeNotation,
    TwentyFortyEightNotation,
)
from orbiter_openspiel.cards import (
    GoofspielNotation,
    KuhnNotation,
    LeducNotation,
    LiarsDiceNotation,
)
from orbiter_openspiel.notation import Notation, PlainNotation


@frozen
class Known:
    """What is known of a game beforehand.

    Args:
        notation: How it is written.
        solver: How its moves are valued unless the caller says otherwise; see ``solvers``.
        parameters: OpenSpiel parameters that are set unless the caller names some.
        shown: Those that every prompt shows by itself, as a board shows its size.
        named: Those that a prompt names where they are not the usual ones, or one prompt would have two right answers. With any other
            changed a game is written in OpenSpiel's own words.
        epsilon: Loss of value, in units of the game's utility, that a move may have and still pass; None: see ``solver_for``.
        iterations: Iterations of CFR that bring it near enough to equilibrium.
    """

    notation: Callable[[], Notation]
    solver: str
    parameters: str = ""
    shown: tuple[str, ...] = ()
    named: tuple[str, ...] = ()
    epsilon: float | None = None
    iterations: int = 1000


_BOARD = ("rows", "columns")
_GOOFSPIEL = "imp_info=True,num_cards=4,points_order=descending"

KNOWN: Mapping[str, Known] = {
    "tic_tac_toe": Known(TicTacToeNotation, "alpha_beta"),
    "nim": Known(NimNotation, "alpha_beta", shown=("pile_sizes",)),
    "connect_four": Known(ConnectFourNotation, "mcts", shown=_BOARD),
    "breakthrough": Known(BreakthroughNotation, "mcts", shown=_BOARD),
    "hex": Known(HexNotation, "mcts", shown=("board_size", "num_cols", "num_rows")),
    "othello": Known(OthelloNotation, "mcts"),
    "clobber": Known(ClobberNotation, "mcts", shown=_BOARD),
    "2048": Known(TwentyFortyEightNotation, "mcts", named=("max_tile",)),
    "kuhn_poker": Known(KuhnNotation, "cfr+", epsilon=0.01),
    # Two cards of one rank play alike: without suits the same game is a quarter of the size.
    "leduc_poker": Known(LeducNotation, "cfr+", "suit_isomorphism=True", epsilon=0.1),
    # Six faces have 25 times the histories of four, too many to value moves in.
    "liars_dice": Known(
        LiarsDiceNotation,
        "cfr+",
        "dice_sides=4",
        shown=("numdice",),
        named=("dice_sides",),
        epsilon=0.02,
        iterations=200,
    ),
    "goofspiel": Known(
        GoofspielNotation,
        "cfr+",
        _GOOFSPIEL,
        shown=("imp_info", "num_cards"),
        named=("points_order",),
        epsilon=0.02,
    ),
}
"""Games with a notation of their own."""

_READ = ("file", "root")
"""What the names of parameters have in them that are paths."""


@frozen(eq=False)
class Game:
    """One game: OpenSpiel's rules and our notation.

    Args:
        name: As the caller wrote it, such as ``tic_tac_toe`` or ``hex(board_size=5)``.
        spiel: OpenSpiel's game.
        notation: How positions and moves are written.
        solver: Name of the solver that fits it, or None if none does.
        epsilon: Loss of value that a move may have and still pass; None: what its solver needs.
        iterations: Iterations of CFR that bring it near enough to equilibrium.
    """

    name: str
    spiel: Any = field(repr=False)
    notation: Notation = field(repr=False)
    solver: str | None
    epsilon: float | None = None
    iterations: int = 1000

    @property
    def seat_count(self) -> int:
        """How many players it has."""
        return int(self.spiel.num_players())

    @property
    def has_chance(self) -> bool:
        """Whether dice or cards decide anything."""
        deterministic = pyspiel.GameType.ChanceMode.DETERMINISTIC
        return bool(self.spiel.get_type().chance_mode != deterministic)

    @functools.cached_property
    def pays_on_the_way(self) -> bool:
        """Whether points are won move by move, as in 2048, and not at the end alone."""
        return bool(self.spiel.get_type().reward_model == pyspiel.GameType.RewardModel.REWARDS)

    @property
    def is_zero_sum(self) -> bool:
        """Whether it is a zero-sum game for two."""
        zero_sum = pyspiel.GameType.Utility.ZERO_SUM
        return self.seat_count == 2 and bool(self.spiel.get_type().utility == zero_sum)

    @property
    def utility_range(self) -> float:
        """Difference between the best and the worst return."""
        return float(self.spiel.max_utility() - self.spiel.min_utility())

    def start(self) -> Any:
        """Return the initial state; it may be a chance node."""
        return self.spiel.new_initial_state()

    def rebuild(self, history: Iterable[int]) -> Any:
        """Return the state after ``history``, chance outcomes included.

        Raises:
            ConfigError: An action is not legal where it stands.
        """
        state = self.start()
        for index, action in enumerate(history):
            # OpenSpiel itself may abort the process on an action out of range.
            if type(action) is not int or action not in state.legal_actions():
                raise ConfigError(
                    f"history[{index}] must be a legal action of {self.name!r}, got {action!r}"
                )
            state.apply_action(action)
        return state

    def seats_of(self, history: Iterable[int]) -> list[int]:
        """Return who took each action of a game that was played; negative for chance."""
        state, seats = self.start(), []
        for action in history:
            seats.append(int(state.current_player()))
            state.apply_action(action)
        return seats

    def prompt(self, state: Any) -> str:
        """Return what the player to move is shown."""
        return self.notation.prompt(state)

    def move(self, state: Any, action: int) -> str:
        """Return the text of a legal action."""
        return self.notation.move(state, action)

    def parse(self, state: Any, text: str) -> int | None:
        """Return the legal action that ``text`` names, or None; thoughts before it and blanks around it do not count."""
        said = without_thoughts(text)
        if said is None:  # a thought that never ends
            return None
        wanted, moves = said.strip(), self.notation.moves(state)
        return next((action for action, move in moves.items() if move == wanted), None)


def load_game(name: str) -> Game:
    """Return the game of this OpenSpiel name, such as ``kuhn_poker`` or ``hex(board_size=5)``.

    Raises:
        ConfigError: There is no such game, its parameters are wrong, or its positions cannot be asked one by one.
    """
    if not isinstance(name, str):
        raise ConfigError(f"game must be text, got {name!r}")
    return _loaded(name)


@functools.cache
def _loaded(name: str) -> Game:
    short, _, parameters = name.partition("(")
    if short not in pyspiel.registered_names():
        raise ConfigError(
            f"game must be a game of OpenSpiel, got {name!r}{did_you_mean(short, pyspiel.registered_names())}",
            hint=f"with a notation of their own: {', '.join(KNOWN)}; all: pyspiel.registered_names()",
        )
    # A game's name may come from a file of tasks, which must not choose what is read from the disk.
    if any(word in parameters for word in _READ):
        raise ConfigError(f"game must not be read from a file, got {name!r}")
    known = KNOWN.get(short)
    spec = f"{short}({known.parameters})" if known and known.parameters and not parameters else name
    try:
        spiel = pyspiel.load_game(spec)
        notation = None if known is None else _own_notation(known, short, spiel)
        if spiel.get_type().dynamics == pyspiel.GameType.Dynamics.SIMULTANEOUS:
            spiel = pyspiel.load_game_as_turn_based(spec)
        if spiel.get_type().dynamics == pyspiel.GameType.Dynamics.SEQUENTIAL:
            start = spiel.new_initial_state()
            str(start)  # some look at their parameters no sooner
            start.legal_actions()  # some list none
    except (pyspiel.SpielError, IndexError, ValueError, MemoryError) as error:
        raise ConfigError(
            f"game {name!r} cannot be loaded: {_first_line(error)}",
            hint=f"its parameters and their defaults: pyspiel.load_game({short!r}).get_parameters()",
        ) from None
    kind = spiel.get_type()
    if kind.dynamics != pyspiel.GameType.Dynamics.SEQUENTIAL:
        raise ConfigError(f"game must be played in turns, got {name!r}")
    if kind.chance_mode == pyspiel.GameType.ChanceMode.SAMPLED_STOCHASTIC:
        raise ConfigError(
            f"game must list its chance outcomes, got {name!r}",
            hint="a game that samples them inside cannot be rebuilt from its history",
        )
    if known is None or notation is None:
        return Game(name, spiel, PlainNotation(spiel, name), _solver_of(spiel))
    return Game(name, spiel, notation, known.solver, known.epsilon, known.iterations)


def _own_notation(known: Known, short: str, spiel: Any) -> Notation | None:
    """Return a game's own notation, or None if it, or its rules in words, do not hold for the parameters that it was loaded with."""
    usual = pyspiel.load_game(f"{short}({known.parameters})").get_parameters()
    changed = {key: value for key, value in spiel.get_parameters().items() if value != usual[key]}
    if not changed.keys() <= {*known.shown, *known.named}:
        return None
    notation = known.notation()
    notation.name_parameters({key: changed[key] for key in known.named if key in changed})
    return notation


def _solver_of(spiel: Any) -> str | None:
    kind = spiel.get_type()
    alone = spiel.num_players() == 1
    zero_sum = spiel.num_players() == 2 and kind.utility == pyspiel.GameType.Utility.ZERO_SUM
    if kind.information == pyspiel.GameType.Information.PERFECT_INFORMATION:
        return "mcts" if alone or zero_sum else None
    return "cfr+" if zero_sum and kind.provides_information_state_string else None


def _first_line(error: Exception) -> str:
    return str(error).strip().partition("\n")[0][:200]
