"""What an engine was answered is asked for once, however often the engine is begun again."""

import asyncio
import os
from contextlib import ExitStack

import attrs
import pytest

from orbiter.errors import LedgerError
from orbiter.flywheel.exchanges import Exchanges
from orbiter.flywheel.stages import training
from orbiter.generate.policy import Completion, Policy, Request, Sampling, Spending
from orbiter.generate.scripted import ScriptedPolicy
from orbiter.records import Message


class Counting(Policy):
    """Says how often it was asked, and fails where it is told to."""

    name, batch_size, concurrency = "counting", 3, 2

    def __init__(self, *, fails=()):
        self.asked, self.fails = [], fails

    async def complete(self, requests, sampling):
        self.asked += [request.task_id for request in requests]
        return [
            Completion.failed("down")
            if request.task_id in self.fails
            else Completion.of(f"{request.task_id} é\n", token_count=2, cost=0.25)
            for request in requests
        ]


def request(name, seed=0):
    return Request(messages=(Message("user", str(name)),), task_id=str(name), seed=seed)


def answers(exchanges, policy, names, sampling=Sampling()):  # noqa: B008
    return asyncio.run(exchanges.ask(policy, [request(name) for name in names], sampling))


@pytest.fixture
def remembering(tmp_path):
    """Open the exchanges of one file, as often as wanted."""
    with ExitStack() as stack:
        yield lambda: stack.enter_context(Exchanges(tmp_path / "asked.jsonl"))


@pytest.mark.parametrize("kept", [True, False])
def test_what_is_known_is_not_asked_again(remembering, kept):
    exchanges, policy = remembering() if kept else Exchanges(), Counting()
    first = answers(exchanges, policy, range(5))
    assert answers(exchanges, policy, range(7))[:5] == first
    assert sorted(policy.asked) == [str(n) for n in range(7)]
    assert exchanges.spent == Spending(samples=7, tokens=14, cost=1.75, priced=7)
    again = asyncio.run(exchanges.ask(policy, [request(1, seed=1)], Sampling()))
    assert again == [first[1]]
    answers(exchanges, policy, [1], Sampling(temperature=0.5))
    assert policy.asked[7:] == ["1", "1"]  # another seed, another sampling


@pytest.mark.parametrize("cut", [0, 1, 40, -1])
def test_another_process_goes_on_after_what_was_written(remembering, cut):
    first = remembering()
    whole = answers(first, Counting(), range(6))
    os.truncate(first.path, first.path.stat().st_size + cut if cut < 0 else cut)
    lines = first.path.read_bytes().count(b"\n")
    second, other = remembering(), Counting()
    assert second.spent.samples == lines
    assert answers(second, other, range(6)) == whole
    assert len(other.asked) == 6 - lines
    assert second.spent == first.spent
    third = remembering()
    assert third.spent == first.spent
    third.forget()
    assert not third.path.exists()


def test_a_page_that_a_lost_machine_never_wrote_is_not_known(remembering):
    first = remembering()
    answers(first, Counting(), range(3))
    one, two, three = first.path.read_bytes().splitlines(keepends=True)
    first.path.write_bytes(one + b"\0" * len(two) + b"\n" + three)
    second, policy = remembering(), Counting()
    answers(second, policy, range(3))
    assert policy.asked == ["1"]


def test_what_failed_is_asked_for_again(remembering):
    first = remembering()
    failed = answers(first, Counting(fails=("1",)), range(3))
    assert failed[1].error == "down"
    assert first.spent == Spending(samples=3, tokens=4, cost=0.5, priced=2)
    second, policy = remembering(), Counting()
    assert answers(second, policy, range(3))[1].error is None
    assert policy.asked == ["1"]


def test_a_full_disk_is_named():
    exchanges = Exchanges()
    exchanges._file = open("/dev/full", "wb")  # noqa: SIM115
    with exchanges, pytest.raises(LedgerError, match="cannot be written: No space left on device"):
        answers(exchanges, Counting(), range(3))


def test_policies_of_one_name_and_two_models_are_not_taken_for_each_other():
    class Named(Counting):
        def __init__(self, model):
            super().__init__()
            self._model = model

        @property
        def model(self):
            return self._model

        async def complete(self, requests, sampling):
            return [Completion.of(self._model) for _ in requests]

    exchanges = Exchanges()
    for model in ("small", "large", "small"):
        assert answers(exchanges, Named(model), [1])[0].messages[0].text == model
    assert exchanges.spent.samples == 2


PARTS = """
import re
from orbiter.generate.scripted import ScriptedPolicy
from orbiter.tasks import item_stream

class Writer(ScriptedPolicy):
    name, batch_size = "writer", 3
    def __init__(self):
        super().__init__(answers=self.say)
    def say(self, request):
        if request.messages[-1].text.startswith("You play"):
            return "look again"
        return f"sort {item_stream(request.seed).randrange(10**6)}:"

class Knows(Writer):
    '''Writes, and sorts, mostly by giving the same prompts.'''
    def say(self, request):
        if request.messages[-1].text.startswith("Below"):
            return super().say(request)
        return "".join(sorted(re.sub(r"\\D", "", request.messages[-1].text)))
"""

RECIPE = """\
name: paid
seed: 3
environment: {name: sorting, length: 5}
verifier: {name: "stage_parts.py:Sorted"}
policy: {name: scripted, accuracy: 0.6, environment: {name: sorting, length: 5}}
evaluate: {tasks: 0, audit: 0}
verify: {workers: 0}
stages:
"""
ENGINE = '{name: evol, environment: {name: sorting, length: 5}, verifier: {name: "stage_parts.py:Sorted"}, policy: {name: "mine.py:Knows"}}'
STAGES = [
    'synthesise: {name: evol, tasks: 8, depth: 2, samples: 2, writer: {name: "mine.py:Writer"}}',
    'synthesise: {name: multi_turn, tasks: 6, turns: 3, simulator: {name: "mine.py:Writer"}}',
    f"demonstrate: {{count: 6, synthesisers: [{ENGINE}]}}",
    'generate: {tasks: 6, samples: 2}, revise: {rounds: 2, critic: {name: "mine.py:Writer"}}, curate: {pairs: true}',
]


async def stopped():
    """End all that is under way, as Ctrl-C does."""
    for task in asyncio.all_tasks():
        task.cancel()
    await asyncio.sleep(0)


@pytest.mark.parametrize("made", STAGES)
def test_an_engine_that_was_killed_pays_for_no_answer_twice(wheel, data_of, monkeypatch, made):
    """Killed again and again, until it is through."""
    stage = f"{RECIPE}  one: {{{made}}}\n"
    asked, fuse, complete = [], [10**6], ScriptedPolicy.complete

    async def counted(self, requests, sampling):
        if fuse[0] <= 0:
            await stopped()
        given = await complete(self, requests, sampling)
        fuse[0] -= len(requests)
        asked.extend(requests)
        return given

    monkeypatch.setattr(ScriptedPolicy, "complete", counted)
    whole = wheel(text=stage, folder="whole").run()
    once, kills = list(asked), 0
    asked.clear()
    while True:
        fuse[0] = 5
        try:
            result = wheel(text=stage).run()
            break
        except asyncio.CancelledError:
            kills += 1
            assert kills < 30
    assert kills >= 2
    assert sorted(map(repr, asked)) == sorted(map(repr, once))
    assert data_of(result.path) == data_of(whole.path)
    for one, other in zip(result.rounds, whole.rounds, strict=True):
        assert one["asked"] == other["asked"]
    assert not list(result.path.glob("data/*asked*"))


def test_a_cold_start_that_was_killed_while_it_trained_pays_for_no_answer_twice(
    wheel, asked, monkeypatch
):
    trained = training._train

    def killed(*_):
        raise KeyboardInterrupt

    monkeypatch.setattr(training, "_train", killed)
    backend = 'backend: "stage_parts.py:Copying"'
    teach = f"teach: {{{backend}, demonstrations: 4, synthesisers: [{ENGINE}]}}\nmodel: {{id: some-model}}\n"
    text = RECIPE.replace("stages:", teach + "stages:") + "  one: {generate: {tasks: 1}}\n"
    with pytest.raises(KeyboardInterrupt):
        wheel(text=text).run()
    once = len(asked)
    monkeypatch.setattr(training, "_train", trained)
    result = wheel(text=text).run()
    assert len(asked) == once + result.rounds[1]["asked"]["samples"]
    assert result.rounds[0]["asked"]["samples"] == once
    assert not list(result.path.glob("data/*asked*"))


@pytest.mark.parametrize(("made", "step"), [(STAGES[0], "synthesise"), (STAGES[3], "generate")])
def test_tokens_of_an_earlier_process_are_not_timed_by_this_one(wheel, monkeypatch, made, step):
    stage, complete, fuse = f"{RECIPE}  one: {{{made}}}\n", ScriptedPolicy.complete, [5]
    told = []

    async def counted(self, requests, sampling):
        if not fuse[0]:
            await stopped()
        fuse[0] -= 1
        given = await complete(self, requests, sampling)
        told.extend(attrs.evolve(answer, token_count=10) for answer in given)
        return told[-len(given) :]

    monkeypatch.setattr(ScriptedPolicy, "complete", counted)
    with pytest.raises(asyncio.CancelledError):
        wheel(text=stage).run()
    fuse[0] = -1
    told.clear()
    flywheel = wheel(text=stage)
    flywheel.run()
    facts = flywheel.done(1, step)
    assert facts["timed_tokens"] == 10 * len(told) < facts["tokens"]


def test_an_engine_of_demonstrations_that_is_asked_for_more_pays_once(wheel, asked):
    stage = f"{RECIPE}  one: {{demonstrate: {{count: 4, synthesisers: [{ENGINE}]}}}}\n"
    made = wheel("evaluate.share=0.6", text=stage).run()
    assert len({repr(request) for request in asked}) == len(asked)
    assert made.rounds[1]["asked"]["samples"] == len(asked)
    assert (made.path / "data/round-1-kept.jsonl").read_bytes().count(b"\n") == 4
