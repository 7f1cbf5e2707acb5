"""Policies at the table: many games at once, illegal answers, deals that are mirrored."""

from __future__ import annotations

import asyncio
import subprocess
import sys
import time
from collections import Counter
from pathlib import Path

import pytest
from orbiter_openspiel import workers
from orbiter_openspiel.arena import Arena
from orbiter_openspiel.games import load_game
from orbiter_openspiel.players import PolicyPlayer, label_of, make_player
from orbiter_openspiel.selfplay import SelfPlaySynthesiser
from orbiter_openspiel.teachers import make_teacher

from orbiter import jsonl
from orbiter.errors import ConfigError, OrbiterError
from orbiter.generate.policy import Completion, Policy, Sampling
from orbiter.plugin import registry

KUHN, TTT = load_game("kuhn_poker"), load_game("tic_tac_toe")


class Scripted(Policy):
    """Answers what a function of the request says, and remembers how it was asked."""

    name, batch_size, concurrency = "scripted", 8, 3

    def __init__(self, say):
        self.say, self.batches, self.seen = say, [], []

    async def complete(self, requests, sampling):
        self.batches.append(len(requests))
        self.seen += requests
        return [self.say(request) for request in requests]


def says(text):
    return Scripted(lambda _: Completion.of(text))


def mixed():
    """Play p or b by the request's seed."""
    return Scripted(lambda request: Completion.of("pb"[request.seed % 2]))


def play(game, players, count, **options):
    options = {"seed": 0, "mirror": False, **options}
    return asyncio.run(Arena(game, players, **options).play(range(count)))


def test_a_policy_is_asked_for_many_games_at_once():
    policy = mixed()
    played = play(KUHN, [PolicyPlayer(policy), make_teacher("cfr+", KUHN)], 50)
    assert [one.index for one in played] == list(range(50))
    # All 50 games wait for the first move, some for a second one.
    assert max(policy.batches) == 8
    assert len(policy.batches) <= 7 + 7
    assert sum(policy.batches) == sum(KUHN.seats_of(one.history).count(0) for one in played)


def test_a_game_does_not_depend_on_those_beside_it():
    def games(count, batch_size):
        policy = mixed()
        policy.batch_size = batch_size
        return play(KUHN, [PolicyPlayer(policy), make_teacher("uniform", KUHN)], count)

    assert games(30, 4)[:7] == games(7, 1)


def test_a_policy_is_shown_what_its_seat_knows():
    policy = mixed()
    played = play(KUHN, [PolicyPlayer(policy), PolicyPlayer(policy)], 20, instructions=True)
    assert all(request.messages[0].role == "system" for request in policy.seen)
    cards = {"JQK"[one.history[0]] + "JQK"[one.history[1]] for one in played}
    assert len(cards) > 3
    assert {request.messages[1].text.split(":")[0].split()[1] for request in policy.seen} == set("JQK")  # fmt: skip
    assert len({request.seed for request in policy.seen}) == len(policy.seen)


def test_an_illegal_answer_is_replaced_and_counted():
    played = play(KUHN, [PolicyPlayer(says("raise")), make_teacher("uniform", KUHN)], 40)
    for one in played:
        mine = [ply for ply, seat in enumerate(KUHN.seats_of(one.history)) if seat == 0]
        assert dict(one.illegal) == dict.fromkeys(mine, "raise")
        assert sum(one.returns) == 0
    moves = [one.history[2] for one in played]
    assert 8 < sum(moves) < 32  # pass and bet, each as likely


def test_an_illegal_answer_may_forfeit_the_game():
    played = play(KUHN, [PolicyPlayer(says("raise")), make_teacher("uniform", KUHN)], 5, illegal="forfeit")  # fmt: skip
    for one in played:
        assert (one.history[2:], dict(one.illegal)) == ([], {2: "raise"})
        assert (one.returns, one.outcomes) == ([-2.0, 2.0], (0.0, 1.0))


def test_a_policy_without_an_answer_breaks_the_game_off():
    silent = Scripted(lambda r: Completion.failed("timeout") if r.seed % 2 else Completion.of("b"))
    played = play(KUHN, [PolicyPlayer(silent), make_teacher("uniform", KUHN)], 30)
    broken = [one for one in played if one.error]
    assert 5 < len(broken) < 25
    assert {(one.error, len(one.returns), one.outcomes) for one in broken} == {("timeout", 0, ())}
    rows = asyncio.run(
        SelfPlaySynthesiser(game="kuhn_poker", players=[silent, "uniform"], keep="all").generate(20)
    )
    indices = {row.metadata["index"] for row in rows}
    again = play(KUHN, [PolicyPlayer(silent), make_teacher("uniform", KUHN)], 64, mirror=True)
    assert indices <= {one.index for one in again if not one.error}


def test_mirrored_games_have_the_same_deal_and_other_seats():
    players = [make_teacher("uniform", KUHN), make_teacher("cfr+", KUHN)]
    played = play(KUHN, players, 120, mirror=True)
    for first, second in zip(played[::2], played[1::2]):
        assert first.history[:2] == second.history[:2]
        assert (list(first.players), list(second.players)) == ([0, 1], [1, 0])
    assert len({tuple(one.history[:2]) for one in played}) == 6


def test_duplicate_scores_take_the_luck_out():
    # The same play at the same cards from both seats earns the same: everybody scores one half, whoever was dealt the king.
    always = SelfPlaySynthesiser(game="kuhn_poker", players=[says("b"), says("b")], keep="duplicate", rows="games")  # fmt: skip
    rows = asyncio.run(always.generate(40))
    assert {row.score for row in rows} == {0.5}
    assert {row.metadata["returns"][0] for row in rows} == {2.0, -2.0}
    # Who folds to every bet loses one chip with any card, and scores the same with any card.
    uneven = SelfPlaySynthesiser(game="kuhn_poker", players=[says("b"), says("p")], keep="duplicate", rows="games")  # fmt: skip
    rows = asyncio.run(uneven.generate(80))
    by_player = {0: [], 1: []}
    for row in rows:
        turned = row.metadata["index"] % 2
        by_player[(row.metadata["seat"] + turned) % 2].append(row.score)
    assert (set(by_player[0]), set(by_player[1])) == ({0.75}, {0.25})


@pytest.mark.parametrize("keep", ["graded", "all", "winners"])
@pytest.mark.parametrize("rows", ["moves", "games"])
@pytest.mark.parametrize("illegal", ["replace", "forfeit"])
def test_an_illegal_answer_scores_0_and_is_no_winner(keep, rows, illegal):
    wild = Scripted(lambda r: Completion.of("b" if r.seed % 3 else "\x00 all in"))
    synthesiser = SelfPlaySynthesiser(
        game="kuhn_poker", players=[wild, "uniform"], keep=keep, rows=rows, illegal=illegal
    )
    made = asyncio.run(synthesiser.generate(60))
    wrong = [row for row in made if any(m.text == "\x00 all in" for m in row.messages)]
    assert all(row.score == 0.0 for row in wrong)
    assert all(row.metadata["illegal"] for row in wrong)
    assert bool(wrong) == (keep != "winners")


def test_the_graded_moves_of_a_policy_are_those_the_verifier_passes():
    rows = asyncio.run(
        SelfPlaySynthesiser(game="kuhn_poker", players=[mixed(), "cfr+"]).generate(200)
    )
    values = {row.messages[0].text + row.answer: row.score for row in rows}
    assert values["kuhn K b:b"] == values["kuhn J:b"] == values["kuhn J b:p"] == 1.0
    # Folding the king to a bet: -1 instead of 2.
    assert values["kuhn K b:p"] == pytest.approx(1 - 3 / 4)
    assert values["kuhn J b:b"] == pytest.approx(1 - 1 / 4)
    assert rows[0].metadata["players"] == ["scripted", "cfr+"]


def test_graded_games_carry_the_scores_of_their_moves():
    rows = asyncio.run(
        SelfPlaySynthesiser(game="tic_tac_toe", players="uniform", rows="games").generate(20)
    )
    for row in rows:
        scores = row.verdict.step_scores
        assert [item.reward for item in row.steps()] == list(scores)
        assert row.score == row.verdict.score == pytest.approx(max(0, 1 - sum(1 - s for s in scores)))  # fmt: skip
    assert len({row.score for row in rows}) == 3


def test_what_the_search_cannot_tell_has_no_score():
    rows = asyncio.run(
        SelfPlaySynthesiser(game="connect_four(rows=4,columns=4)", players="uniform", games_at_once=2).generate(20)
    )  # fmt: skip
    scores = [row.score for row in rows]
    assert None in scores
    assert 1.0 in scores


def test_players_are_made_by_name():
    asked = {
        "name": "openai",
        "base_url": "http://localhost:1/v1",
        "model": "m",
        "temperature": 0.5,
    }
    player = make_player(asked, KUHN)
    assert (player.sampling, player.label) == (Sampling(temperature=0.5, max_new_tokens=16), "openai:m")  # fmt: skip
    weak = make_player({"name": "cfr", "iterations": 1}, KUHN)
    assert weak.snapshot.iterations == 1
    assert make_player(weak, KUHN) is weak
    policy = mixed()
    assert make_player(policy, KUHN).policy is policy
    assert label_of({"name": "snapshot", "path": "a.json"}) == "snapshot:a.json"


@pytest.mark.parametrize(
    ("spec", "problem"),
    [
        ("cfr++", "did you mean 'cfr\\+'"),
        ({"name": "cfr", "depth": 1}, "options of teacher 'cfr' must be among"),
        ({"simulations": 1}, "a name with options"),
        (7, "a name with options"),
        ({"name": "nobody"}, "unknown policy 'nobody'"),
        ("snapshot", "must have a path"),
    ],
)
def test_a_player_that_does_not_exist_is_refused(spec, problem):
    with pytest.raises(OrbiterError, match=problem):
        make_player(spec, KUHN)


@pytest.mark.parametrize(
    ("options", "problem"),
    [
        ({"game": "kuhn_poker", "players": "cfr+", "illegal": "ignore"}, "illegal must be one of"),
        ({"game": "2048", "players": "uniform", "keep": "returns", "mirror": 1}, "mirror must be one of"),
        ({"game": "tic_tac_toe", "keep": "duplicate"}, "without mirror"),
        ({"game": "hearts", "players": "uniform"}, "must have a solver for keep 'graded'"),
        ({"game": "hearts", "players": "uniform", "keep": "all", "illegal": "forfeit"}, "must be 'replace'"),
        ({"game": "kuhn_poker", "players": "cfr+", "solver": "magic"}, "solver must be one of"),
    ],
)  # fmt: skip
def test_wrong_options_are_refused(options, problem):
    with pytest.raises(ConfigError, match=problem):
        registry().create("synthesiser", "selfplay", options)


@pytest.mark.parametrize("forks", [True, False])
def test_several_workers_write_the_same_file(tmp_path, monkeypatch, forks):
    monkeypatch.setattr(workers, "_may_fork", lambda: forks)
    options = {"game": "kuhn_poker", "players": ["cfr+", {"name": "uniform"}], "keep": "duplicate"}
    synthesiser = SelfPlaySynthesiser(**options)
    alone = synthesiser.write(tmp_path / "1.jsonl", games=300)
    together = synthesiser.write(tmp_path / "2.jsonl", games=300, workers=2)
    assert alone == together
    assert (tmp_path / "1.jsonl").read_bytes() == (tmp_path / "2.jsonl").read_bytes()
    assert alone.row_count == len((tmp_path / "1.jsonl").read_bytes().splitlines()) > 600


def test_a_process_with_threads_is_not_forked():
    code = (
        "import threading; from orbiter_openspiel import selfplay, workers\n"
        "print(workers._may_fork()); threading.Timer(60, print).start(); print(workers._may_fork())\n"
        "import os; os._exit(print(end='', flush=True) or 0)"
    )
    said = subprocess.run([sys.executable, "-c", code], check=True, capture_output=True, text=True)
    assert said.stdout.split() == [str(sys.platform == "linux"), "False"]


def test_a_process_of_a_pool_has_workers_too(tmp_path):
    code = (
        "import multiprocessing, pathlib, sys; from orbiter_openspiel.selfplay import SelfPlaySynthesiser as S\n"
        "def play(): return S(game='tic_tac_toe', keep='all').write(pathlib.Path(sys.argv[1]), games=2, workers=2)\n"
        "with multiprocessing.get_context('fork').Pool(1) as pool: print(pool.apply(play).game_count)"
    )
    command = [sys.executable, "-c", code, str(tmp_path / "rows.jsonl")]
    assert subprocess.run(command, check=True, capture_output=True, text=True).stdout == "2\n"


@pytest.mark.skipif(sys.platform != "linux", reason="forks on Linux alone")
def test_forked_workers_end_with_the_process_that_started_them(tmp_path):
    code = (
        "import pathlib, sys; from orbiter_openspiel.selfplay import SelfPlaySynthesiser as S\n"
        "S(game='tic_tac_toe', keep='all').write(pathlib.Path(sys.argv[1]), games=10**6, workers=2)"
    )
    process = subprocess.Popen([sys.executable, "-c", code, str(tmp_path / "rows.jsonl")])
    children = Path(f"/proc/{process.pid}/task/{process.pid}/children")
    while len(pids := children.read_text().split()) < 2:
        assert process.poll() is None
        time.sleep(0.01)
    process.kill()
    process.wait()
    deadline = time.monotonic() + 30
    while any(_is_alive(pid) for pid in pids):
        assert time.monotonic() < deadline
        time.sleep(0.01)


def _is_alive(pid):
    """Return whether a process runs; who has no parent left may stay as a zombie."""
    try:
        return Path(f"/proc/{pid}/stat").read_text().rpartition(")")[2].split()[0] != "Z"
    except OSError:
        return False


def test_a_report_counts_wins_per_player_where_seats_turn(tmp_path):
    options = {
        "game": "kuhn_poker",
        "players": ["cfr+", "uniform"],
        "keep": "winners",
        "rows": "games",
    }
    report = SelfPlaySynthesiser(**options).write(tmp_path / "rows.jsonl", games=100)
    won = Counter(
        row.metadata["players"][row.metadata["seat"]] for row in jsonl.read(tmp_path / "rows.jsonl")
    )
    assert report.win_counts == (won["cfr+"], won["uniform"])
    assert sum(report.win_counts) == 100
    assert report.draw_count == report.illegal_count == report.broken_count == 0


@pytest.mark.parametrize("forks", [True, False])
def test_a_worker_that_fails_is_reported_and_leaves_no_file(tmp_path, monkeypatch, forks):
    synthesiser = SelfPlaySynthesiser(game="kuhn_poker", players="uniform", keep="all")
    monkeypatch.setattr(workers, "_may_fork", lambda: forks)
    monkeypatch.setattr(workers, "serve", lambda *_: sys.exit(1))
    monkeypatch.setattr(workers.sys, "executable", "/bin/false")
    with pytest.raises(OrbiterError, match="a worker of self-play ended with code 1 at game 0"):
        synthesiser.write(tmp_path / "rows.jsonl", games=10, workers=2)
    assert list(tmp_path.iterdir()) == []


def test_write_refuses_what_it_cannot_wait_for(tmp_path):
    with pytest.raises(ConfigError, match="write plays teachers alone"):
        SelfPlaySynthesiser(game="kuhn_poker", players=mixed()).write(tmp_path / "a", games=2)
    with pytest.raises(ConfigError, match="multiple of 2"):
        SelfPlaySynthesiser(game="kuhn_poker", players="cfr+").write(tmp_path / "a", games=3)


def test_what_is_broken_off_is_not_played_to_its_end(tmp_path, monkeypatch):
    played = []

    def play(self, block):
        if played:  # the first is told of while the others are at work
            self.wait()
        played.append(block)
        raise OrbiterError("no space left")

    monkeypatch.setattr(workers._Worker, "play", play)
    synthesiser = SelfPlaySynthesiser(game="tic_tac_toe", players="uniform", keep="all")
    with pytest.raises(OrbiterError, match="no space left"):
        synthesiser.write(tmp_path / "rows.jsonl", games=800, workers=2)
    assert len(played) <= 4  # of sixteen blocks
