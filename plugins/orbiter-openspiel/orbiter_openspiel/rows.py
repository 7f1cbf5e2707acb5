"""What is kept of played games, how it is scored, and how it stands in JSONL."""

from __future__ import annotations

import functools
from collections.abc import Sequence
from typing import Any

from orbiter.records import Verdict
from orbiter_openspiel.arena import PlayedGame
from orbiter_openspiel.games import Game
from orbiter_openspiel.positions import Move, Positions, json_of
from orbiter_openspiel.solvers import Solver
from orbiter_openspiel.verifier import GameMoveVerifier

KEEP = ("graded", "duplicate", "returns", "all", "winners")
ROWS = ("moves", "games")

_Turn = tuple[str, Move, int | None]
"""One answer: the history before it as JSON, the answer, and its place in the history if it is illegal."""


class RowWriter:
    """Writes the rows of finished games.

    Args:
        game: The game.
        keep: One of ``KEEP``; see :class:`~orbiter_openspiel.selfplay.SelfPlaySynthesiser`.
        rows: One of ``ROWS``.
        seed: Seed of the games.
        solver: What grades moves, where ``keep`` is ``graded``.
        version: That of the verifier which judges by this solver.
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
        version: str,
        labels: Sequence[str],
        instructions: bool,
    ) -> None:
        self.game, self.keep, self.rows_are, self.seed = game, keep, rows, seed
        self._players = [
            f'"players":{json_of([*labels[turned:], *labels[:turned]])}'
            for turned in range(len(labels))
        ]
        self._version = version
        system = {"role": "system", "content": game.notation.rules}
        # A row between what is its own; put together from parts, it costs a third of what it does as an object.
        self._row_id = json_of(f"openspiel:{game.name}:selfplay-{seed}-")[:-1]
        self._begin = f'{{"messages":[{json_of(system) + "," if instructions else ""}'
        self._task = '],"env":"openspiel","task_id":'
        self._metadata = f',"metadata":{{"game":{json_of(game.name)},"history":['
        self._end = f'}},"generator":"selfplay","seed":{json_of(seed)}'
        self._positions = Positions(game, solver, self._move_row if rows == "moves" else _messages)

    def lines(self, group: Sequence[PlayedGame]) -> list[str]:
        """Return the kept rows of games that share a deal, or of one game, as lines of JSONL."""
        lines: list[str] = []
        if self.keep == "duplicate" and any(played.error is not None for played in group):
            return lines
        winners = self.keep == "winners"
        write = self._move_rows if self.rows_are == "moves" else self._game_rows
        for turned, played in enumerate(group):
            if played.error is not None or (winners and max(played.outcomes) < 1.0):
                continue
            scores = self._scores(group, played)
            ended = f'"returns":{json_of(played.returns)},{self._players[turned]}'
            seats, history = self._turns(played)
            for seat, turns in enumerate(seats):
                if turns and not (winners and scores[seat] < 1.0):
                    after = f'],"index":{played.index},"seat":{seat},{ended}'
                    lines += write(turns, scores[seat], history, after, played.index, seat)
        return lines

    def _turns(self, played: PlayedGame) -> tuple[list[list[_Turn]], str]:
        """Return what each seat was asked and answered, and the whole history as JSON."""
        turns: list[list[_Turn]] = [[] for _ in played.returns]
        positions, illegal = self._positions, played.illegal
        position, before = positions.start(), ""
        for ply, action in enumerate(played.history):
            move = position.moves.get(action) or positions.move(position, action)
            if position.seat >= 0:
                if ply in illegal:
                    wrong = positions.illegal(position, illegal[ply])
                    turns[position.seat].append((before, wrong, ply))
                else:
                    turns[position.seat].append((before, move, None))
            before = f"{before},{action}" if before else str(action)
            position = move.after
        if (last := len(played.history)) in illegal:
            wrong = positions.illegal(position, illegal[last])
            turns[position.seat].append((before, wrong, last))
        return turns, before

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

    def _move_row(
        self, messages: str, task_id: str, verdict: Verdict | None, illegal: bool
    ) -> tuple[str, str]:
        """Return the row of one answer before and after what differs from game to game: a score that is not its own, and history on."""
        before = f'{self._begin}{messages}{self._task}{task_id},"score":'
        if illegal:
            return f"{before}0.0{self._metadata}", f',"illegal":true{self._end}}}\n'
        if verdict is None:
            return before, f"{self._end}}}\n"
        regret = f',"regret":{json_of(verdict.details["regret"])}'
        return f"{before}{json_of(verdict.score)}{self._metadata}", f"{regret}{self._end}}}\n"

    def _move_rows(
        self, turns: list[_Turn], score: float, _history: str, after: str, *_: int
    ) -> list[str]:
        shared = "" if self.keep == "graded" else f"{json_of(score)}{self._metadata}"
        lines = []
        for before, move, illegal in turns:
            if illegal is None:
                lines.append(f"{move.head}{shared}{before}{after}{move.tail}")
            elif self.keep != "winners":
                lines.append(f"{move.head}{before}{after}{move.tail}")
        return lines

    def _game_rows(
        self, turns: list[_Turn], score: float, history: str, after: str, index: int, seat: int
    ) -> list[str]:
        wrong = [illegal for _, _, illegal in turns if illegal is not None]
        if wrong and self.keep == "winners":
            return []
        own, judged, marked = json_of(score), "", ""
        if turns[0][1].verdict is not None:
            steps = tuple([move.verdict.score for _, move, _ in turns if move.verdict])
            own, verdict = _judged(steps, illegal=bool(wrong), version=self._version)
            judged = f',"verdict":{verdict}'
        elif wrong:
            own = "0.0"
        if wrong:
            marked = f',"illegal":{json_of(wrong)}'
        said = ",".join([move.head for _, move, _ in turns])
        return [
            f'{self._begin}{said}{self._task}{self._row_id}{index}-{seat}","score":{own}'
            f"{self._metadata}{history}{after}{marked}{self._end}{judged}}}\n"
        ]


def _messages(messages: str, *_: object) -> tuple[str, str]:
    """Return what the row of a game says of one answer: task and score are those of the whole game."""
    return messages, ""


@functools.lru_cache(maxsize=1_000)  # 1 kB each, of 500 moves 30 kB; good players seldom err anew
def _judged(steps: tuple[float | None, ...], *, illegal: bool, version: str) -> tuple[str, str]:
    """Return score and verdict, as JSON, on all moves of a seat: by all the value that was lost, unknown where one move's is.

    Args:
        steps: Score of each move.
        illegal: One of them was no legal move.
        version: That of the verifier.
    """
    known = [step for step in steps if step is not None]
    named: dict[str, Any] = {
        "verifier": GameMoveVerifier.name,
        "version": version,
        "step_scores": steps,
    }
    if len(known) < len(steps):
        verdict = Verdict.invalid("search cannot tell", **named)
    elif illegal:
        verdict = Verdict.failed("illegal move", score=0.0, **named)
    elif all(step == 1.0 for step in known):
        verdict = Verdict.passed(**named)
    else:
        score = max(0.0, 1 - sum(1 - step for step in known))
        verdict = Verdict.failed("loses value", score=score, **named)
    return json_of(verdict.score), json_of(verdict.to_row())
