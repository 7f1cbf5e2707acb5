"""How a position and a move are written: one line and one short token for the known games, OpenSpiel's words for others.

A prompt ends in ``:`` and shows what the player to move may know, and nothing else.
"""

from __future__ import annotations

import hashlib
from abc import ABC, abstractmethod
from typing import Any

from orbiter.errors import ConfigError

_CARDS = "JQKA"


class Notation(ABC):
    """Writes positions and moves of one game as text."""

    prefix: str
    """Word that starts every prompt and tells the game."""

    chars: str | None
    """Characters of prompts and moves, or None when they are not known beforehand."""

    rules: str
    """What a reader who has never seen this notation must know."""

    @abstractmethod
    def prompt(self, state: Any) -> str:
        """Return the text that the player to move is asked."""

    @abstractmethod
    def move(self, state: Any, action: int) -> str:
        """Return the text of an action; no two legal actions of a position share one."""

    def moves(self, state: Any) -> dict[int, str]:
        """Return the text of every legal action."""
        return {action: self.move(state, action) for action in state.legal_actions()}

    def key(self, prompt: str) -> str:
        """Return a name of the position that is as unique as its prompt and fits into a task id."""
        return prompt.removeprefix(self.prefix + " ").removesuffix(":").replace(" ", "_")


class TicTacToeNotation(Notation):
    """``ttt x.o...... x:`` -> ``4``, with the cells numbered from 0 by rows."""

    prefix, chars = "ttt", "012345678:. otx"
    rules = (
        "Tic-tac-toe. The prompt is the board by rows from the top, then who moves; '.' is empty. "
        "Answer with the number of an empty cell alone, 0 (top left) to 8 (bottom right)."
    )

    def prompt(self, state: Any) -> str:
        """Return the text that the player to move is asked."""
        board = str(state).replace("\n", "")
        return f"ttt {board} {'xo'[state.current_player()]}:"

    def move(self, state: Any, action: int) -> str:  # noqa: ARG002  # the number says it all
        """Return the text of an action."""
        return str(action)


class ConnectFourNotation(Notation):
    """``c4 ......./ ... /...x... o:`` -> ``3``, with the columns numbered from 0."""

    prefix, chars = "c4", "0123456789:./ c4ox"
    rules = (
        "Connect four. The prompt is the board by rows from the top, then who moves; '.' is empty. "
        "Answer with the number of a column that is not full alone, 0 is the leftmost."
    )

    def prompt(self, state: Any) -> str:
        """Return the text that the player to move is asked."""
        board = str(state).rstrip("\n").replace("\n", "/")
        return f"c4 {board} {'xo'[state.current_player()]}:"

    def move(self, state: Any, action: int) -> str:  # noqa: ARG002
        """Return the text of an action."""
        return str(action)


class NimNotation(Notation):
    """``nim 1 3 5 7:`` -> ``3-2``: from pile 3, counted from 1, take 2."""

    prefix, chars = "nim", "0123456789:- imn"
    rules = (
        "Nim; who takes the last object loses. The prompt is the sizes of the piles. "
        "Answer with pile-count alone: 3-2 takes 2 from the third pile."
    )

    def prompt(self, state: Any) -> str:
        """Return the text that the player to move is asked."""
        return f"nim {str(state).partition(': ')[2].strip()}:"

    def move(self, state: Any, action: int) -> str:
        """Return the text of an action."""
        # 'pile:2, take:1;'
        pile, take = state.action_to_string(state.current_player(), action).rstrip(";").split(", ")
        return f"{pile.partition(':')[2]}-{take.partition(':')[2]}"


class KuhnNotation(Notation):
    """``kuhn Q pb:`` -> ``b``: own card, then the bets so far; p is pass or fold, b is bet or call."""

    prefix, chars = "kuhn", ": AJKQbhknpu"
    rules = (
        "Kuhn poker. The prompt is your card (J < Q < K), then the moves so far: p pass or fold, b bet or call. "
        "Answer with p or b alone."
    )

    def prompt(self, state: Any) -> str:
        """Return the text that the player to move is asked."""
        known = state.information_state_string()
        return f"kuhn {_CARDS[int(known[0])]} {known[1:]}".rstrip() + ":"

    def move(self, state: Any, action: int) -> str:  # noqa: ARG002
        """Return the text of an action."""
        return "pb"[action]


class LeducNotation(Notation):
    """``leduc Q cr:`` and ``leduc Q crc K r:`` -> ``c``: own card, first round, public card, second round."""

    prefix, chars = "leduc", ": JKQcdeflru"
    rules = (
        "Leduc poker. The prompt is your card (J < Q < K; a pair with the public card beats any), the moves of round "
        "one, then the public card and the moves of round two: f fold, c call or check, r raise. Answer with f, c or r alone."
    )

    def prompt(self, state: Any) -> str:
        """Return the text that the player to move is asked."""
        # '[Observer: 0][Private: 1][Round 2][Player: 0][Pot: 10][Money: 95 95][Public: 0][Round1: 1 2][Round2: ]'
        known = {}
        for part in state.information_state_string()[1:-1].split("]["):
            name, _, value = part.partition(":")
            known[name] = value.strip()
        text = f"leduc {_CARDS[int(known['Private'])]} {self._bets(known['Round1'])}"
        if "Public" in known:
            text += f" {_CARDS[int(known['Public'])]} {self._bets(known['Round2'])}"
        return text.rstrip() + ":"

    def move(self, state: Any, action: int) -> str:  # noqa: ARG002
        """Return the text of an action."""
        return "fcr"[action]

    @staticmethod
    def _bets(actions: str) -> str:
        return "".join("fcr"[int(a)] for a in actions.split())


class PlainNotation(Notation):
    """Any other game, in OpenSpiel's own words, with the legal moves listed."""

    chars = None

    def __init__(self, game: Any) -> None:
        kind = game.get_type()
        self.prefix = kind.short_name
        self.rules = f"{kind.long_name}. Answer with one of the listed moves alone."
        self._hidden = kind.information == kind.Information.IMPERFECT_INFORMATION
        self._knows = kind.provides_information_state_string
        self._sees = kind.provides_observation_string
        if self._hidden and not self._knows:
            raise ConfigError(
                f"game {str(game)!r} must say what a player knows, but it has no information state",
                hint="choose a game of perfect information, or one that provides information states",
            )

    def prompt(self, state: Any) -> str:
        """Return the text that the player to move is asked."""
        player = state.current_player()
        if self._hidden:
            view = str(state.information_state_string(player)).strip()
        else:
            # A board game's own text may leave out who moves, which an answer depends on.
            board = state.observation_string(player) if self._sees else str(state)
            view = f"{board.rstrip()}\nplayer {player}"
        return f"{self.prefix}\n{view}\nmoves: {', '.join(self.moves(state).values())}\nmove:"

    def move(self, state: Any, action: int) -> str:
        """Return the text of an action."""
        return self.moves(state)[action]

    def moves(self, state: Any) -> dict[int, str]:
        """Return the text of every legal action; the number is added where OpenSpiel names two alike."""
        player = state.current_player()
        names = {a: _one_line(state.action_to_string(player, a)) for a in state.legal_actions()}
        taken = list(names.values())
        return {
            a: n if n and taken.count(n) == 1 else f"{n} #{a}".strip() for a, n in names.items()
        }

    def key(self, prompt: str) -> str:
        """Return a hash of the prompt."""
        return hashlib.blake2b(prompt.encode(), digest_size=8).hexdigest()


def _one_line(text: str) -> str:
    return " ".join(text.split())
