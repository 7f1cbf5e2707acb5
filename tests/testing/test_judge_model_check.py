import asyncio
import threading

import pytest

from orbiter.records import Message
from orbiter.testing import check_judge_model
from orbiter.verify.judges import JudgeModel, Question, Reply

QUESTIONS = [Question(messages=(Message("user", word),)) for word in ("a", "b", "c")]


class Parrot(JudgeModel):
    """A right one, to be broken in one way each."""

    model = "parrot"

    def ask(self, questions):
        return [Reply(text=question.messages[-1].text) for question in questions]


def test_a_right_one_passes():
    check_judge_model(Parrot, QUESTIONS)


def test_one_that_cannot_answer_passes():
    class Down(Parrot):
        def ask(self, questions):
            return [Reply(error="HTTP 500")] * len(questions)

    check_judge_model(Down, QUESTIONS, stochastic=True)


class Nameless(Parrot):
    model = ""


class Renamed(Parrot):
    count = 0

    def __init__(self):
        Renamed.count += 1
        self.model = f"parrot-{Renamed.count}"


class Short(Parrot):
    def ask(self, questions):
        return super().ask(questions)[:2]


class Talkative(Parrot):
    def ask(self, questions):
        return super().ask(questions) or [Reply(text="hello")]


class Raising(Parrot):
    def ask(self, questions):
        raise RuntimeError("down")


class Texts(Parrot):
    def ask(self, questions):
        return [reply.text for reply in super().ask(questions)]


class Silent(Parrot):
    def ask(self, questions):
        return [Reply()] * len(questions)


class Sorting(Parrot):
    def ask(self, questions):
        return sorted(super().ask(questions), key=lambda reply: reply.text)


class Forgetful(Parrot):
    calls = 0

    def ask(self, questions):
        self.calls += 1
        return [Reply(text=f"{reply.text}{self.calls}") for reply in super().ask(questions)]


class Looping(Parrot):
    def ask(self, questions):
        later = self.later(questions)
        try:
            return asyncio.run(later)
        finally:
            later.close()

    async def later(self, questions):
        return super().ask(questions)


class Connected(Parrot):
    def __init__(self):
        self.lock = threading.Lock()


class ChangedOnTheWay(Parrot):
    echo = ""

    def __setstate__(self, _):
        self.echo = "!"

    def __getstate__(self):
        return {"echo": ""}

    def ask(self, questions):
        return [Reply(text=f"{reply.text}{self.echo}") for reply in super().ask(questions)]


class Idle(Parrot):
    concurrency = 0


@pytest.mark.parametrize(
    ("made", "clause"),
    [
        (Nameless, "model"),
        (Renamed, "model"),
        (Short, "replies"),
        (Talkative, "replies"),
        (Raising, "replies"),
        (Texts, "replies"),
        (Silent, "replies"),
        (Sorting, "order"),
        (Forgetful, "same replies again"),
        (Looping, "replies"),
        (Connected, "pickled"),
        (ChangedOnTheWay, "pickled"),
        (Idle, "concurrency"),
    ],
)
def test_a_broken_clause_is_named(made, clause):
    with pytest.raises(AssertionError, match=f"judge_model '{made.__name__}' breaks '{clause}': "):
        check_judge_model(made, QUESTIONS)


def test_questions_must_tell_replies_apart():
    with pytest.raises(ValueError, match="questions must get at least two different replies"):
        check_judge_model(Parrot, QUESTIONS[:1])
