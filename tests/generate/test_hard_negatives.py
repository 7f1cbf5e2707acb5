"""Hard negatives: what is right passes, what is rejected fails, and the rest is counted."""

import asyncio

import pytest

from orbiter.curate import best_of_n_pairs, count_negatives, tagged_negatives
from orbiter.errors import ConfigError, OrbiterWarning
from orbiter.generate.corruptions import NegativeKind
from orbiter.generate.hard_negatives import HardNegatives
from orbiter.generate.policy import Completion
from orbiter.records import Verdict
from orbiter.verify.exact import ExactVerifier

SORTING = {"name": "sorting", "length": 6}
WORKED = "She sold 24, then 48.\nIn all she sold 24 + 48 = 72.\n#### 72"


def test_every_kind_fails_the_verifier_is_tagged_and_stands_beside_what_passes():
    engine = HardNegatives(environment=SORTING, per_kind=2)
    with pytest.warns(OrbiterWarning, match="there is no policy"):
        rows = asyncio.run(engine.generate(39))
    by_task = {}
    for row in rows:
        by_task.setdefault(row.task_id, []).append(row)
    for first, *others in by_task.values():
        assert (first.metadata, first.score) == ({"role": "chosen"}, 1.0)
        assert {row.score for row in others} == {0.0}
        assert len({row.answer for row in others}) == len(others)
    pairs = tagged_negatives(best_of_n_pairs(rows))
    assert count_negatives(pairs).keys() == set(NegativeKind)
    assert len(pairs) == len(rows) - len(by_task)
    # Of six digits one half can be left out, and no other part.
    assert engine.report.dropped == {"no program makes one, and there is no policy": 3}


def test_the_same_seed_gives_the_same_rows_and_another_one_others():
    def rows(seed):
        return asyncio.run(HardNegatives(environment=SORTING, seed=seed).generate(21))

    assert rows(3) == rows(3)
    assert {row.answer for row in rows(3)} != {row.answer for row in rows(4)}


def test_a_negative_that_passes_is_dropped_and_counted(run, last_number, task):
    engine = HardNegatives(verifier=last_number, kinds=["verbose", "format", "wrong"])
    rows = run(engine, task("how many?", WORKED))
    assert [row.metadata.get("negative") for row in rows] == [None, "wrong"]
    assert engine.report.dropped == {"meant to be rejected, and passed": 2}


def test_where_the_right_answer_does_not_pass_nothing_is_kept(run, task):
    class Never(ExactVerifier):
        def verify(self, task, trajectory):
            verdict = super().verify(task, trajectory)
            return verdict.failed("never") if verdict.score == 1 else verdict

    engine = HardNegatives(verifier=Never(), kinds=["wrong"])
    assert run(engine, task("how many?", "72")) == []
    assert engine.report.dropped == {"failed: never": 1, "nothing to be chosen beside it": 1}


@pytest.mark.parametrize(
    ("kind", "said", "dropped"),
    [
        ("wrong", "71", None),
        ("wrong", "72", "same as the right answer"),
        ("wrong", "I can't help with that.", "not wrong"),
        ("refusal", "Certainly: 71", "not refusal"),
        ("refusal", "I won't do that.", None),
        ("verbose", "7", "not verbose"),
        ("wrong", Completion.of("71", finish_reason="length"), "cut off"),
        ("wrong", Completion.failed("down"), "no answer: down"),
        ("wrong", "  ", "empty"),
    ],
)
def test_a_prompted_negative_must_be_of_its_kind(run, saying, task, kind, said, dropped):
    policy = saying(lambda _: said)
    engine = HardNegatives(
        policy=policy, verifier=ExactVerifier(), kinds=[kind], prompted=[kind], seed=5
    )
    rows = run(engine, task("how many?", "72"))
    assert engine.report.dropped == ({} if dropped is None else {dropped: 1})
    if dropped is None:
        assert [row.metadata for row in rows[1:]] == [
            {"role": "rejected", "negative": kind, "how": "prompted"}
        ]
    (asked,) = policy.asked
    assert "how many?" in asked.messages[0].text
    assert asked.messages[0].text.endswith("Right answer:\n72")


def test_a_negative_is_not_made_twice(run, saying, task):
    engine = HardNegatives(
        policy=saying(lambda _: "71"),
        verifier=ExactVerifier(),
        kinds=["wrong"],
        prompted=["wrong"],
        per_kind=3,
    )
    assert len(run(engine, task("how many?", "72"))) == 2
    assert engine.report.dropped == {"repeats another negative": 2}


def test_a_program_that_can_make_none_asks_the_policy(run, saying, task):
    engine = HardNegatives(
        policy=saying(lambda _: "Berlin"), verifier=ExactVerifier(), kinds=["off_topic"]
    )
    rows = run(engine, task("capital of France?", "Paris"))
    assert rows[1].metadata["how"] == "prompted"
    rows = run(engine, task("of France?", "Paris"), task("of Italy?", "Rome"))
    assert [row.answer for row in rows] == ["Paris", "Rome", "Rome", "Paris"]
    assert {row.metadata.get("how") for row in rows} == {None, "another task's answer"}


def test_a_task_without_a_known_answer_is_counted(run, task):
    engine = HardNegatives(verifier=ExactVerifier())
    assert run(engine, task("why?"), task("how?", " \n")) == []
    assert engine.report.dropped == {"no right answer is known": 2}


def test_two_prompts_of_one_id_have_a_right_answer_each(run, task):
    engine = HardNegatives(verifier=ExactVerifier(), kinds=["wrong"])
    rows = run(engine, task("how many?", "72", name="x"), task("since when?", "1957", name="x"))
    assert [(row.prompt[0].text, row.metadata["role"]) for row in rows] == [
        ("how many?", "chosen"), ("how many?", "rejected"), ("since when?", "chosen"), ("since when?", "rejected"),
    ]  # fmt: skip
    assert [row.answer for row in rows[::2]] == ["72", "1957"]


def test_a_negative_stands_beside_a_right_answer_to_its_own_prompt(run, task):
    class Doubtful(ExactVerifier):
        def verify(self, task, trajectory):
            right = task.prompt == "how many?" and trajectory.answer == "72"
            return Verdict.passed() if right else Verdict.failed("no")

    engine = HardNegatives(verifier=Doubtful(), kinds=["wrong"])
    rows = run(engine, task("how many?", "72", name="x"), task("since when?", "1957", name="x"))
    assert {row.prompt[0].text for row in rows} == {"how many?"}
    assert engine.report.dropped == {"failed: no": 1, "nothing to be chosen beside it": 1}


def test_a_kind_that_is_prompted_and_not_made_is_told():
    with pytest.warns(
        OrbiterWarning, match="prompted has no effect on wrong, which kinds does not name"
    ):
        HardNegatives(kinds=["terse"], prompted=["wrong"])


def test_wrong_options_are_refused_in_a_line():
    for options, message in (
        ({"kinds": ["worng"]}, "unknown kind of negative 'worng'; did you mean 'wrong'?"),
        ({"kinds": "wrong"}, "kinds must be a list of kinds of negatives, got 'wrong'"),
        ({"kinds": []}, "kinds must have a kind of negative, got none"),
        ({"per_kind": 0}, "per_kind must be an integer >= 1, got 0"),
        ({"length_ratio": 1}, "length_ratio must be a number > 1, got 1"),
    ):
        with pytest.raises(ConfigError) as error:
            HardNegatives(**options)
        assert message in str(error.value)
