"""The demonstrations that stages have made: as many as asked, no task twice, none held out."""

import pytest

from orbiter import jsonl
from orbiter.errors import OrbiterWarning
from orbiter.flywheel.demonstrations import made_by_stage
from orbiter.flywheel.exchanges import Exchanges
from orbiter.records import Pair, Task
from orbiter.tasks.splits import is_held_out

PARTS = """
from orbiter.generate.synthesiser import DataSynthesiser
from orbiter.records import Message, Trajectory
from orbiter.tasks.streams import item_stream

class Digits(DataSynthesiser):
    def __init__(self, *, seed=0):
        self.seed = seed
    async def generate(self, count):
        texts = ["".join(item_stream("digits", self.seed, n).choices("0123456789", k=6)) for n in range(count)]
        return [
            Trajectory(
                (Message("user", f"sort {t}:"), Message("assistant", "".join(sorted(t)))), "sorting", t, None,
                extra={"engine": "policy", "attempt": 0},  # as rows of another run have it
            )
            for t in texts
        ]
"""

HEAD = """\
name: demonstrations
seed: 3
model: {id: some-model}
environment: {name: sorting, length: 6}
verifier: {name: "stage_parts.py:Sorted"}
policy: {name: scripted, accuracy: 0.4, environment: {name: sorting, length: 6}}
generate: {tasks: 10, samples: 4}
evaluate: {tasks: 6, audit: 0}
verify: {workers: 0}
stages:
"""


WORDS = """
from orbiter.generate.synthesiser import DataSynthesiser
from orbiter.records import Message, Trajectory

class Words(DataSynthesiser):
    async def generate(self, count):
        said = (Message("user", "reverse hello"), Message("assistant", "olleh"))
        return [Trajectory(said, "words", "words:hello", None, extra={given})]
"""


def made(wheel, stages, *overrides):
    """Return the demonstrations of each round."""
    flywheel = wheel(*overrides, text=HEAD + stages)
    with flywheel:
        return [made_by_stage(flywheel, turn, Exchanges()) for turn in flywheel.recipe.turns]


def task_ids(rows):
    return [row.task_id for row in rows]


def test_a_stage_has_as_many_made_as_it_asks_for_however_few_are_sampled(wheel):
    (rows,) = made(wheel, "  show: {demonstrate: {count: 25}}\n")
    assert len(set(task_ids(rows))) == 25


OTHER = "environment: {name: sorting, length: 4}"


@pytest.mark.parametrize("where", ["", OTHER, 'synthesisers: [{name: "mine.py:Digits"}]'])
def test_no_round_demonstrates_what_an_earlier_one_did(wheel, where):
    stages = "".join(
        f"  {name}: {{rounds: {rounds}, demonstrate: {{count: 20, {where}}}}}\n"
        for name, rounds in (("one", 2), ("two", 1))
    )
    rounds = made(wheel, stages)
    assert [len(rows) for rows in rounds] == [20, 20, 20]
    assert len({row.id for rows in rounds for row in rows}) == 60


def test_what_two_engines_have_in_common_is_given_once(wheel):
    engine = '{name: "mine.py:Digits", seed: 1}'
    stages = f"  show: {{demonstrate: {{count: 20, synthesisers: [{engine}, {engine}]}}}}\n"
    (rows,) = made(wheel, stages)
    assert len({row.id for row in rows}) == len(rows) == 20
    assert not [row for row in rows if "attempt" in row.extra]  # each is given, whatever it was


@pytest.mark.parametrize(("given", "count"), [({}, 0), ({"answer": "olleh"}, 1)])
def test_an_engine_gives_its_rows_the_reference_and_is_told_why_they_do_not_pass(
    wheel, tmp_path, given, count
):
    (tmp_path / "words.py").write_text(WORDS.format(given=given))
    stages = '  show: {demonstrate: {count: 3, synthesisers: [{name: "words.py:Words"}]}}\n'
    with pytest.warns(OrbiterWarning) as told:
        (rows,) = made(
            wheel, stages, "verifier={name: exact}", "evaluate={tasks: 0, share: 0, audit: 0}"
        )
    assert len(rows) == count
    why = (
        "synthesiser 'words.py:Words': the verifier does not pass 1 of 1 rows; the first: invalid: "
    )
    assert [str(one.message).startswith(why) for one in told] == (
        [True, False] if not count else [False]
    )


def test_what_another_environment_demonstrates_is_not_held_out(wheel):
    stages = f"  show: {{demonstrate: {{count: 50, {OTHER}}}}}\n"
    (rows,) = made(wheel, stages, "evaluate.share=0.5")
    prompts = [Task(row.env, row.task_id, row.prompt) for row in rows]
    assert not [prompt for prompt in prompts if is_held_out(prompt, share=0.5)]


def test_a_small_environment_begins_again_and_what_is_missing_is_said(wheel, tmp_path):
    file = tmp_path / "tasks.jsonl"
    jsonl.write(file, [{"question": f"q{n}", "answer": f"a{n}"} for n in range(40)])
    where = f"environment: {{name: jsonl, path: '{file}', prompt_key: question}}"
    stages = f"  show: {{rounds: 3, demonstrate: {{count: 30, {where}}}}}\n"
    rounds = made(wheel, stages)
    assert [len(set(task_ids(rows))) for rows in rounds] == [30, 30, 30]
    assert len({row.task_id for rows in rounds for row in rows}) < 41
    assert task_ids(rounds[1])[-5:] != task_ids(rounds[0])[-5:]
    with pytest.warns(OrbiterWarning, match=r"count is 60, but environment 'tasks' has .* tasks"):
        (rows,) = made(wheel, f"  show: {{demonstrate: {{count: 60, {where}}}}}\n")
    assert len(set(task_ids(rows))) == len(rows) < 41


def test_the_verifier_of_another_environment_is_made_once(wheel):
    flywheel = wheel(text=HEAD + f"  show: {{rounds: 4, demonstrate: {{count: 2, {OTHER}}}}}\n")
    with flywheel:
        for turn in flywheel.recipe.turns:
            made_by_stage(flywheel, turn, Exchanges())
        assert len(flywheel._pools) == 1


def test_a_right_answer_of_this_round_is_as_new_as_the_models_own(wheel):
    """In a buffer of the newest pairs it would be the first to go otherwise."""
    stages = (
        "  dpo: {rounds: 2, generate: {tasks: 10, samples: 1}, curate: {gold: true, capacity: 100},"
        ' train: {backend: "stage_parts.py:Copying", algorithm: dpo}}\n'
    )
    result = wheel(text=HEAD + stages).run()
    pairs = list(jsonl.read(result.path / "data/round-2.jsonl", Pair))
    assert {pair.metadata["round"] for pair in pairs} == {1, 2}
