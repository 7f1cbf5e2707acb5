import asyncio
import threading

import pytest

from orbiter.records import Message, Outcome, Task, Trajectory, Verdict, content_hash
from orbiter.verify.verifier import OUT_OF_MEMORY, Verifier, judge, judge_batch, version_of

TASK = Task("e", "e:1", (Message("user", "q"),))
TRAJECTORY = Trajectory((*TASK.messages, Message("assistant", "a")), "e", "e:1", None)


class Returns(Verifier):
    name, version = "returns", "7"

    def __init__(self, value):
        self.value = value

    def verify(self, task, trajectory):
        if isinstance(self.value, BaseException):
            raise self.value
        return self.value


@pytest.mark.parametrize("verdict", [Verdict.passed(), Verdict.failed("no"), Verdict.invalid("hm")])
def test_a_verdict_is_stamped(verdict):
    judged = judge(Returns(verdict), TASK, TRAJECTORY)
    assert (judged.outcome, judged.score, judged.reason) == (
        verdict.outcome,
        verdict.score,
        verdict.reason,
    )
    assert (judged.verifier, judged.version) == ("returns", "7")


def test_a_stamp_cannot_be_forged():
    judged = judge(Returns(Verdict.passed(verifier="exact", version="1")), TASK, TRAJECTORY)
    assert (judged.verifier, judged.version) == ("returns", "7")


@pytest.mark.parametrize("value", [None, True, 1.0, "pass", object()])
def test_anything_but_a_verdict_is_invalid(value):
    judged = judge(Returns(value), TASK, TRAJECTORY)
    assert judged.outcome is Outcome.INVALID
    assert judged.reason == f"error: returned {type(value).__name__}, not a Verdict"


@pytest.mark.parametrize("error", [ValueError("x"), RecursionError("deep")])
def test_an_error_is_invalid_and_never_a_failure(error):
    judged = judge(Returns(error), TASK, TRAJECTORY)
    assert (judged.outcome, judged.score) == (Outcome.INVALID, None)
    assert judged.reason == f"error: {type(error).__name__}: {error}"


def test_running_out_of_memory_is_invalid_and_says_so():
    judged = judge(Returns(MemoryError()), TASK, TRAJECTORY)
    assert (judged.outcome, judged.reason) == (Outcome.INVALID, OUT_OF_MEMORY)


@pytest.mark.parametrize(
    ("error", "reason"),
    [
        (SystemExit(3), "crash: verifier raised SystemExit: 3"),
        (GeneratorExit(), "crash: verifier raised GeneratorExit: "),
        (asyncio.CancelledError("loop"), "crash: verifier raised CancelledError: loop"),
        (BaseExceptionGroup("both", [SystemExit()]), "crash: verifier raised BaseExceptionGroup: both"),
    ],
    ids=lambda value: type(value).__name__,
)  # fmt: skip
@pytest.mark.parametrize("size", [1, 2], ids=["alone", "together"])
def test_what_is_no_exception_ends_nothing(error, reason, size):
    verifier = Returns(error)
    verifier.batch_size = size
    for verdict in judge_batch(verifier, [(TASK, TRAJECTORY)] * 3):
        assert verdict.outcome is Outcome.INVALID
        assert verdict.reason.startswith(reason)
        assert (verdict.verifier, verdict.version) == ("returns", "7")


@pytest.mark.parametrize("size", [1, 2], ids=["alone", "together"])
def test_the_user_interrupts_and_no_other_thread_can(size):
    verifier, found = Returns(KeyboardInterrupt()), []
    verifier.batch_size = size
    with pytest.raises(KeyboardInterrupt):
        judge_batch(verifier, [(TASK, TRAJECTORY)])
    thread = threading.Thread(
        target=lambda: found.extend(judge_batch(verifier, [(TASK, TRAJECTORY)]))
    )
    thread.start()
    thread.join()
    assert [v.reason for v in found] == ["crash: verifier raised KeyboardInterrupt: "]


def test_a_long_error_is_cut():
    assert len(judge(Returns(ValueError("x" * 10_000)), TASK, TRAJECTORY).reason) == 300


class Optioned(Verifier):
    name = "optioned"

    def __init__(self, first, *, second=2, third=()):
        self.first, self.second, self.third = first, second, third
        self.version = version_of(self, "3")

    def verify(self, task, trajectory):
        return Verdict.passed()


def test_version_names_options_that_are_not_at_their_default():
    assert Optioned("a").version == "3;first='a'"
    assert Optioned("a", second=5).version == "3;first='a';second=5"
    assert Optioned(1, third=[Optioned(2)]).version == "3;first=1;third=[optioned@3;first=2]"


@pytest.mark.parametrize("size", [0, 1, 2, 3, 4])
def test_nothing_after_the_prompt_fails_unasked(size):
    shown = (Message("user", "1+1="), Message("assistant", "2"))
    task = Task("e", "e:2", (*shown, Message("user", "1+2="), Message("assistant", "It is")))
    judged = judge(
        Returns(Verdict.passed()), task, Trajectory(task.messages[:size], "e", "e:2", None)
    )
    assert (judged.outcome, judged.reason) == (Outcome.FAIL, "no answer")
    assert (judged.verifier, judged.version) == ("returns", "7")
    answered = Trajectory((*task.messages, Message("assistant", "2")), "e", "e:2", None)
    assert judge(Returns(Verdict.passed()), task, answered).outcome is Outcome.PASS


class MuteError(Exception):
    def __str__(self):
        raise ValueError("no message")


@pytest.mark.parametrize(
    ("error", "reason"),
    [
        (TimeoutError("too slow"), "timeout: too slow"),
        (MuteError(), "error: MuteError: its message cannot be shown"),
        (ValueError("half \ud800 a character"), "error: ValueError: half ? a character"),
        (ValueError("x" * 1000), "error: ValueError: " + "x" * 281),
    ],
    ids=["timeout", "mute", "surrogate", "long"],
)
def test_whatever_is_raised_is_a_reason_that_can_be_written(error, reason):
    verdict = judge(Returns(error), TASK, TRAJECTORY)
    assert (verdict.outcome, verdict.reason) == (Outcome.INVALID, reason)
    content_hash(verdict)
