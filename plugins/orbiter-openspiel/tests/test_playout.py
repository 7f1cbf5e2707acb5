"""The present model plays on from positions; each of its decisions is an attempt."""

from __future__ import annotations

import asyncio
import itertools
import os
import subprocess
import sys
from collections import Counter

import pytest
from orbiter_openspiel.environment import OpenSpielEnvironment
from orbiter_openspiel.games import load_game
from orbiter_openspiel.playout import PlayoutSynthesiser
from orbiter_openspiel.solvers import solver_for

from orbiter import jsonl
from orbiter.cli import main
from orbiter.errors import ConfigError, OrbiterError
from orbiter.flywheel import Flywheel, load_recipe
from orbiter.flywheel.account import read_account
from orbiter.generate.policy import Completion, Policy
from orbiter.records import Message, Task
from orbiter.tasks.splits import is_held_out
from orbiter.tasks.streams import item_stream

TTT, KUHN = OpenSpielEnvironment(game="tic_tac_toe"), OpenSpielEnvironment(game="kuhn_poker")
BOTH = OpenSpielEnvironment(games=["tic_tac_toe", "kuhn_poker"])


class Player(Policy):
    """Plays what a function of the request says, else any digit or letter, by the request's seed."""

    name, batch_size = "player", 8

    def __init__(self, say=None, *, name="player"):
        self.say, self.name, self.batches, self.seen, self.closed = say, name, [], [], 0

    async def complete(self, requests, sampling):
        self.batches.append(len(requests))
        self.seen += requests
        return [self.answer(request) for request in requests]

    def answer(self, request):
        chars = "012345678" if request.messages[-1].text.startswith("ttt") else "pb"
        said = self.say(request) if self.say else chars[request.seed % len(chars)]
        return said if isinstance(said, Completion) else Completion.of(said)

    async def aclose(self):
        self.closed += 1


def tasks(environment, count):
    return [environment.task(n, seed=5) for n in range(count)]


def proposed(given, *, environment=TTT, policy=None, forbidden=None, **options):
    engine = PlayoutSynthesiser(policy=policy or Player(), environment=environment, **options)
    if forbidden is not None:
        engine.forbidden = forbidden
    return asyncio.run(engine.proposed(given))


def told(found):
    return [one.completion.metadata for one in found.proposals]


def test_games_go_from_the_position_to_the_end_side_by_side():
    policy = Player()
    given = tasks(BOTH, 40)
    found = proposed(given, environment=BOTH, policy=policy, opponents="uniform", samples=2)
    assert policy.batches[:10] == [8] * 10  # all 80 games of both kinds wait for their first move
    starts = Counter(one["start"] for one in told(found))
    assert starts.keys() == {task.task_id for task in given}
    assert len(found.proposals) == len(policy.seen)
    assert not found.dropped
    assert len({request.seed for request in policy.seen}) == len(policy.seen)
    by_id = {task.task_id: task for task in given}
    for one, about in zip(found.proposals, told(found)):
        opening = by_id[about["start"]].metadata["history"]
        assert len(one.task.metadata["history"]) >= len(opening)
        game = load_game(one.task.metadata["game"])
        state = game.rebuild(one.task.metadata["history"])
        assert state.current_player() == about["seat"]
        assert one.task.prompt == game.prompt(state)
        assert sum(about["returns"]) == 0
    # The first decision of a game is the task itself.
    assert {task.task_id for task in given} <= {one.task.task_id for one in found.proposals}


def test_the_policy_sits_where_the_player_to_move_does_and_everywhere_against_itself():
    given = tasks(TTT, 30)
    for name, both in (("uniform", False), ("self", True)):
        seats = {}
        for about in told(proposed(given, opponents=name)):
            seats.setdefault(about["start"], set()).add(about["seat"])
        assert any(len(one) == 2 for one in seats.values()) == both
        assert {seat for one in seats.values() for seat in one} == {0, 1}


def test_each_opponent_plays_every_position():
    given = tasks(TTT, 6)
    found = told(proposed(given, opponents=["self", "mcts", "alpha_beta"], simulations=10))
    pairs = {(one["start"], one["opponent"]) for one in found}
    names = ("self", "mcts", "alpha_beta")
    assert pairs == set(itertools.product([task.task_id for task in given], names))


def test_a_game_does_not_depend_on_those_beside_it():
    given = tasks(TTT, 12)
    one_by_one = [one for task in given for one in proposed([task]).proposals]
    policy = Player()
    policy.batch_size = 100
    assert one_by_one == list(proposed(given, policy=policy).proposals)
    assert one_by_one != list(proposed(given, seed=1).proposals)
    twice = proposed([given[0], given[0]], samples=2).proposals
    assert twice == proposed([given[0]], samples=4).proposals
    assert len({one.completion.messages[0].text for one in twice}) > 1


def test_positions_that_the_environment_lists_are_its_tasks():
    listed = {task.task_id: task for task in tasks(KUHN, 100)}
    found = proposed(tasks(KUHN, 30), environment=KUHN, policy=Player(), samples=3)
    met = {one.task.task_id: one.task for one in found.proposals}
    assert len(met) > len(listed) - 1
    assert all(met[key] == task for key, task in listed.items() if key in met)
    large = OpenSpielEnvironment(game="connect_four", positions="all")
    (task,) = tasks(large, 1)
    policy = Player(lambda r: "1")
    decided = proposed([task], environment=large, policy=policy).proposals
    assert decided[0].task == task
    assert len({one.task.task_id for one in decided}) == len(decided)


def test_what_is_hidden_is_dealt_anew_as_likely_as_it_is():
    game = load_game("kuhn_poker")
    solver = solver_for(game)
    # The second player has a jack, and was bet at by the queen or the king.
    state = game.rebuild([1, 0, 1])
    stream = item_stream("deal")
    held = Counter(solver.another(state, stream).history()[0] for _ in range(2000))
    known = solver.table[state.information_state_string()]
    assert known.histories.keys() == {(1, 0, 1), (2, 0, 1)}
    share = known.histories[2, 0, 1] / known.reach
    assert abs(held[2] / 2000 - share) < 0.05
    assert share > 0.9  # a queen seldom bets in equilibrium
    everywhere = OpenSpielEnvironment(game="kuhn_poker", positions="all")
    task = next(one for one in tasks(everywhere, 40) if one.prompt == "kuhn Q:")
    passes = Player(lambda _: "p")
    found = proposed([task], environment=everywhere, policy=passes, samples=40).proposals
    assert Counter(one.task.prompt for one in found).keys() == {
        "kuhn Q:",
        "kuhn J p:",
        "kuhn K p:",
    }


@pytest.mark.parametrize("opponent", ["self", "uniform"])
def test_an_illegal_answer_is_proposed_counted_and_replaced_or_loses(opponent):
    given = tasks(TTT, 10)
    engine = PlayoutSynthesiser(
        policy=Player(lambda _: "x"), environment=TTT, opponents=opponent, illegal="replace"
    )
    assert asyncio.run(engine.synthesise(given, None)) == []
    assert engine.report.tried > 10
    assert engine.report.dropped == {"failed: illegal move": engine.report.tried}
    lost = proposed(given, policy=Player(lambda _: "x"), opponents=opponent, illegal="forfeit")
    assert len(lost.proposals) == 10
    for one in told(lost):
        assert (one["illegal"], one["returns"][one["seat"]]) == (True, -1.0)


def test_a_policy_without_an_answer_breaks_the_game_off_and_that_is_invalid():
    given = tasks(TTT, 20)
    silent = Player(lambda r: Completion.failed("timeout") if r.seed % 3 == 0 else str(r.seed % 9))
    found = proposed(given, policy=silent)
    broken = [one for one in found.proposals if one.completion.error]
    assert {one.completion.error for one in broken} == {"timeout"}
    assert all("returns" not in one.completion.metadata for one in broken)
    assert 5 < len(broken) < len(found.proposals)
    nothing = proposed(given, policy=Player(lambda _: Completion()))
    assert {(o.completion.error, o.completion.finish_reason) for o in nothing.proposals} == {
        ("no answer", "error")
    }
    other = Player(lambda _: Completion.failed("down"))
    found = proposed(given, opponents=other)
    assert {one.reason for one in found.dropped} == {"opponent: no answer: down"}
    assert 0 < len(found.dropped) <= 20
    assert all(one.completion.error is None for one in found.proposals)
    assert found.beside.samples == len(found.dropped)


def test_nobody_is_asked_in_a_position_that_is_held_out():
    given = [task for task in tasks(TTT, 60) if not is_held_out(task, share=0.3)]
    policy, other = Player(), Player(name="other")
    found = proposed(
        given,
        policy=policy,
        opponents=other,
        forbidden=lambda t: "held-out prompt" if is_held_out(t, share=0.3) else None,
    )
    assert {one.reason for one in found.dropped} == {"held-out prompt"}
    assert len(found.dropped) > 5
    prompts = {one.messages[-1].text for one in policy.seen + other.seen}
    assert not prompts & {one.text for one in found.dropped}
    assert len(policy.seen) == len(found.proposals)
    assert found.beside.samples == len(other.seen) > 0


def test_a_decision_where_equilibrium_play_never_leads_is_dropped():
    name = "liars_dice(numdice=1,dice_sides=2)"
    environment = OpenSpielEnvironment(game=name, positions="all")
    guesses = Player(lambda _: "no move")  # so that all of its moves are random
    found = proposed(tasks(environment, 30), environment=environment, policy=guesses, samples=3)
    assert {one.reason for one in found.dropped} == {"equilibrium play never leads here"}
    game = load_game(name)
    choices = [one for one in found.proposals if len(game.rebuild(one.task.metadata["history"]).legal_actions()) > 1]  # fmt: skip
    listed = {game.prompt(state) for state in solver_for(game).positions()}
    assert {one.task.prompt for one in choices} <= listed
    assert not {one.text for one in found.dropped} & listed


@pytest.mark.parametrize(
    ("options", "problem"),
    [
        ({"opponents": "mtcs"}, "did you mean 'mcts'?"),
        ({"opponents": []}, "opponents must be one or several, each once"),
        ({"opponents": ["self", "self"]}, "opponents must be one or several, each once"),
        ({"opponents": {"name": "nobody"}}, "unknown policy 'nobody'"),
        ({"opponents": "mcts", "environment": KUHN}, "mcts"),
        ({"opponents": "uniform", "environment": {"name": "openspiel", "game": "2048"}}, "must be 'self' in '2048'"),
        ({"illegal": "ignore"}, "illegal must be one of replace, forfeit"),
        ({"illegal": "forfeit", "environment": {"name": "openspiel", "game": "pig(players=3)", "positions": "all"}}, "illegal must be 'replace'"),
        ({"samples": 0}, "samples must be"),
        ({"simulations": 1}, "simulations must be"),
        ({"environment": "sorting"}, "playout must have the environment 'openspiel', got 'sorting'"),
    ],
)  # fmt: skip
def test_wrong_options_are_refused_at_once_in_a_line(options, problem):
    with pytest.raises(OrbiterError) as caught:
        PlayoutSynthesiser(**{"environment": TTT, **options})
    assert problem in str(caught.value).splitlines()[0]


def test_what_is_no_position_and_nobody_to_play_are_refused():
    with pytest.raises(ConfigError, match="must hold a game and a history"):
        proposed([Task("openspiel", "t", (Message("user", "ttt"),))])
    with pytest.raises(ConfigError, match="playout must have a policy, got none"):
        asyncio.run(PlayoutSynthesiser(environment=TTT).proposed(tasks(TTT, 1)))


def test_a_fixed_policy_is_one_player_in_every_game_and_is_closed():
    policy, other = Player(), Player(name="other")
    engine = PlayoutSynthesiser(policy=policy, environment=BOTH, opponents=other)
    found = asyncio.run(engine.proposed(tasks(BOTH, 20)))
    assert {about["opponent"] for about in told(found)} == {"other"}
    asyncio.run(engine.aclose(keep=policy))
    assert (policy.closed, other.closed) == (0, 1)


PARTS = """
import os
from orbiter.generate.policy import Completion, Policy

class Scribbler(Policy):
    '''Plays a digit by the seed, and writes down what it was asked; dies at the batch that it is told.'''
    name, batch_size = "scribbler", 16
    def __init__(self, path):
        self.path, self.batches = path, 0
    async def complete(self, requests, sampling):
        self.batches += 1
        if str(self.batches) == os.environ.get("DIES_AT"):
            os._exit(9)
        with open(self.path, "a") as file:
            for request in requests:
                file.write(f"{request.seed}\\n")
        return [Completion.of(str(r.seed % 9), token_count=1) for r in requests]
"""
RECIPE = """
name: plays
seed: 2
environment: {name: openspiel, game: tic_tac_toe}
policy: {name: "parts.py:Scribbler", path: PATH}
evaluate: {tasks: 0, share: 0.2, audit: 4}
verify: {workers: 0}
stages:
  play: {rounds: 2, synthesise: {name: playout, tasks: 20, opponents: [self, uniform]}}
"""


def run(folder, *, dies_at=None):
    """Run the recipe; in a process of its own that dies at a batch, if told so."""
    folder.mkdir(exist_ok=True)
    (folder / "parts.py").write_text(PARTS)
    file, runs = folder / "recipe.yaml", folder / "runs"
    file.write_text(RECIPE.replace("PATH", str(folder / "asked")))
    if dies_at is None:
        return Flywheel(load_recipe(file), runs_dir=runs, base_dir=folder).run()
    command = [sys.executable, "-m", "orbiter.cli", "run", file, "--runs", runs, "--plain"]
    return subprocess.run(command, env={**os.environ, "DIES_AT": str(dies_at)}, capture_output=True, check=False)  # fmt: skip


def test_a_run_accounts_for_every_decision_and_a_killed_one_asks_for_none_twice(tmp_path, capsys):
    whole = run(tmp_path / "whole")
    account = read_account(whole.path)
    assert main(["yield", str(whole.path)]) == 0
    assert "FPR unknown" in " ".join(capsys.readouterr().out.split())
    assert account.total.pending == account.total.undecided == 0
    asked = (tmp_path / "whole" / "asked").read_text().split()
    assert len(asked) == sum(row["sampled"] for row in whole.rounds[1:])
    for row in whole.rounds[1:]:
        assert row["sampled"] == row["passed"] + row["failed"] == sum(row["decisions"].values())
        assert row["passed"] > 0
        assert row["synthesised"]["dropped"].keys() == {"held-out prompt"}
    for dies_at in (4, 9):
        assert run(tmp_path / "cut", dies_at=dies_at).returncode == 9
    again = run(tmp_path / "cut")
    assert (tmp_path / "cut" / "asked").read_text().split() == asked
    for path in sorted((whole.path / "data").iterdir()):
        assert (again.path / "data" / path.name).read_bytes() == path.read_bytes()
    kept = [row for _, row in jsonl.read_objects(again.path / "data" / "round-2-kept.jsonl")]
    assert {row["score"] for row in kept} == {1.0}
    assert {row["generator"] for row in kept} == {"playout"}
