import subprocess
import sys

import orjson
import pytest
from hypothesis import Phase, find, given, settings

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


@pytest.mark.parametrize(
    ("strategy", "wanted"),
    [
        *((strategies.verdicts(), lambda v, o=outcome: v.outcome is o) for outcome in Outcome),
        (strategies.messages(role="assistant"), lambda m: m.tool_calls and m.content is None),
        (strategies.messages(role="assistant"), lambda m: m.tool_calls and m.content),
        (strategies.messages(role="assistant"), lambda m: isinstance(m.content, list)),
        (strategies.messages(), lambda m: m.role == "tool" and m.extra),
        (strategies.trajectories(), lambda t: t.score is None),
        (strategies.trajectories(), lambda t: t.score and len(t.messages) > 2),
    ],
)
def test_every_shape_comes_up(strategy, wanted):
    quickly = settings(max_examples=500, phases=[Phase.generate], derandomize=True, deadline=None)
    assert wanted(find(strategy, wanted, settings=quickly))


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
