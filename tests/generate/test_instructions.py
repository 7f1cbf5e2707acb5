"""Self-instruct and Evol-Instruct: what is eliminated, what is new, where it comes from."""

import asyncio
from itertools import pairwise

import attrs
import pytest

from orbiter.errors import ConfigError
from orbiter.generate.evol import OPERATIONS, Evol
from orbiter.generate.instructions import bare, fault, novel
from orbiter.generate.pipeline import SynthesisConfig
from orbiter.generate.policy import Completion, Spending
from orbiter.generate.self_instruct import SelfInstruct
from orbiter.records import Message, Task, Verdict
from orbiter.verify import Verifier

SOURCE = "Name three rivers of France and say into which sea each flows."


class Polite(Verifier):
    """Passes whatever thanks."""

    name, version = "polite", "1"

    def verify(self, task, trajectory):
        return Verdict.passed() if "thank" in trajectory.answer else Verdict.failed("rude")


def run(engine, *source):
    rows = asyncio.run(engine.synthesise(source, SynthesisConfig(target_size=1)))
    assert engine.report.tried == engine.report.kept + engine.report.dropped.total()
    return rows


@pytest.mark.parametrize(
    ("text", "reason"),
    [
        ("Name three rivers of Spain, and give their lengths.", None),
        ("", "empty"),
        (" ... ", "empty"),
        ("I'm sorry, but I can't help with that.", "refusal"),
        (SOURCE.upper().replace(".", "!"), "copy of its source"),
        ("#Rewritten Prompt#: name rivers", "words of the order"),
        ("Answer the given prompt about rivers.", "words of the order"),
        ("word " * 21, "too long"),
        ("Write C# that lists rivers under a # heading.", None),
    ],
)
def test_a_failed_instruction_is_eliminated(text, reason):
    assert fault(text, source=SOURCE, max_words=20) == reason


def test_words_that_the_source_has_are_none_of_the_order():
    assert (
        fault("Explain the given prompt.", source="Shorten the given prompt.", max_words=9) is None
    )


@pytest.mark.parametrize("text", ["Task 9: name rivers", '"name rivers"', " Instruction:\nname rivers", "**New task:** name rivers"])  # fmt: skip
def test_labels_and_quotation_marks_are_taken_off(text):
    assert bare(text) == "name rivers"


@pytest.mark.parametrize(
    ("said", "left"),
    [
        ("Task: -3 + 4 = ?", "-3 + 4 = ?"),
        ("Request: ¿Qué es?", "¿Qué es?"),
        ("**Prompt**: (a) or (b)?", "(a) or (b)?"),
        ("Task:\n- one\n- two", "- one\n- two"),
        ('Task: "name rivers"', "name rivers"),
        ("“name rivers”", "name rivers"),
        ("'what's new?'", "what's new?"),
        ('"Task 2: name rivers"', "name rivers"),
    ],
)
def test_nothing_of_the_instruction_is_taken_off_with_its_label(said, left):
    assert bare(said) == left


@pytest.mark.parametrize("said", ['"A" or "B"', "“A” or “B”", "'A' or 'B'", '"'])
def test_quotation_marks_around_parts_stay(said):
    assert bare(said) == said


def test_new_is_what_repeats_neither_the_pool_nor_one_before_it():
    texts = [
        SOURCE + " Be brief.",
        "Prove that 7 is prime.",
        "Prove that 7 is prime!",
        "Draw a cat.",
    ]
    assert novel(texts, pool=[SOURCE], threshold=0.7) == [False, True, False, True]
    assert novel(texts, pool=[SOURCE], threshold=1.0) == [True] * 4
    assert novel([], pool=[SOURCE], threshold=0.7) == []


@pytest.mark.parametrize("change", [str.upper, str.title, lambda text: text.replace(" ", "\u200b \n"), lambda text: text.replace("a", "ａ")])  # fmt: skip
def test_what_only_looks_different_is_not_new(change):
    assert change(SOURCE) != SOURCE
    assert novel([change(SOURCE)], pool=[SOURCE], threshold=1.0) == [False]
    assert fault(change(SOURCE), source=SOURCE, max_words=99) == "copy of its source"


def test_another_calculation_is_no_copy():
    sums = ["What is 3+4?", "What is 3*4?", "What is 3-4?", "What is 3 < 4?", "What is 3×4?", "What is 3÷4?"]  # fmt: skip
    assert novel(sums, pool=[], threshold=1.0) == [True] * 6
    for one, other in pairwise(sums):
        assert fault(other, source=one, max_words=9) is None


def deeper(request):
    """Return another instruction for each order, and thanks for everything else."""
    text = request.messages[-1].text
    if "Below is an instruction" not in text:
        return "thank you" if "step" in text else "what?"
    return f"{request.seed:x} tell me how {request.seed % 997} is written as a sum of squares, step by step."


def test_an_instruction_evolves_step_by_step_and_says_where_it_comes_from(saying, task):
    policy = saying(deeper)
    engine = Evol(policy=policy, verifier=Polite(), depth=3, samples=2, seed=1)
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


def test_the_new_task_has_no_reference_and_keeps_the_system_prompt_and_the_tools(saying):
    system, tool = Message("system", "be kind"), {"type": "function", "function": {"name": "f"}}
    source = Task("quiz", "quiz:1", (system, Message("user", SOURCE)), answer="x", tools=(tool,))
    engine = Evol(policy=saying(deeper), verifier=Polite())
    proposed = asyncio.run(engine.propose([source]))
    (proposal,) = proposed.proposals
    assert proposal.task.answer is None
    assert proposal.task.messages[0] == system
    assert proposal.task.tools == (tool,)


def test_a_lineage_that_somebody_else_wrote_is_none(saying, task):
    source = attrs.evolve(task(SOURCE), metadata={"lineage": "of the old school"})
    (row,) = run(Evol(policy=saying(deeper), verifier=Polite()), source)
    assert row.metadata["lineage"]["depth"] == 1


def test_what_failed_is_dropped_and_its_parent_is_tried_again(saying, task):
    said = iter(["I can't help with that.", SOURCE, Completion.failed("down"), f"{SOURCE} Go"])
    writer = saying(lambda _: next(said))
    engine = Evol(policy=saying(lambda _: "thank you"), writer=writer, verifier=Polite(), depth=4)
    assert run(engine, task(SOURCE)) == []
    assert engine.report.dropped == {
        "refusal": 1,
        "copy of its source": 1,
        "no answer: down": 1,
        "nearly repeats another instruction": 1,
    }
    assert {request.messages[0].text.splitlines()[-1] for request in writer.asked} == {SOURCE}


def test_an_instruction_may_grow_out_of_its_source_and_is_still_new(saying, task):
    engine = Evol(
        policy=saying(lambda _: "thank you"),
        writer=saying(lambda _: f"{SOURCE} Give lengths too."),
        verifier=Polite(),
    )
    assert len(run(engine, task(SOURCE))) == 1
    engine.novelty = 0.7
    assert run(engine, task(SOURCE)) == []


def test_two_that_evolve_into_the_same_are_one(saying, task):
    engine = Evol(
        policy=saying(lambda _: "thank you"),
        writer=saying(lambda _: "Tell me how butter is made."),
        verifier=Polite(),
    )
    assert len(run(engine, task(SOURCE), task("Prove that 7 is prime."))) == 1
    assert engine.report.dropped == {"nearly repeats another instruction": 1}


def test_only_the_operations_that_are_asked_for_are_drawn(saying, task):
    policy = saying(deeper)
    run(Evol(policy=policy, verifier=Polite(), operations=["widen"], depth=2), task(SOURCE))
    orders = [r.messages[0].text for r in policy.asked if "Below is" in r.messages[0].text]
    assert all(OPERATIONS["widen"] in order for order in orders)
    with pytest.raises(ConfigError, match="unknown operation 'wide'; did you mean 'widen'"):
        Evol(operations=["wide"])
    with pytest.raises(ConfigError, match=r"unknown operation \['wide'\]"):
        Evol(operations=[["wide"]])
    for wrong in ([], "widen"):
        with pytest.raises(ConfigError, match="operations must"):
            Evol(operations=wrong)


def test_self_instruct_shows_the_source_and_later_a_quarter_of_what_it_made(saying, task):
    policy = saying(lambda request: f"thank {request.seed}" if "Task 1:" not in request.messages[0].text else f"Explain the number {request.seed} to a child.")  # fmt: skip
    engine = SelfInstruct(policy=policy, verifier=Polite(), examples=4, waves=2, novelty=0.95)
    sources = [task(f"Say {word} in French.") for word in ("cat", "dog", "cow", "pig", "hen")]
    rows = run(engine, *sources)
    assert len(rows) == 10
    orders = [r.messages[0].text for r in policy.asked if "Task 1:" in r.messages[0].text]
    first, second = orders[:5], orders[5:]
    assert all("Explain" not in order for order in first)
    assert all(order.count("Explain the number") == 1 for order in second)
    assert all(order.count(" in French.") == 3 for order in second)
    assert all(f"Task 1: {s.prompt}" in o or s.prompt in o for s, o in zip(sources, first))
    known = {t.task_id for t in sources} | {row.task_id for row in rows}
    for row in rows:
        line = row.metadata["lineage"]
        assert line["parent"] in line["examples"]
        assert set(line["examples"]) <= known


def test_self_instruct_drops_what_is_too_short_and_what_is_known(saying, task):
    said = iter(["Why so?", SOURCE.replace("three", "four"), "Tell me how butter is made."])
    engine = SelfInstruct(
        policy=saying(lambda _: "thank you"), writer=saying(lambda _: next(said)), verifier=Polite()
    )
    rows = run(engine, task(SOURCE), task("a b c d"), task("Prove that 7 is prime."))
    assert [row.prompt[0].text for row in rows] == ["Tell me how butter is made."]
    assert engine.report.dropped == {"too short": 1, "nearly repeats another instruction": 1}


@pytest.mark.parametrize("cls", [Evol, SelfInstruct])
@pytest.mark.parametrize(("option", "value"), [("samples", 0), ("max_words", 0), ("novelty", 0), ("novelty", 1.1)])  # fmt: skip
def test_wrong_options_are_refused(cls, option, value):
    with pytest.raises(ConfigError, match=f"{option} must be"):
        cls(**{option: value})


def test_no_instruction_can_be_as_short_as_it_must_and_as_long_as_it_may():
    with pytest.raises(ConfigError, match="min_words must be at most max_words, got 151 and 150"):
        SelfInstruct(min_words=151)
