import warnings

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from orbiter.errors import ConfigError, OrbiterWarning, RecordError, UserCodeError
from orbiter.generate.augment import deduplicate
from orbiter.generate.pipeline import SynthesisConfig, SynthesisPipeline, SynthesisResult
from orbiter.generate.synthesiser import DataSynthesiser
from orbiter.generate.templates import TemplateSynthesiser
from orbiter.records import Trajectory, TrajectoryItem


class Mapped(DataSynthesiser):
    """Gives what a function makes of the source, and notes what it was given."""

    def __init__(self, function=list):
        self.function = function
        self.calls = []

    async def synthesise(self, source, config):
        self.calls.append((list(source), config))
        return self.function(source)


def pipeline(*steps, target_size=100, **config):
    made = SynthesisPipeline(config=SynthesisConfig(target_size=target_size, **config))
    for step in steps:
        made.add_step(step)
    return made


async def test_each_step_works_on_what_the_one_before_gave():
    first, second = (
        Mapped(lambda source: [*source, "b"]),
        Mapped(lambda source: [s * 2 for s in source]),
    )
    config = SynthesisConfig(target_size=5, seed=3)
    result = await SynthesisPipeline(config=config).add_step(first).add_step(second).run(["a"])
    assert (first.calls, second.calls) == ([(["a"], config)], [(["a", "b"], config)])
    assert result == SynthesisResult(
        items=["aa", "bb"],
        generated_count=2,
        filtered_count=0,
        unscored_count=0,
        duplicate_count=0,
        surplus_count=0,
        step_counts=(2, 2),
    )


async def test_what_becomes_of_every_item():
    seed_data = [
        {"text": "good one", "score": 0.9},
        {"text": "bad", "score": 0.1},
        {"text": "unknown", "score": None},
        {"text": "good one", "score": 0.8},
        {"text": "another good one", "score": 0.7},
        {"text": "one too many", "score": 1.0},
    ]
    with pytest.warns(
        OrbiterWarning, match=r"1 of 6 items have no score and are left out by min_score=0.7"
    ):
        result = await pipeline(Mapped(), target_size=2, min_score=0.7, dedup_threshold=0.9).run(
            seed_data
        )
    assert result == SynthesisResult(
        items=[seed_data[0], seed_data[4]],
        generated_count=6,
        filtered_count=1,
        unscored_count=1,
        duplicate_count=1,
        surplus_count=1,
        step_counts=(6,),
    )


scores = st.none() | st.floats(-1, 2)
items = st.one_of(
    st.fixed_dictionaries({"text": st.sampled_from("abc"), "score": scores}),
    st.builds(TrajectoryItem, st.sampled_from("abc"), st.just("x"), scores),
    st.sampled_from("abc"),
)


@settings(deadline=None, max_examples=60)
@given(
    data=st.lists(items, max_size=10),
    target_size=st.integers(1, 6),
    min_score=st.none() | st.floats(-1, 2),
    threshold=st.none() | st.floats(0.1, 1),
)
async def test_items_are_conserved(data, target_size, min_score, threshold):
    made = pipeline(
        Mapped(), target_size=target_size, min_score=min_score, dedup_threshold=threshold
    )
    with warnings.catch_warnings():
        warnings.simplefilter("ignore", OrbiterWarning)
        result = await made.run(data)
    left_out = (
        result.filtered_count,
        result.unscored_count,
        result.duplicate_count,
        result.surplus_count,
    )
    assert len(result.items) + sum(left_out) == result.generated_count == len(data)
    assert len(result.items) <= target_size
    if threshold is not None:
        assert deduplicate(result.items, threshold=threshold) == result.items


async def test_without_bounds_nothing_is_left_out():
    data = ["a", "a", TrajectoryItem("s", "a"), Trajectory((), "e", "t", None), 7]
    assert (await pipeline(Mapped()).run(data)).items == data


async def test_templates_make_data_from_nothing():
    step = TemplateSynthesiser(["hello {a}"], {"a": ["x", "y", "z"]})
    result = await pipeline(step, target_size=3, dedup_threshold=0.95).run([])
    assert result.items == ["hello x", "hello y", "hello z"]


async def test_the_seed_data_is_left_alone():
    def clear(source):
        source.clear()
        return []

    data = ["a"]
    await pipeline(Mapped(clear)).run(data)
    assert data == ["a"]


def raising(source):
    raise ZeroDivisionError("no")


@pytest.mark.parametrize(
    ("function", "message"),
    [
        (raising, "step 2 (Mapped) raised ZeroDivisionError: no"),
        (lambda source: None, "step 2 (Mapped) must return a list, got None"),
        (lambda source: "ab", "step 2 (Mapped) must return a list, got 'ab'"),
    ],
)
async def test_a_bad_step_is_named(function, message):
    with pytest.raises(UserCodeError) as caught:
        await pipeline(Mapped(), Mapped(function)).run(["a"])
    assert caught.value.message == message


async def test_a_bad_item_is_named():
    with pytest.raises(
        RecordError, match="item 2: field 'score' must be a finite number or None, got 'x'"
    ):
        await pipeline(Mapped(), min_score=0.5).run([{"score": 1}, {"score": "x"}])
    with pytest.raises(RecordError, match="item 2: item must be a text"):
        await pipeline(Mapped(), dedup_threshold=0.5).run(["a", 7])


async def test_bad_calls():
    with pytest.raises(ConfigError, match="pipeline must have a step, got none"):
        await pipeline().run(["a"])
    with pytest.raises(ConfigError, match="a step must be a DataSynthesiser, got <class"):
        pipeline(Mapped)
    for seed_data in ("text", 3, {"text": "a"}):
        with pytest.raises(ConfigError, match="seed_data must be a list, got"):
            await pipeline(Mapped()).run(seed_data)


@pytest.mark.parametrize(
    ("options", "message"),
    [
        ({"target_size": 0}, "target_size must be an integer >= 1, got 0"),
        ({"target_size": 1.5}, "target_size must be an integer >= 1, got 1.5"),
        ({"target_size": True}, "target_size must be an integer >= 1, got True"),
        ({"min_score": "high"}, "min_score must be a finite number, got 'high'"),
        ({"min_score": float("nan")}, "min_score must be a finite number, got nan"),
        ({"dedup_threshold": 0}, "dedup_threshold must be a number in (0, 1], got 0"),
        ({"dedup_threshold": 1.1}, "dedup_threshold must be a number in (0, 1], got 1.1"),
        ({"seed": -1}, "seed must be an integer >= 0, got -1"),
    ],
)
def test_the_config_is_checked(options, message):
    with pytest.raises(ConfigError) as caught:
        SynthesisConfig(**{"target_size": 1, **options})
    assert caught.value.message == message
