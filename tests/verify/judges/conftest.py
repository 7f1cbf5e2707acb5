import attrs
import pytest

from orbiter.records import Message, Task
from orbiter.verify.answer import answered
from orbiter.verify.judges import JudgeModel, Reply


class Scripted(JudgeModel):
    """Says the n-th of its replies to the n-th question, from the first again; or what a function makes of the question."""

    def __init__(self, *replies, model="scripted"):
        self.replies, self.model, self.asked, self.calls = replies, model, [], 0

    def ask(self, questions):
        self.calls += 1
        return [self.reply(question) for question in questions]

    def reply(self, question):
        said = self.replies[len(self.asked) % len(self.replies)]
        self.asked.append(question)
        said = said(question) if callable(said) else said
        return said if isinstance(said, Reply) else Reply(text=said)


@pytest.fixture
def scripted():
    return Scripted


@pytest.fixture
def task():
    return Task("e", "e:1", (Message("user", "What is 6 * 7?"),), answer="42")


@pytest.fixture
def verdict(task):
    """Return a function that gives a judge's verdict on an answer to the task."""

    def verdict(judge, text, /, **changes):
        changed = attrs.evolve(task, **changes)
        return judge.verify(changed, answered(changed, text))

    return verdict
