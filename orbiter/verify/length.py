"""The length of what was written, and the soft penalty on what is too long."""

from __future__ import annotations

from orbiter.checks import check_bool, check_whole_number
from orbiter.errors import ConfigError
from orbiter.records import Task, Trajectory, Verdict
from orbiter.verify.answer import written
from orbiter.verify.verifier import Verifier, version_of

UNITS = ("characters", "words")
"""What can be counted; words are what white space parts."""


def overlong_penalty(length: int, *, max_length: int, cache: int) -> float:
    """Return the soft overlong punishment, in [-1, 0]: a reward to be added to that of the answer.

    0 up to ``max_length - cache``, then falling linearly to -1 at ``max_length``, and -1 above it (Yu et al. 2025, DAPO, eq. 13):

        R(y) = 0                                          if |y| <= L_max - L_cache
               ((L_max - L_cache) - |y|) / L_cache        if L_max - L_cache < |y| <= L_max
               -1                                         if |y| > L_max

    Args:
        length: |y|, in any unit; the paper counts tokens.
        max_length: L_max, in the same unit.
        cache: L_cache, in the same unit: the width of the fall, in [0, max_length]; with 0 it is a step.
    """
    if length > max_length:
        return -1.0
    excess = length - (max_length - cache)
    return -excess / cache if excess > 0 else 0.0


class LengthVerifier(Verifier):
    """Pass a text whose length is within bounds; the score falls as it nears the upper one.

    The score of a text that passes is 1 + :func:`overlong_penalty`.

    Args:
        max_length: Longest text, included.
        min_length: Shortest text, included.
        cache: Width of the last stretch below ``max_length`` in which the score falls from 1 to 0.
        unit: ``characters`` or ``words``. Tokens depend on a model; as a rule of thumb one is four characters of English.
        thoughts: Count all that the assistant wrote after the prompt; if not, the final answer alone.
    """

    name = "length"

    def __init__(
        self,
        max_length: int,
        *,
        min_length: int = 1,
        cache: int = 0,
        unit: str = "characters",
        thoughts: bool = True,
    ) -> None:
        check_whole_number("max_length", max_length, low=1)
        check_whole_number("min_length", min_length, low=0, high=max_length)
        check_whole_number("cache", cache, low=0, high=max_length)
        check_bool("thoughts", thoughts)
        if unit not in UNITS:
            raise ConfigError(f"unit must be one of {', '.join(UNITS)}, got {unit!r}")
        self.max_length, self.min_length, self.cache = max_length, min_length, cache
        self.unit, self.thoughts = unit, thoughts
        self.version = version_of(self, "1")

    def verify(self, task: Task, trajectory: Trajectory) -> Verdict:
        """Pass if the text is neither too short nor too long."""
        text = written(task, trajectory, thoughts=self.thoughts)
        if text is None:
            return Verdict.failed("no answer")
        length = len(text) if self.unit == "characters" else len(text.split())
        details = {"length": length}
        if length > self.max_length:
            return Verdict.failed("too long", details=details)
        if length < self.min_length:
            return Verdict.failed("too short", details=details)
        penalty = overlong_penalty(length, max_length=self.max_length, cache=self.cache)
        return Verdict.passed(score=1.0 + penalty, details=details)
