"""Judges that ask a model, and what keeps them honest: two orders, votes, abstaining, and an audit.

The models here are rules, so that the script runs anywhere. With the plugin orbiter-judge, `model={"name": "openai", "base_url":
..., "model": ...}` asks a server instead.
"""

from orbiter.records import Message, Task
from orbiter.tasks import item_stream
from orbiter.testing import check_judge_model
from orbiter.verify import judge
from orbiter.verify.answer import answered
from orbiter.verify.audit import LabelledAnswer, audit
from orbiter.verify.judges import JudgeModel, PairwiseJudge, PointwiseJudge, Question, Reply
from orbiter.verify.judges.attacks import HOLLOW, INSTRUCTIONS


class WaveringModel(JudgeModel):
    """Sees whether an answer gives a reason, and is wrong about it in one reply of five."""

    model = "wavering"

    def ask(self, questions):
        return [Reply(text=self.say(question)) for question in questions]

    def say(self, question: Question) -> str:
        answer = question.messages[-1].text.partition("[[BEGIN ANSWER")[2].partition("[[END")[0]
        wavers = item_stream("wavering", question.seed).random() < 0.2
        good = ("because" in answer) != wavers
        if "[[BEGIN ANSWER A" in question.messages[-1].text:
            return '{"better": "A"}' if good else '{"better": "B"}'
        return '{"score": 9}' if good else '{"score": 1}'


class FirstModel(JudgeModel):
    """Prefers whatever stands first."""

    model = "first"

    def ask(self, questions):
        return [Reply(text='{"better": "A"}')] * len(questions)


task = Task("why", "why:sky", (Message("user", "Why is the sky blue?"),))
good, bad = "It is blue because short waves are scattered more.", "It is blue, as everybody knows."

for model in (WaveringModel(), FirstModel()):
    pairwise = PairwiseJudge(model=model, rubric="The better answer gives a reason.", samples=3)
    found = pairwise.compare(task, good, bad)
    print(f"{model.model:9} prefers {found.preferred or 'neither'} {found.reason}".rstrip())

labelled = []
for number in range(200):
    labelled.append(LabelledAnswer(task, f"{good} ({number})", correct=True))
    labelled.append(LabelledAnswer(task, f"{bad} ({number})", correct=False))
labelled += [LabelledAnswer(task, text, correct=False) for text in (*HOLLOW, *INSTRUCTIONS)]
for samples in (1, 3, 5):
    graded = PointwiseJudge(model=WaveringModel(), rubric="It gives a reason.", samples=samples)
    found = audit(graded, labelled)
    print(
        f"{samples} samples: FPR {found.fpr.value:.3f}  FNR {found.fnr.value:.3f}  "
        f"abstains {found.invalid_rate.value:.0%}  g = TPR/FPR {found.g.value:.0f}"
    )

hollow = judge(PointwiseJudge(model=WaveringModel(), rubric="r"), task, answered(task, "Solution:"))
print(f"'Solution:' is {hollow.outcome.value}, unasked: {hollow.reason}")

questions = [Question(messages=(Message("user", f"[[BEGIN ANSWER {a}"),)) for a in (good, bad)]
check_judge_model(WaveringModel, questions)
print("WaveringModel keeps the contract of a judge model")
