import itertools
import random
import warnings

import pytest

from orbiter.generate.pipeline import SynthesisConfig
from orbiter.generate.synthesiser import DataSynthesiser
from orbiter.generate.templates import TemplateSynthesiser
from orbiter.tasks.streams import item_stream
from orbiter.testing import check_synthesiser

WORDS = ["a", "b", "c"]


def test_templates_keep_the_contract():
    def make():
        return TemplateSynthesiser(
            templates=["explain {x}", "compare {x} and {y}"],
            variables={"x": ["p", "q", "r"], "y": ["s", "t"]},
            seed=3,
        )

    check_synthesiser(make)
    check_synthesiser(make, count=100)


class Shout(DataSynthesiser):
    """A right one that needs a source."""

    async def synthesise(self, source, config):
        return [item.upper() for item in source]


class Drawn(DataSynthesiser):
    """A right one that makes data from nothing, to be broken in one way each."""

    def __init__(self, seed=0):
        self.seed = seed

    async def generate(self, count):
        return [str(item_stream(self.seed, n).random()) for n in range(count)]


def test_right_synthesisers_pass():
    check_synthesiser(Shout, source=WORDS)
    check_synthesiser(Drawn)
    check_synthesiser(Drawn, source=WORDS, config=SynthesisConfig(target_size=9, seed=4))


class Few(Drawn):
    async def generate(self, count):
        if count > 3:
            warnings.warn("no more than 3 distinct items", stacklevel=2)
        return (await super().generate(count))[:3]


def test_fewer_items_with_a_warning_are_fine():
    check_synthesiser(Few)


class FewInSilence(Drawn):
    async def generate(self, count):
        return (await super().generate(count))[:3]


class Many(Drawn):
    async def generate(self, count):
        return await super().generate(count + 1)


class AtLeastOne(Drawn):
    async def generate(self, count):
        return await super().generate(max(1, count))


class Tuples(Drawn):
    async def generate(self, count):
        return tuple(await super().generate(count))


class Raising(Drawn):
    async def generate(self, count):
        raise KeyError("x")


class GlobalRandom(Drawn):
    async def generate(self, count):
        return [random.random() for _ in range(count)]


class GoingOn(Drawn):
    def __init__(self):
        self.stream = random.Random(0)

    async def generate(self, count):
        return [self.stream.random() for _ in range(count)]


class PerInstance(Drawn):
    made = itertools.count()

    def __init__(self):
        super().__init__(next(self.made))


class Lazy(Shout):
    async def synthesise(self, source, config):
        return (item.upper() for item in source)


class InPlace(Shout):
    async def synthesise(self, source, config):
        source += [item.upper() for item in source]
        return source


class Shuffling(Shout):
    async def synthesise(self, source, config):
        return [f"{item} {random.random()}" for item in source]


class Unready(Shout):
    async def synthesise(self, source, config):
        raise RuntimeError("no source")


class OtherRefusal(Shout):
    async def generate(self, count):
        raise NotImplementedError


@pytest.mark.parametrize(
    ("broken", "clause"),
    [
        (FewInSilence, "count"),
        (Many, "count"),
        (AtLeastOne, "count"),
        (Tuples, "generate"),
        (Raising, "generate"),
        (OtherRefusal, "generate"),
        (GlobalRandom, "same items again"),
        (GoingOn, "same items again"),
        (PerInstance, "same items again"),
        (Lazy, "synthesise"),
        (Unready, "synthesise"),
        (InPlace, "source is left alone"),
        (Shuffling, "same items again"),
    ],
)
def test_a_broken_clause_is_named(broken, clause):
    with pytest.raises(AssertionError) as caught:
        check_synthesiser(broken, source=WORDS)
    assert f" breaks {clause!r}: " in str(caught.value)
