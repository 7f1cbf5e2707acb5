"""The pointwise judge: one answer, one rubric, a score."""

from __future__ import annotations

import math
from collections.abc import Mapping
from typing import Any, ClassVar

import attrs

from orbiter.checks import check_bool, check_number, check_whole_number
from orbiter.records import Task, Verdict
from orbiter.verify.judges.judge import Evidence, Judge, check_text
from orbiter.verify.judges.prompt import CLOSE, FENCES, Sections, reference_section, task_sections
from orbiter.verify.judges.reply import UnreadableError
from orbiter.verify.judges.votes import Votes

INSTRUCTIONS = """\
You grade one answer to a task by a rubric.

{fences}

The answer is in the section ANSWER. If there is a section REFERENCE, it holds a right answer; the graded one may differ from
it in form.

Rubric:
{rubric}

The score is a whole number from 0, the rubric is not met at all, to {scale}, it is met in full.

{close}"""


@attrs.define(kw_only=True, eq=False, slots=False, repr=False)
class PointwiseJudge(Judge):
    """Grade an answer by a rubric; pass from a threshold on.

    Each sample is a score s in [0, 1] and one vote: yes if s >= ``threshold``. The verdict's score is the mean of the scores.

    Args:
        rubric: What makes an answer good, in words; it is trusted.
        scale: The best score that the model may give; it gives whole or broken numbers from 0, and s is their share of it.
        threshold: Score in (0, 1] from which on a sample votes yes.
        unsure: A score nearer than this to the threshold is no vote; in [0, 1).
        reference: Whether the model is shown the task's reference, if there is one.
    """

    rubric: str
    scale: int = 10
    threshold: float = 0.7
    unsure: float = 0.0
    reference: bool = True

    name = "pointwise_judge"
    keys: ClassVar[tuple[str, ...]] = ("score",)
    told: ClassVar[tuple[str, ...]] = ("rubric", "scale")

    def __attrs_post_init__(self) -> None:
        check_text("rubric", self.rubric)
        check_whole_number("scale", self.scale, low=1)
        check_number("threshold", self.threshold, "(0, 1]")
        check_number("unsure", self.unsure, "[0, 1)")
        check_bool("reference", self.reference)
        super().__attrs_post_init__()

    @property
    def instructions(self) -> str:
        """The rubric, the scale and the form of the reply."""
        form = f'{{"score": <a number from 0 to {self.scale}, or null if you cannot tell>}}'
        return INSTRUCTIONS.format(
            fences=FENCES,
            rubric=self.rubric.strip(),
            scale=self.scale,
            close=CLOSE.format(form=form),
        )

    def prompts(self, task: Task, answer: str) -> list[Sections] | Verdict:
        """Show the task, the reference and the answer."""
        reference = reference_section(task) if self.reference else []
        return [[*task_sections(task), *reference, ("ANSWER", answer)]]

    def read(self, verdict: Mapping[str, Any]) -> float | None:
        """Return the score in [0, 1]."""
        score = verdict["score"]
        if score is None:
            return None
        # Compared as it is: a whole number of a thousand digits has no float.
        if type(score) not in (int, float) or not 0 <= score <= self.scale:
            raise UnreadableError("score is out of range")
        return float(score) / self.scale

    def decide(self, evidence: Evidence) -> Verdict:
        """Pass or fail by the votes of the samples."""
        scores = [sample.value for sample in evidence.samples[0]]
        votes = Votes.of(map(self._vote, scores))
        decision = votes.decide(self.margin)
        details = {**evidence.details, "log_odds": votes.log_odds}
        if decision is None:
            why = "score near the threshold" if votes.unknown else "votes under the margin"
            return Verdict.invalid(evidence.unknown(why), details=details)
        known = [score for score in scores if score is not None]
        score = min(1.0, math.fsum(known) / len(known))
        if decision:
            return Verdict.passed(score=score, details=details)
        return Verdict.failed("rubric not met", score=score, details=details)

    def _vote(self, score: float | None) -> float | None:
        # A score of 0.7 and a threshold of 0.7 may differ by a rounding error.
        if score is None or abs(score - self.threshold) < self.unsure - 1e-12:
            return None
        return float(score >= self.threshold - 1e-12)
