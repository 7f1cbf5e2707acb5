"""Edits of an answer, and the demonstrations that probes are made from."""

import random

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from orbiter.errors import ConfigError, UserCodeError
from orbiter.tasks.environment import Environment
from orbiter.verify.audit import corruptions
from orbiter.verify.audit.answers import demonstrated

quick = settings(deadline=None, max_examples=60)


class Doubling(Environment):
    name = "doubling"

    def task(self, index, *, seed):
        return self.make_task(index, f"double {10 + index}", answer=str(2 * (10 + index)))


@quick
@given(st.text(max_size=8), st.integers(0, 99), st.none() | st.just("ab"))
def test_corruptions_are_one_edit_away(answer, seed, chars):
    for text in corruptions(answer, random.Random(seed), chars=chars):
        assert text != answer
        assert abs(len(text) - len(answer)) <= 1
        allowed = set(chars or answer or "?") | set(answer)
        if any(c.isdigit() for c in answer):
            allowed |= set("0123456789")
        assert set(text) <= allowed


def test_a_demonstration_that_is_no_text_is_the_environments_fault():
    class Counting(Doubling):
        def demonstrate(self, task):
            return int(task.answer)

    with pytest.raises(
        UserCodeError, match=r"environment 'doubling' must return a text or None, got 20"
    ):
        demonstrated(Counting(), count=3, seed=0)


def test_a_finite_environment_gives_all_it_has():
    class Few(Doubling):
        size = 3

    assert [answer for _, answer in demonstrated(Few(), count=100, seed=0)] == ["20", "22", "24"]


def test_an_environment_without_demonstrations_cannot_be_audited_with():
    class Mute(Doubling):
        def demonstrate(self, task):
            return None

    with pytest.raises(ConfigError, match="environment 'doubling' must demonstrate right answers"):
        demonstrated(Mute(), count=5, seed=0)
    with pytest.raises(ConfigError, match="count must be an integer >= 1, got 0"):
        demonstrated(Doubling(), count=0, seed=0)
