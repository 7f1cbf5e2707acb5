"""A verifier that hangs, crashes or returns nonsense costs the verdict of its pair alone."""

import os
import signal
import time
from contextlib import closing
from pathlib import Path

import attrs
import pytest

from orbiter.errors import BudgetExceededError
from orbiter.records import Message, Outcome
from orbiter.verify.answer import answered
from orbiter.verify.pool import VerdictCache, VerifierPool
from orbiter.verify.pool.cache import verdict_keys
from orbiter.verify.pool.worker import REAP_S
from orbiter.verify.verifier import OUT_OF_MEMORY

REASONS = {
    "sleeps": "timeout: no verdict within 2 s",
    "holds_the_interpreter": "timeout: no verdict within 2 s",
    "exits": "crash: the worker left with exit code 3",
    "exits_with_0": "crash: the worker left with exit code 0",
    "raises_system_exit": "crash: verifier raised SystemExit: 0",
    "raises_keyboard_interrupt": "crash: verifier raised KeyboardInterrupt: ",
    "segfaults": "crash: the worker was killed by SIGSEGV",
    "closes_every_file": "crash: the worker left with exit code 1",
    "puts_its_own_files_in_their_place": "crash: the worker left with exit code 1",
    "eats_memory": OUT_OF_MEMORY,
    "raises": "error: ValueError: boom",
    "returns_none": "error: returned NoneType, not a Verdict",
    "returns_text": "error: returned str, not a Verdict",
    "returns_nan": "error: returned a malformed verdict: field 'score' must be a finite number, got nan",
    "returns_too_much_score": "error: returned a malformed verdict: field 'score' must be a number in [0, 1], got 2.0",
    "returns_nan_details": "error: verdict cannot be recorded: field 'details.loss' must be a finite number, got nan",
    "returns_objects": "error: verdict cannot be recorded: Type is not JSON serializable: object",
    "returns_a_book": "error: verdict cannot be recorded: it has 2000081 bytes of JSON",
    "returns_half_a_character": "error: verdict cannot be recorded: str is not valid UTF-8: surrogates not allowed",
}
# They ask for verdicts of one batch, which takes seconds to judge: no second process shall judge it again.
pytestmark = pytest.mark.xdist_group("faults")
FINE = ("is_noisy", "closes_its_output", "uses_the_alarm", "comes_back_from_a_fork_twice")


@pytest.fixture(scope="module")
def judged(misbehaving, asked):
    """The verdicts on one batch in which every second pair does harm, by answer."""
    answers = [x for deed in (*REASONS, *FINE) for x in (f"before {deed}", deed, f"after {deed}")]
    with VerifierPool(misbehaving(), workers=2, timeout_s=2, memory_mb=256) as pool:
        verdicts = pool.judge_all([asked(answer) for answer in answers])
        assert zombies() == []
    return dict(zip(answers, verdicts, strict=True))


def zombies() -> list[str]:
    """Return the children of this process that nobody reaped."""
    found = []
    for task in Path("/proc/self/task").iterdir():
        for pid in (task / "children").read_text().split():
            state = Path(f"/proc/{pid}/stat").read_text().rpartition(")")[2].split()[0]
            found += [pid] if state == "Z" else []
    return found


@pytest.mark.parametrize("deed", REASONS)
def test_harm_is_an_invalid_verdict_with_its_reason(judged, deed):
    verdict = judged[deed]
    assert verdict.outcome is Outcome.INVALID
    assert verdict.reason == REASONS[deed]
    assert (verdict.verifier, verdict.version) == ("misbehaving", "2")


@pytest.mark.parametrize("deed", [*REASONS, *FINE])
def test_the_pairs_around_it_are_judged(judged, deed):
    for answer in (f"before {deed}", f"after {deed}"):
        assert judged[answer].outcome is Outcome.PASS
        assert judged[answer].reason == answer


@pytest.mark.parametrize("deed", FINE)
def test_noise_closed_outputs_and_alarms_do_no_harm(judged, deed):
    assert judged[deed].outcome is Outcome.PASS


def test_a_worker_that_sends_something_else_is_believed_no_more(misbehaving, asked):
    with VerifierPool(misbehaving(), workers=1) as pool:
        (verdict,) = pool.judge_all([asked("babbles")])
        (other,) = pool.judge_all([asked("a")])
    assert verdict.reason.startswith("crash: the worker sent no verdict: got b'99 {")
    assert other.outcome is Outcome.PASS


def test_what_a_killed_worker_started_is_killed_with_it(misbehaving, asked, tmp_path):
    pids = tmp_path / "pids"
    with VerifierPool(misbehaving(), workers=1, timeout_s=2) as pool:
        (verdict,) = pool.judge_all([asked("leaves_children", pids=str(pids))])
        assert verdict.reason.startswith("timeout")
        started = pids.read_text().split()
        assert len(started) == 4
        # The guard is reaped when the verdict is there, and it goes last.
        assert [pid for pid in started if os.path.exists(f"/proc/{pid}")] == []


def test_a_guard_that_was_stopped_still_kills_and_at_once(misbehaving, asked, tmp_path):
    pids = tmp_path / "pids"
    pool = VerifierPool(misbehaving(), workers=1, timeout_s=60)
    future = pool.submit([asked("stops_its_guard", pids=str(pids))])
    while not pids.exists() or len(pids.read_text().split()) < 4:
        time.sleep(0.005)
    began = time.monotonic()
    pool.close()
    assert time.monotonic() - began < REAP_S  # it was not given up on
    assert future.cancelled()
    assert [pid for pid in pids.read_text().split() if os.path.exists(f"/proc/{pid}")] == []


def test_an_alarm_that_a_verifier_left_does_not_strike_another_pair(misbehaving, asked):
    with VerifierPool(misbehaving(), workers=1) as pool:
        verdicts = pool.judge_all([asked("leaves_an_alarm"), asked("waits", seconds=0.3)])
    assert [v.outcome for v in verdicts] == [Outcome.PASS] * 2


@pytest.mark.parametrize("workers", [0, 1])
@pytest.mark.parametrize("kind", ["misbehaving", "together"])
def test_a_verifier_that_changes_its_task_changes_it_for_one_answer_alone(
    asked, request, kind, workers
):
    pair = asked("uses_up_its_task", wanted=["a"])
    with VerifierPool(request.getfixturevalue(kind)(), workers=workers) as pool:
        verdicts = pool.judge_all([pair] * 6)
    assert [v.reason for v in verdicts] == ["a"] * 6
    assert pair[0].metadata == {"wanted": ["a"]}


@pytest.mark.parametrize("workers", [0, 1])
def test_so_with_a_prompt_of_parts(asked, misbehaving, workers):
    task, _ = asked("")
    task = attrs.evolve(task, messages=(Message("user", [{"type": "text", "text": "do it"}]),))
    pairs = [(task, answered(task, "scribbles_on_its_prompt"))] * 2
    pairs += [(task, answered(task, "scribbles_on_its_prompt")) for _ in range(2)]
    with VerifierPool(misbehaving(), workers=workers) as pool:
        assert [v.reason for v in pool.judge_all(pairs)] == ["2"] * 4


class Unpacks:
    """Does something where it is read again."""

    def __init__(self, call, *arguments):
        self.made = call, arguments

    def __reduce__(self):
        return self.made


@pytest.mark.parametrize(
    ("thing", "reason"),
    [
        (Unpacks(os._exit, 9), "crash: the worker left with exit code 9"),
        (Unpacks(int, "x"), "error: task cannot be read in a worker: invalid literal for int()"),
    ],
)
def test_a_pair_that_cannot_be_read_is_invalid_alone(misbehaving, asked, thing, reason):
    with VerifierPool(misbehaving(), workers=1) as pool:
        verdicts = pool.judge_all([asked("a"), asked("b", thing=thing), asked("c")])
        (alone,) = pool.judge_all([asked("b", thing=thing)])
    assert [v.outcome.value for v in verdicts] == ["pass", "invalid", "pass"]
    for verdict in (verdicts[1], alone):
        assert verdict.reason.startswith(reason)


def test_an_idle_worker_that_is_lost_costs_nothing(misbehaving, asked):
    with VerifierPool(misbehaving(), workers=1) as pool:
        (told,) = pool.judge_all([asked("tells_its_process")])
        os.kill(told.details["pid"], signal.SIGKILL)
        (verdict,) = pool.judge_all([asked("a")])
    assert verdict.reason == "a"


def test_a_pair_that_cannot_be_sent_is_invalid_alone(misbehaving, asked):
    class Local:
        pass

    with VerifierPool(misbehaving(), workers=1) as pool:
        good, bad, other = pool.judge_all(
            [asked("a"), asked("b", thing=Local()), asked("c")],
        )
    assert (good.reason, other.reason) == ("a", "c")
    assert bad.reason.startswith("error: task cannot be sent to a worker: ")
    assert (bad.verifier, bad.version) == ("misbehaving", "2")


def test_a_hang_is_noticed_when_its_time_is_up(misbehaving, asked):
    with VerifierPool(misbehaving(), workers=1, timeout_s=0.5) as pool:
        pool.judge_all([asked("a")])
        began = time.monotonic()
        verdicts = pool.judge_all([asked("a"), asked("sleeps"), asked("b")])
        assert 0.5 <= time.monotonic() - began < 5  # with the start of another worker
    assert [v.outcome.value for v in verdicts] == ["pass", "invalid", "pass"]


def test_time_is_counted_for_each_verdict_and_not_for_all(misbehaving, asked):
    with VerifierPool(misbehaving(), workers=1, timeout_s=0.6) as pool:
        began = time.monotonic()
        verdicts = pool.judge_all([asked("waits", str(n), seconds=0.2) for n in range(6)])
        assert time.monotonic() - began >= 1.2
    assert [v.outcome for v in verdicts] == [Outcome.PASS] * 6


@pytest.mark.parametrize(
    ("deed", "reason"),
    [
        ("sleeps", "timeout: no verdict within 1 s"),
        ("exits", "crash: the worker left with exit code 3"),
        ("eats_memory", OUT_OF_MEMORY),
        ("raises", "error: ValueError: boom"),
    ],
)
def test_what_is_judged_together_is_lost_together_and_nothing_else(together, asked, deed, reason):
    answers = [f"a{n}" for n in range(10)]
    answers[5] = deed
    with VerifierPool(together(), workers=1, timeout_s=1, memory_mb=256) as pool:
        verdicts = pool.judge_all([asked(answer) for answer in answers])
    for number, (answer, verdict) in enumerate(zip(answers, verdicts, strict=True)):
        assert verdict.reason == (reason if 4 <= number < 8 else answer)
        assert verdict.verifier == "together"


@pytest.mark.parametrize("workers", [1, 2])
def test_a_verifier_that_is_lost_again_and_again_is_given_up(misbehaving, asked, workers):
    with VerifierPool(misbehaving(), workers=workers, give_up_after=3) as pool:
        fine = pool.submit([asked("a"), asked("b")])
        assert [v.outcome for v in fine.result()] == [Outcome.PASS] * 2
        bad = pool.submit([asked("exits")] * 50)
        later = pool.submit([asked("c")])
        with pytest.raises(BudgetExceededError) as error:
            bad.result()
        assert error.value.message == (
            "verifier 'misbehaving' was given up: its process was lost 3 times in a row, "
            "the last time with: crash: the worker left with exit code 3"
        )
        for future in (later, pool.submit([asked("d")])):
            with pytest.raises(BudgetExceededError):
                future.result()


def test_losses_with_verdicts_between_are_not_in_a_row(misbehaving, asked):
    with VerifierPool(misbehaving(), workers=1, give_up_after=2) as pool:
        verdicts = pool.judge_all([asked(a) for a in ("exits", "a", "exits", "b", "exits", "c")])
    assert [v.outcome for v in verdicts] == [Outcome.INVALID, Outcome.PASS] * 3


def test_what_was_judged_before_giving_up_is_remembered(misbehaving, asked, tmp_path):
    path, pairs = tmp_path / "verdicts.sqlite", [asked("a"), asked("b")]
    with (
        closing(VerdictCache(path=path)) as cache,
        VerifierPool(misbehaving(), workers=1, give_up_after=2, cache=cache) as pool,
        pytest.raises(BudgetExceededError),
    ):
        pool.judge_all([*pairs, *(asked("exits", f"e:{n}") for n in range(4))])
    with closing(VerdictCache(path=path)) as cache:
        known = cache.get(misbehaving(), verdict_keys(misbehaving(), pairs))
    assert sorted(v.reason for v in known.values()) == ["a", "b"]
