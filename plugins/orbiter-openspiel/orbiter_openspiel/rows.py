"""What is kept of played games, how it is scored, and how it stands in JSONL."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from typing import Any

from orbiter.records import Verdict
from orbiter_openspiel.arena import PlayedGame
from orbiter_openspiel.games import Game
from orbiter_openspiel.positions import Position, Positions
from orbiter_openspiel.solvers import Solver
from orbiter_openspiel.verifier import GameMoveVerifier

KEEP = ("graded", "duplicate", "returns", "all", "winners")
ROWS = ("moves", "games")


_Turn = tuple[int, Position, dict[str, str], Verdict | None]
"""One answer: how many actions came before, the position, the message, and the verdict if moves are graded."""

_Seat = tuple[PlayedGame, int, list[str]]
"""Who played what: the game, the seat, and the names of the players by seat."""


class RowWriter:
    """Writes the rows of finished games.

    Args:
        game: The game.
        keep: One of ``KEEP``; see :class:`~orbiter_openspiel.selfplay.SelfPlaySynthesiser`.
        rows: One of ``ROWS``.
        seed: Seed of the games.
        solver: What grades moves, where ``keep`` is ``graded``.
        labels: Names of the players, as they sit in the first of mirrored games.
        instructions: Begin each row with a system message of the rules.
    """

    def __init__(
        self,
        game: Game,
        *,
        keep: str,
        rows: str,
        seed: int,
        solver: Solver | None,
        labels: Sequence[str],
        instructions: bool,
    ) -> None:
        self.game, self.keep, self.rows_are, self.seed = game, keep, rows, seed
        self.labels = list(labels)
        self._positions = Positions(game, solver)
        self._system = [{"role": "system", "content": game.notation.rules}] if instructions else []

    def rows(self, group: Sequence[PlayedGame]) -> Iterator[dict[str, Any]]:
        """Yield the kept rows of games that share a deal, or of one game."""
        if self.keep == "duplicate" and any(played.error is not None for played in group):
            return
        winners = self.keep == "winners"
        write = self._move_rows if self.rows_are == "moves" else self._game_rows
        for turned, played in enumerate(group):
            if played.error is not None or (winners and max(played.outcomes) < 1.0):
                continue
            labels = self.labels[turned:] + self.labels[:turned] if turned else self.labels
            scores = self._scores(group, played)
            for seat, turns in enumerate(self._turns(played)):
                if turns and not (winners and scores[seat] < 1.0):
                    yield from write((played, seat, labels), turns, scores[seat])

    def _turns(self, played: PlayedGame) -> list[list[_Turn]]:
        """Return what each seat was asked and answered."""
        turns: list[list[_Turn]] = [[] for _ in played.returns]
        positions, illegal = self._positions, played.illegal
        position = positions.start()
        for ply, action in enumerate(played.history):
            if position.seat >= 0:
                if ply in illegal:
                    message, verdict = positions.illegal(illegal[ply])
                else:
                    message, verdict = positions.move(position, action)
                turns[position.seat].append((ply, position, message, verdict))
            position = positions.after(position, action)
        if (last := len(played.history)) in illegal:
            message, verdict = positions.illegal(illegal[last])
            turns[position.seat].append((last, position, message, verdict))
        return turns

    def _scores(self, group: Sequence[PlayedGame], played: PlayedGame) -> Sequence[float]:
        """Return the score of each seat, where its moves have none of their own."""
        if self.keep == "returns":
            lowest, scale = self.game.spiel.min_utility(), self.game.utility_range
            return [(own - lowest) / scale for own in played.returns]
        if self.keep != "duplicate":
            return played.outcomes
        others = [one.returns for one in group if one is not played]
        scale = 2 * self.game.utility_range * len(others)
        return [
            0.5 + sum(own - other[seat] for other in others) / scale
            for seat, own in enumerate(played.returns)
        ]

    def _move_rows(self, of: _Seat, turns: list[_Turn], score: float) -> Iterator[dict[str, Any]]:
        illegal, history = of[0].illegal, of[0].history
        for ply, position, message, verdict in turns:
            own: float | None = score if verdict is None else verdict.score
            if ply in illegal:
                if self.keep == "winners":
                    continue
                own = 0.0
            pair = [position.asked, message]
            row = self._row(of, position.key, pair, own, history[:ply])
            if verdict is not None and verdict.details:
                row["metadata"]["regret"] = verdict.details["regret"]
            if ply in illegal:
                row["metadata"]["illegal"] = True
            yield row

    def _game_rows(self, of: _Seat, turns: list[_Turn], score: float) -> Iterator[dict[str, Any]]:
        played, seat, _ = of
        wrong = [ply for ply, *_ in turns if ply in played.illegal] if played.illegal else []
        if wrong and self.keep == "winners":
            return
        own: float | None = 0.0 if wrong else score
        verdicts = [verdict for *_, verdict in turns if verdict is not None]
        verdict = _verdict_on_all(verdicts) if verdicts else None
        if verdict is not None:
            own = verdict.score
        messages = [one for _, position, said, _ in turns for one in (position.asked, said)]
        key = f"selfplay-{self.seed}-{played.index}-{seat}"
        row = self._row(of, key, messages, own, played.history)
        if verdict is not None:
            row["verdict"] = verdict.to_row()
        if wrong:
            row["metadata"]["illegal"] = wrong
        yield row

    def _row(
        self,
        of: _Seat,
        key: str,
        messages: list[dict[str, str]],
        score: float | None,
        history: list[int],
    ) -> dict[str, Any]:
        played, seat, labels = of
        return {
            "messages": self._system + messages if self._system else messages,
            "env": "openspiel",
            "task_id": f"openspiel:{self.game.name}:{key}",
            "score": score,
            "metadata": {
                "game": self.game.name,
                "history": history,
                "index": played.index,
                "seat": seat,
                "returns": played.returns,
                "players": labels,
            },
            "generator": "selfplay",
            "seed": self.seed,
        }


def _verdict_on_all(verdicts: Sequence[Verdict]) -> Verdict:
    """Return the verdict on all moves of a seat: by all the value that was lost, unknown where one move's is."""
    steps = tuple(verdict.score for verdict in verdicts)
    known = [step for step in steps if step is not None]
    named: dict[str, Any] = {
        "verifier": GameMoveVerifier.name,
        "version": GameMoveVerifier.version,
        "step_scores": steps,
    }
    if len(known) < len(steps):
        return Verdict.invalid("search cannot tell", **named)
    if all(step == 1.0 for step in known):
        return Verdict.passed(**named)
    reasons = [verdict.reason for verdict in verdicts if verdict.reason]
    reason = "illegal move" if "illegal move" in reasons else "loses value"
    score = max(0.0, 1 - sum(1 - step for step in known))
    return Verdict.failed(reason, score=0.0 if reason == "illegal move" else score, **named)
