"""How well a policy plays: results against fixed opponents, moves that the solver passes, distance from equilibrium."""

from __future__ import annotations

import copy
import math
from collections.abc import Collection, Sequence
from statistics import NormalDist, mean

from attrs import frozen

from orbiter.checks import check_whole_number
from orbiter.errors import ConfigError, PolicyError
from orbiter.generate.policy import Completion, Policy, Request, Sampling
from orbiter.intervals import Estimate, Interval, effective_size, estimate_rate
from orbiter.records import Message, Outcome, Trajectory
from orbiter.tasks.splits import TaskStream
from orbiter.tasks.streams import item_seed
from orbiter.verify.verifier import judge
from orbiter_openspiel.arena import Arena, PlayedGame
from orbiter_openspiel.environment import OpenSpielEnvironment
from orbiter_openspiel.games import Game, load_game
from orbiter_openspiel.players import MOVE, PolicyPlayer, Spec, make_player
from orbiter_openspiel.snapshot import Snapshot, information_states
from orbiter_openspiel.teachers import Teacher


@frozen
class MatchReport:
    """Results of one player against an opponent, each deal played from every seat.

    Games of one deal hang together, as do the answers in them, and the intervals take them for what they are worth together.

    Args:
        game_count: Games that were played to their end.
        wins: Rate of games that the player won.
        draws: Rate of games in which all had the same return.
        losses: Rate of the other games.
        mean_return: Mean return per game, in the game's utility.
        illegal: Rate of illegal answers among the player's; its value is None where the player is a teacher.
        broken_count: Games that were broken off because a policy had no answer; they count nowhere else.
        distinct_count: Games that differ from each other. Where neither side varies its play there are as many as seats, and the
            intervals mean nothing.
    """

    game_count: int
    wins: Estimate
    draws: Estimate
    losses: Estimate
    mean_return: Estimate
    illegal: Estimate
    broken_count: int
    distinct_count: int


async def play_match(
    player: Spec,
    opponent: Spec,
    *,
    game: str,
    games: int = 400,
    seed: int = 0,
    simulations: int = 100,
    illegal: str = "replace",
    confidence: float = 0.95,
    games_at_once: int = 256,
) -> MatchReport:
    """Return how a player does against an opponent, who holds all other seats.

    Args:
        player: See :func:`~orbiter_openspiel.players.make_player`; a policy is asked for the moves of many games at once.
        opponent: Likewise.
        game: OpenSpiel's name of the game.
        games: How many games; rounded up to a whole number of deals.
        seed: Selects the games.
        simulations: Simulations per move of ``mcts``.
        illegal: What follows an illegal answer; see :class:`~orbiter_openspiel.arena.Arena`.
        confidence: Of the intervals, in (0, 1).
        games_at_once: Games whose moves a policy is asked for together.
    """
    loaded = load_game(game)
    seats = loaded.seat_count
    check_whole_number("games", games, low=1)
    check_whole_number("games_at_once", games_at_once, low=1)
    if seats < 2:
        raise ConfigError(f"game must be for two or more players for a match, got {game!r}")
    own = _fresh(make_player(player, loaded, simulations=simulations))
    other = make_player(opponent, loaded, simulations=simulations)
    arena = Arena(loaded, [own] + [other] * (seats - 1), seed=seed, mirror=True, illegal=illegal)
    total = math.ceil(games / seats) * seats
    step = max(seats, games_at_once // seats * seats)
    played: list[PlayedGame] = []
    for start in range(0, total, step):
        played += await arena.play(range(start, min(start + step, total)))
    asked = isinstance(own, PolicyPlayer)
    return _report(played, loaded, asked=asked, confidence=confidence)


def _fresh(player: Teacher | PolicyPlayer) -> Teacher | PolicyPlayer:
    """Return a player that is another object, so that it is told from an opponent of the same name."""
    return copy.copy(player)


def _report(
    played: Sequence[PlayedGame], game: Game, *, asked: bool, confidence: float
) -> MatchReport:
    ended = [one for one in played if one.error is None]
    deals: dict[int, list[tuple[float, float]]] = {}
    answers: dict[int, tuple[int, int]] = {}
    for one in ended:
        seat, deal = one.players.index(0), one.index // game.seat_count
        deals.setdefault(deal, []).append((one.outcomes[seat], one.returns[seat]))
        if asked:
            seats = game.seats_of(one.history)
            mine = [_mover(one, seats, ply) == seat for ply in one.illegal]
            count = seats.count(seat) + (len(one.history) in one.illegal and mine[-1])
            wrong, answered = answers.get(deal, (0, 0))
            answers[deal] = wrong + sum(mine), answered + count
    groups = list(deals.values())

    def rate(clusters: Collection[tuple[int, int]]) -> Estimate:
        size = effective_size(clusters, confidence=confidence)
        hits, count = (sum(part) for part in zip(*clusters)) if clusters else (0, 0)
        return estimate_rate(hits, count, confidence=confidence, effective=size or None)

    def ending(outcome: float) -> Estimate:
        return rate([(sum(o == outcome for o, _ in group), len(group)) for group in groups])

    returns = [[value for _, value in group] for group in groups]
    return MatchReport(
        game_count=len(ended),
        wins=ending(1.0),
        draws=ending(0.5),
        losses=ending(0.0),
        mean_return=_mean(returns, confidence=confidence),
        illegal=rate(answers.values()),
        broken_count=len(played) - len(ended),
        distinct_count=len({(one.players[0], *one.history) for one in ended}),
    )


def _mover(played: PlayedGame, seats: Sequence[int], ply: int) -> int:
    """Return the seat that gave the answer at ``ply``; a forfeit comes after the last action, by the seat that lost it."""
    if ply < len(seats):
        return seats[ply]
    return played.returns.index(min(played.returns))


def _mean(groups: Sequence[Sequence[float]], *, confidence: float) -> Estimate:
    """Return the mean of values in groups that hang together, with its normal interval; one group alone bounds nothing."""
    count = sum(map(len, groups))
    if len(groups) < 2:
        value = mean(groups[0]) if groups else None
        return Estimate(value, Interval(-math.inf, math.inf, confidence))
    middle = sum(map(sum, groups)) / count
    # A deal of which a game was broken off has fewer values than others.
    apart = sum((sum(group) - len(group) * middle) ** 2 for group in groups)
    error = math.sqrt(apart * len(groups) / (len(groups) - 1)) / count
    half = NormalDist().inv_cdf((1 + confidence) / 2) * error
    return Estimate(middle, Interval(middle - half, middle + half, confidence))


async def move_accuracy(
    policy: Policy,
    *,
    environment: OpenSpielEnvironment,
    positions: int = 500,
    seed: int = 0,
    sampling: Sampling = MOVE,
    confidence: float = 0.95,
) -> Estimate:
    """Return the rate of moves that keep the value of their position, illegal ones counted as wrong.

    Args:
        policy: What is asked.
        environment: Where positions and verdicts come from; its option ``positions`` says whether all or critical ones.
        positions: How many are asked, all different; fewer if there are no more.
        seed: Selects them.
        sampling: How the policy is sampled.
        confidence: Of the interval, in (0, 1).

    Returns:
        The rate among positions that were answered and that the solver can judge.
    """
    tasks = TaskStream(environment, seed=seed, share=0).take(positions, allow_fewer=True)
    requests = [
        Request(
            messages=t.messages,
            env=t.env,
            task_id=t.task_id,
            seed=item_seed("accuracy", seed, t.task_id),
        )
        for t in tasks
    ]
    verifier, verdicts = environment.verifier(), []
    for task, completion in zip(tasks, await PolicyPlayer(policy, sampling).answer(requests)):
        if completion.error is None and completion.messages:
            answered = Trajectory.following(task, completion.messages[-1], generator=policy.name)
            verdicts.append(judge(verifier, task, answered).outcome)
    passed = verdicts.count(Outcome.PASS)
    return estimate_rate(passed, passed + verdicts.count(Outcome.FAIL), confidence=confidence)


@frozen
class StudentPolicy:
    """What a policy plays at every information state of a game.

    Args:
        snapshot: Its probabilities of legal moves; what it says that is no legal move is spread evenly over them, as in games
            where illegal answers are replaced.
        illegal_rate: Mean share of that, over the information states.
        nash_conv: What both players together would gain by answering it best; 0 is a Nash equilibrium.
    """

    snapshot: Snapshot
    illegal_rate: float
    nash_conv: float


async def student_policy(
    policy: Policy,
    *,
    game: str,
    samples: int | None = None,
    sampling: Sampling = MOVE,
    seed: int = 0,
    instructions: bool = False,
) -> StudentPolicy:
    """Ask a policy at every information state of a game.

    Args:
        policy: What is asked.
        game: A game that can be walked through, such as ``kuhn_poker`` or ``leduc_poker``.
        samples: Answers per information state; None: the probability of each legal move as the policy tells it (``Policy.logps``), at
            temperature 1, exact but for other writings of a move.
        sampling: How the policy is sampled.
        seed: Of the samples.
        instructions: Show the rules in a system message.

    Raises:
        ConfigError: The game has no or too many information states, or the policy cannot tell its probabilities.
        PolicyError: The policy has no answer at some information state.
    """
    loaded = load_game(game)
    states = information_states(loaded)
    system = (Message("system", loaded.notation.rules),) if instructions else ()
    prompts = {k: (*system, Message("user", loaded.prompt(s))) for k, s in states.items()}
    player = PolicyPlayer(policy, sampling)
    if samples is None:
        shares = await _told(player, loaded, prompts)
    else:
        count = check_whole_number("samples", samples, low=1)
        shares = await _sampled(player, loaded, prompts, samples=count, seed=seed)
    table, illegal = {}, []
    for key, row in shares.items():
        rest = max(0.0, 1.0 - sum(row.values()))
        illegal.append(rest)
        total = sum(row.values()) + rest
        table[key] = {action: (share + rest / len(row)) / total for action, share in row.items()}
    snapshot = Snapshot(game, table, "student")
    return StudentPolicy(snapshot, mean(illegal), snapshot.nash_conv())


_Prompts = dict[str, tuple[Message, ...]]
_Shares = dict[str, dict[int, float]]


async def _told(player: PolicyPlayer, game: Game, prompts: _Prompts) -> _Shares:
    asked = [
        (key, action, (Request(messages=prompts[key]), Completion.of(move)))
        for key, state in information_states(game).items()
        for action, move in game.notation.moves(state).items()
    ]
    logps = await player.policy.logps([pair for _, _, pair in asked])
    shares: _Shares = {}
    for (key, action, _), logp in zip(asked, logps, strict=True):
        shares.setdefault(key, {})[action] = math.exp(logp)
    return shares


async def _sampled(
    player: PolicyPlayer, game: Game, prompts: _Prompts, *, samples: int, seed: int
) -> _Shares:
    asked = [(key, n) for key in prompts for n in range(samples)]
    requests = [
        Request(messages=prompts[key], attempt=n, seed=item_seed("student", seed, key, n))
        for key, n in asked
    ]
    completions = await player.answer(requests)
    states = information_states(game)
    shares: _Shares = {k: dict.fromkeys(s.legal_actions(), 0.0) for k, s in states.items()}
    for (key, _), completion in zip(asked, completions, strict=True):
        if completion.error is not None or not completion.messages:
            raise PolicyError(
                f"policy {player.policy.name!r} must answer at every information state of {game.name!r}, "
                f"got none at {key!r}: {completion.error or 'no answer'}"
            )
        action = game.parse(states[key], completion.messages[-1].text)
        if action is not None:
            shares[key][action] += 1 / samples
    return shares
