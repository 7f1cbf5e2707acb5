import itertools

import attrs
import pytest

from orbiter.testing import check_strategy
from orbiter.train.dataset import DefaultStrategy, TrajectoryStrategy


class Scored(TrajectoryStrategy):
    """A right one, to be broken in one way each."""

    def should_capture(self, item):
        return item.reward is not None

    def process(self, item):
        return attrs.evolve(item, reward=min(1.0, max(0.0, item.reward)))


@pytest.mark.parametrize("make", [DefaultStrategy, Scored])
def test_right_strategies_pass(make):
    check_strategy(make)


class First(DefaultStrategy):
    """Keeps one item; a strategy may remember."""

    def __init__(self):
        self.full = False

    def should_capture(self, item):
        full, self.full = self.full, True
        return not full


def test_a_strategy_may_remember():
    check_strategy(First)


class Comparing(DefaultStrategy):
    def should_capture(self, item):
        return item.reward >= 0.5


class Truthy(DefaultStrategy):
    def should_capture(self, item):
        return item.reward


class Forgetful(DefaultStrategy):
    def process(self, item):
        return None


class Raising(DefaultStrategy):
    def process(self, item):
        return item.state.upper()


class Zeroing(DefaultStrategy):
    def process(self, item):
        return attrs.evolve(item, reward=item.reward or 0.0)


class Scribbling(DefaultStrategy):
    def process(self, item):
        item.metadata["seen"] = True
        return item


class Counting(DefaultStrategy):
    count = itertools.count()

    def process(self, item):
        return attrs.evolve(item, metadata={"n": next(self.count)})


@pytest.mark.parametrize(
    ("broken", "clause"),
    [
        (Comparing, "every item"),
        (Truthy, "every item"),
        (Forgetful, "every item"),
        (Raising, "every item"),
        (Zeroing, "unscored stays unscored"),
        (Scribbling, "nothing is changed"),
        (Counting, "same treatment"),
    ],
)
def test_a_broken_clause_is_named(broken, clause):
    with pytest.raises(AssertionError) as caught:
        check_strategy(broken)
    assert f" breaks {clause!r}: " in str(caught.value)
