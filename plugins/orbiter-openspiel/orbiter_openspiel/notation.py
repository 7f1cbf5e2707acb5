"""How a position and a move are written; here the contract, and any game in OpenSpiel's own words.

A prompt ends in ``:`` and shows what the player to move may know, and nothing else.
"""

from __future__ import annotations

import hashlib
import re
from abc import ABC, abstractmethod
from collections import Counter
from collections.abc import Mapping
from typing import Any

from orbiter.errors import ConfigError


class Notation(ABC):
    """Writes positions and moves of one game as text."""

    prefix: str
    """Word that starts every prompt and tells the game."""

    chars: str | None
    """Characters of prompts and moves, or None when they are not known beforehand."""

    rules: str
    """What a reader who has never seen this notation must know."""

    def name_parameters(self, parameters: Mapping[str, object]) -> None:
        """Have every prompt name these parameters of the game, as in ``dice(dice_sides=6) 4 1-3:``."""
        if parameters:
            told = ",".join(f"{key}={value}" for key, value in parameters.items())
            self.prefix = f"{self.prefix}({told})"
            self.chars = (
                None if self.chars is None else "".join(sorted({*self.chars, *self.prefix}))
            )

    @abstractmethod
    def view(self, state: Any) -> str:
        """Return what the player to move may know."""

    @abstractmethod
    def move(self, state: Any, action: int) -> str:
        """Return the text of an action; no two legal actions of a position share one."""

    def prompt(self, state: Any) -> str:
        """Return the text that the player to move is asked."""
        return f"{self.prefix} {self.view(state)}:"

    def moves(self, state: Any) -> dict[int, str]:
        """Return the text of every legal action."""
        return {action: self.move(state, action) for action in state.legal_actions()}

    def key(self, prompt: str) -> str:
        """Return a name of the position that is as unique as its prompt and fits into a task id."""
        return prompt.removeprefix(self.prefix + " ").removesuffix(":").replace(" ", "_")


_COLOUR = re.compile(r"\x1b\[[0-9;]*m")
"""What colours a text on a terminal, as some games do."""


class PlainNotation(Notation):
    """Any other game, in OpenSpiel's own words, with the legal moves listed.

    Args:
        game: OpenSpiel's game; one of simultaneous moves has been made one in turns.
        name: What it is called, with its parameters, of which its text may say nothing.
    """

    chars = None

    def __init__(self, game: Any, name: str) -> None:
        kind = game.get_type()
        self.prefix = name
        self.rules = f"{kind.long_name}. Answer with one of the listed moves alone."
        self._hidden = kind.information == kind.Information.IMPERFECT_INFORMATION
        self._knows = kind.provides_information_state_string
        self._sees = kind.provides_observation_string
        if self._hidden and not (self._knows or self._sees):
            raise ConfigError(
                f"game {name!r} must say what a player knows, but it has neither information states nor observations",
                hint="choose a game of perfect information, or one that provides either",
            )

    def view(self, state: Any) -> str:
        """Return what the player to move may know."""
        player = state.current_player()
        if self._hidden and self._knows:
            return str(state.information_state_string(player)).strip()
        # A board game's own text may leave out who moves, which an answer depends on.
        board = state.observation_string(player) if self._sees else str(state)
        return f"{_COLOUR.sub('', board).rstrip()}\nplayer {player}"

    def prompt(self, state: Any) -> str:
        """Return the text that the player to move is asked."""
        moves = ", ".join(self.moves(state).values())
        return f"{self.prefix}\n{self.view(state)}\nmoves: {moves}\nmove:"

    def move(self, state: Any, action: int) -> str:
        """Return the text of an action."""
        return self.moves(state)[action]

    def moves(self, state: Any) -> dict[int, str]:
        """Return the text of every legal action; the number is added where OpenSpiel names two alike."""
        player = state.current_player()
        names = {a: _one_line(state.action_to_string(player, a)) for a in state.legal_actions()}
        taken = Counter(names.values())
        return {a: n if n and taken[n] == 1 else f"{n} #{a}".strip() for a, n in names.items()}

    def key(self, prompt: str) -> str:
        """Return a hash of the prompt."""
        return hashlib.blake2b(prompt.encode(), digest_size=8).hexdigest()


def _one_line(text: str) -> str:
    return " ".join(text.split())
