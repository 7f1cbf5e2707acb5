"""Write a verifier, and measure how often it is wrong before anything is trained on what it passes.

Two verifiers of one kind of answer, a length with its unit. The lenient one looks for the right number anywhere in the text,
which is how many reward functions begin. The audit shows what that costs.
"""

import re
from fractions import Fraction

from orbiter.flywheel.odds import grow
from orbiter.records import Message, Task, Trajectory, Verdict
from orbiter.tasks import item_stream
from orbiter.testing import check_verifier
from orbiter.verify import Verifier
from orbiter.verify.audit import LabelledAnswer, audit

METRES = {"mm": Fraction(1, 1000), "cm": Fraction(1, 100), "m": Fraction(1), "km": Fraction(1000)}
QUANTITY = re.compile(r"([0-9]{1,9}(?:\.[0-9]{1,9})?) ?(mm|cm|m|km)")


class LengthVerifier(Verifier):
    """Passes one length that equals the reference, in whatever unit."""

    name, version = "length", "1"

    def verify(self, task: Task, trajectory: Trajectory) -> Verdict:
        reference = QUANTITY.fullmatch(str(task.answer))
        if reference is None:
            return Verdict.invalid("task has no reference length")
        answer = QUANTITY.fullmatch(trajectory.answer.strip())
        if answer is None:
            return Verdict.failed("answer is not one length")
        same = metres(answer) == metres(reference)
        return Verdict.passed() if same else Verdict.failed("wrong length")


class LenientVerifier(Verifier):
    """Passes any text in which the number of the reference occurs."""

    name, version = "lenient", "1"

    def verify(self, task: Task, trajectory: Trajectory) -> Verdict:
        number = str(task.answer).split()[0]
        found = number in trajectory.answer
        return Verdict.passed() if found else Verdict.failed("number not found")


def metres(match: re.Match[str]) -> Fraction:
    return Fraction(match[1]) * METRES[match[2]]


def labelled_answers(count: int) -> list[LabelledAnswer]:
    """Right answers in several writings, and the mistakes that models make."""
    out = []
    for index in range(count):
        stream = item_stream("lengths", index)
        cm = stream.randrange(100, 1000)
        task = Task("lengths", f"lengths:{cm}", (Message("user", "how long is it?"),), f"{cm} cm")
        answers = {
            f"{cm} cm": True,
            f"{10 * cm}mm": True,
            f"{cm / 100:.2f} m": True,
            f"{cm} m": False,  # the unit
            f"{cm - 1} cm": False,  # the number
            f"{cm} cm or {2 * cm} cm": False,  # a hedge
        }
        out += [LabelledAnswer(task, text, correct) for text, correct in answers.items()]
    return out


labelled = labelled_answers(100)
for verifier in (LenientVerifier(), LengthVerifier()):
    found = audit(verifier, labelled)
    print(
        f"{verifier.name:8} TPR {found.tpr.value:.3f}  FPR {found.fpr.value:.3f} "
        f"[{found.fpr.interval.low:.3f}, {found.fpr.interval.high:.3f}]  "
        f"g = TPR/FPR is {found.g.value:.2f}, at least {found.g.interval.low:.2f}"
    )
    rates = grow(0.05, multiplier=found.g.interval.low, rounds=4)
    print(f"         four rounds from a pass rate of 5 %: {', '.join(f'{p:.3f}' for p in rates)}")
    first = found.disagreements[:3]
    print(f"         wrong about: {', '.join(repr(d.labelled.answer) for d in first) or 'nothing'}")

check_verifier(LengthVerifier, labelled[:6])
print("LengthVerifier keeps the contract of a verifier")
