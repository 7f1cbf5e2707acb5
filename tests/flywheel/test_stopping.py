"""A program that handles SIGTERM hears of it when the coroutine has cleared up, once; one that does not is left alone."""

import asyncio
import os
import signal
import threading

import pytest

from orbiter.flywheel.stopping import run_until_told


class Told(BaseException):
    pass


@pytest.fixture
def handled():
    heard = []

    def handler(number, _):
        heard.append(number)
        raise Told

    before = signal.signal(signal.SIGTERM, handler)
    yield heard
    assert signal.getsignal(signal.SIGTERM) is handler
    signal.signal(signal.SIGTERM, before)


def test_it_clears_up_first_and_a_second_one_disturbs_nothing(handled):
    steps = []

    async def work():
        try:
            os.kill(os.getpid(), signal.SIGTERM)
            await asyncio.sleep(60)
        finally:
            os.kill(os.getpid(), signal.SIGTERM)
            await asyncio.sleep(0.01)
            steps.append(list(handled))

    with asyncio.Runner() as runner, pytest.raises(Told):
        run_until_told(runner, work())
    assert steps == [[]]
    assert handled == [signal.SIGTERM]


def test_a_loop_that_waits_is_woken(handled):
    async def work():
        threading.Timer(0.05, os.kill, (os.getpid(), signal.SIGTERM)).start()
        await asyncio.Event().wait()

    with asyncio.Runner() as runner, pytest.raises(Told):
        run_until_told(runner, work())


def test_without_a_signal_it_returns_and_raises_as_it_is(handled):
    async def work(error=None):
        if error is not None:
            raise error
        return 7

    with asyncio.Runner() as runner:
        assert run_until_told(runner, work()) == 7
        with pytest.raises(ValueError, match="no"):
            run_until_told(runner, work(ValueError("no")))
    assert handled == []


def test_where_nobody_handles_it_nothing_is_changed():
    before = signal.signal(signal.SIGTERM, signal.SIG_IGN)

    async def work():
        return signal.getsignal(signal.SIGTERM)

    try:
        with asyncio.Runner() as runner:
            assert run_until_told(runner, work()) is signal.SIG_IGN
    finally:
        signal.signal(signal.SIGTERM, before)
