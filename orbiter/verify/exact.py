"""The answer is the reference, character for character."""

from __future__ import annotations

import re
from collections.abc import Iterator

from orbiter.checks import check_bool
from orbiter.records import Task, Trajectory, Verdict
from orbiter.verify.answer import final_answer
from orbiter.verify.verifier import Verifier, version_of


class ExactVerifier(Verifier):
    """Compare the final answer with ``task.answer``: a text, or a list of texts of which any is right.

    Args:
        strip: Ignore white space at both ends.
        case: Tell upper from lower case.
        whitespace: Tell one run of white space from another; if not, each run counts as one space.
    """

    name = "exact"

    def __init__(self, *, strip: bool = True, case: bool = True, whitespace: bool = True) -> None:
        for name, value in (("strip", strip), ("case", case), ("whitespace", whitespace)):
            check_bool(name, value)
        self.strip, self.case, self.whitespace = strip, case, whitespace
        self.version = version_of(self, "1")

    def normalise(self, text: str) -> str:
        """Return ``text`` without the differences that do not count."""
        if not self.whitespace:
            text = " ".join(text.split()) if self.strip else re.sub(r"\s+", " ", text)
        if self.strip:
            text = text.strip()
        return text if self.case else text.casefold()

    def writings(self, answer: str) -> Iterator[str]:
        """Yield the answer with the differences that do not count; a subclass may count others, and knows none."""
        # The tags of thoughts have one case.
        if type(self) is not ExactVerifier or "think>" in answer:
            return
        tried = [f"  {answer}\n", answer.upper(), answer.lower(), answer.title()]
        tried.append(re.sub(r"\s+", " \n ", answer))
        yield from (text for text in tried if self.normalise(text) == self.normalise(answer))

    def _is_text(self, reference: str) -> bool:
        """Return whether anything counts in a reference: invisible characters alone are none."""
        return any(char.isprintable() or char.isspace() for char in self.normalise(reference))

    def verify(self, task: Task, trajectory: Trajectory) -> Verdict:
        """Pass if the answer equals a reference; invalid if the task has none."""
        references = task.answer if isinstance(task.answer, list | tuple) else [task.answer]
        if not references or not all(isinstance(r, str) and self._is_text(r) for r in references):
            return Verdict.invalid("task has no reference text")
        answer = final_answer(trajectory)
        if answer is None:
            return Verdict.failed("no answer")
        if self.normalise(answer) in {self.normalise(r) for r in references}:
            return Verdict.passed()
        return Verdict.failed("wrong answer")
