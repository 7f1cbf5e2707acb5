"""The limit on open requests: one fall for a burst of refusals, a steady rise, and nobody waits for ever."""

import asyncio
import time

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from orbiter.generate.openai.limit import DECREASE, ROUNDS, Limit


async def filled(limit, count):
    return [await limit.acquire() for _ in range(count)]


async def test_a_burst_of_refusals_is_one_fall():
    limit = Limit(100)
    for opened in await filled(limit, 100):
        limit.overloaded(opened)
        limit.release()
    assert limit.size == int(100 * DECREASE)
    limit.overloaded(await limit.acquire())
    assert limit.size == int(100 * DECREASE * DECREASE)


async def test_it_never_falls_below_one_nor_rises_above_the_maximum():
    limit = Limit(8)
    for _ in range(50):
        limit.overloaded(await limit.acquire())
        limit.release()
    assert limit.size == 1
    for _ in range(1000):
        limit.answered()
    assert limit.size == 8


async def test_so_many_answers_as_are_open_raise_it_by_one_step():
    limit = Limit(160)
    while limit.size > 80:
        limit.overloaded(await limit.acquire())
        limit.release()
    before = limit.size
    for _ in range(before):
        limit.answered()
    assert before + 160 / ROUNDS - 2 <= limit.size <= before + 160 / ROUNDS + 1


async def test_a_lower_limit_lets_the_open_ones_end_before_another_is_opened():
    limit = Limit(4)
    opened = await filled(limit, 4)
    limit.overloaded(opened[0])  # to 2.8
    waiting = asyncio.ensure_future(limit.acquire())
    for _ in range(2):
        limit.release()
        await asyncio.sleep(0)
        assert not waiting.done()
    limit.release()
    await asyncio.sleep(0)
    assert waiting.done()


async def test_who_gives_up_waiting_leaves_the_place_to_the_next():
    limit = Limit(1)
    await limit.acquire()
    first, second = (asyncio.ensure_future(limit.acquire()) for _ in range(2))
    await asyncio.sleep(0)
    limit.release()  # given to the first, which is cancelled before it hears of it
    first.cancel()
    async with asyncio.timeout(5):
        await second
    with pytest.raises(asyncio.CancelledError):
        await first


async def test_who_waits_too_long_leaves_the_place_to_the_next():
    limit = Limit(1)
    await limit.acquire()
    with pytest.raises(TimeoutError):
        await limit.acquire(within_s=0.001)
    late, second = (asyncio.ensure_future(limit.acquire(within_s=t)) for t in (0.01, 60))
    await asyncio.sleep(0)
    asyncio.get_running_loop().call_soon(limit.release)
    time.sleep(0.02)  # its time is up after it got the place, and before it hears of that
    with pytest.raises(TimeoutError):
        await late
    async with asyncio.timeout(5):
        await second


async def test_nothing_is_opened_while_the_server_wants_to_be_left_alone():
    limit = Limit(4)
    limit.overloaded(await limit.acquire(), wait_s=0.05)
    limit.release()
    loop = asyncio.get_running_loop()
    began = loop.time()
    async with asyncio.timeout(5):
        await limit.acquire()
    assert loop.time() - began >= 0.045


@given(st.lists(st.sampled_from(["answer", "refuse", "give up"]), max_size=60), st.integers(1, 9))
@settings(max_examples=40, deadline=None)
def test_the_bound_holds_and_all_get_their_turn(events, maximum):
    async def main():
        limit, open_now, most = Limit(maximum), 0, 0

        async def request(event):
            nonlocal open_now, most
            opened = await limit.acquire()
            open_now += 1
            most = max(most, open_now)
            try:
                await asyncio.sleep(0)
                limit.answered() if event == "answer" else limit.overloaded(opened)
            finally:
                open_now -= 1
                limit.release()

        tasks = [asyncio.ensure_future(request(event)) for event in events]
        await asyncio.sleep(0)
        for task, event in zip(tasks, events):
            if event == "give up":
                task.cancel()
        await asyncio.gather(*tasks, return_exceptions=True)
        assert most <= maximum
        for _ in range(1000):
            limit.answered()
        async with asyncio.timeout(5):
            await filled(limit, maximum)

    asyncio.run(main())
