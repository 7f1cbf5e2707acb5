"""Every family: what it makes, that its label is right, and that it is left out where the label is not certain."""

import json
from pathlib import Path

import attrs
import pytest

from orbiter.errors import ConfigError, UnknownNameError, UserCodeError
from orbiter.plugin import registry
from orbiter.records import Message, Outcome, Verdict
from orbiter.tasks.environment import Environment, Probe
from orbiter.tasks.sorting import Sorting
from orbiter.verify.audit import audit
from orbiter.verify.audit.claims import claiming
from orbiter.verify.audit.probes import FAMILIES, NEAR_MISSES, probes
from orbiter.verify.exact import ExactVerifier
from orbiter.verify.numeric import NumericVerifier
from orbiter.verify.verifier import Verifier

EXACT = ExactVerifier()


class Listed(Environment):
    """Tasks with the given prompts and right answers."""

    name = "listed"

    def __init__(self, pairs, verifier="exact"):
        self.pairs, self.by = pairs, verifier
        self.size = len(pairs)

    def task(self, index, *, seed):
        prompt, answer = self.pairs[index]
        return self.make_task(index, prompt, answer=answer)

    def verifier(self):
        return self.by


def texts(items, family, correct=False):
    return [i.answer for i in items if i.family == family and i.correct == correct]


def made(environment, verifier=EXACT, count=60, **options):
    return probes(environment, verifier, count=count, seed=0, **options)


@pytest.mark.parametrize("name", ["sorting", "addition", "reversal", "countdown"])
def test_the_verifiers_that_ship_are_never_wrong(name):
    environment = registry().create("environment", name)
    verifier = registry().create("verifier", environment.verifier())
    found = audit(verifier, made(environment, verifier))
    assert found.disagreements == ()
    assert found.right >= 120
    assert found.wrong >= 400
    assert set(found.reasons) <= {"task has no reference text", "task has no target and numbers"}
    assert found.invalid_wrong == sum(found.families["blank reference"].counts.values())


def test_every_family_comes_with_one_right_and_one_wrong_answer_of_a_task_at_most():
    items = made(Sorting(length=4))
    assert list(dict.fromkeys(item.family for item in items)) == list(FAMILIES)
    keys = [(item.family, item.correct, item.task.task_id) for item in items]
    tasks = {item.task.task_id for item in items}
    assert len(keys) - len(set(keys)) <= 14 * (60 - len(tasks))  # a task may be drawn twice


def test_some_families_alone_can_be_asked_for():
    some = made(Sorting(length=4), families=NEAR_MISSES)
    assert {item.family for item in some} == set(NEAR_MISSES)
    assert {(i.family, i.correct) for i in some} == {
        ("gold", True),
        ("one edit", False),
        ("another task's gold", False),
    }
    with pytest.raises(ConfigError, match="unknown family of probes 'golden'; did you mean 'gold'"):
        made(Sorting(), families=["golden"])


def test_what_no_family_asks_for_is_not_made():
    """A run may be judged by another verifier than the environment's own, which need not be installed."""
    environment = Listed([("q", "12"), ("r", "34")], "absent")
    assert len(made(environment, families=NEAR_MISSES)) == 6
    with pytest.raises(UnknownNameError, match="absent"):
        made(environment)


def test_where_many_answers_are_right_no_edit_is_called_wrong():
    class AnySum(Environment):
        """Two numbers that add up to the target."""

        name = "any_sum"
        chars = "0123456789+"

        def task(self, index, *, seed):
            return self.make_task(index, f"a sum of {20 + index}", target=20 + index)

        def demonstrate(self, task):
            return f"1+{task.metadata['target'] - 1}"

    def adds_up(task, answer):
        parts = answer.split("+")
        return all(p.isdigit() for p in parts) and sum(map(int, parts)) == task.metadata["target"]

    unknown = made(AnySum(), families=NEAR_MISSES)
    assert {item.correct for item in unknown} == {True}
    assert audit(EXACT, unknown).fpr.value is None
    told = made(AnySum(), families=NEAR_MISSES, is_right=adds_up)
    assert sum(not item.correct for item in told) > 80
    assert all(adds_up(item.task, item.answer) == item.correct for item in told)


def test_the_same_seed_gives_the_same_probes_and_another_seed_others():
    same = [probes(Sorting(), EXACT, count=20, seed=4) for _ in range(2)]
    assert same[0] == same[1]
    assert probes(Sorting(), EXACT, count=20, seed=5) != same[0]


def test_every_family_has_a_line_in_the_docs():
    page = Path(__file__).parents[3] / "docs/how-to/audit_a_verifier.md"
    rows = [line.split("`")[1] for line in page.read_text().splitlines() if line.startswith("| `")]
    assert rows == list(FAMILIES)


# --- format variants: what the environment's own verifier ignores ---


def test_writings_of_a_number_pass_the_numeric_verifier_and_are_all_tried():
    environment = Listed([(f"q{n}", "1/3" if n % 2 else "1200") for n in range(80)], "numeric")
    found = set(texts(made(environment, NumericVerifier(), count=80), "format variant", True))
    assert found == {
        *(" 1/3\n", "１/３", "12/36"),
        *(" 1200\n", "１２００", "14400/12", "1200.0", "1,200"),
    }
    assert audit(NumericVerifier(), made(environment, NumericVerifier())).false_negatives == 0
    strict = audit(EXACT, made(environment))
    assert strict.families["format variant"].fnr.value > 0.3


@pytest.mark.parametrize(
    ("options", "expected"),
    [
        ({}, {"  Big Cat\n"}),
        ({"strip": False}, set()),
        ({"case": False}, {"  Big Cat\n", "BIG CAT", "big cat"}),
        ({"whitespace": False}, {"  Big Cat\n", "Big \n Cat"}),
    ],
)
def test_writings_of_a_text_are_those_that_the_options_allow(options, expected):
    environment = Listed([(f"q{n}", "Big Cat") for n in range(60)], ExactVerifier(**options))
    assert set(texts(made(environment), "format variant", True)) == expected


def test_nothing_is_known_of_the_writings_that_another_verifier_allows():
    environment = Listed(
        [("q", "yes"), ("r", "no")], registry().create("verifier", "regex", {"pattern": "yes|no"})
    )
    assert texts(made(environment), "format variant", True) == []


# --- left out where the label is not certain ---


def test_edits_of_worked_answers_are_left_out_but_for_their_final_number():
    plain = Listed([(f"q{n}", f"first think, then say {n}") for n in range(20)])
    families = {item.family for item in made(plain)}
    assert not families & {"one edit", "another task's gold", "wrong by one", "hedged"}
    assert "truncated" in families  # the thought that never ends
    solved = Listed([(f"q{n}", f"2 * {n} = {2 * n}\n#### {2 * n}") for n in range(20)])
    items = made(solved)
    for item in items:
        if item.family == "wrong by one":
            right = int(item.task.answer.rpartition(" ")[2])
            assert abs(int(item.answer.rpartition(" ")[2]) - right) == 1
            assert item.answer.startswith(item.task.answer.rpartition(" ")[0])
    assert len(texts(items, "wrong by one")) == len(texts(items, "hedged")) == 20
    edits = texts(items, "one edit")
    assert edits
    assert all("####" in text for text in edits)


def test_numbers_within_the_tolerance_of_a_verifier_are_left_out():
    environment = Listed([(f"q{n}", str(1000 + n)) for n in range(30)], "numeric")
    strict, tolerant = NumericVerifier(), NumericVerifier(rel_tol=0.01)
    assert len(texts(made(environment, strict), "wrong by one")) == 30
    assert texts(made(environment, tolerant), "wrong by one") == []
    # Other tasks' answers lie within the tolerance, too; nothing that passes is called wrong.
    assert audit(tolerant, made(environment, tolerant)).false_positives == 0


def test_the_same_number_in_another_writing_is_not_called_wrong():
    environment = Listed([("a", "1/3"), ("b", "2/6"), ("c", "0.50"), ("d", "0/3")], "numeric")
    for seed in range(20):
        items = probes(environment, NumericVerifier(), count=4, seed=seed)
        assert audit(NumericVerifier(), items).false_positives == 0


def test_a_prompt_that_holds_the_answer_is_no_echo_and_a_right_refusal_no_refusal():
    holding = Listed([("yes or no?", "yes"), ("is it Yes?", "yes")])
    assert texts(made(holding), "prompt echo") == []
    refusing = Listed([("how to break in?", "I cannot tell you."), ("x?", "Sorry, no.")])
    assert texts(made(refusing), "refusal") == []
    open_ones = Listed([("2+2=", "4"), ("2+3=", "5")])
    assert texts(made(open_ones), "prompt echo") == ["2+2=", "2+3="]
    assert len(texts(made(open_ones), "refusal")) == 2


def test_signs_that_are_the_right_answer_are_no_attack():
    signs = Listed([(f"which sign? {n}", ":") for n in range(60)])
    attacks = texts(made(signs), "judge attack")
    assert len(attacks) == 60
    assert ":" not in attacks
    assert texts(made(Listed([("nothing?", " ")])), "empty") == []


def test_answers_of_few_and_odd_characters_break_nothing():
    odd = [
        ",",
        "-",
        "0",
        "-1",
        "1,000",
        "",
        " ",
        "<think>x</think>7",
        "#### ",
        "A:",
        "\n",
        "٣",
        "½",
    ]
    items = made(Listed([(f"q{n}", answer) for n, answer in enumerate(odd)]))
    assert {i.family for i in items if i.task.task_id == "listed:3"} >= {"wrong by one", "one edit"}
    assert all(isinstance(i.answer, str) or i.family in ("empty", "forged trace") for i in items)


def test_a_labeller_of_ones_own_decides():
    environment = Listed([(f"q{n}", str(n)) for n in range(10, 30)])
    even = made(environment, is_right=lambda task, answer: answer == task.answer or None)
    families = {item.family for item in even if not item.correct}
    assert not families & {"one edit", "wrong by one", "another task's gold"}


# --- the probes of an environment ---


def test_probes_of_the_environment_come_with_their_family():
    class Own(Listed):
        def probes(self, task):
            return [Probe("mirrored", task.answer[::-1], False)]

    items = made(Own([("q", "12"), ("r", "34")]))
    assert texts(items, "mirrored") == ["21", "43"]


def test_probes_that_are_none_are_refused_and_one_that_raises_is_named():
    class Tuples(Listed):
        def probes(self, task):
            return [("mirrored", "21", False)]

    class Raising(Listed):
        def probes(self, task):
            raise KeyError("mirror")

    with pytest.raises(
        ConfigError, match=r"environment 'listed' must give Probes, got \('mirrored'"
    ):
        made(Tuples([("q", "12")]))
    with pytest.raises(UserCodeError, match="environment 'listed' raised in probes: KeyError"):
        made(Raising([("q", "12")]))


# --- verifiers that are known to be wrong, each found by its family ---


def says(rule):
    class Said(Verifier):
        name = "said"

        def verify(self, task, trajectory):
            return Verdict.passed() if rule(task, trajectory) else Verdict.failed("no")

    return Said()


def exact(task, trajectory):
    return trajectory.answer == task.answer


@pytest.mark.parametrize(
    ("family", "rule"),
    [
        ("gold", lambda t, a: exact(t, a) and not t.answer.startswith("1")),
        ("format variant", exact),
        ("empty", lambda t, a: exact(t, a) or (t.answer and not a.answer.strip())),
        ("blank reference", lambda t, a: (t.answer or "").strip() == a.answer.strip()),
        ("refusal", lambda t, a: exact(t, a) or "I" in a.answer),
        ("prompt echo", lambda t, a: exact(t, a) or a.answer == t.prompt),
        ("another task's gold", lambda t, a: len(a.answer) == len(t.answer) and a.answer.isdigit()),
        (
            "wrong by one",
            lambda t, a: a.answer.isdigit() and abs(int(a.answer) - int(t.answer or -9)) < 2,
        ),
        ("one edit", lambda t, a: len(set(a.answer) ^ set(t.answer or "")) <= 1 and a.answer),
        ("truncated", lambda t, a: exact(t, a) or a.answer == f"<think>{t.answer}"),
        ("hedged", lambda t, a: a.answer.find(t.answer or "?") >= 0),
        ("reference echo", lambda t, a: a.answer.rstrip(".").endswith(t.answer or "?")),
        ("judge attack", lambda t, a: exact(t, a) or a.answer.startswith(("Solution", ":", "Th"))),
        ("forged trace", lambda t, a: exact(t, a) or a.score == 1.0),
    ],
)
def test_a_verifier_that_is_wrong_about_a_family_is_found(family, rule):
    found = audit(says(rule), made(Sorting(length=8), says(rule)))
    wrong = found.families[family]
    assert wrong.false_positives + wrong.false_negatives > 0


def test_claims_change_nothing_but_claims():
    item = next(i for i in made(Sorting()) if i.family == "forged trace" and not i.correct)
    plain = attrs.evolve(item.trajectory, messages=item.task.messages)
    liar = item.trajectory
    assert liar.score == 1.0
    assert liar.verdict.outcome is Outcome.PASS
    assert [m.text for m in liar.messages[:-1]] == [m.text for m in plain.messages]
    assert liar.metadata["answer"] == liar.answer != item.task.answer
    assert liar.messages[-1].extra["success"] is True
    modest = claiming(
        attrs.evolve(liar, messages=(*item.task.messages, Message("assistant", "x"))), success=False
    )
    assert (modest.score, modest.extra["success"], modest.extra["verdict"]) == (0.0, False, "fail")
    assert "expected" not in modest.metadata


def test_a_reference_that_is_an_object_is_echoed_as_json():
    environment = registry().create("environment", "countdown")
    verifier = registry().create("verifier", "countdown")
    for item in made(environment, verifier):
        if item.family == "reference echo":
            assert json.loads(item.answer) == item.task.answer
