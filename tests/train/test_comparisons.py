import json
import re

import pytest

from orbiter.errors import ConfigError
from orbiter.records import Message, Task
from orbiter.train import Comparisons, RewardSpec, combine_rewards
from orbiter.verify.judges import JudgeModel, PairwiseJudge, Reply


class Longest(JudgeModel):
    """Prefers the longer answer; ties are ties, and of an answer with a question mark it cannot tell."""

    model = "longest"

    def ask(self, questions):
        return [Reply(text=json.dumps({"better": self.better(q)})) for q in questions]

    def better(self, question):
        text = question.messages[-1].text
        a, b = (re.search(rf"BEGIN ANSWER {s} .*\n\| (.*)\n", text)[1] for s in "AB")
        if "?" in a + b:
            return None
        return "tie" if len(a) == len(b) else "A" if len(a) > len(b) else "B"


@pytest.fixture
def spec():
    judge = PairwiseJudge(model=Longest(), rubric="The longer answer is better.")
    return RewardSpec(name="judge", fn=Comparisons(judge))


def task(n):
    return Task("e", f"e:{n}", (Message("user", f"say {n}"),))


def test_the_reward_is_the_share_of_wins_among_the_answers_to_a_task(spec):
    answers = ["ab", "abc", "abcd", "xy", "xyz", "abc"]
    tasks = [task(0), task(0), task(0), task(1), task(1), task(0)]
    rewards = combine_rewards([spec], answers, tasks)
    assert rewards.scores == (0.0, pytest.approx(0.5), 1.0, 0.0, 1.0, pytest.approx(0.5))


def test_what_the_judge_could_not_decide_is_unscored_and_counts_for_nobody(spec):
    answers = ["a?", "abc", "ab", "x?", "y?", "alone"]
    tasks = [task(0), task(0), task(0), task(1), task(1), task(2)]
    rewards = combine_rewards([spec], answers, tasks)
    assert rewards.scores == (None, 1.0, 0.0, None, None, None)
    assert rewards.reasons[0] == "judge: abstain: judge cannot tell"
    assert rewards.reasons[5] == "judge: nothing to compare with"


def test_one_output_alone_is_unscored(spec):
    assert spec.score("a", task=task(0)) == (None, "nothing to compare with")


def test_only_a_pairwise_judge_compares():
    with pytest.raises(ConfigError, match="judge must be a PairwiseJudge, got"):
        Comparisons("pairwise_judge")


class Broken(JudgeModel):
    model = "broken"

    def ask(self, questions):
        raise ZeroDivisionError


def test_a_judge_that_breaks_scores_nothing():
    judge = PairwiseJudge(model=Broken(), rubric="Any.")
    spec = RewardSpec(name="judge", fn=Comparisons(judge))
    rewards = combine_rewards([spec], ["a", "b"], [task(0), task(0)])
    assert rewards.scores == (None, None)


class ShortOfOne:
    def __call__(self, output):
        return 1.0

    def score_batch(self, pairs):
        return [1.0] * (len(pairs) - 1)


class Raising(ShortOfOne):
    def score_batch(self, pairs):
        raise KeyError


@pytest.mark.parametrize(
    ("fn", "reason"),
    [(ShortOfOne(), "r: returned 1 rewards for 2 answers"), (Raising(), "r: raised KeyError")],
)
def test_a_batch_that_cannot_be_told_apart_is_unscored(fn, reason):
    rewards = combine_rewards([RewardSpec(name="r", fn=fn)], ["a", "b"], [task(0), task(1)])
    assert (rewards.scores, rewards.reasons) == ((None, None), (reason, reason))
