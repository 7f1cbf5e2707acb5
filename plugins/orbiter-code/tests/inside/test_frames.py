import socket
import threading
import time

import pytest
from hypothesis import given
from hypothesis import strategies as st
from orbiter_code.inside.frames import (
    Channel,
    ChannelBrokenError,
    ChannelClosedError,
    DeadlineError,
    frame,
)


@pytest.fixture
def pair():
    near, far = socket.socketpair()
    with near, far:
        yield near, far


@given(st.lists(st.binary(max_size=300), max_size=5), st.data())
def test_messages_come_whole_and_in_order_however_they_are_cut(messages, data):
    near, far = socket.socketpair()
    with near, far:
        stream = b"".join(map(frame, messages))
        cuts = sorted(data.draw(st.lists(st.integers(0, len(stream)), max_size=4)))
        for start, end in zip([0, *cuts], [*cuts, len(stream)]):
            far.sendall(stream[start:end])
        channel = Channel(near)
        assert [channel.receive() for _ in messages] == messages


def test_what_follows_a_message_is_left_alone(pair):
    near, far = pair
    far.sendall(frame(b"order") + b"input")
    assert Channel(near).receive(ahead=False) == b"order"
    assert near.recv(100) == b"input"


def test_a_message_that_is_too_long_is_not_read(pair):
    near, far = pair
    far.sendall((11).to_bytes(4, "big"))
    with pytest.raises(ChannelBrokenError, match="11 bytes"):
        Channel(near, max_bytes=10).receive()


@pytest.mark.parametrize("sent", [b"", b"\0\0", (5).to_bytes(4, "big") + b"abc"])
def test_a_message_that_breaks_off(pair, sent):
    near, far = pair
    far.sendall(sent)
    far.close()
    with pytest.raises(ChannelClosedError):
        Channel(near).receive()


@pytest.mark.parametrize("sent", [b"", (5).to_bytes(4, "big") + b"abc"])
def test_a_deadline_ends_the_waiting(pair, sent):
    near, far = pair
    far.sendall(sent)
    begun = time.monotonic()
    with pytest.raises(DeadlineError):
        Channel(near).receive(deadline=begun + 0.05)
    assert time.monotonic() - begun >= 0.05


def test_drops_do_not_move_the_deadline(pair):
    near, far = pair
    far.sendall((1000).to_bytes(4, "big"))

    def drip():
        for _ in range(100):
            far.sendall(b"x")
            time.sleep(0.01)

    dripping = threading.Thread(target=drip)
    begun = time.monotonic()
    dripping.start()
    with pytest.raises(DeadlineError):
        Channel(near).receive(deadline=begun + 0.1)
    assert time.monotonic() - begun < 0.5
    dripping.join()


def test_nobody_reads(pair):
    near, _ = pair
    with pytest.raises(DeadlineError):
        Channel(near).send(b"x" * 10_000_000, deadline=time.monotonic() + 0.05)


def test_the_other_side_is_gone(pair):
    near, far = pair
    far.close()
    with pytest.raises(ChannelClosedError):
        Channel(near).send(b"x" * 1_000_000)
