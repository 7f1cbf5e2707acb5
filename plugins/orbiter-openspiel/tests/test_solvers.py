"""What moves are worth: known values, and the ways to know against each other."""

from __future__ import annotations

import functools
import random

import pyspiel
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from orbiter_openspiel.alpha_beta import AlphaBetaSolver
from orbiter_openspiel.equilibrium import EquilibriumSolver
from orbiter_openspiel.games import load_game
from orbiter_openspiel.solvers import MoveValues, solver_for
from orbiter_openspiel.teachers import make_teacher

from orbiter.errors import ConfigError

TTT = load_game("tic_tac_toe")


def board(text):
    """Return a tic-tac-toe state with this board, by any order of moves."""
    xs = [i for i, c in enumerate(text) if c == "x"]
    os = [i for i, c in enumerate(text) if c == "o"]
    moves = [m for pair in zip(xs, os) for m in pair] + xs[len(os) :]
    return TTT.rebuild(moves)


@pytest.mark.parametrize(
    ("text", "values"),
    [
        (".........", dict.fromkeys(range(9), 0.0)),
        # o must answer a corner in the centre
        ("x........", {4: 0.0, **dict.fromkeys([1, 2, 3, 5, 6, 7, 8], -1.0)}),
        # o must answer the centre in a corner
        ("....x....", {**dict.fromkeys([0, 2, 6, 8], 0.0), **dict.fromkeys([1, 3, 5, 7], -1.0)}),
        # x wins at once at 2; o threatens 5
        ("xx.oo....", {2: 1.0, 5: 0.0, 6: -1.0, 7: -1.0, 8: -1.0}),
    ],
)
def test_tic_tac_toe_values(text, values):
    assert solver_for(TTT).evaluate(board(text)).values == values


def test_tic_tac_toe_has_this_many_positions():
    # 4,520 positions with a move to make, 222 of them with one empty cell.
    assert sum(1 for _ in solver_for(TTT).positions()) == 4298


def nim_sum_wins(piles):
    """Misere nim: who moves wins iff the nim-sum is not 0, or iff it is while all piles are of size 1 or 0."""
    nim_sum = functools.reduce(lambda a, b: a ^ b, piles)
    return (nim_sum == 0) if max(piles) <= 1 else (nim_sum != 0)


def test_nim_agrees_with_its_theory():
    game = load_game("nim")
    solver = solver_for(game)
    for state in solver.positions():
        piles = [int(pile) for pile in game.prompt(state).removesuffix(":").split()[1:]]
        assert solver.evaluate(state).best == (1.0 if nim_sum_wins(piles) else -1.0)


def test_the_choice_matters_in_nim_where_theory_says_so():
    def after(piles):
        return [(*piles[:i], left, *piles[i + 1 :]) for i in range(4) for left in range(piles[i])]

    def is_critical(piles):
        wins = [not nim_sum_wins(left) for left in after(piles) if any(left)]
        return True in wins and (False in wins or sum(piles) - max(piles) == 0)

    game = load_game("nim")
    solver = solver_for(game)
    for state in solver.positions():
        piles = tuple(int(pile) for pile in game.prompt(state).removesuffix(":").split()[1:])
        assert solver.evaluate(state).is_critical == is_critical(piles)


def test_alpha_beta_refuses_what_it_cannot_solve():
    with pytest.raises(ConfigError, match="at most 1000 positions"):
        AlphaBetaSolver(TTT, max_positions=1000).evaluate(TTT.start())
    with pytest.raises(ConfigError, match="perfect information"):
        solver_for(load_game("kuhn_poker"), "alpha_beta")
    with pytest.raises(ConfigError, match="at most 100 histories"):
        EquilibriumSolver(load_game("leduc_poker"), max_histories=100)


def test_a_game_that_pays_on_the_way_is_valued_by_its_points():
    game = load_game("cliff_walking(horizon=20)")
    solver, start = solver_for(game), game.start()
    values = solver.evaluate(start)
    named = {move: values.is_good(action) for action, move in game.notation.moves(start).items()}
    assert named["RIGHT"] is False  # down the cliff, which costs 100
    assert named["UP"] is True
    assert -100 < values.best < 0
    assert 0 < values.epsilon == values.doubt / 3
    assert solver_for(game, simulations=999).evaluate(start).values != values.values


def test_a_search_needs_no_more_of_the_game_than_its_type():
    # What pays on the way is searched under another game's name; where both are possible they agree.
    game, stand_in = load_game("pig(winscore=15)"), pyspiel.load_game("catch")
    found = []
    for rules in (game.spiel, stand_in):
        evaluator = pyspiel.RandomRolloutEvaluator(1, 7)
        bot = pyspiel.MCTSBot(rules, evaluator, 2.0, 300, 200, False, 7, False)
        children = bot.mcts_search(game.start()).children
        found.append({c.action: (c.explore_count, c.total_reward) for c in children})
    assert found[0] == found[1]


def test_a_search_wins_more_points_than_chance():
    game = load_game("2048(max_tile=32)")

    def points(name, seed):
        state, dice = game.start(), random.Random(seed)
        play = make_teacher(name, game, simulations=30).start(seed)
        while not state.is_terminal():
            chance = state.is_chance_node()
            state.apply_action(dice.choice(state.legal_actions()) if chance else play(state))
        return state.returns()[0]

    searched, chosen = (sum(points(name, n) for n in range(10)) for name in ("mcts", "uniform"))
    assert searched > 1.2 * chosen


@settings(max_examples=40, deadline=None)
@given(seed=st.integers(0, 2**32))
def test_search_never_contradicts_alpha_beta(seed):
    stream, state = random.Random(seed), TTT.start()
    for _ in range(stream.randrange(8)):
        child = state.child(stream.choice(state.legal_actions()))
        state = state if child.is_terminal() else child
    exact, searched = solver_for(TTT).evaluate(state), solver_for(TTT, "mcts").evaluate(state)
    for action in exact.values:
        assert searched.is_good(action) in (exact.is_good(action), None)


@pytest.mark.parametrize("name", ["kuhn_poker", "leduc_poker"])
def test_sampled_equilibrium_cannot_be_exploited_but_its_argmax_can(name):
    game = load_game(name)
    solver = solver_for(game)
    sampled, argmax = {}, {}
    for key, known in solver.table.items():
        policy = solver.policy(known.state)
        sampled[key] = [(action, policy.get(action, 0.0)) for action in known.policy]
        most = max(known.policy, key=known.policy.get)
        argmax[key] = [(action, float(action == most)) for action in known.policy]
    own, greedy = (
        pyspiel.nash_conv(game.spiel, pyspiel.TabularPolicy(table)) for table in (sampled, argmax)
    )
    assert own < 0.002
    assert greedy > {"kuhn_poker": 0.33, "leduc_poker": 3}[name]


def test_kuhn_is_worth_minus_one_eighteenth_to_the_first_player():
    game = load_game("kuhn_poker")
    solver = solver_for(game)
    policy = {
        key: [(action, solver.policy(known.state).get(action, 0.0)) for action in known.policy]
        for key, known in solver.table.items()
    }
    both = pyspiel.TabularPolicy(policy)
    value = pyspiel.expected_returns(game.start(), [both, both], -1, True)
    assert value == pytest.approx([-1 / 18, 1 / 18], abs=1e-3)
    # The same from the move values: the first player's cards are as likely, 1/3 each.
    first = [solver.evaluate(game.rebuild([card, (card + 1) % 3])).best for card in range(3)]
    assert sum(first) / 3 == pytest.approx(-1 / 18, abs=1e-3)


@pytest.mark.parametrize(
    ("history", "good"),
    [
        ([0, 1, 0, 1], "p"),  # J facing a bet: fold
        ([2, 1, 0, 1], "b"),  # K facing a bet: call
        ([1, 0, 0, 1], "pb"),  # Q facing a bet after a pass: indifferent
        ([1, 0], "p"),  # Q first: betting is called by K and folded to by J
        ([0, 1], "pb"),  # J first: bluffing is indifferent
        ([0, 2, 0], "b"),  # K after a pass: bet
    ],
)
def test_kuhn_moves_against_the_equilibrium(history, good):
    game = load_game("kuhn_poker")
    state = game.rebuild(history)
    values = solver_for(game).evaluate(state)
    assert "".join(game.move(state, action) for action in values.good) == good


def test_the_moves_that_an_equilibrium_mixes_all_pass():
    # What is computed is near an equilibrium, and the values of its moves are nearly the same.
    solver = solver_for(load_game("matrix_brps"))
    for known in solver.table.values():
        assert min(known.policy.values()) > 0.01
        assert len(set(known.values.values())) == 3
        assert solver.evaluate(known.state).good == [0, 1, 2]


def test_bluffs_are_sampled_at_the_rate_of_the_equilibrium():
    # The second player bets a J after a pass with probability 1/3.
    game = load_game("kuhn_poker")
    state, solver, stream = game.rebuild([1, 0, 0]), solver_for(game), random.Random(0)
    bets = sum(solver.choose(state, stream) for _ in range(3000))
    assert bets / 3000 == pytest.approx(1 / 3, abs=0.03)


def test_a_value_between_the_bounds_is_unknown():
    values = MoveValues({0: 1.0, 1: 0.95, 2: 0.8, 3: 0.0}, 0.1, 0.4)
    assert [values.is_good(action) for action in range(4)] == [True, True, None, False]
    assert values.good == [0, 1]
    assert values.is_critical


@pytest.mark.parametrize(
    ("name", "game", "problem"),
    [
        ("mtcs", "tic_tac_toe", "did you mean 'mcts'"),
        ("mcts", "kuhn_poker", "perfect information"),
        ("cfr", "pig", "two-player zero-sum game with information states"),
        ("alpha_beta", "pig", "without chance"),
        (None, "tic_tac_toe", "teacher must be one of"),
    ],
)
def test_a_teacher_that_cannot_play_the_game_is_refused(name, game, problem):
    with pytest.raises(ConfigError, match=problem):
        make_teacher(name, load_game(game), simulations=100)


@pytest.mark.parametrize(
    ("name", "game"),
    [
        ("mcts", "tic_tac_toe"),
        ("alpha_beta", "tic_tac_toe"),
        ("cfr", "kuhn_poker"),
        ("uniform", "pig"),
        ("cfr+", "kuhn_poker"),
        ("mccfr", "kuhn_poker"),
    ],
)
def test_a_teacher_plays_the_same_game_for_the_same_seed(name, game):
    game = load_game(game)
    teacher = make_teacher(name, game, simulations=50)

    def play(seed):
        player, state, moves = teacher.start(seed), game.start(), []
        while not state.is_terminal() and len(moves) < 12:
            chance = state.is_chance_node()
            moves.append(state.legal_actions()[0] if chance else player(state))
            state.apply_action(moves[-1])
        return moves

    games = [play(seed) for seed in range(20)]
    assert games == [play(seed) for seed in range(20)]
    assert len({tuple(moves) for moves in games}) > 1
