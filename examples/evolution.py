"""Write an evolution strategy that tunes a verifier's rubric: which checks it demands, by what its audit says.

A candidate is a set of checks. Its score is TPR - FPR on labelled answers, which is 1 for a verifier that is never wrong and 0
for one that knows nothing.
"""

import asyncio
import random
import re

from orbiter.records import Message, Task, Trajectory, Verdict
from orbiter.tasks import item_stream
from orbiter.testing import check_evolution
from orbiter.train import EvolutionConfig, EvolutionPipeline, EvolutionStrategy
from orbiter.verify import Verifier
from orbiter.verify.audit import LabelledAnswer, audit

CHECKS = {
    "has a final line": lambda text, answer: "####" in text,
    "final line is right": lambda text, answer: text.rpartition("####")[2].strip() == answer,
    "one final line": lambda text, answer: text.count("####") == 1,
    "number occurs": lambda text, answer: answer in text,
    "shows its work": lambda text, answer: len(text.splitlines()) > 1,
    "polite": lambda text, answer: "please" in text.lower(),
    "short": lambda text, answer: len(text) < 25,
    "no hedging": lambda text, answer: not re.search(r"\b(or|maybe)\b", text),
}


class Rubric(Verifier):
    """Passes an answer that meets every demanded check."""

    name, version = "rubric", "1"

    def __init__(self, demanded: list[str]) -> None:
        self.demanded = demanded

    def verify(self, task: Task, trajectory: Trajectory) -> Verdict:
        for name in self.demanded:
            if not CHECKS[name](trajectory.answer, task.answer):
                return Verdict.failed(f"not: {name}")
        return Verdict.passed()


class TuneRubric(EvolutionStrategy):
    """Adds, drops or swaps one check at a time."""

    def __init__(self, *, seed: int = 0) -> None:
        self.random = random.Random(seed)

    async def evaluate(self, candidate: list[str]) -> float:
        found = audit(Rubric(candidate), LABELLED)
        return found.tpr.value - found.fpr.value - 0.001 * len(candidate)  # of equals, the shorter

    async def mutate(self, candidate: list[str]) -> list[str]:
        change = self.random.choice(list(CHECKS))
        return sorted(set(candidate) ^ {change})


def labelled_answers(count: int) -> list[LabelledAnswer]:
    out = []
    for index in range(count):
        stream = item_stream("rubric", index)
        a, b = stream.randrange(10, 99), stream.randrange(10, 99)
        task = Task("sums", f"sums:{a}+{b}", (Message("user", f"{a}+{b}?"),), str(a + b))
        answers = {
            f"{a}+{b}={a + b}\n#### {a + b}": True,
            f"Carry on from {a}.\n#### {a + b}": True,
            f"#### {a + b}": True,
            f"{a}+{b}={a + b}": False,  # no final line
            f"{a}+{b}={a + b}\n#### {a + b + 10}": False,
            f"#### {a + b + 1}\nmaybe\n#### {a + b}": False,
            f"{a + b} or {a + b + 1}\n#### {a + b}": False,
            f"#### {a + b} please": False,
        }
        out += [LabelledAnswer(task, text, correct) for text, correct in answers.items()]
    return out


LABELLED = labelled_answers(20)
START = [["polite"], ["number occurs", "short"]]

config = EvolutionConfig(epochs=30, population_size=12, mutation_rate=0.9, patience=12, seed=3)
result = asyncio.run(EvolutionPipeline(config=config, strategy=TuneRubric(seed=3)).run(START))
for record in result.history:
    if record.epoch in (1, 2, 4, 8, result.epochs_completed):
        print(f"epoch {record.epoch:2}  best {record.best_score:.3f}  mean {record.mean_score:.3f}")
print(f"stopped by {result.stop_reason}; the rubric demands: {', '.join(result.best_candidate)}")
found = audit(Rubric(result.best_candidate), LABELLED)
print(f"its audit: TPR {found.tpr.value:.3f}, FPR {found.fpr.value:.3f}")

check_evolution(TuneRubric, START)
print("TuneRubric keeps the contract of an evolution strategy")
