"""Positions as tasks, their demonstrations, and the verifier of moves."""

from __future__ import annotations

import attrs
import pytest
from orbiter_openspiel.environment import OpenSpielEnvironment
from orbiter_openspiel.verifier import GameMoveVerifier

from orbiter.errors import ConfigError
from orbiter.plugin import registry
from orbiter.records import Message, Task
from orbiter.tasks.splits import TaskStream
from orbiter.testing import check_environment
from orbiter.verify.answer import answered
from orbiter.verify.pool import VerdictCache, VerifierPool
from orbiter.verify.verifier import judge


def tic_tac_toe():
    return OpenSpielEnvironment(game="tic_tac_toe")


def mixture():
    return OpenSpielEnvironment(games=["tic_tac_toe", "kuhn_poker", "nim"])


def connect_four():
    return OpenSpielEnvironment(game="connect_four", simulations=200)


def task_of(game, history, **metadata):
    return Task("openspiel", "t", (Message("user", "?"),), metadata={"game": game, "history": history, **metadata})  # fmt: skip


def verdict_on(game, history, answer, **options):
    task = task_of(game, history)
    return judge(GameMoveVerifier(**options), task, answered(task, answer))


@pytest.mark.parametrize("make", [tic_tac_toe, mixture])
def test_the_contract_of_environments(make):
    check_environment(make, count=60)


def test_the_contract_holds_in_a_fresh_process():
    check_environment(mixture, count=20, fresh_process=True)


def test_the_contract_of_environments_in_a_large_game():
    check_environment(connect_four, count=6)


@pytest.mark.parametrize("game", ["pig", "hex(board_size=2)", "liars_dice(numdice=1,dice_sides=2)"])
def test_the_contract_of_environments_in_other_games(game):
    check_environment(lambda: OpenSpielEnvironment(game=game, positions="all", simulations=50), count=8)  # fmt: skip


@pytest.mark.parametrize(
    ("game", "count"), [("tic_tac_toe", 3191), ("kuhn_poker", 7), ("nim", 328)]
)
def test_every_critical_position_is_asked_and_demonstrated_right(game, count):
    environment = OpenSpielEnvironment(game=game)
    states = environment._list(environment.games[0])
    assert len(states) == count
    for state in states:
        task = task_of(game, list(state.history()))
        verdict = judge(environment.verifier(), task, answered(task, environment.demonstrate(task)))
        assert verdict.outcome == "pass"
        legal = state.legal_actions()
        moves = [answered(task, environment.games[0].move(state, a)) for a in legal]
        assert {judge(environment.verifier(), task, move).outcome for move in moves} == {"pass", "fail"}  # fmt: skip


def test_all_positions_of_kuhn_poker_are_its_information_states():
    tasks = TaskStream(
        OpenSpielEnvironment(game="kuhn_poker", positions="all"), seed=0, share=0
    ).take(100, allow_fewer=True)
    assert sorted(task.prompt for task in tasks) == sorted(
        f"kuhn {card}{bets}:" for card in "JQK" for bets in ("", " p", " b", " pb")
    )


def test_prompt_and_id_name_each_other():
    environment = mixture()
    tasks = [environment.task(index, seed=3) for index in range(300)]
    assert len({t.task_id for t in tasks}) == len({t.prompt for t in tasks})
    assert {t.metadata["game"] for t in tasks} == {"tic_tac_toe", "kuhn_poker", "nim"}
    assert all(t.task_id.startswith(f"openspiel:{t.metadata['game']}:") for t in tasks)


def test_a_demonstration_depends_on_the_task_alone():
    # Several moves are right; which one is shown must not depend on the instance or on what was asked before.
    environment, fresh = tic_tac_toe(), tic_tac_toe()
    tasks = [environment.task(index, seed=0) for index in range(60)]
    shown = [environment.demonstrate(task) for task in tasks]
    assert [fresh.demonstrate(Task.from_row(t.to_row())) for t in reversed(tasks)] == shown[::-1]


def test_instructions_explain_the_notation():
    task = OpenSpielEnvironment(game="tic_tac_toe", instructions=True).task(0, seed=0)
    assert [message.role for message in task.messages] == ["system", "user"]
    assert "empty cell" in task.messages[0].text
    assert task.prompt == tic_tac_toe().task(0, seed=0).prompt


@pytest.mark.parametrize(
    ("game", "history", "answer", "outcome", "reason"),
    [
        ("tic_tac_toe", [0], "4", "pass", ""),
        ("tic_tac_toe", [0], " 4\n", "pass", ""),
        ("tic_tac_toe", [0], "1", "fail", "loses value"),
        ("tic_tac_toe", [0], "0", "fail", "illegal move"),
        ("tic_tac_toe", [0], "9", "fail", "illegal move"),
        ("tic_tac_toe", [0], "", "fail", "illegal move"),
        ("tic_tac_toe", [0], "44", "fail", "illegal move"),
        ("tic_tac_toe", [0], "٤", "fail", "illegal move"),
        ("kuhn_poker", [0, 1, 0, 1], "b", "fail", "loses value"),
        ("kuhn_poker", [1, 0, 0, 1], "b", "pass", ""),
        ("kuhn_poker", [1, 0, 0, 1], "fold", "fail", "illegal move"),
        ("tic_tac_toe", [0, 3, 1, 4, 2], "5", "invalid", "no game position"),  # x has won
        ("tic_tac_toe", [0, 0], "5", "invalid", "no game position"),
        ("kuhn_poker", [0], "p", "invalid", "no game position"),  # a card is still to be dealt
        ("no_such_game", [], "5", "invalid", "no game position"),
        (None, [], "5", "invalid", "no game position"),
        ("tic_tac_toe", "0", "5", "invalid", "no game position"),
    ],
)
def test_verdicts(game, history, answer, outcome, reason):
    verdict = verdict_on(game, history, answer)
    assert (verdict.outcome, verdict.reason) == (outcome, reason)


def test_a_losing_move_may_be_graded():
    # x at 2 wins; a draw loses half of the range of utilities, a loss all of it.
    history = [0, 3, 1, 4]
    graded = [
        verdict_on("tic_tac_toe", history, move, graded=True) for move in ("2", "5", "6", "0")
    ]
    assert [(v.outcome, v.score) for v in graded] == [
        ("pass", 1.0),
        ("fail", 0.5),
        ("fail", 0.0),
        ("fail", 0.0),
    ]
    assert graded[1].details == {"regret": 1.0, "best": 1.0}


def test_a_verdict_is_not_remembered_for_other_options():
    task = task_of("tic_tac_toe", [0, 3, 1, 4])
    pairs, cache = [(task, answered(task, "5"))], VerdictCache()
    for options, score in (({}, 0.0), ({"graded": True}, 0.5), ({"epsilon": 2}, 1.0)):
        with VerifierPool(GameMoveVerifier(**options), workers=0, cache=cache) as pool:
            assert [verdict.score for verdict in pool.judge_all(pairs)] == [score]


def test_a_move_may_come_after_thoughts():
    history = [0, 3, 1, 4]
    assert verdict_on("tic_tac_toe", history, "<think>5 draws.</think>\n2").outcome == "pass"
    for answer in ("<think>2", "2 <think>5</think>", "<think>2</think>"):
        assert verdict_on("tic_tac_toe", history, answer).reason == "illegal move"


def test_a_search_in_doubt_says_so():
    # In the empty board of connect four no search of this size can tell every move from the best.
    verdicts = [verdict_on("connect_four", [], str(column), simulations=300) for column in range(7)]
    assert {"search cannot tell"} <= {v.reason for v in verdicts}
    assert all(v.score is None for v in verdicts if v.outcome == "invalid")


def test_a_search_sees_a_win_at_once():
    history = [0, 6, 0, 6, 0, 5]
    assert verdict_on("connect_four", history, "0").outcome == "pass"
    assert verdict_on("connect_four", history, "3").reason == "loses value"


def test_a_legal_move_that_nobody_can_judge_is_invalid():
    assert verdict_on("catch", [2], "LEFT").reason in {"no solver", "loses value", ""}
    assert verdict_on("hearts", [0], "Pass Dir: Left").outcome == "invalid"


def test_a_verdict_in_hidden_information_does_not_depend_on_what_is_hidden():
    # Q facing a bet after a pass, against J and against K.
    for answer in "pb":
        assert verdict_on("kuhn_poker", [1, 0, 0, 1], answer) == verdict_on(
            "kuhn_poker", [1, 2, 0, 1], answer
        )


@pytest.mark.parametrize(
    ("options", "problem"),
    [
        ({}, "one of game and games must be given"),
        ({"game": "pig", "games": ["pig"]}, "one of game and games must be given"),
        ({"games": "pig"}, "one of game and games must be given"),
        ({"games": ["pig", "pig"]}, "games must differ"),
        ({"game": "pig", "positions": "hard"}, "positions must be one of"),
        ({"game": "pig", "solver": "magic"}, "solver must be one of"),
        ({"game": "pig", "simulations": 1}, "simulations must be an integer"),
        ({"game": "pig", "epsilon": -1.0}, "epsilon must be a number >= 0"),
        ({"game": "pig", "graded": 1}, "graded must be true or false"),
        ({"game": "pig", "instructions": "yes"}, "instructions must be true or false"),
        ({"game": "hearts"}, "must have a solver for critical positions"),
    ],
)
def test_wrong_options_are_refused(options, problem):
    with pytest.raises(ConfigError, match=problem):
        OpenSpielEnvironment(**options)


def test_the_names_are_registered():
    found = registry().create("environment", "openspiel", {"game": "tic_tac_toe"})
    assert isinstance(found, OpenSpielEnvironment)
    assert isinstance(registry().create("verifier", "game_move"), GameMoveVerifier)


def test_a_task_through_json_is_judged_the_same():
    task = tic_tac_toe().task(0, seed=0)
    again = Task.from_row(attrs.evolve(task).to_row())
    answer = tic_tac_toe().demonstrate(again)
    assert judge(GameMoveVerifier(), again, answered(again, answer)).outcome == "pass"
