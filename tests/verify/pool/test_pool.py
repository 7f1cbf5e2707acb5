"""The pool as a whole: order, equality with judging in this process, several workers, cancelling, closing, forks."""

import asyncio
import gc
import os
import pickle
import resource
import signal
import threading
import time

import pytest

from orbiter.errors import ConfigError, OrbiterError
from orbiter.records import Outcome, Verdict, content_hash
from orbiter.verify import Verifier, judge
from orbiter.verify.exact import ExactVerifier
from orbiter.verify.pool import VerdictCache, VerifierPool
from orbiter.verify.verifier import judge_batch


@pytest.fixture(scope="module")
def pool(misbehaving):
    with VerifierPool(misbehaving(), workers=2) as pool:
        yield pool


def test_verdicts_come_in_order_and_are_those_of_this_process(asked):
    answers = ["ok", "no", "", "<think>ok", "<think>x</think>ok", " ok ", "\u0000", "ö" * 1000] * 80
    pairs = [asked(answer, str(n % 7)) for n, answer in enumerate(answers)]
    expected = [judge(ExactVerifier(), *pair) for pair in pairs]
    with VerifierPool(ExactVerifier(), workers=2) as pool:
        assert pool.judge_all(pairs) == expected
        assert pool.judge_all(pairs[::-1]) == expected[::-1]
        assert pool.judge_all([]) == []
    with VerifierPool(ExactVerifier(), workers=0) as pool:
        assert pool.judge_all(pairs) == expected


def test_a_verdict_arrives_whole(pool, asked):
    (verdict,) = pool.judge_all([asked("shows_details")])
    assert verdict == Verdict.failed(
        "graded",
        score=0.25,
        step_scores=(1.0, None, 0),
        details={"a": [1, {"b": None}]},
        extra={"own": 1},
        verifier="misbehaving",
        version="2",
    )
    # As it was, so that a line of the ledger is the same.
    assert type(verdict.step_scores[2]) is int


def test_workers_share_the_work_and_are_kept(pool, asked):
    pairs = [asked("waits", str(n), seconds=0.01) for n in range(8)]
    told = [asked("tells_its_process", str(n)) for n in range(64)]
    pids = [v.details["pid"] for _ in range(3) for v in pool.judge_all([*pairs, *told])[8:]]
    assert os.getpid() not in pids
    assert len(set(pids)) == 2


def test_workers_work_at_the_same_time(misbehaving, asked):
    with VerifierPool(misbehaving(), workers=4) as pool:
        pool.judge_all([asked("waits", str(n), seconds=0.3) for n in range(4)])  # they start
        began = time.monotonic()
        pool.judge_all([asked("waits", str(n), seconds=1) for n in range(4)])
        assert time.monotonic() - began < 3.5  # one by one it is 4 s


async def test_the_event_loop_goes_on_while_verdicts_are_made(pool, asked):
    beats = 0

    async def beat():
        nonlocal beats
        while True:
            await asyncio.sleep(0.01)
            beats += 1

    beating = asyncio.create_task(beat())
    (verdict,) = await pool.judge([asked("waits", seconds=0.3)])
    beating.cancel()
    assert verdict.outcome is Outcome.PASS
    assert beats >= 5


async def test_cancelled_work_is_not_waited_for_and_the_pool_goes_on(misbehaving, asked):
    with VerifierPool(misbehaving(), workers=1, timeout_s=1) as pool:
        waiting = asyncio.create_task(pool.judge([asked("sleeps"), asked("sleeps", "e:2")]))
        queued = asyncio.create_task(pool.judge([asked("sleeps", "e:3")]))
        await asyncio.sleep(0.05)
        for task in (waiting, queued):
            task.cancel()
        began = time.monotonic()
        (verdict,) = await pool.judge([asked("a")])
        assert verdict.outcome is Outcome.PASS
        assert time.monotonic() - began < 3.5  # at most the pairs that a worker had


def test_closing_kills_what_hangs_and_cancels_what_waits(misbehaving, asked):
    pool = VerifierPool(misbehaving(), workers=1)
    (first,) = pool.judge_all([asked("tells_its_process")])
    futures = [pool.submit([asked("sleeps")]), pool.submit([asked("sleeps", "e:2")])]
    time.sleep(0.05)
    began = time.monotonic()
    pool.close()
    assert time.monotonic() - began < 10
    assert all(future.cancelled() for future in futures)
    assert not os.path.exists(f"/proc/{first.details['pid']}")
    assert not [t for t in threading.enumerate() if t.name == "verifier-slot" and t in pool._slots]
    with pytest.raises(OrbiterError, match="pool of verifier 'misbehaving' is closed"):
        pool.submit([asked("a")])
    pool.close()  # nothing is left to close


def test_lost_workers_leave_no_file_and_no_thread(misbehaving, asked):
    def have():
        return len(os.listdir("/proc/self/fd")), threading.active_count()

    gc.collect()  # what earlier tests left open ends now, and not in between
    files, threads = have()
    with VerifierPool(misbehaving(), workers=1) as pool:
        verdicts = pool.judge_all([asked("exits", str(n)) for n in range(4)])
        assert {v.reason for v in verdicts} == {"crash: the worker left with exit code 3"}
    now = have()
    assert now[0] <= files
    assert now[1] <= threads


@pytest.mark.filterwarnings("ignore:.*multi-threaded:DeprecationWarning")  # Python 3.12, of forks
def test_a_fork_has_workers_of_its_own(pool, asked):
    (mine,) = pool.judge_all([asked("tells_its_process")])
    reading, writing = os.pipe()
    child = os.fork()
    if child == 0:
        try:
            signal.alarm(30)
            (verdict,) = pool.judge_all([asked("tells_its_process")])
            pool.close()
            os.write(writing, str(verdict.details["pid"]).encode())
        finally:
            os._exit(0)
    os.close(writing)
    with open(reading) as file:
        theirs = int(file.read())
    os.waitpid(child, 0)
    assert theirs != mine.details["pid"]
    assert pool.judge_all([asked("a")])[0].outcome is Outcome.PASS


def test_a_callback_that_exits_leaves_nobody_waiting(misbehaving, asked):
    def leave(future):
        raise SystemExit

    with VerifierPool(misbehaving(), workers=1) as pool:
        future = pool.submit([asked("waits", seconds=0.2)])
        future.add_done_callback(leave)
        assert future.result(30)[0].outcome is Outcome.PASS
        assert pool.submit([asked("a")]).result(30)[0].reason == "a"


def test_a_pool_that_lacks_files_or_threads_says_so_and_can_be_used_later(
    misbehaving, asked, monkeypatch
):
    with VerifierPool(misbehaving(), workers=1) as pool:
        before = len(os.listdir("/proc/self/fd"))
        soft, hard = resource.getrlimit(resource.RLIMIT_NOFILE)
        resource.setrlimit(resource.RLIMIT_NOFILE, (before + 3, hard))
        try:
            with pytest.raises(
                OrbiterError, match=r"'misbehaving' cannot be started: .*open files"
            ):
                pool.submit([asked("a")]).result(30)
        finally:
            resource.setrlimit(resource.RLIMIT_NOFILE, (soft, hard))
        assert len(os.listdir("/proc/self/fd")) == before
        assert pool.submit([asked("a")]).result(30)[0].reason == "a"
    with VerifierPool(misbehaving(), workers=1) as pool:
        with monkeypatch.context() as patched:
            patched.setattr(threading.Thread, "start", fails)
            with pytest.raises(RuntimeError, match="no threads"):
                pool.submit([asked("a")])
        assert pool.submit([asked("a")]).result(30)[0].reason == "a"


def fails(*_):
    raise RuntimeError("no threads")


def test_a_verdict_that_no_file_can_hold_is_invalid_in_this_process_too(misbehaving, asked):
    deeds = ["returns_nan_details", "returns_objects", "returns_a_book", "shows_details"]
    verdicts = []
    for workers in (0, 1):
        with VerifierPool(misbehaving(), workers=workers, cache=VerdictCache()) as pool:
            verdicts.append(pool.judge_all([asked(deed) for deed in deeds]))
    assert verdicts[0] == verdicts[1]
    assert [v.outcome.value for v in verdicts[0]] == ["invalid"] * 3 + ["fail"]


def test_it_stands_in_for_its_verifier(pool, asked):
    remote = pool.remote
    assert (remote.name, remote.version) == ("misbehaving", "2")
    verdict = judge(remote, *asked("tells_its_process"))
    assert verdict.details["pid"] != os.getpid()


def test_it_is_an_opinion_and_knows_writings_as_its_verifier_does():
    class Judging(ExactVerifier):
        opinion, needs_env = True, ("KEY",)

        def writings(self, answer):
            return [f" {answer}"]

    remote = VerifierPool(Judging(), workers=0).remote
    assert (remote.opinion, remote.needs_env, remote.writings("4")) == (True, ("KEY",), [" 4"])


def test_a_reward_that_asks_it_can_be_sent_elsewhere(misbehaving, asked):
    with VerifierPool(misbehaving(), workers=1, timeout_s=7, memory_mb=None) as pool:
        remote = pickle.loads(pickle.dumps(pool.remote))
    other = remote._pool
    assert (other.workers, other.timeout_s, other.memory_mb) == (1, 7, None)
    pairs = [asked(answer) for answer in ("a", "exits", "b")]
    outcomes = [v.outcome.value for v in judge_batch(remote, pairs)]
    other.close()
    assert outcomes == ["pass", "invalid", "pass"]


def test_secrets_stay_out_unless_the_verifier_needs_them(misbehaving, asked, monkeypatch):
    for name in ("POOL_TEST_KEY", "POOL_OTHER_KEY", "AWS_SECRET_ACCESS_KEY", "ORBITER_TOKEN", "X"):
        monkeypatch.setenv(name, "planted")
    monkeypatch.setenv("LC_ALL", "C.UTF-8")
    with VerifierPool(misbehaving(), workers=1) as pool:
        (verdict,) = pool.judge_all([asked("shows_its_environment")])
    names = set(verdict.details["names"])
    assert names >= {"POOL_TEST_KEY", "LC_ALL", "PATH"}
    assert names.isdisjoint({"POOL_OTHER_KEY", "AWS_SECRET_ACCESS_KEY", "ORBITER_TOKEN", "X"})


class Counting(Verifier):
    """Counts in this process what it is asked."""

    name = "counting"

    def __init__(self):
        self.seen = []

    def verify(self, task, trajectory):
        self.seen.append((task.task_id, trajectory.answer))
        answer = trajectory.answer
        return Verdict.invalid("hm") if answer == "?" else Verdict.passed(details={"a": answer})


def test_the_same_pair_is_judged_once_and_an_invalid_verdict_is_not_remembered(asked):
    verifier = Counting()
    with VerifierPool(verifier, workers=0, cache=VerdictCache()) as pool:
        answers = ["a", "b", "a", "?", "?", "a"]
        first = pool.judge_all([asked(a) for a in answers])
        assert verifier.seen == [("e:1", "a"), ("e:1", "b"), ("e:1", "?")]
        again = pool.judge_all([asked(a) for a in answers])
        assert verifier.seen[3:] == [("e:1", "?")]
    assert first == again
    assert [v.details.get("a") for v in first] == ["a", "b", "a", None, None, "a"]
    assert {v.verifier for v in first} == {"counting"}


class Local(Verifier):
    name = "local"

    def __init__(self, held):
        self.held = held

    def verify(self, task, trajectory):
        return Verdict.passed()


def test_a_verifier_that_cannot_be_sent_is_refused_at_once():
    with pytest.raises(ConfigError, match="verifier 'local' cannot be sent to a worker: TypeError"):
        VerifierPool(Local(threading.Lock()))
    assert VerifierPool(Local(threading.Lock()), workers=0).workers == 0


class Fragile(Verifier):
    """Cannot be made again elsewhere."""

    name = "fragile"

    def __init__(self, how):
        self.how = how

    def __setstate__(self, state):
        if state["how"] == "leaves":
            os._exit(7)
        if state["how"] == "hungry":
            bytearray(1 << 30)
        raise RuntimeError("not here")

    def verify(self, task, trajectory):
        return Verdict.passed()


@pytest.mark.parametrize(
    ("how", "message"),
    [
        ("raises", "verifier 'fragile' cannot be made in a worker: RuntimeError: not here"),
        ("hungry", "verifier 'fragile' cannot be made in a worker: MemoryError"),
        ("leaves", "verifier 'fragile' did not start: crash: the worker left with exit code 7"),
    ],
)
def test_a_verifier_that_cannot_be_made_in_a_worker_is_named(asked, how, message):
    with VerifierPool(Fragile(how), workers=1, memory_mb=256) as pool:
        with pytest.raises(OrbiterError, match=message):
            pool.judge_all([asked("a"), asked("b")])
        with pytest.raises(OrbiterError, match=message):  # and the pool is not stuck
            pool.judge_all([asked("a")])


@pytest.mark.parametrize(
    ("options", "message"),
    [
        ({"workers": -1}, "workers must be an integer >= 0, got -1"),
        ({"workers": True}, "workers must be an integer >= 0, got True"),
        ({"timeout_s": 0}, "timeout_s must be a number of seconds above 0, got 0"),
        ({"timeout_s": float("inf")}, "timeout_s must be a number of seconds above 0, got inf"),
        ({"memory_mb": 1}, "memory_mb must be an integer >= 128 or None, got 1"),
        ({"memory_mb": 1e3}, "memory_mb must be an integer >= 128 or None, got 1000.0"),
    ],
)
def test_options_out_of_range(options, message):
    with pytest.raises(ConfigError, match=message):
        VerifierPool(ExactVerifier(), **options)


def test_judging_changes_nothing_of_a_pair(pool, asked):
    pair = asked("shows_details")
    before = content_hash(list(pair))
    pool.judge_all([pair])
    assert content_hash(list(pair)) == before
