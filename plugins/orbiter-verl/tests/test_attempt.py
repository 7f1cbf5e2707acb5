"""Attempts on a job, and from where the next one goes on."""

import resource

import orjson
import pytest
from orbiter_verl.attempt import (
    account_until,
    attempts,
    kl_coef_after,
    new_attempt,
    newest_checkpoint,
)
from orbiter_verl.keys import Request
from orbiter_verl.settings import read_settings

from orbiter.train.config import TrainConfig


class TestAttempts:
    def test_they_are_numbered(self, tmp_path):
        assert attempts(tmp_path) == []
        made = [new_attempt(tmp_path, start) for start in (0, 0, 4)]
        (tmp_path / "attempt-x").mkdir()
        assert attempts(tmp_path) == made
        assert [(a.number, a.start) for a in made] == [(1, 0), (2, 0), (3, 4)]

    def test_one_that_was_cut_off_while_it_began_is_none(self, tmp_path):
        limit = resource.getrlimit(resource.RLIMIT_FSIZE)
        resource.setrlimit(resource.RLIMIT_FSIZE, (0, limit[1]))  # a disk that is full
        try:
            with pytest.raises(OSError, match="File too large"):
                new_attempt(tmp_path, 4)
        finally:
            resource.setrlimit(resource.RLIMIT_FSIZE, limit)
        assert attempts(tmp_path) == []
        begun = new_attempt(tmp_path, 4)
        assert attempts(tmp_path) == [begun]

    @pytest.mark.parametrize("text", [None, "", "x"])
    def test_a_checkpoint_counts_once_verl_says_so(self, tmp_path, text):
        (tmp_path / "global_step_3").mkdir()
        if text is not None:
            (tmp_path / "latest_checkpointed_iteration.txt").write_text(text)
        assert newest_checkpoint(tmp_path) == (0, None)
        (tmp_path / "latest_checkpointed_iteration.txt").write_text("3")
        assert newest_checkpoint(tmp_path) == (3, tmp_path / "global_step_3")
        (tmp_path / "latest_checkpointed_iteration.txt").write_text("4")
        assert newest_checkpoint(tmp_path) == (0, None)

    def test_the_controller_goes_on_where_it_stood(self, tmp_path):
        settings = read_settings(
            "ppo", {"kl_target": 0.1, "kl_horizon": 100, "kl_coef": 0.5, "group_size": 2}
        )
        request = Request(
            algorithm="ppo", model="m", config=TrainConfig(batch_size=5), settings=settings
        )
        assert kl_coef_after(tmp_path, 2, request) == 0.5
        rows = [
            {
                "step": n,
                "data": {"actor/reward_kl_penalty": 0.2, "actor/reward_kl_penalty_coeff": n / 10},
            }
            for n in (1, 2, 3)
        ]
        attempt = new_attempt(tmp_path, 0)
        (attempt.path / "metrics.jsonl").write_bytes(
            b"".join(orjson.dumps(row) + b"\n" for row in rows)
        )
        # 20 % above its target at most: 0.2 * (1 + 0.2 * 10 answers / 100).
        assert kl_coef_after(tmp_path, 2, request) == pytest.approx(0.204)

    def test_what_was_done_counts_once(self, tmp_path):
        """Steps 1 to 5, of which 4 and 5 are done again after the checkpoint of step 3."""
        for start, last in ((0, 5), (3, 8)):
            attempt = new_attempt(tmp_path, start)
            attempt.samples.mkdir()
            steps = range(start + 1, last + 1)
            rows = [{"step": n, "data": {"timing_s/step": 10.0 + start}} for n in steps]
            (attempt.path / "metrics.jsonl").write_bytes(
                b"".join(orjson.dumps(r) + b"\n" for r in rows)
            )
            sample = {
                "split": "train",
                "group": "g",
                "task_id": "t",
                "output": "a",
                "score": 1.0,
                "token_count": 2,
            }
            (attempt.samples / "1.jsonl").write_bytes(
                b"".join(orjson.dumps({"step": n, **sample}) + b"\n" for n in steps)
            )
        tally = account_until(tmp_path, 6, compares_groups=False).tally
        assert (tally.sample_count, tally.token_count) == (6, 12)
        assert tally.seconds == 3 * 10.0 + 3 * 13.0
