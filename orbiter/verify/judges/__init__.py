"""Judges: verifiers that ask a model, and are not believed further than they can be measured.

A judge is for what no program can check. Put a program first where there is one: ``all_of`` asks the judge only about answers that the
program does not fail, ``cascade`` only about those that it cannot decide; neither lets a judge overrule a fail.
"""

from orbiter.verify.judges.constitution import ConstitutionJudge
from orbiter.verify.judges.judge import Evidence, Judge
from orbiter.verify.judges.model import JudgeModel, Question, Reply
from orbiter.verify.judges.pairwise import PairwiseJudge, Preference
from orbiter.verify.judges.pointwise import PointwiseJudge
from orbiter.verify.judges.reply import UnreadableError

__all__ = [
    "ConstitutionJudge",
    "Evidence",
    "Judge",
    "JudgeModel",
    "PairwiseJudge",
    "PointwiseJudge",
    "Preference",
    "Question",
    "Reply",
    "UnreadableError",
]
