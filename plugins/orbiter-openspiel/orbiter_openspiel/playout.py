"""The present model plays on from positions to the end, and every decision of its own is an attempt."""

from __future__ import annotations

import functools
from collections import Counter
from collections.abc import Iterator, Sequence
from typing import Any, ClassVar

import attrs
from attrs import define, field, frozen

from orbiter.checks import check_whole_number
from orbiter.errors import ConfigError
from orbiter.generate.engine import PolicySynthesiser
from orbiter.generate.policy import Completion, Policy, Request, Sampling
from orbiter.generate.proposals import Dropped, Proposal, Proposed
from orbiter.records import Task
from orbiter.tasks.streams import item_seed, item_stream
from orbiter_openspiel.arena import ILLEGAL, Arena, PlayedGame, play_side_by_side
from orbiter_openspiel.environment import OpenSpielEnvironment
from orbiter_openspiel.games import Game
from orbiter_openspiel.players import PolicyPlayer, Spec, label_of, make_player
from orbiter_openspiel.teachers import Teacher
from orbiter_openspiel.verifier import position_of

SELF = "self"
"""The opponent that is the present model, in every seat."""


def _opponents(given: object) -> tuple[Spec, ...]:
    listed = tuple(given) if isinstance(given, list | tuple) else (given,)
    if not listed or any(listed.index(one) < n for n, one in enumerate(listed)):
        raise ConfigError(f"opponents must be one or several, each once, got {given!r}")
    return listed


@frozen
class _Start:
    """A game that is to be played from the position of a task on."""

    task: Task
    arena: Arena
    index: int
    opening: Sequence[int]
    opponent: int


@define(kw_only=True, eq=False, slots=False, repr=False)
class PlayoutSynthesiser(PolicySynthesiser):
    """Have the present model play on from positions to the end of the game, and propose each of its decisions.

        PlayoutSynthesiser(policy=policy, environment={"name": "openspiel", "game": "tic_tac_toe"}, opponents=["self", "mcts"])

    A task of environment ``openspiel`` is a position, and the policy sits where the player to move does. A decision is a proposal: its task
    is the position in which it was made, the one of the environment where that can list it, and its answer what the policy said, so that
    the verifier grades the move and not the luck of the game. What the others hold at the start is dealt anew for each game, as likely as
    chance and an equilibrium opponent make it, in games of hidden information that are solved. All games go on side by side, and a policy
    is asked for the moves of all that wait for it.

    An illegal answer is proposed as it is, to fail; in the game a random legal move follows in its place, or the game is lost. Where the
    policy has no answer the game is broken off, and that proposal is invalid; where the opponent has none, the game is dropped from there
    on. In a position that is held out no policy is asked: a random legal move is played. A decision where equilibrium play never leads, of
    which the solver knows nothing, is dropped. The metadata of a row hold the position's ``game`` and ``history``, the ``seat``, the
    ``opponent``, the task ``start``, the ``returns`` of all seats if the game came to an end, and ``illegal``.

    Args:
        opponents: Who sits in the other seats, or several of which each plays every position: ``self``, the policy itself, whose decisions
            in all seats are proposed; or a teacher or a policy, see :func:`~orbiter_openspiel.players.make_player`.
        simulations: Simulations per move of the opponent ``mcts``.
        illegal: What follows an illegal answer: ``replace`` or ``forfeit``; see :class:`~orbiter_openspiel.arena.Arena`.
        samples: Games from each position against each opponent, >= 1.
    """

    opponents: tuple[Spec, ...] = field(default=SELF, converter=_opponents)
    simulations: int = 100
    illegal: str = "replace"
    samples: int = 1
    _own: PolicyPlayer = field(init=False)
    _others: dict[int, PolicyPlayer] = field(factory=dict, init=False)
    _arenas: dict[tuple[str, int, int], Arena] = field(factory=dict, init=False)

    name: ClassVar[str] = "playout"

    def __attrs_post_init__(self) -> None:
        super().__attrs_post_init__()
        # Without a policy there is nothing to be played; asking says so.
        self._own = PolicyPlayer(self.policy, self.sampling, asking=self._asked)  # type: ignore[arg-type]
        check_whole_number("samples", self.samples, low=1)
        check_whole_number("simulations", self.simulations, low=2, high=10_000_000)
        if self.illegal not in ILLEGAL:
            raise ConfigError(f"illegal must be one of {', '.join(ILLEGAL)}, got {self.illegal!r}")
        if self.environment is not None:
            for game in self._positions.games:
                for opponent in range(len(self.opponents)):
                    self._arena(game, 0, opponent)

    @property
    def _positions(self) -> OpenSpielEnvironment:
        if not isinstance(self.environment, OpenSpielEnvironment):
            got = "none" if self.environment is None else repr(self.environment.name)
            raise ConfigError(f"{self.name} must have the environment 'openspiel', got {got}")
        return self.environment

    @property
    def per_task(self) -> int:
        """The games of a task; each has one decision of the policy at least."""
        return self.samples * len(self.opponents)

    @property
    def answers_per_task(self) -> int:
        """The decisions in the games of a task, if each were the longest there is and policies made them all."""
        longest = max(game.spiel.max_game_length() for game in self._positions.games)
        return self.per_task * int(longest)

    async def propose(self, tasks: Sequence[Task]) -> Proposed:
        """Return the policy's decisions in the games from the tasks' positions on."""
        starts = list(self._starts(tasks))
        played = await play_side_by_side(
            [start.arena.begin(start.index, start.opening) for start in starts]
        )
        made = [one for pair in zip(starts, played) for one in self._made_of(*pair)]
        return Proposed(
            proposals=tuple(one for one in made if isinstance(one, Proposal)),
            dropped=tuple(one for one in made if isinstance(one, Dropped)),
        )

    async def aclose(self, *, keep: Policy | None = None) -> None:
        """Release what its policies hold, those of opponents too."""
        await super().aclose(keep=keep)
        for player in self._others.values():
            if player.policy not in (keep, self.policy):
                await player.policy.aclose()

    def _starts(self, tasks: Sequence[Task]) -> Iterator[_Start]:
        """Yield the games that are to be played; a task that comes again is played on in other ways."""
        before: Counter[str] = Counter()
        for task in tasks:
            game, state = position_of(task)
            for number in range(before[task.task_id], before[task.task_id] + self.samples):
                for opponent in range(len(self.opponents)):
                    key = (self.name, self.seed, task.env, task.task_id, number, opponent)
                    begun = self._positions.another(game, state, item_stream(*key, "deal"))
                    yield _Start(
                        task,
                        self._arena(game, state.current_player(), opponent),
                        item_seed(*key, "game"),
                        begun.history(),
                        opponent,
                    )
            before[task.task_id] += self.samples

    def _made_of(self, start: _Start, played: PlayedGame) -> Iterator[Proposal | Dropped]:
        """Yield what the policy decided in a game, in its order, and where an opponent had no answer."""
        arena, ply = start.arena, len(start.opening)
        state = arena.game.rebuild(start.opening)
        for action in [*played.history[ply:], None]:
            seat = state.current_player()
            if seat >= 0 and arena.players[played.players[seat]] is self._own:
                yield self._decision(start, played, state, ply)
            elif action is None and played.error is not None:
                yield Dropped(f"opponent: no answer: {played.error}", start.task.task_id)
            if action is not None:
                state.apply_action(action)
                ply += 1

    def _decision(
        self, start: _Start, played: PlayedGame, state: Any, ply: int
    ) -> Proposal | Dropped:
        """Return the decision of the policy after so many actions."""
        game, positions = start.arena.game, self._positions
        task = positions.task_at(game, state)
        told: dict[str, Any] = {
            **task.metadata,
            "seat": state.current_player(),
            "opponent": label_of(self.opponents[start.opponent]),
            "start": start.task.task_id,
        }
        if played.error is None:
            told["returns"] = played.returns
        if ply in played.illegal:
            told["illegal"] = True
        reason = self.forbidden(task)
        if reason is None and not positions.can_judge(game, state):
            reason = "equilibrium play never leads here"
        if reason is not None:
            return Dropped(reason, start.task.task_id, task.prompt, told)
        answer = played.answers[ply]
        if not answer.messages:
            error = answer.error or "no answer"
            answer = attrs.evolve(answer, finish_reason="error", error=error)
        return Proposal(task, attrs.evolve(answer, metadata={**answer.metadata, **told}))

    def _arena(self, game: Game, seat: int, opponent: int) -> Arena:
        """Return where the policy plays a game in a seat against an opponent."""
        key = game.name, seat, opponent
        if key not in self._arenas:
            other = self._player(game, opponent)
            self._arenas[key] = Arena(
                game,
                [self._own if n == seat else other for n in range(game.seat_count)],
                seed=self.seed,
                mirror=False,
                illegal=self.illegal,
                instructions=self._positions.instructions,
                spared=functools.partial(self._is_spared, game),
            )
        return self._arenas[key]

    def _is_spared(self, game: Game, state: Any) -> bool:
        return self.forbidden(self._positions.task_at(game, state)) is not None

    def _player(self, game: Game, opponent: int) -> Teacher | PolicyPlayer:
        """Return who sits in the other seats of a game; a policy is the same in every game."""
        spec = self.opponents[opponent]
        if spec == SELF:
            return self._own
        if game.seat_count == 1:
            raise ConfigError(
                f"opponents must be 'self' in {game.name!r}, which is played alone, got {label_of(spec)!r}"
            )
        if opponent in self._others:
            return self._others[opponent]
        player = make_player(spec, game, simulations=self.simulations)
        if isinstance(player, PolicyPlayer):
            player = PolicyPlayer(player.policy, player.sampling, asking=self._asked)
            self._others[opponent] = player
        return player

    async def _asked(
        self, policy: Policy, requests: Sequence[Request], sampling: Sampling
    ) -> list[Completion]:
        """Return what a policy answers; it is recalled and in the account."""
        return await self.ask(requests, who=policy, sampling=sampling)
