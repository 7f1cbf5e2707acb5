import functools
import itertools
import threading

import attrs
import pytest

from orbiter.records import Message, Task, Verdict
from orbiter.tasks.countdown import Countdown
from orbiter.tasks.sorting import Sorting
from orbiter.testing import check_verifier
from orbiter.verify.answer import answered
from orbiter.verify.audit import LabelledAnswer
from orbiter.verify.audit.probes import probes
from orbiter.verify.combine import AllOf, AnyOf
from orbiter.verify.countdown import CountdownVerifier
from orbiter.verify.exact import ExactVerifier
from orbiter.verify.numeric import NumericVerifier
from orbiter.verify.regex import RegexVerifier
from orbiter.verify.verifier import Verifier

TASK = Task("sums", "sums:0", (Message("user", "6 * 7 ="),), answer="42", metadata={"hint": []})
CASES = [LabelledAnswer(TASK, "42", True), LabelledAnswer(TASK, "43", False)]


@pytest.mark.parametrize(
    "make",
    [
        ExactVerifier,
        functools.partial(ExactVerifier, case=False, whitespace=False),
        NumericVerifier,
        functools.partial(AllOf, verifiers=["exact", "numeric"]),
        functools.partial(AnyOf, verifiers=["exact", "numeric"]),
    ],
)
def test_built_in_verifiers_keep_the_contract(make):
    check_verifier(make, CASES)


def test_regex_keeps_the_contract():
    check_verifier(functools.partial(RegexVerifier, pattern=r"4[0-2]"), CASES)


def test_verifiers_keep_the_contract_on_the_answers_of_environments():
    for environment, verifier in ((Sorting(), ExactVerifier), (Countdown(), CountdownVerifier)):
        check_verifier(verifier, probes(environment, verifier(), count=5, seed=0))


class Right(Verifier):
    """A right one, to be broken in one way each."""

    name, version = "right", "1"

    def verify(self, task, trajectory):
        if task.answer is None:
            return Verdict.invalid("no reference")
        if trajectory.answer == task.answer:
            return Verdict.passed()
        return Verdict.failed("wrong answer")


def test_a_right_verifier_passes():
    check_verifier(Right, CASES)


class Nameless(Right):
    name = ""


class Versionless(Right):
    version = 2


class Boolean(Right):
    def verify(self, task, trajectory):
        return trajectory.answer == task.answer


class Strict(Right):
    def verify(self, task, trajectory):
        return Verdict.failed("never")


class Yes(Right):
    def verify(self, task, trajectory):
        return Verdict.passed()


class Raising(Right):
    def verify(self, task, trajectory):
        raise OSError("no judge today")


class Counting(Right):
    count = itertools.count()

    def verify(self, task, trajectory):
        return attrs.evolve(super().verify(task, trajectory), details={"n": next(self.count)})


class PerInstance(Right):
    made = itertools.count()

    def __init__(self):
        self.number = next(self.made)

    def verify(self, task, trajectory):
        return attrs.evolve(super().verify(task, trajectory), details={"n": self.number})


class NewVersions(Right):
    made = itertools.count()

    def __init__(self):
        self.version = str(next(self.made))


class Scribbling(Right):
    def verify(self, task, trajectory):
        task.metadata["hint"].append("seen")
        return super().verify(task, trajectory)


class Believing(Right):
    """Trusts the score that the trajectory claims."""

    def verify(self, task, trajectory):
        if trajectory.score is not None:
            return Verdict.passed() if trajectory.score > 0.5 else Verdict.failed("score")
        return super().verify(task, trajectory)


class BelievingMetadata(Right):
    def verify(self, task, trajectory):
        if trajectory.metadata.get("success"):
            return Verdict.passed()
        return super().verify(task, trajectory)


class BelievingExtra(Right):
    def verify(self, task, trajectory):
        if trajectory.extra.get("terminal_utility", 0) == 1:
            return Verdict.passed()
        return super().verify(task, trajectory)


class BelievingVerdict(Right):
    def verify(self, task, trajectory):
        return trajectory.verdict or super().verify(task, trajectory)


class Biased(Right):
    def verify(self, task, trajectory):
        if trajectory.model == "oracle":
            return Verdict.passed()
        return super().verify(task, trajectory)


class PassesSilence(Right):
    def verify(self, task, trajectory):
        if not trajectory.answer:
            return Verdict.passed()
        return super().verify(task, trajectory)


class Shouts(Right):
    def writings(self, answer):
        return [f"{answer}!"]


class TextOfNone(Right):
    def verify(self, task, trajectory):
        return Verdict.passed() if trajectory.answer == str(task.answer) else Verdict.failed()


class Exiting(Right):
    def verify(self, task, trajectory):
        if not trajectory.answer:
            raise SystemExit(1)
        return super().verify(task, trajectory)


class NotANumber(Right):
    """Writes NaN past the checks of the record."""

    def verify(self, task, trajectory):
        verdict = super().verify(task, trajectory)
        object.__setattr__(verdict, "score", float("nan"))
        return verdict


class AboveOne(Right):
    def verify(self, task, trajectory):
        verdict = super().verify(task, trajectory)
        object.__setattr__(verdict, "score", 1.5)
        return verdict


class UnknownEvidence(Right):
    def verify(self, task, trajectory):
        verdict = super().verify(task, trajectory)
        return attrs.evolve(verdict, details={"likelihood": float("nan")})


class EvidenceThatIsNoData(Right):
    def verify(self, task, trajectory):
        return attrs.evolve(super().verify(task, trajectory), details={"task": object()})


class StepsThatAreText(Right):
    def verify(self, task, trajectory):
        return attrs.evolve(super().verify(task, trajectory), step_scores=("1",))


class StepsOutOfRange(Right):
    def verify(self, task, trajectory):
        return attrs.evolve(super().verify(task, trajectory), step_scores=(None, 2.0))


class Ranking(Right):
    """Scores an answer by its place among those that it has seen."""

    def __init__(self):
        self.seen = set()

    def verify(self, task, trajectory):
        self.seen.add(trajectory.answer)
        verdict = super().verify(task, trajectory)
        return attrs.evolve(verdict, details={"rank": sorted(self.seen).index(trajectory.answer)})


class FirstOfItsBatch(Right):
    """Takes the first answer that it sees for the measure of all others."""

    first = None

    def verify(self, task, trajectory):
        self.first = self.first or trajectory.answer
        like_the_first = trajectory.answer == self.first
        return attrs.evolve(super().verify(task, trajectory), details={"like": like_the_first})


class Remembering(Right):
    """Judges by what other instances of its class have judged: it counts as many as the others have."""

    judged = 0

    def verify(self, task, trajectory):
        type(self).judged += 1
        late = type(self).judged > 6
        return attrs.evolve(super().verify(task, trajectory), details={"late": late})


class Connected(Right):
    """Holds from the first what cannot be sent to a worker."""

    def __init__(self):
        self.lock = threading.Lock()


class LostOnTheWay(Right):
    """Forgets on its way to a worker what it needs."""

    def __init__(self):
        self.expected = "42"

    def __getstate__(self):
        return {"expected": "43"}

    def verify(self, task, trajectory):
        right = trajectory.answer == self.expected and task.answer is not None
        return Verdict.passed() if right else Verdict.failed("wrong answer")


class BatchOfNone(Right):
    batch_size = 0


class RankingBatch(Right):
    """Passes the longest answer of a batch."""

    batch_size = 8

    def verify_batch(self, pairs):
        longest = max(len(trajectory.answer) for _, trajectory in pairs)
        best = [len(trajectory.answer) == longest for _, trajectory in pairs]
        return [Verdict.passed() if one else Verdict.failed("shorter") for one in best]


class DisorderlyBatch(Right):
    batch_size = 8

    def verify_batch(self, pairs):
        return super().verify_batch(sorted(pairs, key=lambda pair: pair[1].answer))


class LosingBatch(Right):
    batch_size = 8

    def verify_batch(self, pairs):
        return super().verify_batch(pairs)[:1]


class RaisingBatch(Right):
    batch_size = 8

    def verify_batch(self, pairs):
        raise TimeoutError


class WarmingUp(Right):
    """Needs two answers until it knows what it says."""

    def __init__(self):
        self.count = 0

    def verify(self, task, trajectory):
        self.count += 1
        alone = self.count < 2 and trajectory.answer == "43"
        return attrs.evolve(super().verify(task, trajectory), reason="sure" * (not alone))


@pytest.mark.parametrize(
    ("broken", "clause"),
    [
        (Nameless, "name"),
        (Versionless, "version"),
        (NewVersions, "version"),
        (Boolean, "verdicts"),
        (Raising, "verdicts"),
        (NotANumber, "sound verdicts"),
        (AboveOne, "sound verdicts"),
        (UnknownEvidence, "sound verdicts"),
        (EvidenceThatIsNoData, "sound verdicts"),
        (StepsThatAreText, "sound verdicts"),
        (StepsOutOfRange, "sound verdicts"),
        (Ranking, "same verdict for ever"),
        (FirstOfItsBatch, "same verdict for ever"),
        (WarmingUp, "same verdict for ever"),
        (Remembering, "alone or among others"),
        (Connected, "pickled"),
        (LostOnTheWay, "pickled"),
        (BatchOfNone, "batches"),
        (RankingBatch, "batches"),
        (DisorderlyBatch, "batches"),
        (LosingBatch, "batches"),
        (RaisingBatch, "batches"),
        (Strict, "right answers pass"),
        (Yes, "wrong answers do not pass"),
        (Counting, "same verdict for ever"),
        (PerInstance, "same verdict for ever"),
        (Scribbling, "nothing is changed"),
        (Believing, "claims are ignored"),
        (BelievingMetadata, "claims are ignored"),
        (BelievingExtra, "claims are ignored"),
        (BelievingVerdict, "claims are ignored"),
        (Biased, "claims are ignored"),
        (PassesSilence, "broken input"),
        (TextOfNone, "broken input"),
        (Exiting, "broken input"),
        (Shouts, "writings"),
    ],
)
def test_a_broken_clause_is_named(broken, clause):
    cases = [attrs.evolve(c, task=attrs.evolve(TASK, metadata={"hint": []})) for c in CASES]
    with pytest.raises(AssertionError) as caught:
        check_verifier(broken, cases)
    assert f" breaks {clause!r}: " in str(caught.value)


def test_both_labels_are_needed():
    with pytest.raises(ValueError, match="at least one right and one wrong"):
        check_verifier(Right, CASES[:1])


def test_a_wrong_answer_that_claims_to_be_right_stays_wrong():
    liar = attrs.evolve(answered(TASK, "43"), score=1.0, metadata={"success": True})
    check_verifier(Right, [CASES[0], LabelledAnswer(TASK, liar, False)])
