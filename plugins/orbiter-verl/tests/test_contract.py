"""A planted bad backend breaks the contract; the real one keeps it in test_grpo_run, where it trains."""

import pytest
from orbiter_verl.backend import VerlBackend

from orbiter.plugin import registry
from orbiter.testing import check_backend

CHECKED = {("backend", "verl")}


def test_every_name_is_checked():
    assert {(e.kind, e.name) for e in registry().entries() if e.owner == "verl"} == CHECKED


class WritingBackend(VerlBackend):
    """Writes before it is asked to train."""

    def check(self, job):
        super().check(job)
        job.output_dir.mkdir(parents=True, exist_ok=True)
        (job.output_dir / "checked").write_text("yes")


def test_a_planted_bad_backend_fails(make_job):
    job = make_job("grpo")
    job.output_dir.mkdir()
    with pytest.raises(AssertionError, match=r"breaks 'check': .* must write nothing"):
        check_backend(WritingBackend, job)
