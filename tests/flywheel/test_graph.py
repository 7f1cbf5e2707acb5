"""A recipe as a graph of stages: who answers, what each trains on and starts from, and how it is gone on with."""

import json
from collections import Counter, defaultdict
from itertools import combinations

import pytest

from orbiter import jsonl
from orbiter.cli import main
from orbiter.errors import ConfigError, OrbiterWarning
from orbiter.flywheel import load_recipe
from orbiter.flywheel.account import read_account
from orbiter.flywheel.probe import probing
from orbiter.flywheel.recipe_file import dump_recipe
from orbiter.generate.scripted import ScriptedPolicy
from orbiter.ledger import History, RunIndex
from orbiter.records import Pair, Task, Trajectory


@pytest.fixture
def wheel(staged):
    return staged


def told(result, number):
    return json.loads((result.path / f"checkpoints/round-{number}/told.json").read_text())


def trained_on(result, number, cls):
    return list(jsonl.read(result.path / f"checkpoints/round-{number}/data.jsonl", cls))


RANKED = """\
  reward: {generate: {}, train: {algorithm: reward}}
  raft: {rounds: 2, generate: {}, train: {algorithm: sft}, data: [raft]}
  again: {model: teach, generate: {}, data: [reward, again], train: {algorithm: dpo, start: base}}
  online: {train: {algorithm: grpo, start: raft}, rewards: [{name: task}, {name: length, max_length: 5, weight: 0.5}]}
"""


def test_a_stage_reads_models_and_data_of_earlier_ones_by_name(wheel):
    result = wheel(RANKED).run()
    starts = [told(result, n)["model"].removeprefix(f"{result.path}/") for n in range(6)]
    assert starts == [
        "some-model",
        "checkpoints/round-0",  # the reward model starts from the cold start,
        "checkpoints/round-0",  # and so does what comes after it: it does not answer
        "checkpoints/round-2",
        "some-model",
        "checkpoints/round-3",
    ]
    rounds = {pair.metadata["round"] for pair in trained_on(result, 4, Pair)}
    assert rounds == {1, 4}
    assert {row.round for row in trained_on(result, 3, Trajectory)} == {2, 3}
    assert {row.round for row in trained_on(result, 2, Trajectory)} == {2}
    assert len(trained_on(result, 5, Task)) == 10
    assert told(result, 5)["rewards"] == [["exact", 1.0], ["length", 0.5]]
    assert [row["name"] for row in result.rounds[1:]] == [
        "reward",
        "raft",
        "raft",
        "again",
        "online",
    ]


def test_the_model_of_a_run_is_one_that_answers(wheel):
    stages = "  raft: {generate: {}, train: {algorithm: sft}}\n  reward: {generate: {}, train: {algorithm: reward}}\n"
    made = wheel(stages)
    result = made.run()
    assert result.checkpoint == result.path / "checkpoints/round-1"
    with probing(made) as model:
        assert model == str(result.checkpoint)


def test_who_answers_is_the_model_that_the_stage_names(wheel):
    result = wheel(RANKED).run()
    with History.open(result.path) as ledger:
        answered = {
            n: {a.trajectory.model for a in ledger.attempts(n, "policy")} for n in range(1, 6)
        }
    assert answered == {
        1: {"checkpoints/round-0"},
        2: {"checkpoints/round-0"},
        3: {"checkpoints/round-2"},
        4: {"checkpoints/round-0"},
        5: set(),
    }
    # A model that scores is not asked, and a round that makes no other is not measured.
    assert [n for n, row in enumerate(result.rounds) if "held_out" not in row] == [1]


def test_no_two_rounds_ask_the_same_tasks(wheel):
    result = wheel(RANKED).run()
    seen = []
    for number in (1, 2, 3, 4):
        with History.open(result.path) as ledger:
            seen.append({a.key.task_id for a in ledger.attempts(number, "policy")})
    seen.append({task.task_id for task in trained_on(result, 5, Task)})
    assert sum(map(len, seen)) == len(set().union(*seen)) == 50


def test_the_account_of_a_graph_adds_up_and_leads_back(wheel):
    result = wheel(RANKED).run()
    account = read_account(result.path)
    assert account.total.planned == 4 * 40 + 5 * 6
    assert account.total.pending == 0
    assert [row["spent"]["samples"] for row in result.rounds] == [7, 47, 47, 47, 47, 7]
    with RunIndex(result.path) as index:
        found = {a.key.round for a in index.find(checkpoint="checkpoints/round-4")}
    assert found == {1, 4}


def test_a_training_that_samples_leads_back_to_its_tasks(wheel, capsys):
    result = wheel(RANKED).run()
    assert main(["explain", str(result.path), "checkpoints/round-5"]) == 0
    assert "  sampled for  data/round-5-tasks.jsonl\n" in capsys.readouterr().out


@pytest.mark.parametrize("calls", [0, 2, 4, 6, 8])
def test_an_interrupted_graph_ends_as_if_it_had_not_been(wheel, monkeypatch, calls):
    whole = wheel(RANKED, folder="whole").run()
    left, complete = calls, ScriptedPolicy.complete

    async def interrupted(self, requests, sampling):
        nonlocal left
        if left == 0:
            raise KeyboardInterrupt
        left -= 1
        return await complete(self, requests, sampling)

    monkeypatch.setattr(ScriptedPolicy, "complete", interrupted)
    with pytest.raises(KeyboardInterrupt):
        wheel(RANKED).run()
    monkeypatch.setattr(ScriptedPolicy, "complete", complete)
    result = wheel(RANKED).run()
    for path in sorted((whole.path / "data").iterdir()):
        assert (result.path / "data" / path.name).read_bytes() == path.read_bytes()
    assert wheel(RANKED).run().was_finished


def test_a_stage_takes_over_what_it_leaves_out(wheel):
    made = wheel(
        "  one: {generate: {samples: 2}, train: {algorithm: sft}}\n"
        "  two: {curate: {max_per_task: 1}, generate: {}, train: {algorithm: dpo, options: {b: 1}}}\n",
        "train.options={a: 1}",
        "gates.stop_at=0.9",
        "curate.rounds=2",
    ).recipe
    one, two = made.stages.values()
    assert (one.generate.tasks, one.generate.samples, two.generate.samples) == (10, 2, 4)
    assert (one.gates.stop_at, two.gates.stop_at) == (0.9, 0.9)
    assert (one.curate.rounds, two.curate.rounds, two.curate.max_per_task) == (2, 2, 1)
    assert one.train.backend == two.train.backend == "mine.py:Copying"
    assert (one.train.options, two.train.options) == ({"a": 1}, {"b": 1})
    assert made.rounds == 2


def test_the_options_of_one_algorithm_are_not_another_ones(wheel):
    with pytest.warns(OrbiterWarning, match=r"'train\.(options|algorithm)' has no effect"):
        made = wheel(
            "  one: {generate: {}, train: {algorithm: dpo}}\n",
            "train.options={a: 1}",
            "train.algorithm=sft",
        ).recipe
    assert made.stages["one"].train.options == {}


def test_a_graph_written_out_reads_back_equal(wheel, tmp_path):
    recipe = wheel(RANKED).recipe
    (tmp_path / "again.yaml").write_text(dump_recipe(recipe))
    assert load_recipe(tmp_path / "again.yaml") == recipe


def test_a_graph_that_changed_is_another_recipe_but_for_its_gates(wheel):
    stages = "  one: {generate: {}, train: {algorithm: sft}}\n"
    wheel(stages).run()
    assert wheel(stages, "stages.one.gates.stop_at=0.99").run().was_finished
    with pytest.raises(ConfigError) as error:
        wheel(stages, "stages.one.generate.samples=3").run()
    assert error.value.message.endswith(
        "made by another recipe: stages differs; stages.one.generate.samples was 4, now 3"
    )


def test_stages_in_another_order_are_another_recipe(wheel):
    one, two = "  one: {generate: {}}\n", "  two: {generate: {samples: 2}}\n"
    wheel(one + two).run()
    with pytest.raises(
        ConfigError, match=r"stage order was \['one', 'two'\], now \['two', 'one'\]"
    ):
        wheel(two + one).run()


def test_a_stage_that_is_done_early_makes_room_for_the_next(wheel):
    stages = (
        "  one: {rounds: 3, generate: {}, train: {algorithm: sft}, gates: {stop_at: 0.1}}\n"
        "  two: {generate: {}, train: {algorithm: sft}}\n"
    )
    result = wheel(stages).run()
    assert result.stopped is None
    assert [(row["round"], row["name"]) for row in result.rounds[1:]] == [(1, "one"), (4, "two")]
    assert told(result, 4)["model"].endswith("checkpoints/round-1")
    assert "g" in result.rounds[-1]  # beside the last round that was measured
    assert wheel(stages).run().was_finished


def test_rows_are_mixed_in_their_shares(wheel):
    stages = """\
  other: {demonstrate: {count: 8, environment: {name: addition, digits: 1}}}
  mixed: {generate: {tasks: 40}, data: {mixed: 3, other: 1}, train: {algorithm: sft}}
"""
    result = wheel(stages).run()
    envs = [row.env for row in trained_on(result, 2, Trajectory)]
    assert envs.count("addition") in (8 * 4, round(envs.count("sorting") / 3))
    assert abs(envs.count("sorting") - 3 * envs.count("addition")) <= 3
    demonstrated = list(jsonl.read(result.path / "data/round-1-kept.jsonl", Trajectory))
    assert {(row.env, row.round, row.verdict.outcome.value) for row in demonstrated} == {
        ("addition", 1, "pass")
    }


def test_a_buffer_keeps_the_newest_pairs(wheel):
    stages = "  dpo: {rounds: 3, generate: {}, curate: {rounds: 2, capacity: 25}, train: {algorithm: dpo}}\n"
    result = wheel(stages).run()
    pairs = trained_on(result, 3, Pair)
    assert len(pairs) <= 25
    assert {pair.metadata["round"] for pair in pairs} <= {2, 3}
    newest = len(list(jsonl.read(result.path / "data/round-3-pairs.jsonl", Pair)))
    assert sum(pair.metadata["round"] == 3 for pair in pairs) == min(25, newest)


def test_a_ranking_of_k_gives_a_pair_of_every_two_that_it_tells_apart(wheel):
    stages = """\
  reward: {generate: {samples: 6}, verifier: {name: "mine.py:Graded"}, curate: {ranked: true}, train: {algorithm: reward}}
"""
    result = wheel(stages).run()
    scores = defaultdict(dict)
    with History.open(result.path) as history:
        for attempt in history.attempts(1, "policy"):
            answer = attempt.trajectory.answer
            scores[attempt.key.task_id][answer] = history.verdict_of(attempt.key).score
    expected = {
        task: sum(a != b for a, b in combinations(known.values(), 2))
        for task, known in scores.items()
    }
    pairs = trained_on(result, 1, Pair)
    assert Counter(pair.task_id for pair in pairs) == Counter(+Counter(expected))
    of_task = defaultdict(float)
    for pair in pairs:
        of_task[pair.task_id] += pair.weight
        known = scores[pair.task_id]
        assert known[pair.chosen[0].text] - known[pair.rejected[0].text] == pair.margin > 0
    assert len({round(total, 9) for total in of_task.values()}) == 1
    assert any(scores[pair.task_id][pair.chosen[0].text] < 1 for pair in pairs)


def test_the_right_answer_is_preferred_to_every_failure(wheel):
    stages = "  orpo: {generate: {samples: 1}, curate: {gold: true}, train: {algorithm: dpo}}\n"
    result = wheel(stages).run()
    pairs = trained_on(result, 1, Pair)
    assert len(pairs) == result.rounds[1]["failed"] > 0
    assert all("".join(sorted(p.prompt[0].text[5:-1])) == p.chosen[0].text for p in pairs)


def test_unsolved_tasks_are_asked_again_with_a_hint_that_no_row_shows(wheel):
    """The scripted policy reads the digits of the prompt alone, so the hint changes who is right and not what is asked."""
    stages = '  star: {generate: {samples: 1, hint: " = {answer}"}, curate: {pairs: true}, train: {algorithm: sft}, data: [star]}\n'
    changes = ("policy={name: 'mine.py:Hinted'}", "exports=[{name: trl-preference}]")
    result = wheel(stages, *changes).run()
    row = result.rounds[1]
    assert (row["hinted"], row["hinted_passed"]) == (row["failed"], row["failed"])
    assert 0 < row["yield"] < 1  # the hinted ones are in no yield
    kept = trained_on(result, 1, Trajectory)
    assert len(kept) == 10
    assert not any("=" in message.text for one in kept for message in one.messages)
    account = read_account(result.path)
    assert {r["engine"]: r["planned"] for r in account.rounds if r["round"] == 1} == {
        "policy": 10,
        "hinted": row["failed"],
        "held_out": 6,
    }
    assert row["decisions"]["accepted"] == 10
    exported = (result.path / "exports/trl-preference.jsonl").read_bytes()
    assert exported.count(b"\n") == row["pairs"] == row["failed"]


def test_revisions_are_judged_and_paired_with_what_they_mend(wheel):
    stages = """\
  revise: {generate: {samples: 1}, revise: {critic: {name: "mine.py:Editor"}}, train: {algorithm: sft}, data: [revise]}
  prefer: {data: [revise], train: {algorithm: dpo}}
"""
    result = wheel(stages).run()
    row = result.rounds[1]
    assert row["passed"] > row["failed"]
    kept = trained_on(result, 1, Trajectory)
    assert all(len(one.messages) == 2 for one in kept)
    pairs = trained_on(result, 2, Pair)
    mended = {one.id for one in kept if one.metadata["revision"]["initial"] != one.answer}
    assert {pair.metadata["id"] for pair in pairs} == mended
    by_id = {one.id: one for one in kept}
    for pair in pairs:
        origin = by_id[pair.metadata["id"]]
        assert pair.rejected[0].text == origin.metadata["revision"]["initial"]
        assert pair.chosen[0].text == origin.answer
        assert pair.metadata["revision"] is True


def test_each_revision_that_was_one_up_is_paired_with_what_it_revised(wheel):
    critic = 'critic: {name: "mine.py:Editor", of: 2}'
    stages = f"""\
  revise: {{generate: {{tasks: 40, samples: 1}}, revise: {{rounds: 2, {critic}}}, train: {{algorithm: sft}}, data: [revise]}}
  prefer: {{data: [revise], train: {{algorithm: dpo}}}}
"""
    result = wheel(stages).run()
    rows = {row.id: row for row in trained_on(result, 1, Trajectory)}
    found = {}
    for pair in trained_on(result, 2, Pair):
        if (step := pair.metadata.get("step")) is None:
            continue
        told = rows[pair.metadata["id"]].metadata["revision"]
        answers = [told["initial"], *(one["answer"] for one in told["steps"])]
        right = "".join(sorted(pair.task_id.removeprefix("sorting:")))
        assert [pair.rejected[0].text, pair.chosen[0].text] == answers[step - 1 : step + 1]
        assert (pair.chosen[0].text == right) > (pair.rejected[0].text == right)
        found[step] = found.get(step, 0) + 1
    # The first answer was wrong, and so was its first revision: only the second is one up.
    assert found.keys() == {2}


def test_a_stage_may_have_a_judge_of_its_own(wheel):
    result = wheel(
        '  one: {generate: {}, verifier: {name: "mine.py:Strict"}, train: {algorithm: sft}}\n'
    ).run()
    with History.open(result.path) as ledger:
        judges = {
            engine: {ledger.verdict_of(a.key).verifier for a in ledger.attempts(1, engine)}
            for engine in ("policy", "held_out")
        }
    assert judges == {"policy": {"strict"}, "held_out": {"exact"}}


def test_what_a_stage_keeps_is_its_own_affair(wheel):
    stages = "  a: {generate: {}, curate: {keep: survivors}, train: {algorithm: dpo}}\n"
    assert wheel(stages, "curate.keep=none").run().rounds[1]["rows"] > 0


def test_a_plan_counts_the_samples_of_every_stage(wheel):
    from orbiter.flywheel.probe import estimate

    found = estimate(wheel(RANKED, "teach=null", "stages.again.model=base"), tasks=4)
    assert found.samples == 4 * 40 + 6 * 6
    assert found.train_s is None  # a reward model learns from pairs, of which there are none yet
