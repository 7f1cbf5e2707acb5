"""Each name of the plugin keeps its contract, and a planted bad one of each kind does not."""

from __future__ import annotations

import functools

import pytest
from orbiter_openspiel.environment import OpenSpielEnvironment
from orbiter_openspiel.selfplay import SelfPlaySynthesiser
from orbiter_openspiel.verifier import GameMoveVerifier

from orbiter.generate.policy import Completion, Policy
from orbiter.plugin import registry
from orbiter.records import Message, Task, Verdict
from orbiter.testing import check_environment, check_synthesiser, check_verifier
from orbiter.verify.audit import LabelledAnswer

GAME = {"game": "tic_tac_toe"}
TIC_TAC_TOE = {"name": "openspiel", **GAME}


class FirstFree(Policy):
    """Takes the first free cell."""

    name = "first_free"

    async def complete(self, requests, sampling):
        boards = [request.messages[-1].text.split()[1] for request in requests]
        return [Completion.of(str(board.index("."))) for board in boards]


def made(kind, name, **options):
    return functools.partial(registry().create, kind, name, options)


def moves(game, history, **best):
    """Return every answer to a position, labelled."""
    task = Task("openspiel", "t", (Message("user", "?"),), metadata={"game": game, "history": history})  # fmt: skip
    return [LabelledAnswer(task, answer, right) for answer, right in best.items()]


LABELLED = [
    *moves("tic_tac_toe", [0], **{str(n): n == 4 for n in range(9)}),
    *moves("kuhn_poker", [2, 1, 0, 1], b=True, p=False, fold=False),
]

CHECKS = {
    ("environment", "openspiel"): lambda: check_environment(
        made("environment", "openspiel", **GAME), count=60
    ),
    ("verifier", "game_move"): lambda: check_verifier(made("verifier", "game_move"), LABELLED),
    ("synthesiser", "selfplay"): lambda: check_synthesiser(
        made("synthesiser", "selfplay", **GAME, simulations=20)
    ),
    ("synthesiser", "playout"): lambda: check_synthesiser(
        made("synthesiser", "playout", policy=FirstFree(), environment=TIC_TAC_TOE),
        source=[OpenSpielEnvironment(**GAME).task(n, seed=0) for n in range(3)],
    ),
}


@pytest.mark.parametrize("name", CHECKS, ids="-".join)
def test_a_name_keeps_its_contract(name):
    CHECKS[name]()


def test_every_name_is_checked():
    assert {(e.kind, e.name) for e in registry().entries() if e.owner == "openspiel"} == set(CHECKS)


class LegalMoveVerifier(GameMoveVerifier):
    """Passes every legal move."""

    def verify(self, task, trajectory):
        verdict = super().verify(task, trajectory)
        return Verdict.passed() if verdict.reason == "loses value" else verdict


class CornerEnvironment(OpenSpielEnvironment):
    """Demonstrates the same cell at every position."""

    def demonstrate(self, task):
        return "0"


class ForgetfulSynthesiser(SelfPlaySynthesiser):
    """Goes on playing from call to call."""

    played = 0

    async def generate(self, count):
        rows = await super().generate(self.played + count)
        self.played += count
        return rows[-count:] if count else []


@pytest.mark.parametrize(
    ("check", "clause"),
    [
        (lambda: check_verifier(LegalMoveVerifier, LABELLED), "wrong answers do not pass"),
        (
            lambda: check_environment(lambda: CornerEnvironment(**GAME)),
            "demonstrations are accepted",
        ),
        (
            lambda: check_synthesiser(lambda: ForgetfulSynthesiser(**GAME, simulations=20)),
            "same items again",
        ),
    ],
    ids=["verifier", "environment", "synthesiser"],
)
def test_a_planted_bad_one_fails(check, clause):
    with pytest.raises(AssertionError) as caught:
        check()
    assert f" breaks {clause!r}: " in str(caught.value)
