"""A stage with an engine that cannot work is refused where it stands, or stopped, and says why."""

import pytest
from engine_parts import EVOL, SPIN, TALK, wheels_in

from orbiter.errors import BudgetExceededError, ConfigError, RecordError
from orbiter.generate.policy import Completion
from orbiter.generate.scripted import ScriptedPolicy


@pytest.fixture
def wheel(tmp_path):
    return wheels_in(tmp_path)


def test_too_many_invalid_verdicts_stop_the_stage_and_say_why(wheel):
    stages = EVOL.replace('verifier: {name: "mine.py:Sorted"}', "verifier: {name: exact}")
    with pytest.raises(BudgetExceededError, match="task has no reference text"):
        wheel(stages).run()


@pytest.mark.parametrize(("stage", "reason"), [(EVOL, "no answer"), (TALK, "user: no answer")])
def test_a_writer_that_is_down_stops_the_stage(wheel, stage, reason):
    with pytest.raises(BudgetExceededError, match=rf"got \d+ of \d+: \d+ x {reason}: HTTP 503"):
        wheel(stage.replace("mine.py:Writer", "mine.py:Down"), "evaluate.tasks=0").run()


@pytest.mark.parametrize("stage", [EVOL, SPIN, TALK])
def test_a_stage_goes_on_when_its_policy_answers_again(wheel, monkeypatch, stage):
    """What was answered is not asked for again, and what comes of it is what would have come."""
    asked, is_down, complete = [], [True], ScriptedPolicy.complete

    async def faulty(self, requests, sampling):
        said = await complete(self, requests, sampling)
        down = [is_down[0] and request.seed % 3 > 0 for request in requests]
        asked.extend(request for request, fails in zip(requests, down) if not fails)
        return [Completion.failed("down") if fails else one for one, fails in zip(said, down)]

    monkeypatch.setattr(ScriptedPolicy, "complete", faulty)
    with pytest.raises(BudgetExceededError, match="no answer: down"):
        wheel(stage, "evaluate.tasks=0").run()
    is_down[0] = False
    result = wheel(stage, "evaluate.tasks=0").run()
    once = list(map(repr, asked))
    assert len(set(once)) == len(once)
    whole = wheel(stage, "evaluate.tasks=0", runs="whole").run()
    for path in sorted((whole.path / "data").iterdir()):
        assert (result.path / "data" / path.name).read_bytes() == path.read_bytes()


@pytest.mark.parametrize(
    ("stages", "message"),
    [
        ("  a: {synthesise: {name: evol}, generate: {}}\n", "field 'stages.a.synthesise' must not be given beside generate"),
        ("  a: {synthesise: {name: evol, tasks: 0}}\n", "field 'stages.a.synthesise.tasks' must be >= 1, got 0"),
        ("  a: {synthesise: {name: evol}, revise: {}}\n", "field 'stages.a.revise' must not be given without a section generate"),
        ("  a: {synthesise: {name: evol, api_key: x}}\n", "must not be in a recipe"),
    ],
)  # fmt: skip
def test_what_cannot_be_read_is_refused_where_it_stands(wheel, stages, message):
    with pytest.raises(RecordError) as error:
        wheel(stages)
    assert message in str(error.value)


@pytest.mark.parametrize(
    ("stages", "message"),
    [
        ("  a: {synthesise: {name: evo}}\n", "unknown synthesiser 'evo'; did you mean 'evol'?"),
        ("  a: {synthesise: {name: evol, dept: 2}}\n", "synthesiser 'evol' has no option 'dept'; did you mean 'depth'?"),
        ("  a: {synthesise: {name: evol, depth: 0}}\n", "synthesiser 'evol': depth must be an integer >= 1, got 0"),
        ("  a: {synthesise: {name: evol, writer: nobody}}\n", "unknown policy 'nobody'"),
        ('  a: {synthesise: {name: "mine.py:Plain"}}\n', "must be a PolicySynthesiser to make attempts, got Plain"),
        ("  a: {synthesise: {name: evol, verifier: exact}}\n", "verifier must not be an option of synthesiser 'evol' in a recipe"),
    ],
)  # fmt: skip
def test_what_does_not_fit_leaves_nothing_behind(wheel, stages, message, tmp_path):
    with pytest.raises((ConfigError, LookupError)) as error:
        wheel(stages).run()
    assert message in str(error.value)
    assert not (tmp_path / "runs").exists()
