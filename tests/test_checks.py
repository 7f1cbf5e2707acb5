import math

import pytest
from hypothesis import given
from hypothesis import strategies as st

from orbiter.checks import check_number, check_seed, check_whole_number, is_number
from orbiter.errors import ConfigError

NAN, INF = math.nan, math.inf


@pytest.mark.parametrize("value", [0, -1, 1.5, 10**400])
def test_numbers(value):
    assert is_number(value)
    assert is_number(value, infinite=True)


@pytest.mark.parametrize("value", [None, True, "1", [1], 1j, NAN])
def test_what_is_no_number(value):
    assert not is_number(value)
    assert not is_number(value, infinite=True)


def test_infinity_is_a_number_only_if_allowed():
    assert not is_number(INF)
    assert is_number(-INF, infinite=True)


@pytest.mark.parametrize(
    ("interval", "inside", "outside", "rule"),
    [
        ("[0, 1]", [0, 0.5, 1], [-1e-9, 1.1, NAN, INF, True, "0", None], "a number in [0, 1]"),
        ("(0, 1]", [1e-9, 1], [0, 1.1], "a number in (0, 1]"),
        ("[0, 1)", [0], [1], "a number in [0, 1)"),
        ("(0, 1)", [0.5], [0, 1], "a number in (0, 1)"),
        ("[0, inf)", [0, 9e99], [-1, INF], "a number >= 0"),
        ("(0, inf)", [1e-9], [0, INF], "a number > 0"),
        ("(-inf, inf)", [-9e99, 0], [NAN, INF, -INF, False], "a finite number"),
    ],
)
def test_intervals(interval, inside, outside, rule):
    for value in inside:
        assert check_number("x", value, interval) == value
    for value in outside:
        with pytest.raises(ConfigError) as caught:
            check_number("x", value, interval)
        assert caught.value.message == f"x must be {rule}, got {value!r}"


def test_infinity_in_an_interval():
    assert check_number("x", INF, "(0, inf)", infinite=True) == INF
    for interval, rule in (("(0, inf)", "a number > 0"), ("[-inf, inf]", "a number")):
        with pytest.raises(ConfigError) as caught:
            check_number("x", NAN, interval, infinite=True)
        assert caught.value.message == f"x must be {rule}, got nan"


@given(st.integers(-5, 5), st.integers(-5, 5), st.none() | st.integers(-5, 5))
def test_whole_numbers(value, low, high):
    if low <= value and (high is None or value <= high):
        assert check_whole_number("n", value, low=low, high=high) == value
    else:
        rule = f">= {low}" if high is None else f"in [{low}, {high}]"
        with pytest.raises(ConfigError) as caught:
            check_whole_number("n", value, low=low, high=high)
        assert caught.value.message == f"n must be an integer {rule}, got {value!r}"


def test_a_seed_is_what_json_holds():
    assert [check_seed(seed) for seed in (0, -(2**63), 2**63 - 1)] == [0, -(2**63), 2**63 - 1]
    for seed in (2**63, -(2**63) - 1, 1.0, "1"):
        with pytest.raises(ConfigError, match="seed must be an integer in"):
            check_seed(seed)


@pytest.mark.parametrize("value", [1.0, True, "1", None, NAN])
def test_what_is_no_whole_number(value):
    with pytest.raises(ConfigError):
        check_whole_number("n", value, low=0)
