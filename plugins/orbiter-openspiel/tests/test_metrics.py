"""How well a policy plays, and what keeping winners makes of it: anchors that are known from theory."""

from __future__ import annotations

import asyncio
import math
import random

import attrs
import pyspiel
import pytest
from orbiter_openspiel.environment import OpenSpielEnvironment
from orbiter_openspiel.filtering import graded, imitated, lines_of, win_rate, winners
from orbiter_openspiel.games import load_game
from orbiter_openspiel.metrics import move_accuracy, play_match, student_policy
from orbiter_openspiel.snapshot import Snapshot, information_states, solve, uniform
from orbiter_openspiel.solvers import solver_for
from orbiter_openspiel.teachers import SnapshotTeacher, make_teacher

from orbiter.errors import ConfigError, PolicyError
from orbiter.generate.policy import Completion, Policy
from orbiter.intervals import clopper_pearson

KUHN, LEDUC, TTT = (load_game(name) for name in ("kuhn_poker", "leduc_poker", "tic_tac_toe"))


class Student(Policy):
    """Plays a snapshot: it reads the position off the prompt, samples by the request's seed, and tells its probabilities."""

    name, batch_size, concurrency = "student", 16, 2

    def __init__(self, snapshot, *, illegal=0.0):
        game = load_game(snapshot.game)
        states = information_states(game)
        self.rows = {
            game.prompt(state): {game.move(state, a): p * (1 - illegal) for a, p in snapshot.policy[key].items()}
            for key, state in states.items()
        }  # fmt: skip

    async def complete(self, requests, sampling):
        return [Completion.of(self.draw(request)) for request in requests]

    def draw(self, request):
        row = self.rows[request.messages[-1].text]
        moves, shares = [*row, "?"], [*row.values(), max(0.0, 1 - sum(row.values()))]
        return random.Random(request.seed).choices(moves, weights=shares)[0]

    async def logps(self, answered):
        return [
            math.log(max(1e-300, self.rows[r.messages[-1].text][c.messages[0].text]))
            for r, c in answered
        ]


def test_kuhn_and_leduc_have_their_known_values():
    assert uniform(KUHN).nash_conv() == pytest.approx(11 / 12, abs=1e-12)
    assert uniform(LEDUC).nash_conv() == pytest.approx(4.7472222, abs=1e-7)
    for game, value, bound in ((KUHN, -1 / 18, 1e-3), (LEDUC, -0.0856064, 2e-3)):
        nash = solve(game, "cfr+")
        assert nash.values(nash) == pytest.approx((value, -value), abs=bound)
        assert 0 <= nash.nash_conv() < bound


@pytest.mark.parametrize(("algorithm", "bound"), [("cfr", 5e-3), ("cfr+", 5e-4), ("mccfr", 2e-2)])
def test_every_algorithm_solves_kuhn_poker(algorithm, bound):
    policy = solve(KUHN, algorithm)
    assert 0 < policy.nash_conv() < bound
    assert solve(KUHN, algorithm, iterations=10).nash_conv() > 2 * policy.nash_conv()
    argmax = {
        key: {a: float(a == max(row, key=row.get)) for a in row}
        for key, row in policy.policy.items()
    }
    assert Snapshot("kuhn_poker", argmax, "argmax").nash_conv() > 0.33


@pytest.mark.parametrize(("name", "bound"), [("liars_dice", 0.005), ("goofspiel", 0.005)])
def test_the_other_games_of_hidden_information_are_solved(name, bound):
    assert solve(load_game(name), "cfr+").nash_conv() < bound


def test_perfect_play_draws_tic_tac_toe():
    report = asyncio.run(play_match("alpha_beta", "alpha_beta", game="tic_tac_toe", games=40))
    assert report.draws.value == 1.0
    assert solver_for(TTT).evaluate(TTT.start()).best == 0.0


def test_winning_more_games_is_not_playing_better():
    # Iterated keep-winners against a uniform opponent, by exact enumeration.
    nash, opponent = solve(KUHN, "cfr+"), uniform(KUHN)
    policy, rates, values = opponent, [], []
    for _ in range(6):
        rates.append(win_rate(policy, opponent))
        values.append(policy.values(nash)[0])
        policy = imitated(policy, winners, opponent=opponent)
    assert rates == pytest.approx([0.5625, 0.7222, 0.7292, 0.7348, 0.7392, 0.7425], abs=5e-5)
    assert values == pytest.approx([-0.1667, -0.0926, -0.0972, -0.1010, -0.1039, -0.1061], abs=1e-4)
    assert max(values) < nash.values(nash)[0] == pytest.approx(-1 / 18, abs=1e-4)


@pytest.mark.parametrize(
    ("played", "by_winning", "by_grading"),
    [("uniform", 0.7548, 1 / 6), ("cfr+", 0.558, 0.0002)],
)
def test_grading_leads_nearer_to_equilibrium_than_winning(played, by_winning, by_grading):
    policy = uniform(KUHN) if played == "uniform" else solve(KUHN, played)
    assert imitated(policy, winners).nash_conv() == pytest.approx(by_winning, abs=1e-3)
    assert imitated(policy, graded(KUHN)).nash_conv() == pytest.approx(by_grading, abs=1e-3)


def test_the_lines_of_a_game_are_all_of_it():
    lines = list(lines_of(KUHN, (uniform(KUHN), uniform(KUHN))))
    assert sum(line.probability for line in lines) == pytest.approx(1)
    assert len(lines) == 30


def test_a_student_is_asked_at_every_information_state():
    policy = solve(KUHN, "cfr", iterations=3)
    told = asyncio.run(student_policy(Student(policy), game="kuhn_poker"))
    assert told.nash_conv == pytest.approx(policy.nash_conv(), abs=1e-9)
    assert told.illegal_rate == pytest.approx(0, abs=1e-9)
    sampled = asyncio.run(student_policy(Student(policy), game="kuhn_poker", samples=2000))
    assert sampled.nash_conv == pytest.approx(policy.nash_conv(), abs=0.1)


def test_a_student_of_leduc_is_measured():
    told = asyncio.run(student_policy(Student(uniform(LEDUC)), game="leduc_poker"))
    assert told.nash_conv == pytest.approx(4.7472222, abs=1e-6)


def test_what_a_student_says_beside_the_moves_is_spread_over_them():
    nash = solve(KUHN, "cfr+")
    half = {
        k: {a: p / 2 + 0.5 / len(row) for a, p in row.items()} for k, row in nash.policy.items()
    }
    expected = Snapshot("kuhn_poker", half, "half").nash_conv()
    student = Student(nash, illegal=0.5)
    told = asyncio.run(student_policy(student, game="kuhn_poker"))
    assert (told.illegal_rate, told.nash_conv) == pytest.approx((0.5, expected), abs=1e-9)
    sampled = asyncio.run(student_policy(student, game="kuhn_poker", samples=1000))
    assert sampled.illegal_rate == pytest.approx(0.5, abs=0.05)


def test_a_student_that_does_not_answer_is_not_measured():
    class Silent(Policy):
        name = "silent"

        async def complete(self, requests, sampling):
            return [Completion.failed("timeout") for _ in requests]

    with pytest.raises(PolicyError, match=r"at every information state of 'kuhn_poker'.*timeout"):
        asyncio.run(student_policy(Silent(), game="kuhn_poker", samples=1))
    with pytest.raises(ConfigError, match="cannot tell the log-probability"):
        asyncio.run(student_policy(Silent(), game="kuhn_poker"))
    report = asyncio.run(play_match(Silent(), "uniform", game="kuhn_poker", games=10))
    assert (report.game_count, report.broken_count, report.wins.value) == (0, 10, None)


def test_a_match_agrees_with_the_exact_value():
    nash = solve(KUHN, "cfr+")
    report = asyncio.run(play_match(Student(nash), "uniform", game="kuhn_poker", games=2000))
    exact = sum(nash.values(uniform(KUHN))) / 2
    assert exact in report.mean_return.interval
    assert report.mean_return.interval.width < 0.2
    assert report.wins.value + report.losses.value == 1
    assert report.illegal.value == 0
    assert report.distinct_count > 20


def test_a_match_counts_the_illegal_answers_of_its_player_alone():
    student = Student(uniform(KUHN), illegal=0.25)
    for rule in ("replace", "forfeit"):
        report = asyncio.run(
            play_match(
                student, Student(uniform(KUHN), illegal=1.0), game="kuhn_poker", illegal=rule
            )
        )
        assert 0.25 in report.illegal.interval
        assert report.illegal.interval.width < 0.15
    # The other one forfeits at once; this one only when it is asked first, and a quarter of those times.
    assert report.wins.value == pytest.approx(1 - 0.25 / 2, abs=0.06)


def test_the_illegal_answers_of_one_deal_hang_together():
    class Blunt(Policy):
        """Says nothing legal with a jack in hand, and calls with any other card."""

        name, batch_size, said = "blunt", 256, ()

        async def complete(self, requests, sampling):
            texts = ["?" if r.messages[-1].text.startswith("leduc J") else "c" for r in requests]
            self.said = (*self.said, *texts)
            return [Completion.of(text) for text in texts]

    blunt = Blunt()
    found = asyncio.run(play_match(blunt, "uniform", game="leduc_poker", games=400)).illegal
    count, wrong = len(blunt.said), blunt.said.count("?")
    assert found.value == wrong / count
    assert found.interval.width > 1.2 * clopper_pearson(wrong, count).width


def test_games_that_are_broken_off_leave_the_others_as_many_as_they_are():
    class Fickle(Policy):
        """Has no answer now and then, so that some deals keep one of their games."""

        name, batch_size = "fickle", 64

        async def complete(self, requests, sampling):
            return [
                Completion.failed("tired") if r.seed % 5 == 0 else Completion.of("0")
                for r in requests
            ]

    report = asyncio.run(play_match(Fickle(), "uniform", game="tic_tac_toe", games=60))
    assert 0 < report.broken_count < 50
    assert report.mean_return.value == pytest.approx(report.wins.value - report.losses.value)
    assert report.mean_return.value in report.mean_return.interval


def test_a_player_may_meet_its_own_name():
    report = asyncio.run(play_match("uniform", "uniform", game="kuhn_poker", games=400))
    assert 0 in report.mean_return.interval
    assert report.illegal.value is None


@pytest.mark.parametrize(("algorithm", "low", "high"), [("uniform", 0.3, 0.6), ("cfr+", 0.99, 1.0)])
def test_accuracy_is_the_rate_of_moves_that_the_solver_passes(algorithm, low, high):
    policy = uniform(KUHN) if algorithm == "uniform" else solve(KUHN, algorithm)
    environment = OpenSpielEnvironment(game="kuhn_poker")
    runs = [
        asyncio.run(move_accuracy(Student(policy), environment=environment, seed=seed))
        for seed in range(20)
    ]
    assert low <= sum(run.value for run in runs) / 20 <= high


def test_a_snapshot_is_the_same_after_saving(tmp_path):
    for algorithm, seed in (("cfr", 0), ("mccfr", -3)):
        policy = solve(KUHN, algorithm, iterations=50, seed=seed)
        policy.save(tmp_path / "policy.json")
        assert Snapshot.load(tmp_path / "policy.json") == policy
    teacher = make_teacher("snapshot", KUHN, path=tmp_path / "policy.json")
    player, state = teacher.start(0), KUHN.rebuild([0, 2])
    rate = sum(player(state) for _ in range(2000)) / 2000
    assert rate == pytest.approx(policy.probabilities(state)[1], abs=0.04)


def test_mccfr_depends_on_its_seed_alone():
    policies = [solve.__wrapped__(KUHN, "mccfr", iterations=100, seed=s) for s in (1, 1, 2)]
    assert policies[0] == policies[1]
    assert policies[0].policy != policies[2].policy


BROKEN = {
    "": "must be JSON",
    "{}": "must be a policy in the format",
    '{"format": "orbiter-openspiel/policy-1", "game": "kuhn_poker", "algorithm": "x", "iterations": 1, "seed": 0}': "must be a policy",
}


@pytest.mark.parametrize(("text", "problem"), BROKEN.items(), ids=range(len(BROKEN)))
def test_what_is_no_snapshot_is_refused(tmp_path, text, problem):
    path = tmp_path / "policy.json"
    path.write_text(text)
    with pytest.raises(ConfigError, match=problem):
        Snapshot.load(path)


@pytest.mark.parametrize(
    "row", ["{}", "[]", '{"0": 0.5}', '{"0": 2, "1": -1}', '{"0": 0.5, "9": 0.5}', '{"0": "1"}', '{"0": true}']
)  # fmt: skip
def test_a_snapshot_with_a_bad_row_is_refused(tmp_path, row):
    path = tmp_path / "policy.json"
    head = '{"format": "orbiter-openspiel/policy-1", "game": "kuhn_poker", "algorithm": "x", "iterations": 1, "seed": 0'
    path.write_text(head + ', "policy": {"0": ' + row + "}}")
    with pytest.raises(ConfigError, match="information state '0' must have probabilities"):
        Snapshot.load(path)


def test_a_snapshot_of_another_game_is_refused(tmp_path):
    uniform(KUHN).save(tmp_path / "kuhn.json")
    with pytest.raises(
        ConfigError, match="must be a policy of 'leduc_poker', got one of 'kuhn_poker'"
    ):
        make_teacher("snapshot", LEDUC, path=tmp_path / "kuhn.json")
    with pytest.raises(ConfigError, match="cannot be read: No such file"):
        make_teacher("snapshot", KUHN, path=tmp_path / "none.json")
    with pytest.raises(ConfigError, match="for every information state, got none for"):
        uniform(KUHN).probabilities(LEDUC.rebuild([0, 1]))


def test_a_snapshot_plays_no_illegal_action():
    # Nobody can fold before a bet, which OpenSpiel would let pass.
    policy, start = uniform(LEDUC), LEDUC.rebuild([0, 1])
    known = policy.policy[start.information_state_string()]
    assert 0 not in known
    folding = {**policy.policy, start.information_state_string(): {0: 1.0}}
    teacher = SnapshotTeacher(attrs.evolve(policy, policy=folding))
    with pytest.raises(ConfigError, match=r"must hold legal actions .* got actions \[0\]"):
        teacher.start(0)(start)


@pytest.mark.parametrize("table", [{}, {**uniform(KUHN).policy, "0": {0: 1.0}}])
def test_a_policy_that_is_not_whole_has_no_value(table):
    policy = attrs.evolve(uniform(KUHN), policy=table)
    with pytest.raises(ConfigError, match="must tell each legal action's probability"):
        policy.nash_conv()


def test_alpha_beta_agrees_with_plain_enumeration():
    game = load_game("clobber(rows=2,columns=4)")

    def value(state, player):
        if state.is_terminal():
            return state.returns()[player]
        values = [value(state.child(a), player) for a in state.legal_actions()]
        return max(values) if state.current_player() == player else min(values)

    solver = solver_for(game, "alpha_beta")
    layer = [game.start()]
    for _ in range(4):
        for state in layer:
            player = state.current_player()
            exact = {a: value(state.child(a), player) for a in state.legal_actions()}
            assert solver.evaluate(state).values == exact
        children = [state.child(action) for state in layer for action in state.legal_actions()]
        layer = [child for child in children if not child.is_terminal()][:20]
    assert layer


def test_uniform_play_is_openspiels():
    own = uniform(KUHN).spiel_policy()
    theirs = pyspiel.UniformRandomPolicy(KUHN.spiel)
    assert pyspiel.nash_conv(KUHN.spiel, own) == pyspiel.nash_conv(KUHN.spiel, theirs)
