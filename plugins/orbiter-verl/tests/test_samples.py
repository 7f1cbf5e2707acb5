import attrs
import orjson
import pytest
from hypothesis import given
from hypothesis import strategies as st
from orbiter_verl.metrics import translated
from orbiter_verl.samples import Account, Sample, SampleReader
from orbiter_verl.tail import JsonlTail


def sample(step=1, group="g", score=1.0, **more):
    reason = None if score is not None else more.pop("reason", "r: returned None")
    return Sample(step=step, split=more.pop("split", "train"), group=group, task_id="t", output="o", score=score, reason=reason, token_count=3, **more)  # fmt: skip


def test_an_answer_without_a_score_counts_and_weighs_nothing():
    account = Account(compares_groups=True)
    account.add(
        [
            sample(score=1.0, rewards={"r": 1.0}),
            sample(score=0.0, rewards={"r": 0.0}),
            sample(score=None, rewards={"r": None}),
        ]
    )
    found = account.close(1)
    assert found == {"reward": 0.5, "rewards/r": 0.5, "unscored": 1.0}
    tally = account.tally
    assert (tally.sample_count, tally.unscored, tally.token_count) == (
        3,
        {"r: returned None": 1},
        6,
    )
    assert (tally.group_count, tally.flat_group_count) == (1, 0)


@given(st.lists(st.one_of(st.none(), st.floats(-2, 2)), max_size=12), st.integers(0, 12))
def test_means_are_over_what_was_scored(scores, extra):
    account = Account(compares_groups=True)
    account.add([sample(score=score) for score in scores] + [sample(score=None)] * extra)
    found = account.close(1)
    scored = [score for score in scores if score is not None]
    assert found.get("reward") == (pytest.approx(sum(scored) / len(scored)) if scored else None)
    assert sum(account.tally.unscored.values()) == len(scores) - len(scored) + extra


def test_steps_are_counted_once_and_in_order():
    account = Account(compares_groups=True)
    account.add([sample(2, score=0.0), sample(1, score=1.0), sample(1, score=1.0)])
    assert account.close(1)["reward"] == 1.0
    assert (account.tally.group_count, account.tally.flat_group_count) == (1, 1)
    assert account.close(2)["reward"] == 0.0
    assert account.close(3) == {}
    assert account.tally.sample_count == 3


def test_evaluation_is_kept_apart():
    account = Account(compares_groups=False)
    account.add(
        [
            sample(score=1.0, rewards={"r": 1.0}),
            sample(split="eval", score=0.0, rewards={"r": 0.0}),
            sample(split="eval", score=None),
        ]
    )
    assert account.close(1) == {"reward": 1.0, "rewards/r": 1.0, "eval_reward": 0.0, "eval_rewards/r": 0.0, "unscored": 0.0}  # fmt: skip
    assert account.tally.sample_count == 1
    assert account.tally.group_count == 0


def test_tracebacks_are_gathered():
    account = Account(compares_groups=True)
    account.add([sample(score=None, traceback="Traceback one"), sample(score=None)])
    assert account.tracebacks == ["Traceback one"]


def test_files_are_read_as_they_grow(tmp_path):
    reader = SampleReader(tmp_path / "samples")
    assert reader.read() == []
    (tmp_path / "samples").mkdir()
    rows = [orjson.dumps(attrs.asdict(sample(step))) + b"\n" for step in (1, 2, 3)]
    one, two = tmp_path / "samples/a.jsonl", tmp_path / "samples/b.jsonl"
    one.write_bytes(rows[0] + rows[1][:9])
    assert [s.step for s in reader.read()] == [1]
    one.write_bytes(rows[0] + rows[1])
    two.write_bytes(rows[2])
    assert reader.read() == [sample(2), sample(3)]
    assert reader.read() == []


def test_a_torn_last_line_waits(tmp_path):
    tail = JsonlTail(tmp_path / "m.jsonl")
    assert list(tail.rows()) == []
    (tmp_path / "m.jsonl").write_bytes(b'{"step":1}\n{"st')
    assert list(tail.rows()) == [{"step": 1}]
    assert list(tail.rows()) == []


def test_metrics_have_the_names_of_the_house_too():
    row = {
        "actor/loss": 0.5,
        "critic/score/mean": 1,
        "actor/reward_kl_penalty": float("nan"),
        "text": "x",
        "own": 2,
    }
    assert translated(row) == {
        "loss": 0.5,
        "reward": 1.0,
        "actor/loss": 0.5,
        "critic/score/mean": 1.0,
        "own": 2.0,
    }
