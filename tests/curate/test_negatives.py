import pytest

from orbiter.curate import count_negatives, tagged_negatives
from orbiter.errors import ConfigError

LONG = "Paris is the capital of France and has been for a long time indeed."


def kind(pair, **options):
    (found,) = tagged_negatives([pair], **options)
    return found.metadata.get("negative")


@pytest.mark.parametrize(
    ("chosen", "rejected", "reason", "wanted"),
    [
        ("Paris.", "I'm sorry, but I can't help with that.", "", "refusal"),
        ("Paris.", "I cannot say.", "wrong answer", "refusal"),
        ("I can't help with that.", "I cannot say it here.", "", None),
        ("Paris.", "Lyons.", "wrong answer", "wrong"),
        ("Paris.", "Lyons.", "wrong step", "wrong"),
        ("Paris.", "Lyons.", "illegal move", "wrong"),
        ("Paris.", "it, maybe", "no answer", "format"),
        ("Paris.", "it, maybe", "answer is not a number", "format"),
        ("Paris.", "it, maybe", "wrong form", "format"),
        ("Paris.", "it, maybe", "text outside the sections", "format"),
        ("Paris.", "Bake an onion with butter until golden, then add salt", "", "off_topic"),
        ("Paris.", "Bake an onion", "", "verbose"),
        ("Paris.", f"Paris. {LONG}", "", "verbose"),
        (f"Paris. {LONG}", "Paris.", "", "terse"),
        ("Paris.", "Lyons.", "", None),
        ("Paris.", "Lyons.", "rubric not met", None),
        ("Paris.", "Nothing doing.", "refusal", "refusal"),
        ("Paris.", "Lyons!", "answer is too long", "verbose"),
        ("Paris.", "Lyons!", "too short", "terse"),
        ("Paris.", "Lyons!", "off-topic", "off_topic"),
    ],
)
def test_first_rule_that_applies_says_the_kind(make_pair, chosen, rejected, reason, wanted):
    pair = make_pair(chosen, rejected, prompt="Capital of France?", metadata={"reason": reason})
    assert kind(pair) == wanted


def test_a_kind_that_was_said_outright_stays(make_pair):
    assert kind(make_pair(metadata={"negative": "off_topic", "reason": "wrong"})) == "off_topic"
    with pytest.raises(
        ConfigError,
        match="negative of pair 'sums:0' must be one of refusal, wrong, off_topic, format, verbose, terse, got 'bad'",
    ):
        kind(make_pair(metadata={"negative": "bad"}))


def test_ratio_and_length_are_the_callers(make_pair):
    pair = make_pair("one two", "one two three")
    assert kind(pair) is None
    assert kind(pair, length_ratio=1.5) == "verbose"
    assert kind(pair, length=lambda messages: messages[0].text.count("t")) == "verbose"
    with pytest.raises(ConfigError, match="length_ratio must be a number > 1, got 1"):
        tagged_negatives([], length_ratio=1)


def test_kinds_are_counted_and_unknown_is_no_kind(make_pair):
    pairs = [
        make_pair(metadata={"reason": "wrong answer"}),
        make_pair("Paris.", "I cannot help."),
        make_pair(),
    ]
    found = tagged_negatives(pairs)
    assert count_negatives(found) == {"wrong": 1, "refusal": 1, "untagged": 1}
    assert found[2] == pairs[2]
