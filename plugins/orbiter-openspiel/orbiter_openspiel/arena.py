"""Many games at once: teachers move by themselves, policies are asked for the moves of all games that wait for them."""

from __future__ import annotations

import asyncio
import functools
import random
from collections.abc import Callable, Generator, Iterable, Mapping, Sequence
from typing import Any

import pyspiel
from attrs import field, frozen

from orbiter.errors import ConfigError
from orbiter.generate.policy import Completion, Request
from orbiter.records import Message
from orbiter.tasks.streams import item_seed, item_stream
from orbiter_openspiel.games import Game
from orbiter_openspiel.players import PolicyPlayer
from orbiter_openspiel.teachers import Player, Teacher

TERMINAL = int(pyspiel.PlayerId.TERMINAL)

ILLEGAL = ("replace", "forfeit")
"""What follows an illegal answer: a random legal move in its place, or the game is lost."""


@frozen
class PlayedGame:
    """One game that is over.

    Args:
        index: Number of the game.
        history: Every action, chance outcomes and what the game was begun with included.
        players: Number of the player in each seat.
        returns: Utility per seat; none if the game was broken off.
        outcomes: Per seat 1 for a win, 0.5 for a draw of all, 0 for a loss; none if the game was broken off.
        illegal: Illegal answers, by how many actions came before; a forfeit comes after all of them.
        error: Why the game was broken off, when a policy had no answer; it counts for nobody.
        answers: What policies answered, by how many actions came before.
    """

    index: int
    history: list[int]
    players: Sequence[int]
    returns: list[float]
    outcomes: tuple[float, ...]
    illegal: Mapping[int, str]
    error: str | None = None
    answers: Mapping[int, Completion] = field(factory=dict, repr=False)


@frozen
class Turn:
    """A game waits for a policy."""

    player: PolicyPlayer
    request: Request


Play = Generator[Turn, Completion, PlayedGame]
"""A game that is being played: says which policy is to be asked for what, and is sent the answer."""


def _is_never(state: Any) -> bool:  # noqa: ARG001
    return False


class Arena:
    """Plays games between players. Game number n depends on the arguments, the seed, what policies answer and n alone.

    An illegal answer is counted in any case. Then, with ``replace``, a uniformly random legal move is played in its place; with
    ``forfeit`` the game is over and lost with the worst return, which the other seat wins.

    Args:
        game: The game.
        players: One per seat; one object in several seats is one player.
        seed: Selects the games.
        mirror: Play each deal once per seat: games n * seats to n * seats + seats - 1 have the same dice and cards, and the
            players move on by one seat, so that all of them play what each of them was dealt.
        illegal: ``replace`` or ``forfeit``.
        instructions: Show policies the rules in a system message.
        spared: Says whether no policy is asked in a position: a uniformly random legal move is played there.
    """

    def __init__(
        self,
        game: Game,
        players: Sequence[Teacher | PolicyPlayer],
        *,
        seed: int,
        mirror: bool,
        illegal: str = "replace",
        instructions: bool = False,
        spared: Callable[[Any], bool] = _is_never,
    ) -> None:
        if illegal not in ILLEGAL:
            raise ConfigError(f"illegal must be one of {', '.join(ILLEGAL)}, got {illegal!r}")
        if illegal == "forfeit" and not (game.is_zero_sum or game.seat_count == 1):
            raise ConfigError(
                f"illegal must be 'replace' in {game.name!r}: only in a zero-sum game for two, or alone, is it told who wins a forfeit"
            )
        self.game, self.seed, self.illegal, self.spared = game, seed, illegal, spared
        self.group_size = game.seat_count if mirror else 1
        """How many games in a row share a deal."""
        self.players: list[Teacher | PolicyPlayer] = list(dict.fromkeys(players))
        lineup = [self.players.index(player) for player in players]
        self._lineups = [lineup[turned:] + lineup[:turned] for turned in range(len(lineup))]
        self._teachers = [
            (n, one) for n, one in enumerate(self.players) if isinstance(one, Teacher)
        ]
        self._has_chance = game.has_chance
        self._system = (Message("system", game.notation.rules),) if instructions else ()

    @property
    def has_policies(self) -> bool:
        """Whether some player is a policy, which is waited for."""
        return any(isinstance(player, PolicyPlayer) for player in self.players)

    def play_at_once(self, indices: Iterable[int]) -> list[PlayedGame]:
        """Play games between teachers alone."""
        # A search leaves nothing of ours in the processor's caches: what is done for all games at once costs a third.
        begun = [(index, self._seeds(index)) for index in indices]
        done = [self._play_out(index, seeds) for index, seeds in begun]
        return [self._played(*ended, {}, None, {}) for ended in done]

    async def play(self, indices: Iterable[int]) -> list[PlayedGame]:
        """Play games side by side and return them in their order."""
        return await play_side_by_side([self.begin(index) for index in indices])

    def _seeds(self, index: int) -> list[int]:
        """Return the seeds of game number ``index``: of each teacher, then of chance."""
        key = "selfplay", self.game.name, self.seed
        seeds = [item_seed(*key, index, number) for number, _ in self._teachers]
        if self._has_chance:
            seeds.append(item_seed(*key, index // self.group_size, "chance"))
        return seeds

    def _movers(self, index: int, seeds: Sequence[int]) -> list[Player | None]:
        """Return who moves in game number ``index``, per seat, and None for a policy; then chance, whose seat is -1."""
        # One teacher is one player, whichever seats it holds: making a search costs as much as a tenth of a move. It is made
        # when its game begins, in the memory that the last one left behind, which is still in the caches.
        started: list[Player | None] = [None] * len(self.players)
        for (number, teacher), seed in zip(self._teachers, seeds):
            started[number] = teacher.start(seed)
        movers = list(map(started.__getitem__, self._lineups[index % self.group_size]))
        if self._has_chance:
            movers.append(_dealer(random.Random(seeds[-1])))
        return movers

    def _play_out(self, index: int, seeds: Sequence[int]) -> tuple[int, list[int], list[float]]:
        """Play game number ``index`` between teachers alone."""
        movers, state = self._movers(index, seeds), self.game.start()
        apply, to_move = state.apply_action, state.current_player
        while (seat := to_move()) != TERMINAL:
            apply(movers[seat](state))  # type: ignore[misc]  # nobody here is a policy
        return index, state.history(), state.returns()

    def begin(self, index: int, opening: Sequence[int] = ()) -> Play:
        """Play game number ``index``, from the position on to which legal actions lead, chance outcomes included."""
        seated = self._lineups[index % self.group_size]
        movers = self._movers(index, self._seeds(index))
        state, illegal, answers = self.game.start(), dict[int, str](), dict[int, Completion]()
        history = list(opening)
        for action in opening:
            state.apply_action(action)
        returns: list[float] | None = None
        error = None
        while (seat := state.current_player()) != TERMINAL:
            if (mover := movers[seat]) is not None:
                action = mover(state)
            elif self.spared(state):
                key = ("selfplay", self.game.name, self.seed, index, "spared", len(history))
                action = item_stream(*key).choice(state.legal_actions())
            else:
                player = self.players[seated[seat]]
                assert isinstance(player, PolicyPlayer)  # noqa: S101  # who moves by himself is in movers
                request = self._request(state, index, len(history))
                completion = yield Turn(player, request)
                answers[len(history)] = completion
                if completion.error is not None or not completion.messages:
                    error = completion.error or "no answer"
                    break
                answer = completion.messages[-1].text
                found = self.game.parse(state, answer)
                if found is None:
                    illegal[len(history)] = answer
                    if self.illegal == "forfeit":
                        returns = self._forfeited(seat)
                        break
                    found = random.Random(item_seed("replace", request.seed)).choice(
                        state.legal_actions()
                    )
                action = found
            state.apply_action(action)
            history.append(action)
        if returns is None:
            returns = state.returns() if error is None else []
        return self._played(index, history, returns, illegal, error, answers)

    def _played(
        self,
        index: int,
        history: list[int],
        returns: list[float],
        illegal: Mapping[int, str],
        error: str | None,
        answers: Mapping[int, Completion],
    ) -> PlayedGame:
        seated = self._lineups[index % self.group_size]
        outcomes = _outcomes(tuple(returns))
        return PlayedGame(index, history, seated, returns, outcomes, illegal, error, answers)

    def _request(self, state: object, index: int, ply: int) -> Request:
        prompt = self.game.prompt(state)
        return Request(
            messages=(*self._system, Message("user", prompt)),
            env="openspiel",
            task_id=f"openspiel:{self.game.name}:{self.game.notation.key(prompt)}",
            seed=item_seed("selfplay", self.game.name, self.seed, index, "answer", ply),
        )

    def _forfeited(self, seat: int) -> list[float]:
        worst = float(self.game.spiel.min_utility())
        return [worst if other == seat else -worst for other in range(self.game.seat_count)]


def _dealer(stream: random.Random) -> Player:
    """Return who rolls the dice and deals the cards."""

    def deal(state: Any) -> int:
        outcomes, weights = zip(*state.chance_outcomes())
        return int(stream.choices(outcomes, weights=weights)[0])

    return deal


async def play_side_by_side(plays: Sequence[Play]) -> list[PlayedGame]:
    """Play games to their ends, those of several arenas too, and return them in their order.

    Each policy is asked for all the games that wait for it together.
    """
    done: dict[int, PlayedGame] = {}
    waiting = [(n, turn) for n, play in enumerate(plays) if (turn := _advance(n, play, None, done))]
    while waiting:
        groups: dict[PolicyPlayer, list[tuple[int, Turn]]] = {}
        for n, turn in waiting:
            groups.setdefault(turn.player, []).append((n, turn))
        answers = await asyncio.gather(
            *(
                player.answer([turn.request for _, turn in asked])
                for player, asked in groups.items()
            )
        )
        waiting = [
            (n, again)
            for asked, completions in zip(groups.values(), answers)
            for (n, _), completion in zip(asked, completions)
            if (again := _advance(n, plays[n], completion, done))
        ]
    return [done[n] for n in range(len(plays))]


def _advance(
    number: int, play: Play, completion: Completion | None, done: dict[int, PlayedGame]
) -> Turn | None:
    """Let a game go on until a policy is to move, or into ``done``."""
    try:
        return next(play) if completion is None else play.send(completion)
    except StopIteration as over:
        done[number] = over.value
        return None


@functools.lru_cache(maxsize=1_000)  # most games end in one of a few ways
def _outcomes(returns: tuple[float, ...]) -> tuple[float, ...]:
    best = max(returns, default=0.0)
    if min(returns, default=0.0) == best:
        return (0.5,) * len(returns)
    return tuple([1.0 if own == best else 0.0 for own in returns])
