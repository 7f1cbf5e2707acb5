"""How long a request waits before it is made again."""

from email.utils import formatdate
from time import time

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from orbiter.generate.openai.faults import MAX_RETRY_AFTER_S, Fault, retry_after
from orbiter.generate.openai.patience import MAX_WAIT_S, pause_s


@pytest.mark.parametrize(
    ("header", "wait_s"),
    [
        (None, None),
        ("3", 3.0),
        (" 3 ", 3.0),
        ("0", 0.0),
        ("99999", MAX_RETRY_AFTER_S),
        ("9" * 500, MAX_RETRY_AFTER_S),
        ("soon", None),
        ("-1", None),
        ("1.5", None),
        ("", None),
        (formatdate(0, usegmt=True), 0.0),
        ("Wed, 21 Oct 9999 07:28:00 GMT", MAX_RETRY_AFTER_S),
    ],
)
def test_retry_after(header, wait_s):
    assert retry_after(header) == wait_s


def test_retry_after_a_date_is_the_time_until_then():
    assert 8 < retry_after(formatdate(time() + 10, usegmt=True)) < 11


@settings(deadline=None, max_examples=50)
@given(tries=st.integers(1, 10_000), first_s=st.floats(0.001, 10))
def test_pauses_are_drawn_from_a_range_that_doubles_up_to_a_bound(tries, first_s):
    longest = min(MAX_WAIT_S, first_s * 2.0 ** min(tries - 1, 1000)) if tries < 900 else MAX_WAIT_S
    drawn = [pause_s(Fault("x"), tries, first_s=first_s) for _ in range(20)]
    assert all(0 <= one <= longest for one in drawn)
    assert len(set(drawn)) > 1
    assert max(drawn) - min(drawn) > longest / 100  # not one pause with a little noise


@settings(deadline=None, max_examples=50)
@given(wait_s=st.floats(0, MAX_RETRY_AFTER_S))
def test_a_pause_is_as_long_as_the_server_said_and_a_little_longer(wait_s):
    pause = pause_s(Fault("x", wait_s=wait_s), 1, first_s=60)
    assert wait_s <= pause <= 1.1 * wait_s
