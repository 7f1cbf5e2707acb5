import pytest

from orbiter.errors import ConfigError
from orbiter.records import Outcome
from orbiter.testing import check_verifier
from orbiter.verify.audit import LabelledAnswer
from orbiter.verify.judges import PointwiseJudge

PASS, FAIL, INVALID = Outcome.PASS, Outcome.FAIL, Outcome.INVALID


def scored(scripted, verdict, score, **options):
    model = scripted(f'{{"score": {score}}}')
    return verdict(PointwiseJudge(model=model, rubric="r", **options), "It is 42.")


@pytest.mark.parametrize(
    ("score", "outcome", "value"),
    [
        ("10", PASS, 1.0),
        ("7", PASS, 0.7),
        ("7.0", PASS, 0.7),
        ("6.9", FAIL, 0.69),
        ("0", FAIL, 0.0),
    ],
)
def test_a_score_against_the_threshold(scripted, verdict, score, outcome, value):
    found = scored(scripted, verdict, score)
    assert (found.outcome, found.score) == (outcome, pytest.approx(value))
    assert found.reason == ("" if outcome is PASS else "rubric not met")


@pytest.mark.parametrize(
    "score", ["11", "-1", "10.01", "1e999", "9" * 4000, '"7"', "true", "[7]", "{}", '"7/10"', "-0.1"]
)  # fmt: skip
def test_a_score_out_of_range_is_no_verdict(scripted, verdict, score):
    found = scored(scripted, verdict, score)
    assert (found.outcome, found.reason) == (INVALID, "unreadable reply: score is out of range")


def test_a_number_too_long_to_read_is_no_verdict(scripted, verdict):
    assert scored(scripted, verdict, "9" * 5000).outcome is INVALID


@pytest.mark.parametrize(
    ("score", "outcome"), [(1, FAIL), (2, INVALID), (3, INVALID), (4, INVALID), (5, PASS)]
)
def test_near_the_threshold_it_abstains(scripted, verdict, score, outcome):
    found = scored(scripted, verdict, score, scale=5, threshold=0.6, unsure=0.3)
    assert found.outcome is outcome
    assert outcome is not INVALID or found.reason == "abstain: score near the threshold"


def test_the_score_is_the_mean_of_the_samples(scripted, verdict):
    model = scripted(*(f'{{"score": {n}}}' for n in (10, 9, 8)))
    found = verdict(PointwiseJudge(model=model, rubric="r", samples=3), "42")
    assert (found.outcome, found.score) == (PASS, pytest.approx(0.9))
    assert found.details["values"] == [1.0, 0.9, 0.8]


@pytest.mark.parametrize("scale", range(1, 21))
def test_a_threshold_on_the_scale_is_reached_by_its_own_score(scripted, verdict, scale):
    for score in range(1, scale + 1):
        found = scored(scripted, verdict, score, scale=scale, threshold=score / scale)
        assert found.outcome is PASS


def test_the_reference_is_shown_if_there_is_one(scripted, verdict):
    def shown(gold, **options):
        model = scripted('{"score": 1}')
        verdict(PointwiseJudge(model=model, rubric="r", **options), "x", answer=gold)
        return model.asked[0].messages[1].text

    assert "| gold\n[[END REFERENCE" in shown("gold")
    assert '| {"target": 6}\n[[END REFERENCE' in shown({"target": 6})
    assert f"| {10**30}\n[[END REFERENCE" in shown(10**30)
    assert '| ["süß"]\n[[END REFERENCE' in shown(["süß"])
    assert "REFERENCE" not in shown(None)
    assert "REFERENCE" not in shown("gold", reference=False)


def test_braces_in_a_rubric_are_text(scripted):
    model = scripted()
    assert "{x} {0} %s" in PointwiseJudge(model=model, rubric="{x} {0} %s").instructions


def grader(question):
    right = "42" in question.messages[1].text.partition("[[BEGIN ANSWER")[2]
    return f'{{"score": {10 * right}}}'


def test_it_keeps_the_contract_of_a_verifier(scripted, task):
    labelled = [LabelledAnswer(task, text, "42" in text) for text in ("42", "It is 42", "41", ":")]
    check_verifier(lambda: PointwiseJudge(model=scripted(grader), rubric="r"), labelled)


@pytest.mark.parametrize(
    ("options", "message"),
    [
        ({"rubric": " "}, "rubric must be a text, got ' '"),
        ({"rubric": ["a"]}, "rubric must be a text, got ['a']"),
        ({"scale": 0}, "scale must be an integer >= 1, got 0"),
        ({"scale": 10.0}, "scale must be an integer >= 1, got 10.0"),
        ({"threshold": 0}, "threshold must be a number in (0, 1], got 0"),
        ({"threshold": 7}, "threshold must be a number in (0, 1], got 7"),
        ({"threshold": True}, "threshold must be a number in (0, 1], got True"),
        ({"unsure": 1}, "unsure must be a number in [0, 1), got 1"),
        ({"unsure": -0.1}, "unsure must be a number in [0, 1), got -0.1"),
        ({"reference": "yes"}, "reference must be true or false, got 'yes'"),
    ],
)
def test_options(scripted, options, message):
    with pytest.raises(ConfigError) as caught:
        PointwiseJudge(model=scripted(), **{"rubric": "r", **options})
    assert caught.value.message == message
