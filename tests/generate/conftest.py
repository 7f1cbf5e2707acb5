"""Parts of the tests of engines: a policy that says what it is told and remembers what it was asked, tasks, verifiers."""

import asyncio
import re

import pytest

from orbiter.generate.pipeline import SynthesisConfig
from orbiter.generate.policy import Completion, Policy
from orbiter.records import Message, Task, Verdict
from orbiter.verify import Verifier


class Saying(Policy):
    """Answers with a function of the request; remembers the requests, and how it was to sample."""

    name, batch_size, concurrency = "saying", 3, 2

    def __init__(self, say):
        self.say, self.asked, self.samplings, self.closed_count = say, [], [], 0

    async def complete(self, requests, sampling):
        self.asked += requests
        self.samplings.append(sampling)
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


@pytest.fixture
def run():
    """Return the rows that an engine makes of sources, of which it accounts for all."""

    def rows_of(engine, *source):
        rows = asyncio.run(engine.synthesise(source, SynthesisConfig(target_size=1)))
        report = engine.report
        assert report.tried == report.kept + report.dropped.total()
        assert report.kept == len(rows)
        return rows

    return rows_of


class Polite(Verifier):
    """Passes whatever thanks."""

    name, version = "polite", "1"

    def verify(self, task, trajectory):
        return Verdict.passed() if "thank" in trajectory.answer else Verdict.failed("rude")


class LastNumber(Verifier):
    """Passes an answer whose last number is that of the reference."""

    name, version = "last-number", "1"

    def verify(self, task, trajectory):
        found, right = (re.findall(r"\d+", text)[-1:] for text in (trajectory.answer, task.answer))
        return Verdict.passed() if found == right else Verdict.failed("another number")


@pytest.fixture
def polite():
    return Polite()


@pytest.fixture
def last_number():
    return LastNumber()
