"""Text to position to text, for the games with a notation of their own and for others."""

from __future__ import annotations

import random

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from orbiter_openspiel.games import KNOWN, load_game

from orbiter.errors import ConfigError

OTHERS = [
    "hex(board_size=3)",
    "breakthrough(rows=6,columns=4)",
    "pig",
    "liars_dice(numdice=1,dice_sides=3)",
    "dots_and_boxes",
    "backgammon",
    "goofspiel(num_cards=4,players=2,points_order=descending)",
    "matrix_rps",
    "2048",
    "connect_four(rows=4,columns=5)",
]


def walk(name, seed):
    """Yield the decision states of one random game."""
    game, stream = load_game(name), random.Random(seed)
    state = game.start()
    for _ in range(60):
        if state.is_terminal():
            return
        if not state.is_chance_node():
            yield game, state
        state.apply_action(stream.choice(state.legal_actions()))


@settings(max_examples=40, deadline=None)
@given(name=st.sampled_from([*KNOWN, *OTHERS]), seed=st.integers(0, 2**32))
def test_every_legal_move_is_parsed_back(name, seed):
    for game, state in walk(name, seed):
        moves = game.notation.moves(state)
        assert list(moves) == state.legal_actions()
        for action in list(moves)[:10]:
            assert game.move(state, action) == moves[action]
            assert game.parse(state, f" {moves[action]}\n") == action
        assert len(set(moves.values())) == len(moves)


@settings(max_examples=60, deadline=None)
@given(
    name=st.sampled_from([*KNOWN, "pig"]),
    seed=st.integers(0, 2**32),
    text=st.text(max_size=12) | st.text("0123456789-pbfcr ", max_size=4),
)
def test_any_other_text_is_no_move(name, seed, text):
    for game, state in walk(name, seed):
        texts = {game.move(state, action): action for action in state.legal_actions()}
        assert game.parse(state, text) == texts.get(text.strip())


@settings(max_examples=40, deadline=None)
@given(name=st.sampled_from([*KNOWN, *OTHERS]), seed=st.integers(0, 2**32))
def test_a_position_is_rebuilt_from_its_history(name, seed):
    for game, state in walk(name, seed):
        again = game.rebuild(list(state.history()))
        assert game.prompt(again) == game.prompt(state)
        assert game.notation.chars is None or set(game.prompt(state)) <= set(game.notation.chars)


@pytest.mark.parametrize(
    ("name", "history", "prompt", "moves"),
    [
        ("tic_tac_toe", [0, 4], "ttt x...o.... x:", ["1", "2", "3", "5", "6", "7", "8"]),
        ("tic_tac_toe", [0, 4, 8], "ttt x...o...x o:", ["1", "2", "3", "5", "6", "7"]),
        (
            "connect_four",
            [3, 3, 0],
            "c4 ......./......./......./......./...o.../x..x... o:",
            list("0123456"),
        ),
        ("kuhn_poker", [2, 0], "kuhn K:", ["p", "b"]),
        ("kuhn_poker", [1, 0, 0, 1], "kuhn Q pb:", ["p", "b"]),
        ("leduc_poker", [1, 2, 1, 2], "leduc Q cr:", ["f", "c", "r"]),
        ("leduc_poker", [1, 2, 1, 2, 1, 0], "leduc Q crc J:", ["c", "r"]),
        ("leduc_poker", [1, 2, 1, 2, 1, 0, 1, 2], "leduc Q crc J cr:", ["f", "c", "r"]),
        # c3b2 takes a piece
        ("breakthrough(rows=4,columns=3)", [26, 128], "breakthrough bb./..b/.w./w.w b:", ["a4a3", "a4b3", "b4a3", "b4b3", "c3b2", "c3c2"]),
        ("breakthrough(rows=4,columns=3)", [16, 126], "breakthrough b.b/..b/w../w.w b:", ["a4a3", "a4b3", "c4b3", "c3b2", "c3c2"]),
        ("hex(board_size=3)", [4, 6, 8], "hex .../.x./o.x o:", ["a1", "b1", "c1", "a2", "c2", "b3"]),
        ("othello", [37, 45, 44], f"othello {'/'.join(['.' * 8] * 3)}/...ox.../...xxx../....xo../{'.' * 8}/{'.' * 8} o:", ["f4", "d6"]),
        ("clobber(rows=3,columns=4)", [23, 25], "clobber oxox/o..x/oxox o:", ["a3b3", "c3d3", "c3b3", "a1b1", "c1d1", "c1b1"]),
        ("clobber(rows=10,columns=2)", [], "clobber xo/ox/xo/ox/xo/ox/xo/ox/xo/ox o:", None),
        ("breakthrough(rows=10,columns=3)", [], f"breakthrough bbb/bbb/{'.../' * 6}www/www b:", None),
        ("2048", [16, 25, 1, 27], "2048 . . . ./. . . ./. . . 2/. 4 . 4:", ["up", "right", "left"]),
        ("liars_dice", [3, 1], "dice 4:", ["1-1", "1-2", "1-3", "1-4", "2-1", "2-2", "2-3", "2-4"]),
        ("liars_dice", [3, 1, 2, 5], "dice 4 1-3 2-2:", ["2-3", "2-4", "liar"]),
        ("liars_dice(dice_sides=6)", [3, 1, 2, 5], "dice(dice_sides=6) 4 1-3 1-6:", None),
        ("goofspiel(points_order=random,imp_info=true,num_cards=4)", [2], "goof(points_order=random) p0 cards 3 bid won hand 1 2 3 4:", None),
        ("goofspiel", [], "goof p0 cards 4 bid won hand 1 2 3 4:", ["1", "2", "3", "4"]),
        ("goofspiel", [0, 1, 3, 3], "goof p0 cards 4 3 2 bid 1 4 won 1 = hand 2 3:", ["2", "3"]),
        ("pig", [], "pig\nScores: 0 0, Turn total: 0\nCurrent player: 0\nplayer 0\nmoves: roll, stop\nmove:", ["roll", "stop"]),
    ],
)  # fmt: skip
def test_notation(name, history, prompt, moves):
    game = load_game(name)
    state = game.rebuild(history)
    assert game.prompt(state) == prompt
    if moves is not None:
        assert [game.move(state, action) for action in state.legal_actions()] == moves


def test_moves_that_openspiel_names_alike_are_told_apart():
    class Alike:
        """A position with three actions of two names."""

        def current_player(self):
            return 0

        def legal_actions(self):
            return [3, 5, 8]

        def action_to_string(self, player, action):
            return {3: "turn\n left", 5: "stay", 8: "turn left"}[action]

    notation = load_game("pig").notation
    assert notation.moves(Alike()) == {3: "turn left #3", 5: "stay", 8: "turn left #8"}


def dealt(name):
    state, dice = load_game(name).start(), random.Random(0)
    while state.is_chance_node():
        state.apply_action(dice.choice(state.legal_actions()))
    return state


@pytest.mark.parametrize(
    ("name", "shown"),
    [
        ("crazy_eights", "Currently I have:"),  # observations without a memory of what was seen
        ("coin_game", "player0 0 0 0"),
        ("snake", "moves: "),
        ("matrix_rps", "moves: Rock, Paper, Scissors\nmove:"),
    ],
)
def test_any_other_game_is_shown_as_its_player_sees_it(name, shown):
    game, state = load_game(name), dealt(name)
    prompt = game.prompt(state)
    assert prompt.startswith(f"{name}\n")
    assert shown in prompt
    assert f"player {state.current_player()}" in prompt or "player: 0" in prompt
    assert [game.parse(state, text) for text in game.notation.moves(state).values()] == list(
        state.legal_actions()
    )


@pytest.mark.parametrize(
    ("name", "own"),
    [
        ("nim(pile_sizes=2;3)", True),
        ("nim(is_misere=False)", False),  # whose rules would say the contrary
        ("connect_four(x_in_row=3)", False),
        ("hex(board_size=4,swap=True)", False),
        ("leduc_poker(suit_isomorphism=True)", True),
        ("leduc_poker(players=2)", False),  # six cards, of which four have a letter
        ("kuhn_poker(players=3)", False),
        ("liars_dice(dice_sides=3,numdice=1)", True),
        ("liars_dice(dice_sides=3,bidding_rule=reset-quantity)", False),
        ("goofspiel(num_cards=3,imp_info=True)", True),
        ("goofspiel(num_cards=3,players=3)", False),  # two others have a hand
        ("goofspiel(num_cards=3,num_turns=2)", False),  # whose last prizes nobody gets
        ("goofspiel(num_cards=3,returns_type=total_points)", False),
        ("misere(game=tic_tac_toe())", False),
    ],
)
def test_a_notation_writes_only_the_games_that_it_was_made_for(name, own):
    game, state = load_game(name), dealt(name)
    prompt = game.prompt(state)
    assert ("\n" in prompt) is not own
    # Two games of one kind may stand side by side, and the same board may ask for another move.
    assert own or prompt.startswith(f"{name}\n")
    assert own or game.notation.rules.endswith("one of the listed moves alone.")


@pytest.mark.parametrize(
    ("usual", "other"),
    [
        ("liars_dice", "liars_dice(dice_sides=6)"),
        ("goofspiel", "goofspiel(imp_info=true,num_cards=4,points_order=random)"),
        ("2048", "2048(max_tile=32)"),
        ("nim", "nim(pile_sizes=2;3)"),
        ("hex", "hex(board_size=4)"),
    ],
)
def test_one_prompt_belongs_to_one_game(usual, other):
    # Tasks of both may stand side by side, and what is right in one may be wrong in the other.
    prompts = []
    for name in (usual, other):
        game, stream = load_game(name), random.Random(0)
        seen = set()
        for _ in range(30):
            state = game.start()
            while not state.is_terminal() and state.move_number() < 40:
                if not state.is_chance_node():
                    seen.add(game.prompt(state))
                    assert set(game.prompt(state)) <= set(game.notation.chars)
                    assert game.notation.prefix not in game.notation.key(game.prompt(state))
                state.apply_action(stream.choice(state.legal_actions()))
        prompts.append(seen)
    assert not prompts[0] & prompts[1]


def test_colours_are_not_shown():
    assert "\x1b" in str(dealt("twixt"))
    assert "\x1b" not in load_game("twixt").prompt(dealt("twixt"))


def test_what_others_hold_is_not_shown():
    game, state = load_game("crazy_eights"), dealt("crazy_eights")
    prompt = game.prompt(state)
    others = {state.observation_string(seat) for seat in range(game.seat_count)}
    assert len(others) == game.seat_count
    assert [own for own in others if own.strip() in prompt] == [
        state.observation_string(state.current_player())
    ]


def test_nim_names_pile_and_count():
    game = load_game("nim")
    state = game.start()
    assert game.prompt(state) == "nim 1 3 5 7:"
    taken = game.parse(state, "4-7")
    assert game.prompt(game.rebuild([taken])) == "nim 1 3 5 0:"


@pytest.mark.parametrize(
    "name",
    [
        "kuhn_poker",
        "leduc_poker",
        "liars_dice(numdice=1,dice_sides=3)",
        "liars_dice(numdice=2,dice_sides=2)",
        "goofspiel",
        "goofspiel(num_cards=3,points_order=random)",
    ],
)
def test_a_prompt_hides_what_the_player_cannot_see(name):
    # All deals that look alike to the player who moves give one prompt.
    game, seen = load_game(name), {}

    def visit(state):
        if state.is_terminal():
            return
        if not state.is_chance_node():
            known = seen.setdefault(state.information_state_string(), game.prompt(state))
            assert known == game.prompt(state)
        for action in state.legal_actions():
            visit(state.child(action))

    visit(game.start())
    assert len(set(seen.values())) == len(seen)


@pytest.mark.parametrize(
    ("name", "problem"),
    [
        ("tic_tac_to", "did you mean 'tic_tac_toe'"),
        ("hex(size=3)", "cannot be loaded"),
        ("hex(board_size=0)", "cannot be loaded"),
        ("breakthrough(rows=0)", "cannot be loaded"),
        ("nfg_game", "cannot be loaded"),
        ("stones_and_gems", "list its chance outcomes"),
        ("", "must be a game of OpenSpiel"),
        ("negotiation", "list its chance outcomes"),
        ("efg_game(filename=/etc/hostname)", "must not be read from a file"),
        ("misere(game=efg_game(filename=/etc/hostname))", "must not be read from a file"),
        ("crossword(puzzles_root=/etc)", "must not be read from a file"),
        ("crossword", "cannot be loaded: LegalActions unimplemented"),
        (7, "must be text"),
        (["tic_tac_toe"], "must be text"),
    ],
)
def test_a_game_that_cannot_be_used_is_refused(name, problem):
    with pytest.raises(ConfigError, match=problem):
        load_game(name)


@pytest.mark.parametrize("history", [[9], [0, 0], [-1], ["0"], [True], [0.0], [None], [2**70]])
def test_a_history_with_an_illegal_action_is_refused(history):
    with pytest.raises(ConfigError, match="must be a legal action"):
        load_game("tic_tac_toe").rebuild(history)


def test_a_history_past_the_end_is_refused():
    with pytest.raises(ConfigError, match=r"history\[5\]"):
        load_game("tic_tac_toe").rebuild([0, 3, 1, 4, 2, 5])


def test_the_registry_holds_games_of_every_kind():
    games = [load_game(name) for name in KNOWN]
    assert len(games) >= 12
    assert all(game.notation.chars and game.solver for game in games)
    assert {g.spiel.get_type().information.name for g in games} == {"PERFECT_INFORMATION", "IMPERFECT_INFORMATION"}  # fmt: skip
    assert {g.has_chance for g in games} == {True, False}
    assert {g.seat_count for g in games} == {1, 2}


@pytest.mark.parametrize("name", sorted(KNOWN))
def test_the_rules_name_a_move_as_it_is_written(name):
    # A reader of the rules alone is told where to put which kind of answer.
    game = load_game(name)
    assert "Answer with" in game.notation.rules
    assert "prompt is" in game.notation.rules


@settings(max_examples=30, deadline=None)
@given(
    name=st.sampled_from(["breakthrough", "hex", "othello", "clobber", "2048", "tic_tac_toe"]),
    seed=st.integers(0, 2**32),
)
def test_a_prompt_tells_the_whole_board(name, seed):
    # Within a game no two positions look alike, and the board that is shown is OpenSpiel's.
    seen = {}
    for game, state in walk(name, seed):
        shown = game.prompt(state)
        assert seen.setdefault(shown, str(state)) == str(state)
        # A square of 2048 may hold two digits, and othello's text names the sides besides.
        if name not in ("2048", "othello"):
            board = shown.split()[1]
            text = str(state).rpartition("\n ")[0] if name in ("breakthrough", "clobber") else str(state)  # fmt: skip
            assert [board.count(side) for side in "xobw"] == [text.count(side) for side in "xobw"]


def test_othello_passes_in_words():
    game = load_game("othello")
    stream = random.Random(1)
    for _ in range(40):
        state = game.start()
        while not state.is_terminal():
            if "pass" in game.notation.moves(state).values():
                assert game.parse(state, "pass") == state.legal_actions()[0]
                return
            state.apply_action(stream.choice(state.legal_actions()))
    pytest.fail("no game in forty came to a pass")
