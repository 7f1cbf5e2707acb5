"""The verdict on a conversation, turn by turn."""

import pytest

from orbiter.errors import ConfigError
from orbiter.records import Message, Outcome, Task, Trajectory, Verdict
from orbiter.verify import Verifier
from orbiter.verify.turns import TurnsVerifier
from orbiter.verify.verifier import judge

SHOWN = (Message("user", "1+1="), Message("assistant", "2"), Message("user", "2+2="))
TASK = Task("sums", "sums:1", SHOWN, answer="4")


class Graded(Verifier):
    """Scores an answer by what it says: the number itself, or unknown."""

    name, version = "graded", "7"

    def verify(self, task, trajectory):
        said = trajectory.messages[-1].text
        if said == "?":
            return Verdict.invalid("abstain")
        score = float(said)
        return Verdict.passed(score=score) if score >= 0.5 else Verdict.failed("low", score=score)


def verdict(*answers, need="last", end=()):
    talk = [
        m for answer in answers for m in (Message("assistant", answer), Message("user", "more"))
    ]
    row = Trajectory.following(TASK, *talk[:-1], *end)
    return judge(TurnsVerifier(Graded(), need=need), TASK, row)


@pytest.mark.parametrize(
    ("answers", "need", "outcome", "score", "steps"),
    [
        (("0.1", "0.9"), "last", Outcome.PASS, 0.9, (0.1, 0.9)),
        (("0.9", "0.1"), "last", Outcome.FAIL, 0.1, (0.9, 0.1)),
        (("?", "0.9"), "last", Outcome.PASS, 0.9, (None, 0.9)),
        (("0.9", "?"), "last", Outcome.INVALID, None, (0.9, None)),
        (("0.6", "0.9", "0.7"), "all", Outcome.PASS, 0.6, (0.6, 0.9, 0.7)),
        (("0.1", "0.9"), "all", Outcome.FAIL, 0.1, (0.1, 0.9)),
        (("?", "0.9"), "all", Outcome.INVALID, None, (None, 0.9)),
        (("?", "0.1"), "all", Outcome.FAIL, 0.1, (None, 0.1)),
    ],
)
def test_each_turn_is_judged_as_if_it_were_the_last(answers, need, outcome, score, steps):
    found = verdict(*answers, need=need)
    assert (found.outcome, found.score, found.step_scores) == (outcome, score, steps)
    assert (found.verifier, found.version.partition(";")[0]) == ("turns", "1")


def test_an_assistant_turn_of_the_prompt_is_none_and_the_user_must_not_have_the_last_word():
    assert verdict("0.9").step_scores == (0.9,)
    found = verdict("0.9", end=(Message("user", "thanks"),))
    assert (found.outcome, found.reason) == (Outcome.FAIL, "the user has the last word")
    assert judge(TurnsVerifier("exact"), TASK, Trajectory.following(TASK)).reason == "no answer"


def test_its_version_says_what_judges_and_what_must_pass():
    assert TurnsVerifier(Graded()).version == "1;verifier=graded@7"
    assert TurnsVerifier(Graded(), need="all").version == "1;verifier=graded@7;need='all'"
    with pytest.raises(ConfigError, match="need must be one of last, all, got 'any'"):
        TurnsVerifier(Graded(), need="any")
