"""Self-instruct: which examples are shown, and what is dropped."""

import pytest

from orbiter.errors import ConfigError
from orbiter.generate.self_instruct import SelfInstruct

SOURCE = "Name three rivers of France and say into which sea each flows."


def test_self_instruct_shows_the_source_and_later_a_quarter_of_what_it_made(
    run, saying, polite, task
):
    policy = saying(lambda request: f"thank {request.seed}" if "Task 1:" not in request.messages[0].text else f"Explain the number {request.seed} to a child.")  # fmt: skip
    engine = SelfInstruct(policy=policy, verifier=polite, examples=4, waves=2, novelty=0.95)
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


def test_self_instruct_drops_what_is_too_short_and_what_is_known(run, saying, polite, task):
    said = iter(["Why so?", SOURCE.replace("three", "four"), "Tell me how butter is made."])
    engine = SelfInstruct(
        policy=saying(lambda _: "thank you"), writer=saying(lambda _: next(said)), verifier=polite
    )
    rows = run(engine, task(SOURCE), task("a b c d"), task("Prove that 7 is prime."))
    assert [row.prompt[0].text for row in rows] == ["Tell me how butter is made."]
    assert engine.report.dropped == {"too short": 1, "nearly repeats another instruction": 1}


def test_no_instruction_can_be_as_short_as_it_must_and_as_long_as_it_may():
    with pytest.raises(ConfigError, match="min_words must be at most max_words, got 151 and 150"):
        SelfInstruct(min_words=151)


@pytest.mark.parametrize(("option", "value"), [("samples", 0), ("max_words", 0), ("novelty", 0), ("novelty", 1.1)])  # fmt: skip
def test_wrong_options_are_refused(option, value):
    with pytest.raises(ConfigError, match=f"{option} must be"):
        SelfInstruct(**{option: value})
