"""Parts of recipes with stages (``mine.py:Copying``): a backend that copies, a strict verifier, a critic, a policy that needs hints."""

import json
import re
import shutil
from pathlib import Path

from orbiter.curate.pairs import UnpairedPreference
from orbiter.generate.scripted import ScriptedPolicy
from orbiter.records import Pair, Task, Trajectory, Verdict
from orbiter.train.backend import Backend, TrainResult
from orbiter.train.config import TrainMetrics
from orbiter.verify import Verifier


class Copying(Backend):
    """Keeps what the job says beside a checkpoint of the scripted policy, which gets better by the step."""

    name = "copying"
    algorithms = {  # noqa: RUF012
        "sft": Trajectory,
        "grpo": Task,
        "dpo": Pair,
        "kto": UnpairedPreference,
        "reward": Pair,
    }
    scoring = {"reward"}  # noqa: RUF012
    absent = {"ppo": "look elsewhere"}  # noqa: RUF012

    def check(self, job):
        self.record_of(job.algorithm)

    def train(self, job):
        job.output_dir.mkdir(parents=True, exist_ok=True)
        shutil.copy(job.data, job.output_dir / "data.jsonl")
        start = Path(job.model) / "scripted.json"
        accuracy = json.loads(start.read_text())["accuracy"] if start.exists() else 0.4
        (job.output_dir / "scripted.json").write_text(
            json.dumps({"accuracy": self.learnt(accuracy)})
        )
        told = {
            "model": job.model,
            "algorithm": job.algorithm,
            "rewards": [[r.name, r.weight] for r in job.rewards],
        }
        (job.output_dir / "told.json").write_text(json.dumps(told))
        return TrainResult(checkpoint=job.output_dir, metrics=TrainMetrics(steps=1), sample_count=7)

    def learnt(self, accuracy):
        return min(1, accuracy + 0.1)


class Forgetting(Copying):
    """Trains a model that answers nothing right."""

    def learnt(self, accuracy):
        return 0.0


class Strict(Verifier):
    name, version = "strict", "1"

    def verify(self, task, trajectory):
        good = trajectory.answer == task.answer and task.answer[0] in "01"
        return Verdict.passed() if good else Verdict.failed("strict")


class Graded(Verifier):
    name, version = "graded", "1"

    def verify(self, task, trajectory):
        if trajectory.answer == task.answer:
            return Verdict.passed()
        places = enumerate(zip(trajectory.answer, task.answer), start=1)
        right = sum(place for place, (said, wanted) in places if said == wanted)
        return Verdict.failed("out of place", score=right / 100)


class Sorted(Verifier):
    """Goes by the prompt, so that tasks without a reference are judged too."""

    name, version = "sorted", "1"

    def verify(self, task, trajectory):
        right = "".join(sorted(re.sub(r"\D", "", task.prompt)))
        return Verdict.passed() if trajectory.answer == right else Verdict.failed("out of order")


class Editor(ScriptedPolicy):
    """Mends nine answers of ten, or as many as it is told, and says why."""

    name = "editor"

    def __init__(self, of=10):
        super().__init__(answers=self.say)
        self.of = of

    def say(self, request):
        right = "".join(sorted(request.messages[0].text.removeprefix("sort ").removesuffix(":")))
        if request.messages[-1].text.startswith("Rewrite"):
            return right if request.seed % self.of else right[::-1]
        return "out of order"


class Hinted(ScriptedPolicy):
    """Knows what has a 0 in it, and what it is told."""

    name = "hinted"

    def __init__(self):
        super().__init__(answers=self.say)

    def load(self, checkpoint):
        pass

    def say(self, request):
        task, sign, answer = request.messages[-1].text.partition(" = ")
        return answer if sign else "".join(sorted(task[5:-1])) if "0" in task else "?"
