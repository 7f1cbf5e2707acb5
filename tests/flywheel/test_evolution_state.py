"""An evolution that goes on from its file ends as one that was never stopped."""

import math

import orjson
import pytest
from evolution_parts import Climb, pipeline
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from orbiter.errors import ConfigError, RecordError, UserCodeError


@settings(
    deadline=None, max_examples=15, suppress_health_check=[HealthCheck.function_scoped_fixture]
)
@given(calls=st.integers(0, 30), seed=st.integers(0, 3), rate=st.floats(0.1, 1))
async def test_a_broken_run_ends_like_an_unbroken_one(tmp_path, calls, seed, rate):
    class Failing(Climb):
        left = calls

        async def mutate(self, candidate):
            if not self.left:
                raise InterruptedError
            self.left -= 1
            return await super().mutate(candidate)

    config = {"epochs": 6, "population_size": 5, "seed": seed, "mutation_rate": rate}
    path = tmp_path / "state.json"
    path.unlink(missing_ok=True)
    failing = Failing()
    try:
        await pipeline(failing, **config).run([0, 30, 7], state_path=path)
    except UserCodeError:
        assert failing.left == 0
    strategy = Climb()
    resumed = await pipeline(strategy, **config).run([0, 30, 7], state_path=path)
    assert resumed == await pipeline(**config).run([0, 30, 7])
    assert not {0, 30, 7} & set(strategy.evaluated)
    assert [p.name for p in tmp_path.iterdir()] == ["state.json"]


async def test_a_finished_run_is_not_run_again(tmp_path):
    path, again = tmp_path / "deep" / "state.json", Climb()
    first = await pipeline().run([0], state_path=path)
    assert await pipeline(again).run([0], state_path=str(path)) == first
    assert (again.evaluated, again.mutated) == ([], [])


async def test_more_epochs_go_on_from_fewer(tmp_path):
    path = tmp_path / "state.json"
    await pipeline(epochs=3).run([0], state_path=path)
    longer = await pipeline(epochs=7).run([0], state_path=path)
    assert longer == await pipeline(epochs=7).run([0])


async def test_another_run_is_refused(tmp_path):
    path = tmp_path / "state.json"
    await pipeline().run([0], state_path=path)
    with pytest.raises(ConfigError, match="whose run differs in initial_population, seed"):
        await pipeline(seed=1).run([1], state_path=path)


@pytest.mark.parametrize("candidate", [(1, 2), {1: 2}, object(), math.nan])
async def test_candidates_that_json_would_change_are_refused(tmp_path, candidate):
    class Any(Climb):
        async def evaluate(self, candidate):
            return 1.0

    with pytest.raises(RecordError, match="candidate 2: must be plain JSON to be saved, got"):
        await pipeline(Any()).run([1, candidate], state_path=tmp_path / "s")
    assert not (tmp_path / "s").exists()
    await pipeline(Any(), mutation_rate=0.0).run([1, candidate])


@pytest.mark.parametrize(
    ("text", "message"),
    [("{", "must be JSON"), ('{"asked": {}}', "field 'members' is missing")],
)
async def test_a_bad_file_is_named(tmp_path, text, message):
    path = tmp_path / "state.json"
    path.write_text(text)
    with pytest.raises(RecordError, match=message) as caught:
        await pipeline().run([0], state_path=path)
    assert str(path) in str(caught.value)


async def test_the_file_is_readable(tmp_path):
    await pipeline(epochs=1).run([7], state_path=tmp_path / "s")
    state = orjson.loads((tmp_path / "s").read_bytes())
    assert state["members"] == [{"candidate": 7, "score": -35.0}]
    assert state["best"] == {"candidate": 7, "score": -35.0}
