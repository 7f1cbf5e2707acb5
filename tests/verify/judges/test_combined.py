"""A judge never overrules a verifier that asks no model."""

import itertools

import pytest

from orbiter.errors import ConfigError
from orbiter.records import Outcome, Verdict
from orbiter.verify import judge
from orbiter.verify.answer import answered
from orbiter.verify.combine import AllOf, AnyOf, Cascade, Gate, Majority, Weighted
from orbiter.verify.exact import ExactVerifier
from orbiter.verify.judges import PointwiseJudge
from orbiter.verify.pool import VerifierPool
from orbiter.verify.verifier import Verifier

PASS, FAIL, INVALID = Outcome.PASS, Outcome.FAIL, Outcome.INVALID
SAID = {PASS: '{"score": 10}', FAIL: '{"score": 0}', INVALID: "hm"}


class Program(Verifier):
    name = "program"

    def __init__(self, outcome):
        self.outcome = outcome

    def verify(self, task, trajectory):
        return Verdict(self.outcome, {PASS: 1.0, FAIL: 0.0, INVALID: None}[self.outcome], "said")


@pytest.fixture
def judging(scripted):
    """Return a function that makes a judge that says this, and its model."""

    def judging(outcome):
        model = scripted(SAID[outcome])
        return PointwiseJudge(model=model, rubric="r"), model

    return judging


BEHIND = {
    "all_of": lambda program, judge_: AllOf([program, judge_]),
    "gate": lambda program, judge_: Gate(program, judge_),
    "cascade": lambda program, judge_: Cascade([program, judge_]),
    "nested": lambda program, judge_: AllOf([AllOf([program]), Gate(AllOf([program]), judge_)]),
}


@pytest.mark.parametrize("combine", BEHIND.values(), ids=BEHIND)
@pytest.mark.parametrize("said", SAID)
def test_a_program_s_fail_stands_and_nobody_is_asked(judging, task, combine, said):
    judge_, model = judging(said)
    verdict = judge(combine(Program(FAIL), judge_), task, answered(task, "42"))
    assert (verdict.outcome, verdict.score, model.calls) == (FAIL, 0.0, 0)


@pytest.mark.parametrize(("program", "said"), list(itertools.product(SAID, SAID)))
def test_who_decides(judging, task, program, said):
    def outcome(name):
        combined = BEHIND[name](Program(program), judging(said)[0])
        return judge(combined, task, answered(task, "42")).outcome

    if program is PASS:
        assert (outcome("all_of"), outcome("gate"), outcome("cascade")) == (said, said, PASS)
    if program is INVALID:  # it buys no softer judge, unless the recipe says cascade
        assert outcome("all_of") is (FAIL if said is FAIL else INVALID)
        assert (outcome("gate"), outcome("cascade")) == (INVALID, said)


OUTVOTING = {
    "any_of": AnyOf,
    "weighted": lambda verifiers: Weighted(verifiers, weights=[1.0] * len(verifiers)),
    "majority": Majority,
}


@pytest.mark.parametrize("name", OUTVOTING)
def test_where_a_judge_could_outvote_a_program_it_is_refused(judging, name):
    judge_ = judging(PASS)[0]
    for beside in (judge_, AllOf([ExactVerifier(), judge_]), Gate(ExactVerifier(), judge_)):
        for verifiers in ([ExactVerifier(), beside], [beside, ExactVerifier()]):
            with pytest.raises(ConfigError, match=f"{name} must hold judges alone or none"):
                OUTVOTING[name](verifiers)
    for hidden in (AllOf([Program(FAIL), judge_]), Gate(judge_, Program(FAIL))):
        for verifiers in ([judge_, hidden], [hidden, judge_], [hidden, hidden]):
            with pytest.raises(ConfigError, match=f"{name} must hold judges alone or none"):
                OUTVOTING[name](verifiers)
    assert OUTVOTING[name]([judge_, judging(PASS)[0]])
    assert OUTVOTING[name]([judge_, AllOf([judge_, judging(PASS)[0]])])
    assert OUTVOTING[name]([ExactVerifier(), Program(PASS)])


def test_in_a_cascade_judges_come_last(judging):
    judge_ = judging(PASS)[0]
    for verifiers in ([judge_, ExactVerifier()], [ExactVerifier(), judge_, Program(PASS)]):
        with pytest.raises(ConfigError, match="cascade must hold its judges last"):
            Cascade(verifiers)
    behind, before = AllOf([Program(FAIL), judge_]), Gate(judge_, Program(FAIL))
    for verifiers in ([judge_, behind], [before, judge_]):
        with pytest.raises(ConfigError, match="cascade must hold its judges last"):
            Cascade(verifiers)
    assert Cascade([ExactVerifier(), Program(INVALID), judge_, judging(FAIL)[0]])
    assert Cascade([Program(INVALID), behind])


def test_a_judge_behind_a_pool_is_a_judge(judging):
    remote = VerifierPool(judging(PASS)[0], workers=0).remote
    with pytest.raises(ConfigError, match="any_of must hold judges alone or none"):
        AnyOf([remote, Program(FAIL)])
    assert AnyOf([remote, judging(PASS)[0]])


class LearnedScore(Program):
    """A model that scores, and asks nobody."""

    name, opinion = "learned_score", True


@pytest.mark.parametrize(
    "combine",
    [AnyOf, Majority, lambda parts: Weighted(parts, weights=[1.0] * len(parts), threshold=0.5)],
    ids=["any_of", "majority", "weighted"],
)
def test_a_model_that_scores_outvotes_no_program_either(combine):
    with pytest.raises(ConfigError, match="a judge must not outvote a verifier that can tell"):
        combine([LearnedScore(PASS), Program(FAIL)])
    combine([LearnedScore(PASS), LearnedScore(FAIL)])
