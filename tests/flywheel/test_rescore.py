"""A run judged again: nothing is generated, verdicts of record stay, and what flipped is traced to data and models."""

import pytest

from orbiter.errors import LedgerError, RunLockedError
from orbiter.flywheel import Flywheel, load_recipe
from orbiter.flywheel.account import read_account
from orbiter.flywheel.rescore import open_run, rescore
from orbiter.ledger import History, Ledger
from orbiter.records import Outcome, Trajectory, Verdict
from orbiter.verify import Verifier
from orbiter.verify.exact import ExactVerifier
from orbiter.verify.pool import VerifierPool


class Stricter(Verifier):
    """Right answers that do not begin with a digit of ``refused``."""

    name = "stricter"

    def __init__(self, refused="12", version="1", fault=(), raises=()):
        self.refused, self.version, self.fault, self.seen = refused, version, tuple(fault), 0
        self.raises = tuple(raises)

    def verify(self, task, trajectory):
        self.seen += 1
        if trajectory.answer[:1] in self.fault:
            return Verdict.invalid("timeout: no verdict within 1 s")
        if trajectory.answer[:1] in self.raises:
            raise ConnectionError("no answer from the judge")
        if trajectory.answer != task.answer:
            return Verdict.failed("wrong")
        refused = trajectory.answer[:1] in self.refused
        return Verdict.failed("refused") if refused else Verdict.passed()


@pytest.fixture
def run(finished_run, tmp_path):
    import shutil

    return shutil.copytree(finished_run, tmp_path / "small")


def again(run, verifier, **more):
    with VerifierPool(verifier, workers=0) as pool:
        return rescore(run, pool, wheel=open_run(run), **more)


def test_flips_are_those_that_the_verdicts_say_and_taint_what_rests_on_them(run):
    with Ledger.open(run) as ledger:  # as if a model had been trained on round 1's data
        ledger.add_checkpoint(
            "checkpoints/round-1", round=1, base=None, dataset="data/round-1-kept.jsonl"
        )
        ledger.add_checkpoint(
            "checkpoints/round-2", round=2, base="checkpoints/round-1", dataset=None
        )
    before = read_account(run).total
    found = again(run, Stricter())
    assert (found.judged, found.known, found.pending, found.faults) == (300, 0, 0, {})
    with History.open(run) as ledger:
        expected = {
            a.key
            for a in ledger.attempts()
            if ledger.verdict_of(a.key).outcome is Outcome.PASS and a.trajectory.answer[:1] in "12"
        }
        kept = [Trajectory.from_row(row) for row in rows_of(run / "data/round-1-kept.jsonl")]
        for key in expected:
            first, second = ledger.verdicts_of(key)
            assert (first.verifier, first.outcome) == ("exact", "pass")
            assert (second.verifier, second.reason) == ("stricter", "refused")
    assert expected
    assert {flip.attempt.key for flip in found.taint.flips} == expected
    assert {(flip.before, flip.after) for flip in found.taint.flips} == {("pass", "fail")}
    counts = {dataset.path: count for dataset, count in found.taint.datasets}
    assert counts["data/round-1-kept.jsonl"] == sum(row.answer[:1] in "12" for row in kept)
    assert [c.path for c in found.taint.checkpoints] == [
        "checkpoints/round-1",
        "checkpoints/round-2",
    ]
    assert read_account(run).total == before  # the verdicts of record stay


def rows_of(path):
    from orbiter import jsonl

    return [row for _, row in jsonl.read_objects(path)]


def test_a_run_that_was_judged_again_goes_on_as_if_it_had_not_been(run, finished_run, tmp_path):
    again(run, Stricter())
    recipe = load_recipe(finished_run.parent.parent / "recipe.yaml", ["rounds=3"])
    longer = Flywheel(recipe, runs_dir=run.parent, base_dir=finished_run.parent.parent).run()
    other = Flywheel(
        recipe, runs_dir=tmp_path / "at-once", base_dir=finished_run.parent.parent
    ).run()
    for name in ("round-3-kept.jsonl", "round-1-kept.jsonl"):
        assert (longer.path / "data" / name).read_bytes() == (
            other.path / "data" / name
        ).read_bytes()
    assert read_account(run).total == read_account(other.path).total


def test_a_version_judges_an_attempt_once(run):
    again(run, Stricter())
    size = (run / "verdicts.jsonl").stat().st_size
    verifier = Stricter()
    found = again(run, verifier)
    assert (found.judged, found.known, verifier.seen) == (0, 300, 0)
    assert (run / "verdicts.jsonl").stat().st_size == size
    assert len(found.taint.flips) > 0  # they are still told
    assert again(run, Stricter(version="2", refused="")).judged == 300
    with History.open(run) as ledger:
        said = [(e["verifier"], e["version"], e["judged"]) for e in ledger.events("rescored")]
    assert said == [("stricter", "1", 300), ("stricter", "2", 300)]


def test_the_verifier_of_record_has_judged_all(run):
    found = again(run, ExactVerifier())
    assert (found.judged, found.known, found.taint.flips) == (0, 300, ())


@pytest.mark.parametrize(
    ("how", "reason"),
    [
        ("fault", "timeout: no verdict within 1 s"),
        ("raises", "error: ConnectionError: no answer from the judge"),
    ],
)
def test_what_was_not_judged_is_not_recorded_and_tried_again(run, how, reason):
    found = again(run, Stricter(**{how: "0"}))
    lost = found.faults[reason]
    assert found.judged + lost == 300
    assert lost > 0
    other = again(run, Stricter())
    assert (other.judged, other.known, other.faults) == (lost, 300 - lost, {})


def test_an_interruption_loses_nothing_and_the_next_call_goes_on(run, monkeypatch):
    monkeypatch.setattr("orbiter.flywheel.rescore.COMMIT", 50)

    def stop(done, count):
        assert count == 300
        if done == 120:
            raise KeyboardInterrupt

    with pytest.raises(KeyboardInterrupt):
        again(run, Stricter(), on_progress=stop)
    found = again(run, Stricter())
    assert (found.known, found.judged) == (120, 180)


def test_attempts_that_wait_for_their_first_verdict_are_left_to_the_run(run, tmp_path):
    with Ledger.open(run) as ledger:
        verdicts = (run / "verdicts.jsonl").read_bytes().splitlines(keepends=True)
        assert len(verdicts) == 300
        assert ledger.account().pending == 0
    (run / "decisions.jsonl").write_bytes(b"")
    (run / "verdicts.jsonl").write_bytes(b"".join(verdicts[:290]))
    found = again(run, Stricter())
    assert (found.judged, found.pending) == (290, 10)


def test_a_run_that_goes_on_is_refused(run):
    with Ledger.open(run), pytest.raises(RunLockedError):
        again(run, Stricter())


def test_an_environment_that_gives_other_tasks_is_named(run):
    wheel = open_run(run)
    task = wheel.environment.task
    wheel.environment.task = lambda index, *, seed: task(index, seed=seed + 1)
    with (
        VerifierPool(Stricter(), workers=0) as pool,
        pytest.raises(Exception, match="must name a task of run"),
    ):
        rescore(run, pool, wheel=wheel)


def test_a_folder_without_a_run_is_refused(tmp_path):
    with pytest.raises(LedgerError, match="holds no run"):
        open_run(tmp_path)
    Ledger.open(tmp_path / "new").close()
    with pytest.raises(LedgerError, match="has not started yet"):
        open_run(tmp_path / "new")
