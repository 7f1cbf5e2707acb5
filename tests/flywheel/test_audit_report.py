import itertools
import json
from contextlib import contextmanager
from xml.etree import ElementTree

import attrs
import pytest

from orbiter.errors import BudgetExceededError, ConfigError
from orbiter.flywheel.audit_chart import audit_chart
from orbiter.flywheel.audit_report import examine
from orbiter.records import Message, Task, Verdict
from orbiter.tasks.sorting import Sorting
from orbiter.verify.answer import answered
from orbiter.verify.audit import LabelledAnswer
from orbiter.verify.audit.probes import probes
from orbiter.verify.audit.stability import judging_here
from orbiter.verify.exact import ExactVerifier
from orbiter.verify.verifier import Verifier

PROBES = probes(Sorting(), ExactVerifier(), count=30, seed=0)
TASK = Task("e", "e:0", (Message("user", "?"),), answer="42")
TASKS = [attrs.evolve(TASK, task_id=f"e:{n}") for n in range(40)]
LABELLED = [LabelledAnswer(task, "42", True) for task in TASKS[:30]]
LABELLED += [LabelledAnswer(task, "43", False) for task in TASKS]


class Lenient(Verifier):
    name = "lenient"

    def verify(self, task, trajectory):
        if not task.answer:
            return Verdict.invalid("no reference")
        return Verdict.passed() if trajectory.answer[:1] == task.answer[0] else Verdict.failed("no")


def report(make=ExactVerifier, answers=None, **options):
    name = make().name
    answers = {"probes": PROBES} if answers is None else answers
    return examine(lambda: judging_here(make), answers, verifier=name, version="1", **options)


def test_a_right_verifier_keeps_its_bounds():
    found = report(limits={"fpr": 0.02, "fnr": 0.05})
    assert found.kept
    assert found.source == "probes"
    assert found.audit.disagreements == ()
    assert [part.name for part in found.stability] == [
        *("again", "in another order", "one by one", "in another process")
    ]
    assert found.verdicts_per_s > 100
    assert found.forecast is None


def test_bounds_are_asked_of_every_source_and_labelled_answers_lead():
    answers = {"probes": PROBES, "labelled": LABELLED}
    found = report(Lenient, answers, limits={"fpr": 0.05}, observed=0.5)
    assert (found.source, found.audit.wrong) == ("labelled", 40)
    assert not found.kept
    assert set(found.bounds) == {"probes", "labelled"}
    assert found.bounds["labelled"][0].families == ("labelled",)
    assert found.bounds["probes"][0].families
    assert (
        found.forecast.pass_rate
        == report(Lenient, {"labelled": LABELLED}, observed=0.5).forecast.pass_rate
    )
    right = report(answers=answers, limits={"fpr": 0.1})
    assert right.kept


def test_several_labelled_answers_to_a_task_are_not_taken_as_independent():
    once, twice = (report(answers={"labelled": LABELLED * n}).audit for n in (1, 2))
    assert once.effective_wrong is None
    assert (twice.wrong, twice.effective_wrong) == (80, 40)
    assert twice.fpr.interval == once.fpr.interval
    assert report(answers={"probes": LABELLED * 2}).audit.effective_wrong is None


def test_verdicts_go_back_to_the_answers_they_are_of():
    """They are judged in an order of chance and in chunks; each family says the same as judged alone."""
    found = report(Lenient)
    for family, confusion in found.audit.families.items():
        alone = [item for item in PROBES if item.family == family]
        assert confusion == report(Lenient, {"probes": alone}).audit.families[family]


def test_the_row_is_strict_json_and_holds_examples():
    found = report(Lenient, limits={"fpr": 0.1}, observed=0.4, target=0.9)
    row = json.loads(json.dumps(found.to_row(), allow_nan=False))
    assert row["kept"] is False
    (bound,) = row["bounds"]
    assert (bound["rate"], bound["limit"], bound["source"]) == ("fpr", 0.1, "probes")
    assert "one edit" in bound["families"]
    family = row["audits"]["probes"]["families"]["one edit"]
    assert family["false_positives"] + family["true_negatives"] == 30
    assert family["fpr_low"] <= family["fpr"] <= family["fpr_high"]
    assert len(family["examples"]) == 3
    example = family["examples"][0]
    assert (example["outcome"], example["correct"]) == ("pass", False)
    assert row["audits"]["probes"]["reasons"] == {"no reference": 30}
    assert row["stability"][0] == {"name": "again", "count": 200, "changed": 0, "examples": []}
    assert row["forecast"]["observed"] == 0.4
    flawless = report(observed=0.2, target=0.9).to_row()
    assert flawless["audits"]["probes"]["g"] is None
    assert flawless["forecast"]["at_best"]["multiplier"] is None
    json.dumps(flawless, allow_nan=False)


@pytest.mark.parametrize(
    "bad",
    [
        {"limits": {"fpr": 2}},
        {"limits": {"fdr": 0.1}},
        {"observed": -1},
        {"observed": 1, "rows": 0},
    ],
    ids=str,
)
def test_bad_arguments_are_refused_before_anything_is_judged(bad):
    def never():
        raise AssertionError("judged")

    with pytest.raises(ConfigError):
        examine(never, {"probes": PROBES}, verifier="v", version="1", **bad)


@pytest.mark.parametrize(
    "fault", ["timeout: no verdict within 1 s", "crash: it left", "memory: none left"]
)
def test_a_verifier_that_is_mostly_lost_is_given_up_on(fault):
    judged = []

    @contextmanager
    def losing():
        def judge_all(answers):
            judged.extend(answers)
            return [Verdict.invalid(fault)] * len(answers)

        yield judge_all

    with pytest.raises(
        BudgetExceededError,
        match=rf"'slow' must judge most answers, and was lost on 4 of 4: {fault}",
    ):
        examine(losing, {"probes": PROBES}, verifier="slow", version="1")
    assert len(judged) == 4


def test_a_verifier_that_breaks_on_most_answers_keeps_no_bound():
    """What has no turn of the assistant fails unasked; that alone must not show a low FPR."""

    class Broken(Verifier):
        name = "broken"

        def verify(self, task, trajectory):
            raise ValueError("broken")

    unanswered = LabelledAnswer(
        TASK, attrs.evolve(answered(TASK, ""), messages=TASK.messages), False
    )
    wrong = [LabelledAnswer(TASK, "43", False)] * 301
    found = report(Broken, {"probes": [unanswered] * 300 + wrong}, limits={"fpr": 0.02})
    (bound,) = found.bounds["probes"]
    assert (bound.shown, bound.measured, bound.kept) == (True, False, False)
    assert (found.to_row()["bounds"][0]["judged"], found.to_row()["bounds"][0]["count"]) == (
        300,
        601,
    )
    half = report(Broken, {"probes": [unanswered] * 300 + wrong[1:]}, limits={"fpr": 0.02})
    assert half.kept


def test_one_that_hangs_now_and_then_is_audited():
    class Sometimes(ExactVerifier):
        def verify(self, task, trajectory):
            if "Solution" in trajectory.answer:
                return Verdict.invalid("timeout: no verdict within 1 s")
            return super().verify(task, trajectory)

    found = report(Sometimes)
    assert 0 < found.audit.reasons["timeout: no verdict within 1 s"] < 20


def test_speed_is_that_of_all_but_the_first_few(monkeypatch):
    """A clock that goes on by a second whenever it is read: once at the start, once after the first four, once at the end."""
    monkeypatch.setattr("orbiter.flywheel.audit_report.perf_counter", itertools.count().__next__)
    assert report(answers={"labelled": LABELLED}).verdicts_per_s == 66
    assert report(answers={"labelled": LABELLED[:3]}).verdicts_per_s == 3


def test_progress_is_told():
    told = []
    report(on_progress=lambda done, count: told.append((done, count)))
    assert told[0] == (4, len(PROBES))
    assert told[-1] == (len(PROBES), len(PROBES))


# --- the plot ---


SVG = "{http://www.w3.org/2000/svg}"


def shown(svg):
    return [text.text or "" for text in ElementTree.fromstring(svg).iter(f"{SVG}text")]


def test_the_plot_shows_every_family_and_no_script():
    found = report(Lenient, observed=0.4)
    svg = audit_chart(found)
    texts = shown(svg)
    for family in found.audit.families:
        assert family in texts
    assert "30 of 30" in texts
    assert "no valid verdict on 30" in texts
    assert any(text.startswith("now: ") for text in texts)
    assert "script" not in svg


def test_what_is_named_by_others_is_shown_as_text():
    hostile = '</text><script>alert("1")</script>\ufffe\x00\u202e' + "x" * 300
    items = [LabelledAnswer(TASK, "42", True, hostile), LabelledAnswer(TASK, "", False, "a & b")]

    class Hostile(ExactVerifier):
        name = "<b>&\uffff"

    svg = audit_chart(report(Hostile, {"labelled": items}))
    assert not list(ElementTree.fromstring(svg).iter(f"{SVG}script"))
    texts = shown(svg)
    assert "a & b" in texts
    assert any(text.startswith("</text><script>") and len(text) < 60 for text in texts)


def test_a_plot_of_right_answers_alone_says_what_it_lacks():
    assert "needs right and wrong answers" in shown(
        audit_chart(report(answers={"labelled": LABELLED[:30]}))
    )
