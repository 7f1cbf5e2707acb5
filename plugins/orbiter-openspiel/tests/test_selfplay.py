"""Games between teachers as rows."""

from __future__ import annotations

import asyncio
import subprocess
import sys
from collections import Counter

import orjson
import pytest
from orbiter_openspiel import positions
from orbiter_openspiel.environment import OpenSpielEnvironment
from orbiter_openspiel.games import load_game
from orbiter_openspiel.positions import Positions
from orbiter_openspiel.selfplay import SelfPlaySynthesiser
from orbiter_openspiel.solvers import solver_for
from orbiter_openspiel.verifier import GameMoveVerifier

from orbiter import jsonl
from orbiter.errors import ConfigError, OrbiterWarning
from orbiter.plugin import registry
from orbiter.testing import check_synthesiser


def generate(count, **options):
    return asyncio.run(SelfPlaySynthesiser(**{"simulations": 20, **options}).generate(count))


@pytest.mark.parametrize("rows", ["games", "moves"])
@pytest.mark.parametrize("keep", ["winners", "all", "graded", "returns"])
def test_the_contract_of_synthesisers(keep, rows):
    check_synthesiser(
        lambda: SelfPlaySynthesiser(game="tic_tac_toe", simulations=20, keep=keep, rows=rows)
    )


def test_a_row_is_one_seat_of_one_game():
    rows = generate(40, game="tic_tac_toe", keep="all", rows="games")
    game = load_game("tic_tac_toe")
    for row in rows:
        history, seat = row.metadata["history"], row.metadata["seat"]
        state, messages = game.start(), []
        for action in history:
            if state.current_player() == seat:
                messages += [game.prompt(state), game.move(state, action)]
            state.apply_action(action)
        assert [message.text for message in row.messages] == messages
        assert {m.role for m in row.messages[::2]} == {"user"}
        assert {m.role for m in row.messages[1::2]} == {"assistant"}
        assert state.is_terminal()
        assert row.metadata["returns"] == state.returns()
        assert row.score == {1.0: 1.0, 0.0: 0.5, -1.0: 0.0}[state.returns()[seat]]
    assert Counter(row.metadata["seat"] for row in rows) == {0: 20, 1: 20}
    assert len({row.task_id for row in rows}) == 40


def test_keep_winners_keeps_the_winners_of_the_same_games():
    everyone = generate(60, game="tic_tac_toe", players="uniform", keep="all", rows="games")
    winners = generate(20, game="tic_tac_toe", players="uniform", keep="winners", rows="games")
    assert winners == [row for row in everyone if row.score == 1.0][:20]


def test_a_move_row_ends_its_history_at_the_decision():
    rows = generate(50, game="tic_tac_toe", keep="all", rows="moves")
    game = load_game("tic_tac_toe")
    for row in rows:
        state = game.rebuild(row.metadata["history"])
        assert [m.role for m in row.messages] == ["user", "assistant"]
        assert row.messages[0].text == game.prompt(state)
        assert game.parse(state, row.answer) is not None
        assert state.current_player() == row.metadata["seat"]


def test_a_move_row_has_the_id_of_the_task_of_its_position():
    environment = OpenSpielEnvironment(game="kuhn_poker", positions="all")
    ids = {t.prompt: t.task_id for t in (environment.task(n, seed=0) for n in range(200))}
    rows = generate(100, game="kuhn_poker", players="cfr+", keep="all", rows="moves")
    assert {row.task_id for row in rows} > {ids["kuhn Q:"], ids["kuhn K:"]}
    assert all(row.task_id == ids[row.messages[0].text] for row in rows)


def test_returns_are_mapped_to_the_unit_interval():
    rows = generate(200, game="kuhn_poker", players="cfr+", keep="returns")
    for row in rows:
        own = row.metadata["returns"][row.metadata["seat"]]
        assert row.score == (own + 2) / 4
    assert {row.score for row in rows} == {0.0, 0.25, 0.75, 1.0}


def test_a_row_of_poker_shows_a_seat_its_own_card_only():
    for row in generate(60, game="kuhn_poker", players="cfr+", keep="all", rows="games"):
        card = "JQK"[row.metadata["history"][row.metadata["seat"]]]
        assert all(message.text.startswith(f"kuhn {card}") for message in row.messages[::2])


def test_the_better_teacher_wins_from_either_seat():
    for teachers in (["alpha_beta", "uniform"], ["uniform", "alpha_beta"]):
        rows = generate(30, game="tic_tac_toe", players=teachers, keep="all", rows="games")
        scores = Counter(
            row.score for row in rows if teachers[row.metadata["seat"]] == "alpha_beta"
        )
        assert scores[0.0] == 0
        assert scores[1.0] >= 8


def test_perfect_play_draws_tic_tac_toe_and_leaves_no_winner_to_keep():
    with pytest.warns(OrbiterWarning, match="kept 0 rows of 127 games"):
        assert generate(1, game="tic_tac_toe", players="alpha_beta", keep="winners") == []


def test_the_written_file_holds_the_generated_rows(tmp_path):
    synthesiser = SelfPlaySynthesiser(game="tic_tac_toe", simulations=20, keep="all", rows="games")
    report = synthesiser.write(tmp_path / "rows.jsonl", games=70)
    rows = list(jsonl.read(tmp_path / "rows.jsonl"))
    assert rows == asyncio.run(synthesiser.generate(140))
    scores = Counter((row.metadata["seat"], row.score) for row in rows)
    assert (report.game_count, report.row_count) == (70, 140)
    assert report.win_counts == (scores[0, 1.0], scores[1, 1.0])
    assert report.draw_count == scores[0, 0.5] == 70 - sum(report.win_counts)


def test_who_plays_alone_draws_with_nobody(tmp_path):
    synthesiser = SelfPlaySynthesiser(game="catch", players="uniform", keep="returns")
    report = synthesiser.write(tmp_path / "rows.jsonl", games=5)
    assert (report.row_count > 0, report.draw_count, report.win_counts) == (True, 0, (0,))


def test_more_games_are_the_same_games_and_more():
    options = {"game": "leduc_poker", "players": "uniform", "keep": "all"}
    assert generate(30, **options)[:12] == generate(12, **options)
    assert generate(12, **options) != generate(12, **options, seed=1)


def test_two_processes_play_the_same_games(tmp_path):
    code = (
        "import sys, pathlib; from orbiter_openspiel.selfplay import SelfPlaySynthesiser as S\n"
        "S(game='tic_tac_toe', players=['mcts', 'uniform'], keep='all', rows='games', seed=7)"
        ".write(pathlib.Path(sys.argv[1]), games=20)"
    )
    for name in ("a", "b"):
        subprocess.run([sys.executable, "-c", code, str(tmp_path / name)], check=True)
    assert (tmp_path / "a").read_bytes() == (tmp_path / "b").read_bytes()
    assert len((tmp_path / "a").read_bytes().splitlines()) == 40


def test_a_row_is_plain_json():
    row = generate(1, game="tic_tac_toe", keep="all")[0].to_row()
    assert orjson.loads(orjson.dumps(row))["metadata"]["players"] == ["mcts", "mcts"]


@pytest.mark.parametrize(
    ("options", "problem"),
    [
        ({"game": "tic_tac_toe", "players": ["mcts"]}, "one per seat"),
        ({"game": "tic_tac_toe", "players": "cfr"}, "histories for cfr"),
        ({"game": "kuhn_poker"}, "for mcts"),
        ({"game": "tic_tac_toe", "keep": "best"}, "keep must be one of"),
        ({"game": "tic_tac_toe", "rows": "turns"}, "rows must be one of"),
        ({"game": "tic_tac_toe", "simulations": 1}, "simulations must be an integer"),
        ({"game": "tic_tac_toe", "seed": "0"}, "seed must be an integer"),
        (
            {"game": "2048", "keep": "winners"},
            "keep must be 'graded' or 'returns' in a game for one player",
        ),
    ],
)
def test_wrong_options_are_refused(options, problem):
    with pytest.raises(ConfigError, match=problem):
        registry().create("synthesiser", "selfplay", options)


def test_games_that_meet_again_keep_their_own_histories():
    rows = generate(400, game="tic_tac_toe", players="uniform", keep="graded")
    game, histories = load_game("tic_tac_toe"), {}
    for row in rows:
        state = game.rebuild(row.metadata["history"])
        assert row.messages[0].text == game.prompt(state)
        assert game.move(state, game.parse(state, row.answer)) == row.answer
        histories.setdefault(row.task_id, set()).add(tuple(row.metadata["history"]))
    assert max(map(len, histories.values())) > 1


def test_a_position_is_remembered_by_its_board_only_where_that_tells_all():
    def met_again(name):
        game = load_game(name)
        solver = solver_for(game) if game.solver == "alpha_beta" else None
        positions = Positions(game, solver, lambda *_: ("", ""))
        ends = []
        for history in ((0, 1, 2), (2, 1, 0)):
            position = positions.start()
            for action in history:
                position = positions.move(position, action).after
            ends.append(position)
        assert str(ends[0].state) == str(ends[1].state)
        return ends[0] is ends[1]

    assert met_again("tic_tac_toe")
    assert not met_again("hex(board_size=4)")


def test_positions_of_long_games_take_bounded_memory(tmp_path, monkeypatch):
    # A state of OpenSpiel keeps all actions before it, hundreds in 2048.
    def written():
        synthesiser = SelfPlaySynthesiser(game="2048", players="uniform", keep="returns")
        synthesiser.write(tmp_path / "rows.jsonl", games=12)
        remembered, waiting = [], [synthesiser._writer._positions._root]
        while waiting:
            after = [move.after for move in waiting.pop().moves.values()]
            remembered += [one.state.move_number() for one in after]
            waiting += after
        return (tmp_path / "rows.jsonl").read_bytes(), sum(remembered)

    rows, actions = written()
    monkeypatch.setattr(positions, "MAX_BYTES", 500_000)
    again, fewer = written()
    assert again == rows
    assert 0 < fewer < actions / 2


def test_a_row_of_a_game_names_the_verifier_that_would_judge_so():
    for options in ({}, {"solver": "mcts"}):
        (row,) = generate(1, game="tic_tac_toe", rows="games", **options)
        assert row.verdict.version == GameMoveVerifier(graded=True, **options).version
