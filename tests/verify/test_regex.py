import pytest

from orbiter.errors import ConfigError
from orbiter.records import Outcome
from orbiter.verify.regex import RegexVerifier

PASS, FAIL, INVALID = Outcome.PASS, Outcome.FAIL, Outcome.INVALID


@pytest.mark.parametrize(
    ("pattern", "options", "text", "outcome"),
    [
        (r"\d+", {}, "42", PASS),
        (r"\d+", {}, "42 ", FAIL),
        (r"\d+", {}, "a42", FAIL),
        (r"a|ab", {}, "ab", PASS),
        (r"a.b", {}, "a\nb", PASS),
        (r"yes", {}, "YES", FAIL),
        (r"yes", {"ignore_case": True}, "YES", PASS),
        (r"\d+", {}, "<think>x</think>42", PASS),
        (r"<think>.+</think>\d+", {"thoughts": True}, "<think>x</think>42", PASS),
        (r"<think>.+</think>\d+", {"thoughts": True}, "42", FAIL),
        (r".*", {}, "<think>x", FAIL),
        (r"a*", {"max_length": 3}, "aaaa", INVALID),
    ],
)
def test_outcome(judged, pattern, options, text, outcome):
    assert judged(RegexVerifier(pattern, **options), None, text).outcome is outcome


def test_a_pattern_that_takes_for_ever_is_stopped(judged):
    verifier = RegexVerifier(r"(x+x+)+y", timeout_s=0.02)
    verdict = judged(verifier, None, "x" * 5_000)
    assert verdict.outcome is INVALID
    assert verdict.reason == "timeout: the pattern took longer than 0.02 s"


@pytest.mark.parametrize("pattern", ["(", "*", "[", None, 7])
def test_a_pattern_must_be_one(pattern):
    with pytest.raises(ConfigError, match="pattern must be a regular expression, got "):
        RegexVerifier(pattern)


@pytest.mark.parametrize(
    "options",
    [
        {"max_length": 0},
        {"timeout_s": 0},
        {"timeout_s": -1},
        {"timeout_s": "1"},
        {"max_length": 2.5},
    ],
)
def test_bounds_must_be_positive(options):
    with pytest.raises(ConfigError, match="must be a"):
        RegexVerifier("x", **options)


def test_version_holds_the_pattern():
    assert RegexVerifier("x").version == "1;pattern='x'"
    assert RegexVerifier("x", ignore_case=True).version == "1;pattern='x';ignore_case=True"
