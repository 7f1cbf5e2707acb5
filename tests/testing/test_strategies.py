import subprocess
import sys

import orjson
import pytest
from hypothesis import given, settings

from orbiter.records import Message, Outcome, Pair, Task, Trajectory, TrajectoryItem, Verdict
from orbiter.testing import strategies

KINDS = [
    (strategies.messages, Message),
    (strategies.tasks, Task),
    (strategies.verdicts, Verdict),
    (strategies.trajectories, Trajectory),
    (strategies.pairs, Pair),
    (strategies.trajectory_items, TrajectoryItem),
]


@pytest.mark.parametrize(("make", "cls"), KINDS)
def test_records_survive_the_way_through_json(make, cls):
    seen = set()

    @settings(deadline=None, max_examples=40)
    @given(make())
    def check(record):
        assert type(record) is cls
        assert cls.from_row(orjson.loads(orjson.dumps(record.to_row()))) == record
        seen.add(repr(record))

    check()
    assert len(seen) > 20


def test_every_outcome_and_every_shape_of_a_message_comes_up():
    outcomes, shapes = set(), set()

    @settings(deadline=None, max_examples=80, derandomize=True)
    @given(strategies.trajectories())
    def check(trajectory):
        shapes.add(("scored", trajectory.score is not None))
        if trajectory.verdict:
            outcomes.add(trajectory.verdict.outcome)
        for message in trajectory.messages:
            shapes.add((message.role, type(message.content).__name__, bool(message.tool_calls)))

    check()
    assert outcomes == set(Outcome)
    assert {("scored", True), ("scored", False), ("assistant", "str", True)} <= shapes
    assert {
        ("tool", "str", False),
        ("system", "list", False),
        ("assistant", "NoneType", True),
    } <= shapes


@settings(deadline=None, max_examples=20)
@given(strategies.trajectories(scored=True))
def test_scored(trajectory):
    assert 0 <= trajectory.score <= 1


@settings(deadline=None, max_examples=20)
@given(strategies.trajectories(scored=False))
def test_unscored(trajectory):
    assert trajectory.score is None


def test_without_hypothesis_the_error_says_what_to_install():
    code = (
        "import sys; sys.modules['hypothesis'] = None\n"
        "import orbiter.testing\n"
        "from orbiter.errors import MissingPluginError\n"
        "try:\n    import orbiter.testing.strategies\n"
        "except MissingPluginError as error:\n    print(error)\n"
    )
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True)
    assert done.stdout.splitlines() == [
        "orbiter.testing.strategies needs hypothesis, which is not installed",
        "  pip install hypothesis",
    ]
