"""What is kept of played games, how it is scored, and how it stands in JSONL."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from typing import Any

from orbiter.records import Verdict
from orbiter_openspiel.arena import PlayedGame
from orbiter_openspiel.games import Game
from orbiter_openspiel.solvers import Solver
from orbiter_openspiel.verifier import GameMoveVerifier, judge_move

KEEP = ("graded", "duplicate", "returns", "all", "winners")
ROWS = ("moves", "games")

_ILLEGAL = Verdict.failed("illegal move")


class _Seat:
    """What one seat did: its messages, user and assistant in turn, and for each turn the actions before it and its verdict."""

    __slots__ = ("illegal", "messages", "plies", "verdicts")

    def __init__(self) -> None:
        self.messages: list[dict[str, str]] = []
        self.plies: list[int] = []
        self.verdicts: list[Verdict] = []
        self.illegal: list[int] = []


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
        self.solver, self.labels = solver, list(labels)
        self._system = [{"role": "system", "content": game.notation.rules}] if instructions else []

    def rows(self, group: Sequence[PlayedGame]) -> Iterator[dict[str, Any]]:
        """Yield the kept rows of games that share a deal, or of one game."""
        if self.keep == "duplicate" and any(played.error is not None for played in group):
            return
        for turned, played in enumerate(group):
            if played.error is not None or (self.keep == "winners" and max(played.outcomes) < 1.0):
                continue
            labels = self.labels[turned:] + self.labels[:turned] if turned else self.labels
            scores = self._scores(group, played)
            for seat, done in enumerate(self._write_down(played)):
                if not done.messages or (self.keep == "winners" and scores[seat] < 1.0):
                    continue
                shared = (played, seat, labels)
                if self.rows_are == "moves":
                    yield from self._move_rows(shared, done, scores[seat])
                elif self.keep != "winners" or not done.illegal:
                    yield self._game_row(shared, done, scores[seat])

    def _move_rows(
        self, shared: tuple[PlayedGame, int, list[str]], done: _Seat, score: float
    ) -> Iterator[dict[str, Any]]:
        key_of, history = self.game.notation.key, shared[0].history
        for turn, ply in enumerate(done.plies):
            pair = done.messages[2 * turn : 2 * turn + 2]
            own: float | None = score
            if done.verdicts:
                own = done.verdicts[turn].score
            elif ply in done.illegal:
                if self.keep == "winners":
                    continue
                own = 0.0
            row = self._row(shared, key_of(pair[0]["content"]), pair, own, history[:ply])
            if done.verdicts and (details := done.verdicts[turn].details):
                row["metadata"]["regret"] = details["regret"]
            if ply in done.illegal:
                row["metadata"]["illegal"] = True
            yield row

    def _game_row(
        self, shared: tuple[PlayedGame, int, list[str]], done: _Seat, score: float
    ) -> dict[str, Any]:
        played, seat, _ = shared
        own: float | None = 0.0 if done.illegal else score
        steps = [verdict.score for verdict in done.verdicts]
        if steps:
            known = [step for step in steps if step is not None]
            own = None if len(known) < len(steps) else max(0.0, 1 - sum(1 - s for s in known))
        key = f"selfplay-{self.seed}-{played.index}-{seat}"
        row = self._row(shared, key, done.messages, own, played.history)
        if steps:
            row["verdict"] = self._verdict_on_all(own, steps)
        if done.illegal:
            row["metadata"]["illegal"] = done.illegal
        return row

    def _verdict_on_all(self, own: float | None, steps: list[float | None]) -> dict[str, Any]:
        """Return the verdict on a seat's whole game, with a score per move."""
        more: dict[str, Any] = {
            "verifier": GameMoveVerifier.name,
            "version": GameMoveVerifier.version,
            "step_scores": tuple(steps),
        }
        if own is None:
            verdict = Verdict.invalid("search cannot tell", **more)
        elif own == 1.0:
            verdict = Verdict.passed(**more)
        else:
            verdict = Verdict.failed("loses value", score=own, **more)
        return verdict.to_row()

    def _write_down(self, played: PlayedGame) -> list[_Seat]:
        """Return what each seat was asked, answered and, if moves are graded, what that was worth."""
        done = [_Seat() for _ in played.returns]
        state, notation, solver = self.game.start(), self.game.notation, self.solver
        prompt, move, illegal = notation.prompt, notation.move, played.illegal
        for ply, (seat, action) in enumerate(zip(played.seats, played.history)):
            if seat >= 0:
                own = done[seat]
                said = move(state, action) if ply not in illegal else illegal[ply]
                own.messages += (
                    {"role": "user", "content": prompt(state)},
                    {"role": "assistant", "content": said},
                )
                own.plies.append(ply)
                if ply in illegal:
                    own.illegal.append(ply)
                if solver is not None:
                    own.verdicts.append(
                        _ILLEGAL
                        if ply in illegal
                        else judge_move(self.game, solver, state, action, graded=True)
                    )
            state.apply_action(action)
        last = len(played.history)
        if last in illegal:
            own = done[state.current_player()]
            own.messages += (
                {"role": "user", "content": prompt(state)},
                {"role": "assistant", "content": illegal[last]},
            )
            own.plies.append(last)
            own.illegal.append(last)
            if solver is not None:
                own.verdicts.append(_ILLEGAL)
        return done

    def _scores(self, group: Sequence[PlayedGame], played: PlayedGame) -> Sequence[float]:
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

    def _row(
        self,
        shared: tuple[PlayedGame, int, list[str]],
        key: str,
        messages: list[dict[str, str]],
        score: float | None,
        history: list[int],
    ) -> dict[str, Any]:
        played, seat, labels = shared
        return {
            "messages": self._system + messages,
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
