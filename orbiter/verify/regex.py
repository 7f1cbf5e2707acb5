"""The answer has a form: a regular expression matches all of it."""

from __future__ import annotations

import regex

from orbiter.checks import check_bool, check_number, check_whole_number
from orbiter.errors import ConfigError
from orbiter.records import Task, Trajectory, Verdict
from orbiter.verify.answer import final_answer
from orbiter.verify.verifier import Verifier, version_of


class RegexVerifier(Verifier):
    """Match the whole answer against a regular expression.

    A pattern can take exponential time on a text made for it, so each match has a time limit. A match that runs into it is
    invalid, as is a text that is too long.

    Args:
        pattern: A regular expression of the library ``regex``, whose syntax extends that of ``re``; it must match the whole
            text, and ``.`` matches newlines too.
        thoughts: Match all that the assistant wrote in its last turn, ``<think>`` blocks included.
        ignore_case: Do not tell upper from lower case.
        max_length: Longest text, in characters, that is matched.
        timeout_s: Time limit of one match, in seconds.
    """

    name = "regex"

    def __init__(
        self,
        pattern: str,
        *,
        thoughts: bool = False,
        ignore_case: bool = False,
        max_length: int = 100_000,
        timeout_s: float = 1.0,
    ) -> None:
        for name, value in (("thoughts", thoughts), ("ignore_case", ignore_case)):
            check_bool(name, value)
        try:
            self._regex = regex.compile(
                pattern, regex.DOTALL | (regex.IGNORECASE if ignore_case else 0)
            )
        except (regex.error, TypeError) as error:
            raise ConfigError(
                f"pattern must be a regular expression, got {pattern!r}: {error}"
            ) from None
        check_whole_number("max_length", max_length, low=1)
        check_number("timeout_s", timeout_s, "(0, inf)")
        self.pattern, self.thoughts, self.ignore_case = pattern, thoughts, ignore_case
        self.max_length, self.timeout_s = max_length, timeout_s
        self.version = version_of(self, "1")

    def verify(self, task: Task, trajectory: Trajectory) -> Verdict:  # noqa: ARG002
        """Pass if the text has the form; invalid if that cannot be told in time."""
        text = final_answer(trajectory, thoughts=self.thoughts)
        if text is None:
            return Verdict.failed("no answer")
        if len(text) > self.max_length:
            return Verdict.invalid(f"answer is longer than {self.max_length} characters")
        try:
            matches = self._regex.fullmatch(text, timeout=self.timeout_s)
        except TimeoutError:
            return Verdict.invalid(f"timeout: the pattern took longer than {self.timeout_s:g} s")
        return Verdict.passed() if matches else Verdict.failed("wrong form")
