from fractions import Fraction

import pytest
from hypothesis import given
from hypothesis import strategies as st

from orbiter.errors import ConfigError
from orbiter.records import Outcome
from orbiter.verify.numeric import NumericVerifier, parse_number

PASS, FAIL, INVALID = Outcome.PASS, Outcome.FAIL, Outcome.INVALID


@pytest.mark.parametrize(
    ("text", "value"),
    [
        ("42", 42),
        (" -42 ", -42),
        ("+42", 42),
        ("1,234", 1234),
        ("1,234,567.5", Fraction(2469135, 2)),
        ("0.1", Fraction(1, 10)),
        (".5", Fraction(1, 2)),
        ("5.", 5),
        ("6.02e3", 6020),
        ("1E-2", Fraction(1, 100)),
        ("3/4", Fraction(3, 4)),
        ("-3 / 4", Fraction(-3, 4)),
        ("3/-4", Fraction(-3, 4)),
        ("1,000/3", Fraction(1000, 3)),
        ("４２", 42),
        ("−42", -42),
        ("007", 7),
        ("-0", 0),
        ("9" * 900, int("9" * 900)),
        ("", None),
        ("-", None),
        (".", None),
        ("e5", None),
        ("1,23", None),
        ("12,34", None),
        ("1234,567", None),
        (",123", None),
        ("1,2345", None),
        ("1,234,", None),
        ("1.2.3", None),
        ("1/2/3", None),
        ("1/0", None),
        ("/2", None),
        ("1/", None),
        ("4²", None),
        ("½", None),
        ("٤٢", None),
        ("1_000", None),
        ("0x10", None),
        ("inf", None),
        ("nan", None),
        ("Infinity", None),
        ("1e999999999", None),
        ("1e1001", None),
        ("1e-99999999999999", None),
        ("9" * 1001, None),
        ("42 apples", None),
        ("$42", None),
        ("4 2", None),
        ("--4", None),
        ("42\n43", None),
    ],
)
def test_parse_number(text, value):
    assert parse_number(text) == value


@given(st.integers())
def test_integers_come_back(number):
    assert parse_number(str(number)) == number
    assert parse_number(f"{number:,}") == number


@given(st.fractions())
def test_fractions_come_back(number):
    assert parse_number(str(number)) == number


@given(st.floats(allow_nan=False, allow_infinity=False))
def test_floats_are_read_as_they_are_written(number):
    assert parse_number(repr(number)) == Fraction(repr(number))


@given(st.text(alphabet="0123456789,.eE+-/ ４−²x"))
def test_garbage_is_no_exception(text):
    value = parse_number(text)
    assert value is None or isinstance(value, Fraction)


@pytest.mark.parametrize(
    ("options", "reference", "text", "outcome"),
    [
        ({}, "0.5", "1/2", PASS),
        ({}, 0.1, "0.1", PASS),
        ({}, 0.1, "0.1000000000000000055511151231257827", FAIL),
        ({}, 3, "3.0", PASS),
        ({}, "1e3", "1,000", PASS),
        ({}, "10000000000000001", "10000000000000000", FAIL),
        ({}, "3", "3 apples", FAIL),
        ({}, "3", "1e999999", FAIL),
        ({"abs_tol": 0.1}, "1", "1.1", PASS),
        ({"abs_tol": 0.1}, "1", "0.9", PASS),
        ({"abs_tol": 0.1}, "1", "1.1000001", FAIL),
        ({"rel_tol": 0.01}, "200", "202", PASS),
        ({"rel_tol": 0.01}, "-200", "-202", PASS),
        ({"rel_tol": 0.01}, "200", "202.1", FAIL),
        ({"rel_tol": 0.01}, "0", "0.0001", FAIL),
        ({"rel_tol": 0.01, "abs_tol": 0.001}, "0", "0.0001", PASS),
        ({}, None, "3", INVALID),
        ({}, "three", "3", INVALID),
        ({}, True, "1", INVALID),
        ({}, float("nan"), "nan", INVALID),
        ({}, float("inf"), "1e400", INVALID),
        ({}, [3], "3", INVALID),
    ],
)
def test_outcome(judged, options, reference, text, outcome):
    assert judged(NumericVerifier(**options), reference, text).outcome is outcome


def test_a_reference_beyond_any_float(judged):
    for sign in (1, -1):
        assert judged(NumericVerifier(), sign * 10**400, f"{sign}e400").outcome is PASS
        assert judged(NumericVerifier(), sign * 10**400, f"{-sign}e400").outcome is FAIL
    assert judged(NumericVerifier(), 10**5000, "1").outcome is FAIL


def test_reasons(judged):
    reasons = [judged(NumericVerifier(), 1, text).reason for text in ("", "<think>", "one", "2")]
    assert reasons == ["no answer", "no answer", "answer is not a number", "wrong answer"]


@given(st.integers(), st.integers(), st.integers(0, 100))
def test_tolerance_is_exact(judged_pair, reference, distance, tolerance):
    verdict = judged_pair(NumericVerifier(abs_tol=tolerance), reference, reference + distance)
    assert (verdict.outcome is PASS) == (abs(distance) <= tolerance)


@pytest.fixture(scope="module")
def judged_pair():
    from orbiter.records import Message, Task, Trajectory

    def judged_pair(verifier, reference, answer):
        task = Task("e", "e:1", (), answer=reference)
        return verifier.verify(
            task, Trajectory((Message("assistant", str(answer)),), "e", "e:1", None)
        )

    return judged_pair


@pytest.mark.parametrize("value", [-1, float("nan"), float("inf"), "0.1", None, True])
@pytest.mark.parametrize("option", ["abs_tol", "rel_tol"])
def test_a_tolerance_must_be_a_number(option, value):
    with pytest.raises(ConfigError, match=f"{option} must be a finite number >= 0, got "):
        NumericVerifier(**{option: value})
