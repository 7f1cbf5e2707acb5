"""How often a verifier is wrong: answers of known label, and what it says of them.

The share of right answers that it passes (TPR) and the share of wrong ones (FPR) decide what a round of training can gain: the
odds of a right answer grow by at most g = TPR / FPR.

:mod:`~orbiter.verify.audit.probes` makes labelled answers to an environment's tasks, of every family that verifiers are known to be
wrong about; :mod:`~orbiter.verify.audit.labelled` reads them from a file.
:mod:`~orbiter.verify.audit.confusion` counts, :mod:`~orbiter.verify.audit.bounds` compares with what was promised, and
:mod:`~orbiter.verify.audit.stability` asks whether the same answer gets the same verdict again.
"""

from orbiter.verify.answer import answered
from orbiter.verify.audit.answers import LabelledAnswer, corruptions
from orbiter.verify.audit.confusion import Audit, Confusion, Disagreement, audit, tally
from orbiter.verify.audit.labels import reference_label

__all__ = [
    "Audit",
    "Confusion",
    "Disagreement",
    "LabelledAnswer",
    "answered",
    "audit",
    "corruptions",
    "reference_label",
    "tally",
]
