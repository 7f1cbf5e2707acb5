"""The cache: verdicts by verifier version, task and answer; bounded in memory, whole on disk."""

import sqlite3

import attrs
import pytest

from orbiter.errors import ConfigError, OrbiterWarning
from orbiter.records import Message, Task, Verdict
from orbiter.verify.answer import answered
from orbiter.verify.exact import ExactVerifier
from orbiter.verify.pool import VerdictCache
from orbiter.verify.pool.batch import Batch
from orbiter.verify.pool.cache import verdict_keys

EXACT = ExactVerifier()
TASK = Task("e", "e:1", (Message("user", "q"),), answer="a")


def key(task=TASK, answer="a", verifier=EXACT, **changes):
    trajectory = attrs.evolve(answered(task, answer), **changes)
    return verdict_keys(verifier, [(task, trajectory)])[0]


def verdict(reason="", **more):
    return Verdict.passed(reason, verifier="exact", version="1", **more)


def test_a_key_depends_on_all_that_a_verdict_may_depend_on():
    others = {
        "answer": key(answer="b"),
        "reference": key(attrs.evolve(TASK, answer="b")),
        "prompt": key(attrs.evolve(TASK, messages=(Message("user", "other"),))),
        "id": key(attrs.evolve(TASK, task_id="e:2")),
        "metadata": key(attrs.evolve(TASK, metadata={"limit": 3})),
        "tools": key(attrs.evolve(TASK, tools=({"type": "function"},))),
        "version": key(verifier=ExactVerifier(case=False)),
        "shown tools": key(tools=({"type": "function"},)),
        "prompt size": key(prompt_size=2),
    }
    assert len({key(), *others.values()}) == len(others) + 1


def test_a_key_does_not_depend_on_what_a_trajectory_says_of_itself():
    row = {"score": 1.0, "verdict": Verdict.passed(), "model": "m", "seed": 3, "round": 2}
    assert key(**row, generator="g", metadata={"a": 1}, extra={"attempt": 3}) == key()


def test_what_json_cannot_hold_has_no_key_and_is_passed_over():
    for unfit in (object(), float("nan"), {"limit": [float("inf")]}):
        assert key(attrs.evolve(TASK, answer=unfit)) is None
    assert key(attrs.evolve(TASK, answer={"limit": None})) is not None
    cache = VerdictCache()
    cache.put([(None, verdict())])
    assert cache.get(EXACT, [None]) == {}


def test_the_verdict_that_was_not_asked_for_the_longest_goes_first():
    cache = VerdictCache(size=2)
    cache.put([(b"1", verdict("1")), (b"2", verdict("2"))])
    assert set(cache.get(EXACT, [b"1"])) == {b"1"}
    cache.put([(b"3", verdict("3"))])
    assert set(cache.get(EXACT, [b"1", b"2", b"3"])) == {b"1", b"3"}


def test_an_invalid_verdict_is_not_kept():
    cache = VerdictCache()
    cache.put([(b"1", Verdict.invalid("hm")), (b"2", Verdict.failed("no"))])
    assert set(cache.get(EXACT, [b"1", b"2"])) == {b"2"}


def test_a_file_keeps_verdicts_for_others(tmp_path):
    path = tmp_path / "deep" / "verdicts.sqlite"
    graded = verdict("x", score=1, step_scores=(0.5, None), details={"a": [1]}, extra={"own": 2})
    cache = VerdictCache(size=1, path=path)
    cache.put([(b"%d" % n, verdict(str(n))) for n in range(1200)] + [(b"graded", graded)])
    cache.close()
    other = VerdictCache(size=1, path=path)
    found = other.get(EXACT, [b"%d" % n for n in range(1200)] + [b"graded", b"none"])
    assert found == {b"%d" % n: verdict(str(n)) for n in range(1200)} | {b"graded": graded}
    assert type(found[b"graded"].score) is int
    other.close()


def test_a_verdict_is_stamped_by_who_asks(tmp_path):
    cache = VerdictCache(path=tmp_path / "v.sqlite")
    forged = Verdict.passed(verifier="other", version="9")
    cache.put([(b"1", forged)])
    cache.close()
    cache = VerdictCache(path=tmp_path / "v.sqlite")
    assert cache.get(EXACT, [b"1"]) == {b"1": verdict()}
    cache.close()


def test_a_damaged_row_is_judged_again(tmp_path):
    path = tmp_path / "v.sqlite"
    cache = VerdictCache(path=path)
    cache.put([(b"1", verdict("1")), (b"2", verdict("2"))])
    cache.close()
    db = sqlite3.connect(path)
    db.execute("UPDATE verdicts SET row = ? WHERE key = ?", (b'{"outcome":"pass"}', b"1"))
    db.commit()
    db.close()
    cache = VerdictCache(path=path)
    assert set(cache.get(EXACT, [b"1", b"2"])) == {b"2"}
    cache.close()


def test_a_file_that_is_something_else_is_refused(tmp_path):
    (tmp_path / "notes.txt").write_text("no database\n" * 100)
    with pytest.raises(ConfigError, match=r"cache '.*notes.txt' cannot be used"):
        VerdictCache(path=tmp_path / "notes.txt")
    with pytest.raises(ConfigError, match="cannot be used"):
        VerdictCache(path=tmp_path)


def test_a_file_that_fails_later_is_done_without(tmp_path):
    path = tmp_path / "v.sqlite"
    cache = VerdictCache(path=path)
    db = sqlite3.connect(path)
    db.execute("DROP TABLE verdicts")
    db.commit()
    db.close()
    with pytest.warns(OrbiterWarning, match="cache of verdicts is switched off: no such table"):
        cache.put([(b"1", verdict())])
    assert set(cache.get(EXACT, [b"1"])) == {b"1"}  # it is still in memory
    cache.close()


def test_a_file_that_fails_keeps_nobody_waiting_where_warnings_are_errors(tmp_path):
    cache = VerdictCache(path=tmp_path / "v.sqlite")
    batch = Batch([(TASK, answered(TASK, "a"))], verifier=EXACT, cache=cache)
    (item,) = batch.begin()
    cache._db.execute("DROP TABLE verdicts")
    with pytest.raises(OrbiterWarning, match="switched off") as caught:
        item.give(verdict())
    batch.end(caught.value)  # as a slot does with what it meets
    assert batch.future.exception() is caught.value
