import fractions
import functools
import math
import pickle

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from orbiter.errors import ConfigError
from orbiter.records import Message, Task, Trajectory, Verdict
from orbiter.train import rewards as rewards_module
from orbiter.train.rewards import Rewards, RewardSpec, combine_rewards
from orbiter.verify.answer import answered
from orbiter.verify.exact import ExactVerifier
from orbiter.verify.verifier import Verifier


def task(answer="4"):
    return Task(env="sums", task_id="sums:0", messages=(Message("user", "2+2"),), answer=answer)


def constant(value):
    return lambda output: value


def raising(output):
    raise ZeroDivisionError("no")


class Abstaining(Verifier):
    name = "abstaining"

    def verify(self, task, trajectory):
        return Verdict.invalid("abstains")


class ReadsTranscript(Verifier):
    name = "reads"

    def verify(self, task, trajectory):
        assert trajectory == Trajectory(
            messages=(Message("user", "2+2"), Message("assistant", "4")),
            env="sums",
            task_id="sums:0",
            score=None,
        )
        return Verdict.passed(score=0.5)


def test_the_score_is_the_weighted_sum():
    specs = [
        RewardSpec(name="length", weight=0.5, fn=len),
        RewardSpec(name="shout", weight=2.0, fn=lambda output: output.isupper()),
    ]
    assert combine_rewards(specs, ["HI", "hey"]) == Rewards(
        scores=(3.0, 1.5),
        reasons=(None, None),
        by_name={"length": (2.0, 3.0), "shout": (1.0, 0.0)},
    )


@pytest.mark.parametrize(
    "value", [True, np.True_, np.float32(1), np.int64(1), fractions.Fraction(1)]
)
def test_what_numpy_calls_a_number_or_a_truth_is_one(value):
    rewards = combine_rewards([RewardSpec(name="r", weight=0.5, fn=constant(value))], ["x"])
    assert (rewards.scores, rewards.reasons) == ((0.5,), (None,))


@pytest.mark.parametrize(
    ("fn", "reason"),
    [
        (raising, "raised ZeroDivisionError"),
        (constant(None), "returned None"),
        (constant(math.nan), "returned NaN"),
        (constant(math.inf), "returned infinity"),
        (constant(-math.inf), "returned infinity"),
        (constant("1.0"), "returned str, not a number"),
        (constant([1.0]), "returned list, not a number"),
        (constant(1j), "returned complex, not a number"),
        (constant(10**400), "returned a number too large"),
        (constant(Verdict.invalid("timeout")), "timeout"),
    ],
)
def test_a_reward_that_is_no_number_leaves_the_sample_unscored(fn, reason):
    rewards = combine_rewards(
        [RewardSpec(name="good", fn=constant(1.0)), RewardSpec(name="bad", fn=fn)], ["x"]
    )
    assert rewards == Rewards(
        scores=(None,), reasons=(f"bad: {reason}",), by_name={"good": (1.0,), "bad": (None,)}
    )
    assert rewards.unscored == {f"bad: {reason}": 1}


@pytest.mark.parametrize(
    ("value", "expected"),
    [
        (True, 1.0),
        (3, 3.0),
        (np.float32(0.5), 0.5),
        (np.int64(2), 2.0),
        (fractions.Fraction(1, 4), 0.25),
    ],
)
def test_every_real_number_is_a_reward(value, expected):
    scores = combine_rewards([RewardSpec(name="r", fn=constant(value))], ["x"]).scores
    assert (scores, type(scores[0])) == ((expected,), float)


def test_a_sum_that_overflows_is_unscored():
    specs = [RewardSpec(name="huge", weight=10.0, fn=constant(1e308))]
    rewards = combine_rewards(specs, ["x"])
    assert (rewards.scores, rewards.unscored_count) == ((None,), 1)


def test_the_mean_is_over_scored_samples_alone():
    spec = RewardSpec(name="r", fn=lambda output: None if output == "?" else float(output))
    assert combine_rewards([spec], ["1", "?", "3"]).mean == 2.0
    assert combine_rewards([spec], ["?"]).mean is None


@settings(max_examples=50)
@given(
    values=st.lists(
        st.one_of(st.none(), st.floats(), st.text(max_size=2), st.booleans()), max_size=8
    ),
    weight=st.floats(-10, 10),
)
def test_every_sample_is_scored_or_counted(values, weight):
    outputs = [str(i) for i in range(len(values))]
    spec = RewardSpec(name="r", weight=weight, fn=lambda output: values[int(output)])
    rewards = combine_rewards([spec], outputs)
    scored = [s for s in rewards.scores if s is not None]
    assert len(scored) + rewards.unscored.total() == len(values)
    assert [(s is None) != (r is None) for s, r in zip(rewards.scores, rewards.reasons)] == [
        True
    ] * len(values)
    assert all(math.isfinite(s) for s in scored)


def test_a_function_with_a_parameter_task_gets_the_task():
    def right(output, task):
        return float(output == task.answer)

    def maybe(output, task=None):
        return 1.0 if task is None else 2.0

    specs = [RewardSpec(name="right", fn=right), RewardSpec(name="maybe", fn=maybe)]
    assert combine_rewards(specs, ["4", "5"], [task(), task()]).scores == (3.0, 2.0)
    assert combine_rewards(specs[1:], ["4"]).scores == (1.0,)
    bound = RewardSpec(name="bound", fn=functools.partial(right, task=task("7")))
    assert combine_rewards([bound], ["7"]).scores == (1.0,)


def test_a_reward_that_needs_tasks_says_so():
    spec = RewardSpec(name="right", fn=lambda output, task: 1.0)
    with pytest.raises(ConfigError, match="reward 'right' needs the task of each output, got none"):
        combine_rewards([spec], ["4"])


def test_the_score_of_a_verifier_is_a_reward():
    spec = RewardSpec.from_verifier(ExactVerifier(), weight=0.5)
    assert (spec.name, spec.weight) == ("exact", 0.5)
    assert combine_rewards([spec], ["4", "5"], [task(), task()]).scores == (0.5, 0.0)
    assert combine_rewards(
        [RewardSpec.from_verifier(ReadsTranscript())], ["4"], [task()]
    ).scores == (0.5,)


def test_an_invalid_verdict_is_unscored_with_its_reason():
    spec = RewardSpec.from_verifier(Abstaining(), name="other")
    assert combine_rewards([spec], ["4"], [task()]).reasons == ("other: abstains",)


def test_a_verifier_reward_can_be_sent_to_a_worker():
    spec = pickle.loads(pickle.dumps(RewardSpec.from_verifier(ExactVerifier())))
    assert combine_rewards([spec], ["4"], [task()]).scores == (1.0,)


async def coroutine_reward(output):
    return 1.0


@pytest.mark.parametrize(
    ("options", "message"),
    [
        ({"name": ""}, "name of a reward must be a text, got ''"),
        ({"weight": math.nan}, "weight of reward 'r' must be a finite number, got nan"),
        ({"weight": True}, "weight of reward 'r' must be a finite number, got True"),
        ({"weight": np.True_}, "weight of reward 'r' must be a finite number, got np.True_"),
        ({"weight": "1"}, "weight of reward 'r' must be a finite number, got '1'"),
        ({"fn": 3}, "fn of reward 'r' must be callable, got 3"),
        ({"fn": coroutine_reward}, "fn of reward 'r' must be a plain function, got the coroutine"),
    ],
)
def test_a_spec_is_checked(options, message):
    with pytest.raises(ConfigError) as caught:
        RewardSpec(**{"name": "r", "fn": len, **options})
    assert caught.value.message.startswith(message)


def test_a_batch_is_checked():
    spec = RewardSpec(name="r", fn=len)
    with pytest.raises(ConfigError, match="rewards must be at least one RewardSpec, got none"):
        combine_rewards([], ["x"])
    with pytest.raises(ConfigError, match="names of rewards must differ, got 'r' 2 times"):
        combine_rewards([spec, spec], ["x"])
    with pytest.raises(ConfigError, match="tasks must be as many as outputs, got 1 and 2"):
        combine_rewards([spec], ["x", "y"], [task()])
    with pytest.raises(ConfigError, match="a reward must be a RewardSpec"):
        combine_rewards([len], ["x"])
    with pytest.raises(ConfigError, match="outputs must be a list of texts, got the text 'xy'"):
        combine_rewards([spec], "xy")


def test_a_verifier_judges_the_outputs_of_a_batch_together():
    class Together(Verifier):
        name, batch_size = "together", 8

        def __init__(self):
            self.asked = []

        def verify(self, task, trajectory):
            raise AssertionError("one by one")

        def verify_batch(self, pairs):
            self.asked.append([(task.answer, row.answer) for task, row in pairs])
            return [
                Verdict.passed() if t.answer == r.answer else Verdict.failed() for t, r in pairs
            ]

    verifier = Together()
    tasks = [Task("e", f"e:{n}", (Message("user", "q"),), str(n)) for n in range(3)]
    spec = RewardSpec.from_verifier(verifier, weight=2.0)
    rewards = combine_rewards([spec], ["0", "x", "2"], tasks)
    assert rewards.scores == (2.0, 0.0, 2.0)
    assert verifier.asked == [[("0", "0"), ("1", "x"), ("2", "2")]]


@pytest.mark.parametrize(
    ("values", "scores", "reason"),
    [
        (None, (None, None), "together: raised TypeError"),
        ([1.0], (None, None), "together: returned 1 rewards for 2 answers"),
        (iter([1.0, np.False_]), (1.0, 0.0), None),
    ],
)
def test_what_scores_together_must_say_something_of_each_answer(values, scores, reason):
    class Together:
        def __call__(self, output):
            raise AssertionError

        def score_batch(self, pairs):
            return values

    rewards = combine_rewards(
        [RewardSpec(name="together", fn=Together())], ["a", "b"], [task()] * 2
    )
    assert rewards.scores == scores
    assert set(rewards.reasons) == {reason}


def test_a_conversation_is_made_once_and_only_where_a_reward_looks_at_it(monkeypatch):
    made = []

    def answering(task, output):
        made.append(output)
        return answered(task, output)

    monkeypatch.setattr(rewards_module, "answered", answering)
    tasks = [Task("e", f"e:{i}", (Message("user", "?"),)) for i in range(3)]
    outputs = ["a", "bb", "ccc"]
    plain = RewardSpec(name="length", fn=len)
    assert combine_rewards([plain], outputs, tasks).scores == (1.0, 2.0, 3.0)
    assert made == []
    looking = [
        RewardSpec(name=name, fn=lambda output, trajectory: float(trajectory.answer == output))
        for name in ("one", "two")
    ]
    assert combine_rewards([plain, *looking], outputs, tasks).scores == (3.0, 4.0, 5.0)
    assert made == outputs
