"""Text that goes round in circles: the share of its n-grams that stood there before."""

from __future__ import annotations

import re
from collections.abc import Sequence

from orbiter.checks import check_bool, check_number, check_whole_number
from orbiter.records import Task, Trajectory, Verdict
from orbiter.verify.answer import written
from orbiter.verify.verifier import Verifier, version_of

# Words, single signs, and single letters of scripts without spaces; a longer run of letters is no word, and read letter by letter.
_TOKEN = re.compile(
    r"[\u0e00-\u0eff\u3040-\u30ff\u3400-\u9fff\uac00-\ud7af]|\w{1,40}+(?!\w)|\w|[^\w\s]"
)


def repeated_share(tokens: Sequence[str], *, n: int) -> float:
    """Return the share of n-grams that occurred before, in [0, 1): 1 - distinct / all; 0 if there are none."""
    count = len(tokens) - n + 1
    if count <= 0:
        return 0.0
    return 1 - len(set(zip(*(tokens[i : i + count] for i in range(n))))) / count


class RepetitionVerifier(Verifier):
    """Fail a text that repeats itself.

    Of each stretch of ``window`` tokens (words, signs, letters of scripts without spaces) the share of n-grams that occurred before in
    it is taken, and the largest counts, so that a loop at the end of a long text is found. The score is 1 minus that share.

    Args:
        n: Tokens per n-gram.
        max_share: Largest share, in [0, 1), that passes.
        window: Tokens of a stretch; they overlap by half.
        thoughts: Look at all that the assistant wrote after the prompt; if not, at the final answer alone.
    """

    name = "repetition"

    def __init__(
        self, *, n: int = 4, max_share: float = 0.5, window: int = 512, thoughts: bool = True
    ) -> None:
        check_whole_number("n", n, low=1)
        check_whole_number("window", window, low=n + 1)
        check_number("max_share", max_share, "[0, 1)")
        check_bool("thoughts", thoughts)
        self.n, self.max_share, self.window, self.thoughts = n, max_share, window, thoughts
        self.version = version_of(self, "1")

    def verify(self, task: Task, trajectory: Trajectory) -> Verdict:
        """Pass if no stretch repeats itself too much."""
        text = written(task, trajectory, thoughts=self.thoughts)
        if text is None:
            return Verdict.failed("no answer")
        tokens = _TOKEN.findall(text)
        step = max(1, self.window // 2)
        starts = range(0, max(1, len(tokens) - self.window + step), step)
        share = max(repeated_share(tokens[i : i + self.window], n=self.n) for i in starts)
        details = {"repeated_share": share}
        if share > self.max_share:
            return Verdict.failed("repeats itself", score=1 - share, details=details)
        return Verdict.passed(score=1 - share, details=details)
