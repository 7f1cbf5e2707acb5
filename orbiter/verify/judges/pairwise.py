"""The pairwise judge: which of two answers is better, asked in both orders."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any, ClassVar, Literal

import attrs
from attrs import field, frozen

from orbiter.records import Task, Verdict
from orbiter.verify.judges.attacks import certain_failure
from orbiter.verify.judges.judge import Evidence, Judge, check_text
from orbiter.verify.judges.prompt import CLOSE, FENCES, Sections, task_sections
from orbiter.verify.judges.reply import UnreadableError
from orbiter.verify.judges.votes import Votes

INSTRUCTIONS = """\
You compare two answers to a task and say which one is better.

{fences}

The answers are in the sections ANSWER A and ANSWER B. Their order says nothing, nor does their length.

What makes an answer better:
{rubric}

{close}"""

_VOTES = {"A": 1.0, "B": 0.0, "tie": 0.5}


@frozen(kw_only=True)
class Preference:
    """Which of two answers is better.

    Args:
        preferred: ``first``, ``second`` or ``tie``; None if the judge abstained or could not be asked.
        log_odds: That the first is better, in nats; None if the model cast no vote.
        probability: The same in (0, 1); None if the model cast no vote.
        reason: Why there is no preference, or why the model was not asked; else empty.
        details: Evidence.
    """

    preferred: Literal["first", "second", "tie"] | None = None
    log_odds: float | None = None
    probability: float | None = None
    reason: str = ""
    details: Mapping[str, Any] = field(factory=dict)


@attrs.define(kw_only=True, eq=False, slots=False, repr=False)
class PairwiseJudge(Judge):
    """Compare two answers in both orders, or, as a verifier, the answer with the reference.

    Each prompt is asked ``samples`` times with the first answer as A and as often with it as B; a vote is 1 for the first, 0 for
    the second, 1/2 for a tie. Where the two orders point to different answers, the judge goes by the place and not by the
    answer: it abstains. It is a tie only if every vote is.

    As a verifier it passes an answer that is better than the reference text or ties with it. The score is the probability
    that the answer is better.

    Args:
        rubric: What makes an answer better, in words; it is trusted.
    """

    rubric: str

    name = "pairwise_judge"
    keys: ClassVar[tuple[str, ...]] = ("better",)
    told: ClassVar[tuple[str, ...]] = ("rubric",)
    orders: ClassVar[int] = 2

    def __attrs_post_init__(self) -> None:
        check_text("rubric", self.rubric)
        super().__attrs_post_init__()

    @property
    def instructions(self) -> str:
        """The rubric and the form of the reply."""
        form = '{"better": <"A", "B" or "tie", or null if you cannot tell>}'
        return INSTRUCTIONS.format(
            fences=FENCES, rubric=self.rubric.strip(), close=CLOSE.format(form=form)
        )

    def prompts(self, task: Task, answer: str) -> list[Sections] | Verdict:
        """Show the answer and the reference, in both orders."""
        if not isinstance(task.answer, str) or not task.answer.strip():
            return Verdict.invalid("task has no reference text")
        if answer.strip() == task.answer.strip():
            return Verdict.passed("same as the reference", score=0.5)
        return _orders(task, answer, task.answer)

    def read(self, verdict: Mapping[str, Any]) -> float | None:
        """Return the share of the vote that A gets."""
        better = verdict["better"]
        if better is None:
            return None
        if not isinstance(better, str) or better not in _VOTES:
            raise UnreadableError("verdict must be A, B or tie")
        return _VOTES[better]

    def decide(self, evidence: Evidence) -> Verdict:
        """Pass if the answer is better than the reference, or as good."""
        found = self._preference(evidence)
        if found.preferred is None or found.probability is None:
            return Verdict.invalid(found.reason, details=found.details)
        if found.preferred == "second":
            score = found.probability
            return Verdict.failed("reference is better", score=score, details=found.details)
        return Verdict.passed(score=found.probability, details=found.details)

    def compare(self, task: Task, first: str, second: str) -> Preference:
        """Return which of two answers to a task is better."""
        return self.compare_batch([(task, first, second)])[0]

    def compare_batch(self, items: Sequence[tuple[Task, str, str]]) -> list[Preference]:
        """Return one preference per item, in their order; the model is given the questions of all of them at once.

        An answer that certainly is none loses to one that may be, without asking; of two such, neither is preferred.
        """
        known = [self._unasked(*item) for item in items]
        asked = [_orders(*item) for item, found in zip(items, known) if found is None]
        evidence = iter(self.ask(asked))
        return [self._preference(next(evidence)) if found is None else found for found in known]

    def _unasked(self, task: Task, first: str, second: str) -> Preference | None:
        if first.strip() == second.strip():
            return Preference(preferred="tie", reason="same answer")
        of_first = certain_failure(task, first, refusals=self.refusals)
        of_second = certain_failure(task, second, refusals=self.refusals)
        if of_first and of_second:
            return Preference(reason=f"no answer in either: {of_first}; {of_second}")
        if of_first or of_second:
            better: Literal["first", "second"] = "second" if of_first else "first"
            return Preference(preferred=better, reason=of_first or of_second or "")
        unshowable = self.unshowable(task, _orders(task, first, second))
        return None if unshowable is None else Preference(reason=unshowable)

    def _preference(self, evidence: Evidence) -> Preference:
        as_a = [sample.value for sample in evidence.samples[0]]
        as_b = [None if s.value is None else 1.0 - s.value for s in evidence.samples[1]]
        votes = Votes.of([*as_a, *as_b])
        leans = Votes.of(as_a).log_odds * Votes.of(as_b).log_odds
        decision = votes.decide(self.margin)
        tied = {*as_a, *as_b} == {0.5}
        known = votes.yes + votes.no > 0
        log_odds = votes.log_odds if known else None
        probability = votes.probability if known else None
        found = Preference(
            log_odds=log_odds,
            probability=probability,
            details={**evidence.details, "log_odds": log_odds, "probability": probability},
        )
        if tied:
            return attrs.evolve(found, preferred="tie")
        if leans < 0:
            return attrs.evolve(found, reason="abstain: orders disagree")
        if decision is None:
            return attrs.evolve(found, reason=evidence.unknown("votes under the margin"))
        return attrs.evolve(found, preferred="first" if decision else "second")


def _orders(task: Task, first: str, second: str) -> list[Sections]:
    return [
        [*task_sections(task), ("ANSWER A", a), ("ANSWER B", b)]
        for a, b in ((first, second), (second, first))
    ]
