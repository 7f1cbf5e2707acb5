"""The verdict on a conversation, turn by turn."""

from __future__ import annotations

import attrs

from orbiter.errors import ConfigError
from orbiter.records import Outcome, Task, Trajectory, Verdict
from orbiter.tasks.component import Spec
from orbiter.verify.answer import prompt_size
from orbiter.verify.component import make_verifier
from orbiter.verify.verifier import Verifier, judge, version_of

NEEDS = ("last", "all")
"""Which turns must pass."""


class TurnsVerifier(Verifier):
    """Judge each turn of the assistant as if the conversation ended there.

    The step scores are those of the turns; one that could not be judged has None. With ``need: last`` the verdict is that of the last turn;
    with ``all`` every turn must pass, the score is the lowest, and a turn that could not be judged makes the verdict invalid unless another
    fails.

    Args:
        verifier: What judges a turn, its name, or its name with options beside it.
        need: ``last`` or ``all``.
    """

    name = "turns"

    def __init__(self, verifier: Verifier | Spec, *, need: str = "last") -> None:
        self.verifier = make_verifier(verifier)
        if need not in NEEDS:
            raise ConfigError(f"need must be one of {', '.join(NEEDS)}, got {need!r}")
        self.need = need
        self.version = version_of(self, "1")

    def verify(self, task: Task, trajectory: Trajectory) -> Verdict:
        """Return the verdict on the turns."""
        start, messages = prompt_size(task, trajectory), trajectory.messages
        ends = [n for n in range(start, len(messages)) if messages[n].role == "assistant"]
        if not ends:
            return Verdict.failed("no answer")
        verdicts = [
            judge(self.verifier, task, attrs.evolve(trajectory, messages=messages[: n + 1]))
            for n in ends
        ]
        scores = tuple(verdict.score for verdict in verdicts)
        if ends[-1] != len(messages) - 1:
            return Verdict.failed("the user has the last word", step_scores=scores)
        if self.need == "last":
            return attrs.evolve(verdicts[-1], step_scores=scores)
        failed = next((v for v in verdicts if v.outcome is Outcome.FAIL), None)
        unknown = next((v for v in verdicts if v.outcome is Outcome.INVALID), None)
        if failed is not None:
            lowest = min(score for score in scores if score is not None)
            return Verdict.failed(f"a turn: {failed.reason}", score=lowest, step_scores=scores)
        if unknown is not None:
            return Verdict.invalid(f"a turn: {unknown.reason}", step_scores=scores)
        return Verdict.passed(score=min(s for s in scores if s is not None), step_scores=scores)
