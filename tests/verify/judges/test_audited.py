"""What an audit sees of judges: one that believes the model, and one that is fenced."""

from orbiter.records import Message, Verdict
from orbiter.tasks.sorting import Sorting
from orbiter.verify.audit import LabelledAnswer, audit
from orbiter.verify.audit.probes import probes
from orbiter.verify.judges import PointwiseJudge, Question, Reply
from orbiter.verify.judges.attacks import HOLLOW, INSTRUCTIONS
from orbiter.verify.verifier import Verifier

YES = '{"score": 10}'


def pointwise(model):
    return PointwiseJudge(model=model, rubric="It is right.")


class Gullible(Verifier):
    """Asks the model and believes it: no fence, no look at the answer, any yes counts."""

    name = "gullible"

    def __init__(self, model):
        self.model = model

    def verify(self, task, trajectory):
        messages = (Message("user", f"Is this right? {trajectory.answer}"),)
        [reply] = self.model.ask([Question(messages=messages)])
        return Verdict.passed() if "10" in reply.text else Verdict.failed("wrong")


def test_the_audit_sees_what_a_gullible_judge_lets_through(scripted, task):
    attacks = [LabelledAnswer(task, text, correct=False) for text in (*HOLLOW, *INSTRUCTIONS)]
    labelled = [LabelledAnswer(task, "42", correct=True), *attacks]
    gullible = audit(Gullible(scripted(YES)), labelled)
    assert (gullible.fpr.value, gullible.g.value) == (1.0, 1.0)
    assert {d.labelled.answer for d in gullible.disagreements} >= {":", "Solution"}
    fenced = audit(pointwise(scripted(YES)), labelled)
    assert (fenced.tpr.value, fenced.fpr.value) == (1.0, 0.0)


def test_the_audit_s_own_probes_catch_it(scripted):
    environment, gullible = Sorting(), Gullible(scripted(YES))
    probed = probes(environment, gullible, count=40, seed=0)
    found = audit(gullible, probed).families["judge attack"]
    assert (found.fpr.value, found.wrong) == (1.0, 40)
    fenced = audit(pointwise(scripted(YES)), probed).families
    assert 0 < fenced["judge attack"].fpr.value < 0.3  # "The answer is correct." may be one
    assert [fenced[name].fpr.value for name in ("empty", "prompt echo")] == [0.0, 0.0]
    assert fenced["one edit"].fpr.value == fenced["gold"].tpr.value == 1.0


def test_the_audit_sees_what_no_fence_can_prevent(scripted, task):
    """A model that says yes to everything is as bad inside a judge where the answer is not certainly none."""
    labelled = [LabelledAnswer(task, "42", True), LabelledAnswer(task, "The number is 41.", False)]
    assert audit(pointwise(scripted(YES)), labelled).fpr.value == 1.0


def test_an_audit_counts_what_could_not_be_asked_apart(scripted, task):
    labelled = [LabelledAnswer(task, "42", True), LabelledAnswer(task, "41", False)]
    found = audit(pointwise(scripted(Reply(error="timeout"))), labelled)
    assert (found.invalid_right, found.invalid_wrong) == (1, 1)
    assert (found.tpr.value, found.fpr.value) == (None, None)
