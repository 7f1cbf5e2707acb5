"""What every engine over a policy does alike: requests, verdicts, accounts."""

import asyncio

import attrs
import pytest

from orbiter.errors import ConfigError, OrbiterWarning, PolicyError, RecordError
from orbiter.generate.engine import PolicySynthesiser
from orbiter.generate.evol import Evol
from orbiter.generate.pipeline import SynthesisConfig, SynthesisPipeline
from orbiter.generate.policy import Completion
from orbiter.generate.proposals import Proposal, Proposed
from orbiter.records import Message, Trajectory, Verdict
from orbiter.testing import check_synthesiser
from orbiter.verify.exact import ExactVerifier


@attrs.define(kw_only=True, eq=False, slots=False, repr=False)
class Twice(PolicySynthesiser):
    """Asks each task twice."""

    name = "twice"

    @property
    def per_task(self):
        return 2

    async def propose(self, tasks):
        asked = [(task, n) for task in tasks for n in range(2)]
        answers = await self.ask([self.request(task, number=n) for task, n in asked])
        return Proposed(
            proposals=tuple(Proposal(t, answer) for (t, _), answer in zip(asked, answers))
        )


def test_what_fails_or_cannot_be_judged_is_dropped_with_its_reason(run, saying, task):
    said = {
        "a": "1", "b": "2", "c": Completion.failed("down"), "d": Completion.of("1", finish_reason="length"), "e": "1",
    }  # fmt: skip
    policy = saying(lambda request: said[request.messages[-1].text])
    engine = Twice(policy=policy, verifier=ExactVerifier())
    tasks = [task(name, "1") for name in "abcd"] + [task("e")]
    rows = run(engine, *tasks)
    assert [(row.task_id, row.answer, row.score, row.generator) for row in rows] == [
        ("quiz:a", "1", 1.0, "twice")
    ] * 2
    assert engine.report.tried == 10
    assert {reason.partition(":")[0]: n for reason, n in engine.report.dropped.items()} == {
        "failed": 2,
        "no answer": 2,
        "cut off by the bound on tokens": 2,
        "invalid": 2,
    }


def test_what_is_in_the_source_twice_is_asked_once(run, saying, task):
    policy = saying(lambda _: "1")
    engine = Twice(policy=policy, verifier=ExactVerifier())
    same_id = attrs.evolve(task("a", "1"), messages=(Message("user", "b"),))
    rows = run(engine, task("a", "1"), same_id, task("a", "1"))
    assert [row.prompt[0].text for row in rows] == ["a", "a", "b", "b"]
    assert len(policy.asked) == engine.report.tried == 4


@pytest.mark.parametrize("source", ["a text", {"question": "2+2=", "answer": "4"}])
def test_one_item_is_no_source(saying, source):
    engine = Twice(policy=saying(lambda _: "1"), verifier=ExactVerifier())
    with pytest.raises(ConfigError, match="source must be a list of items, got"):
        asyncio.run(engine.synthesise(source, SynthesisConfig(target_size=1)))


class Lax(ExactVerifier):
    def verify(self, task, trajectory):
        return Verdict.passed()


@pytest.mark.parametrize("said", [Completion(), Completion(messages=(Message("user", "what?"),))])
def test_no_judge_makes_an_answer_of_none(run, saying, task, said):
    engine = Twice(policy=saying(lambda _: said), verifier=Lax())
    assert run(engine, task("a")) == []
    assert engine.report.dropped == {"no assistant message": 2}


def test_the_answers_come_in_order_whatever_the_batches(run, saying, task):
    async def late(requests, sampling):
        await asyncio.sleep(0.01 if requests[0].task_id == "quiz:0" else 0)
        return [Completion.of(request.task_id) for request in requests]

    policy = saying(None)
    policy.complete = late
    engine = Twice(policy=policy, verifier=ExactVerifier())
    rows = run(engine, *(task(str(n), f"quiz:{n}") for n in range(10)))
    assert [row.answer for row in rows] == [f"quiz:{n // 2}" for n in range(20)]


def test_a_policy_that_raises_stops_the_engine_and_leaves_nothing_running(saying, task):
    engine = Twice(policy=saying(lambda _: 1 / 0), verifier=ExactVerifier())

    async def run():
        with pytest.raises(Exception, match="ZeroDivisionError"):
            await engine.synthesise(
                [task(str(n)) for n in range(9)], SynthesisConfig(target_size=1)
            )
        await asyncio.sleep(0)
        return asyncio.all_tasks()

    assert len(asyncio.run(run())) == 1


def test_seeds_differ_by_task_sample_and_engine_seed(run, saying, task):
    seeds = set()
    for seed in (0, 1):
        policy = saying(lambda _: "1")
        run(Twice(policy=policy, verifier=ExactVerifier(), seed=seed), task("a"), task("b"))
        seeds |= {request.seed for request in policy.asked}
    assert len(seeds) == 8


def test_sources_are_tasks_rows_dicts_and_texts(run, saying, task):
    policy = saying(lambda _: "4")
    engine = Twice(policy=policy, verifier=ExactVerifier())
    row = Trajectory((Message("user", "2+2"), Message("assistant", "4")), "sums", "sums:1", 1.0)
    rows = run(engine, task("2+2", "4"), row, {"instruction": "2+2?", "response": "4"})
    assert [(r.env, r.prompt[0].text) for r in rows[::2]] == [
        ("quiz", "2+2"),
        ("sums", "2+2"),
        ("instructions", "2+2?"),
    ]
    assert run(engine, "why?") == []
    assert engine.report.dropped == {"invalid: task has no reference text": 2}
    for wrong in ({"messages": []}, 3, "  "):
        with pytest.raises(RecordError, match="item 2"):
            run(engine, "why?", wrong)


def test_what_is_missing_is_named(run, saying, task):
    with pytest.raises(ConfigError, match="twice must have a verifier, got none"):
        run(Twice(policy=saying(lambda _: "1")), task("a"))
    with pytest.raises(ConfigError, match="twice must have a policy, got none"):
        run(Twice(verifier=ExactVerifier()), task("a"))
    with pytest.raises(ConfigError, match="twice must have an environment to take tasks from"):
        asyncio.run(Twice(policy=saying(lambda _: "1"), verifier=ExactVerifier()).generate(1))


def test_a_policy_that_answers_too_little_is_named(run, saying, task):
    policy = saying(lambda _: "1")

    async def short(requests, sampling):
        return []

    policy.complete = short
    with pytest.raises(PolicyError, match="must return a list of 2 completions, got 0"):
        run(Twice(policy=policy, verifier=ExactVerifier()), task("a"))


def test_what_a_policy_notes_of_its_answers_is_no_word_of_the_engine(run, saying, task):
    notes = {"document": "from a book", "role": "rejected", "page": 3}
    engine = Twice(policy=saying(lambda _: Completion.of("1", metadata=notes)), verifier=Lax())
    assert [(row.answer, row.metadata) for row in run(engine, task("a"))] == [
        ("1", {"page": 3})
    ] * 2


async def test_a_policy_in_two_parts_is_closed_once_and_one_that_goes_on_is_not(saying):
    one, other = saying(None), saying(None)
    await Evol(policy=one, writer=one).aclose()
    await Evol(policy=one, writer=other).aclose(keep=one)
    assert (one.closed_count, other.closed_count) == (1, 1)


def test_rows_beyond_those_that_were_asked_for_are_counted():
    engine = Twice(policy={"name": "scripted", "environment": "sorting"}, environment="sorting")
    assert len(asyncio.run(engine.generate(7))) == 7
    report = engine.report
    assert (report.tried, report.kept, report.dropped) == (8, 7, {"more than were asked for": 1})


SCRIPTED = {"name": "scripted", "environment": "sorting", "accuracy": 0.5}


def test_it_keeps_the_contract_of_a_synthesiser_and_goes_into_a_pipeline():
    def make():
        return Twice(policy=SCRIPTED, environment="sorting", seed=4)

    check_synthesiser(make, count=7)
    with pytest.warns(
        OrbiterWarning, match="twice made [0-9]+ rows of 20 tasks, fewer than the 40"
    ):
        rows = asyncio.run(make().generate(40))
    pipeline = SynthesisPipeline(config=SynthesisConfig(target_size=5, min_score=1.0))
    tasks = [make().environment.task(n, seed=4) for n in range(20)]
    result = asyncio.run(pipeline.add_step(make()).run(tasks))
    assert result.items == rows[:5]
