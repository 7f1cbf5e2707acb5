"""Evol-Instruct: what is rewritten, what is tried again, where it comes from."""

import asyncio

import attrs
import pytest

from orbiter.errors import ConfigError
from orbiter.generate.evol import OPERATIONS, Evol
from orbiter.generate.policy import Completion, Spending
from orbiter.records import Message, Task

SOURCE = "Name three rivers of France and say into which sea each flows."


def deeper(request):
    """Return another instruction for each order, and thanks for everything else."""
    text = request.messages[-1].text
    if "Below is an instruction" not in text:
        return "thank you" if "step" in text else "what?"
    return f"{request.seed:x} tell me how {request.seed % 997} is written as a sum of squares, step by step."


def test_an_instruction_evolves_step_by_step_and_says_where_it_comes_from(
    run, saying, polite, task
):
    policy = saying(deeper)
    engine = Evol(policy=policy, verifier=polite, depth=3, samples=2, seed=1)
    rows = run(engine, task(SOURCE, "Seine", name="rivers"))
    assert len(rows) == 6
    assert engine.report.spent == Spending(samples=9, tokens=9)
    assert len(policy.asked) == 3 + 6
    tasks = list(dict.fromkeys(row.task_id for row in rows))
    lineages = [row.metadata["lineage"] for row in rows[::2]]
    assert [line["depth"] for line in lineages] == [1, 2, 3]
    assert [line["parent"] for line in lineages] == ["quiz:rivers", *tasks[:2]]
    assert {line["operation"] for line in lineages} <= set(OPERATIONS)
    assert all(name.startswith("quiz:evol-") for name in tasks)
    orders = [r.messages[0].text for r in policy.asked if "Below is" in r.messages[0].text]
    assert [order.splitlines()[-1] for order in orders] == [
        SOURCE,
        *(row.prompt[-1].text for row in rows[:4:2]),
    ]


def test_the_new_task_has_no_reference_and_keeps_the_system_prompt_and_the_tools(saying, polite):
    system, tool = Message("system", "be kind"), {"type": "function", "function": {"name": "f"}}
    source = Task("quiz", "quiz:1", (system, Message("user", SOURCE)), answer="x", tools=(tool,))
    engine = Evol(policy=saying(deeper), verifier=polite)
    proposed = asyncio.run(engine.propose([source]))
    (proposal,) = proposed.proposals
    assert proposal.task.answer is None
    assert proposal.task.messages[0] == system
    assert proposal.task.tools == (tool,)


def test_a_lineage_that_somebody_else_wrote_is_none(run, saying, polite, task):
    source = attrs.evolve(task(SOURCE), metadata={"lineage": "of the old school"})
    (row,) = run(Evol(policy=saying(deeper), verifier=polite), source)
    assert row.metadata["lineage"]["depth"] == 1


def test_what_has_evolved_goes_on_from_its_depth(run, saying, polite, task):
    rows = run(Evol(policy=saying(deeper), verifier=polite, depth=2), task(SOURCE))
    again = run(Evol(policy=saying(deeper), verifier=polite, seed=1), *rows)
    assert [row.metadata["lineage"]["depth"] for row in (*rows, *again)] == [1, 2, 2, 3]


def test_what_failed_is_dropped_and_its_parent_is_tried_again(run, saying, polite, task):
    said = iter(["I can't help with that.", SOURCE, Completion.failed("down"), f"{SOURCE} Go"])
    writer = saying(lambda _: next(said))
    engine = Evol(policy=saying(lambda _: "thank you"), writer=writer, verifier=polite, depth=4)
    assert run(engine, task(SOURCE)) == []
    assert engine.report.dropped == {
        "refusal": 1,
        "copy of its source": 1,
        "no answer: down": 1,
        "nearly repeats another instruction": 1,
    }
    assert {request.messages[0].text.splitlines()[-1] for request in writer.asked} == {SOURCE}


def test_an_instruction_may_grow_out_of_its_source_and_is_still_new(run, saying, polite, task):
    engine = Evol(
        policy=saying(lambda _: "thank you"),
        writer=saying(lambda _: f"{SOURCE} Give lengths too."),
        verifier=polite,
    )
    assert len(run(engine, task(SOURCE))) == 1
    engine.novelty = 0.7
    assert run(engine, task(SOURCE)) == []


def test_two_that_evolve_into_the_same_are_one(run, saying, polite, task):
    engine = Evol(
        policy=saying(lambda _: "thank you"),
        writer=saying(lambda _: "Tell me how butter is made."),
        verifier=polite,
    )
    assert len(run(engine, task(SOURCE), task("Prove that 7 is prime."))) == 1
    assert engine.report.dropped == {"nearly repeats another instruction": 1}


def test_only_the_operations_that_are_asked_for_are_drawn(run, saying, polite, task):
    policy = saying(deeper)
    run(Evol(policy=policy, verifier=polite, operations=["widen"], depth=2), task(SOURCE))
    orders = [r.messages[0].text for r in policy.asked if "Below is" in r.messages[0].text]
    assert all(OPERATIONS["widen"] in order for order in orders)
    with pytest.raises(ConfigError, match="unknown operation 'wide'; did you mean 'widen'"):
        Evol(operations=["wide"])
    with pytest.raises(ConfigError, match=r"unknown operation \['wide'\]"):
        Evol(operations=[["wide"]])
    for wrong in ([], "widen"):
        with pytest.raises(ConfigError, match="operations must"):
            Evol(operations=wrong)


@pytest.mark.parametrize(("option", "value"), [("samples", 0), ("max_words", 0), ("novelty", 0), ("novelty", 1.1)])  # fmt: skip
def test_wrong_options_are_refused(option, value):
    with pytest.raises(ConfigError, match=f"{option} must be"):
        Evol(**{option: value})
