"""The backend keeps its contract, and a planted bad one does not."""

import functools

import pytest
from orbiter_verl.backend import VerlBackend

from orbiter.plugin import registry
from orbiter.testing import check_backend

CHECKED = {("backend", "verl")}


def test_every_name_is_checked():
    assert {(e.kind, e.name) for e in registry().entries() if e.owner == "verl"} == CHECKED


# Of the algorithms one alone, since each is two trainings on Ray; what is PPO's own is checked where it is trained.
@pytest.mark.slow
@pytest.mark.timeout(1200)
@pytest.mark.xdist_group("verl-grpo")
def test_the_backend_keeps_its_contract(make_job):
    job = make_job("grpo")
    job.output_dir.mkdir()
    check_backend(functools.partial(registry().create, "backend", "verl"), job)


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
