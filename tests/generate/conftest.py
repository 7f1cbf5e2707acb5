"""Parts of the tests of engines: a policy that says what it is told and remembers what it was asked."""

import pytest

from orbiter.generate.policy import Completion, Policy
from orbiter.records import Message, Task


class Saying(Policy):
    """Answers with a function of the request; remembers the requests."""

    name, batch_size, concurrency = "saying", 3, 2

    def __init__(self, say):
        self.say, self.asked, self.closed_count = say, [], 0

    async def complete(self, requests, sampling):
        self.asked += requests
        said = [self.say(request) for request in requests]
        return [s if isinstance(s, Completion) else Completion.of(s, token_count=1) for s in said]

    async def aclose(self):
        self.closed_count += 1


@pytest.fixture
def saying():
    return Saying


@pytest.fixture
def task():
    """Make a task of one question."""

    def make(prompt, answer=None, *, name=None):
        return Task("quiz", f"quiz:{name or prompt}", (Message("user", prompt),), answer=answer)

    return make
