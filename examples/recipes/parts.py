"""Parts of the recipes star.yaml and cai.yaml: sums with their working, and a scripted critic and judge."""

import re

from orbiter.generate.policy import Completion, Policy
from orbiter.generate.scripted import corrupted
from orbiter.generate.synthesiser import DataSynthesiser
from orbiter.records import Message, Task, Trajectory, Verdict
from orbiter.tasks import Environment, item_stream
from orbiter.verify import Verifier

SUM = re.compile(r"(\d+)\+(\d+)=(?:\d+:)?")


class Working(Environment):
    """Sums whose answers show their working, the units first: ``47+85=`` -> ``7+5=12 4+8+1=13:132``."""

    name = "working"
    chars = "+0123456789=: "

    def __init__(self, *, digits: int = 2) -> None:
        self.digits = digits

    def task(self, index, *, seed):
        stream = item_stream(self.name, self.digits, seed, index)
        left, right = (stream.randrange(10**self.digits) for _ in range(2))
        return self.make_task(f"{left}+{right}", f"{left}+{right}=", answer=str(left + right))

    def demonstrate(self, task):
        left, right = _numbers(task)
        steps, carry = [], 0
        for place in range(max(len(str(left)), len(str(right)))):
            a, b = (number // 10**place % 10 for number in (left, right))
            terms = f"{a}+{b}" + ("+1" if carry else "")
            steps.append(f"{terms}={a + b + carry}")
            carry = (a + b + carry) // 10
        return f"{' '.join(steps)}:{left + right}"

    def verifier(self):
        return Total()


class Total(Verifier):
    """Passes an answer whose last number, after the working, is the sum."""

    name, version = "total", "1"

    def verify(self, task, trajectory):
        working, colon, total = trajectory.answer.rpartition(":")
        if not colon or not working:
            return Verdict.failed("no working")
        return (
            Verdict.passed() if total == str(sum(_numbers(task))) else Verdict.failed("wrong sum")
        )


class WorkedSums(DataSynthesiser):
    """Demonstrations for a cold start, every second one with the sum in sight, as a hint gives it."""

    def __init__(self, *, digits: int = 2, seed: int = 0) -> None:
        self.environment, self.seed = Working(digits=digits), seed

    async def generate(self, count):
        rows = []
        for index in range(count):
            task = self.environment.task(index, seed=self.seed)
            prompt = task.prompt + (f"{task.answer}:" if index % 2 else "")
            asked = Task(task.env, task.task_id, (Message("user", prompt),))
            said = Message("assistant", self.environment.demonstrate(task))
            rows.append(Trajectory.following(asked, said, generator="worked-sums"))
        return rows


class Critic(Policy):
    """Criticises and revises sorted digits by rule; a revision is right with probability ``accuracy``."""

    name = "digit-critic"
    batch_size = 256

    def __init__(self, *, accuracy: float = 0.8) -> None:
        self.accuracy = accuracy

    async def complete(self, requests, sampling):
        return [Completion.of(self._say(request)) for request in requests]

    def _say(self, request):
        right = _sorted(request.messages)
        if request.messages[-1].text.startswith("Rewrite"):
            stream = item_stream("critic", request.seed, request.task_id)
            return right if stream.random() < self.accuracy else corrupted(right, stream)
        answer = next(m.text for m in request.messages if m.role == "assistant")
        if answer == right:
            return "The answer keeps the principle."
        place = next((i for i, (a, b) in enumerate(zip(answer, right)) if a != b), len(answer))
        return f"The answer goes wrong at place {place + 1}: a smaller digit of the task was left out before it."


class Judge(Verifier):
    """Scores an answer by the share of its places that are right, and passes one that is right everywhere."""

    name, version = "digit-judge", "1"

    def verify(self, task, trajectory):
        right, answer = _sorted(task.messages), trajectory.answer
        share = sum(a == b for a, b in zip(answer, right)) / max(len(answer), len(right))
        return Verdict.passed() if share == 1 else Verdict.failed("out of order", score=share)


def _numbers(task):
    left, right = SUM.fullmatch(task.prompt).groups()
    return int(left), int(right)


def _sorted(messages):
    return "".join(sorted(re.sub(r"\D", "", messages[0].text)))
