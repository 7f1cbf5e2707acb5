import itertools

import pytest
from hypothesis import given
from hypothesis import strategies as st

from orbiter.convert import structure
from orbiter.errors import RecordError
from orbiter.verify.calls import Call
from orbiter.verify.expected import ExpectedCall, Progress, arranged, assigned, same

SCHEMA = {
    "type": "object",
    "properties": {"q": {"type": "string"}, "n": {"type": "integer", "default": 10}, "any": True},
    "required": ["q"],
}


def call(*, name="search", turn=0, **arguments):
    return Call("1", name, arguments, turn)


X = {"q": "x"}
MATCHES = [
    ({"arguments": X}, {"q": "x"}, True, True),
    ({"arguments": X}, {"q": "y"}, False, False),
    ({"arguments": X}, {}, False, False),
    ({"arguments": X}, {"q": "x", "n": 3}, False, True),
    ({"arguments": X}, {"q": "x", "n": 10}, True, True),
    ({"arguments": X}, {"q": "x", "any": None}, False, True),
    ({"arguments": {"q": "x", "n": 10}}, {"q": "x"}, True, True),
    ({"arguments": {"q": "x", "n": 3}}, {"q": "x"}, False, False),
    ({"arguments": {"q": "x", "n": 3}, "optional": ["n"]}, {"q": "x"}, True, True),
    ({"arguments": {"q": "x", "n": 3}, "optional": ["n"]}, {"q": "x", "n": 3}, True, True),
    ({"arguments": {"q": "x", "n": 3}, "optional": ["n"]}, {"q": "x", "n": 10}, False, False),
    ({"accepted": {"q": ["x", "y"]}}, {"q": "y"}, True, True),
    ({"accepted": {"q": ["x", "y"]}}, {"q": "x, y"}, False, False),
    ({"accepted": {"q": ["x", "y"]}}, {"q": ["x", "y"]}, False, False),
    ({}, {"q": "x"}, False, True),
]


@pytest.mark.parametrize(("expected", "given_arguments", "exactly", "at_least"), MATCHES)
def test_arguments(expected, given_arguments, exactly, at_least):
    one = structure({"name": "search", **expected}, ExpectedCall)
    assert one.matches(call(**given_arguments), SCHEMA, exactly=True) == exactly
    assert one.matches(call(**given_arguments), SCHEMA, exactly=False) == at_least
    assert not one.matches(call(name="serch", **given_arguments), SCHEMA, exactly=False)


@pytest.mark.parametrize(
    ("row", "message"),
    [
        ({"name": "s", "accepted": {"q": []}}, "accepted.q"),
        ({"name": "s", "accepted": {"q": ["x"]}, "arguments": {"q": "x"}}, "accepted.q"),
        ({"name": "s", "optional": ["q"]}, "optional"),
        ({"arguments": {}}, "name"),
        ({"name": "s", "argument": {}}, "argument"),
        ({"name": "s", "accepted": {"q": "x"}}, "accepted"),
    ],
)
def test_malformed_expected_calls(row, message):
    with pytest.raises(RecordError) as caught:
        structure(row, ExpectedCall)
    assert message in caught.value.message


@pytest.mark.parametrize(
    ("row", "field"),
    [
        ({"name": "serch"}, "name"),
        ({"name": "search", "arguments": {"q": 1}}, "search.q"),
        ({"name": "search", "accepted": {"q": ["x", None]}}, "search.q"),
        ({"name": "search", "arguments": {"r": 1}}, "search.r"),
    ],
)
def test_an_expected_call_that_no_call_can_meet(row, field):
    with pytest.raises(RecordError) as caught:
        structure(row, ExpectedCall).check_against({"search": SCHEMA})
    assert caught.value.field == field
    structure({"name": "search", "arguments": {"n": 2}}, ExpectedCall).check_against(
        {"search": SCHEMA}
    )


def test_an_expected_call_need_not_name_what_belongs_together():
    schema = {
        "type": "object",
        "properties": {"q": {"$ref": "#/$defs/text"}, "n": {}},
        "$defs": {"text": {"type": "string"}},
        "required": ["q", "n"],
        "minProperties": 2,
        "dependentRequired": {"q": ["n"]},
    }
    structure({"name": "s", "arguments": {"q": "x"}}, ExpectedCall).check_against({"s": schema})
    with pytest.raises(RecordError):
        structure({"name": "s", "arguments": {"q": 1}}, ExpectedCall).check_against({"s": schema})


@pytest.mark.parametrize(
    ("a", "b", "equal"),
    [
        (1, 1.0, True),
        (1, True, False),
        (0, False, False),
        (0, None, False),
        ("", None, False),
        ("1", 1, False),
        (float("nan"), float("nan"), False),
        (float("inf"), float("inf"), False),
        (10**400, 10**400, True),
        (10**400, 1.0, False),
        ("caf\u00e9", "cafe\u0301", True),
        ("a", "\u0430", False),
        ("A", "a", False),
        ([1, [2]], (1, [2.0]), True),
        ([1, 2], [1], False),
        ({"a": [1]}, {"a": [True]}, False),
        ({"a": 1}, {"a": 1, "b": 1}, False),
        ([], {}, False),
    ],
)
def test_json_values(a, b, equal):
    assert same(a, b) == same(b, a) == equal


def test_texts_are_compared_as_they_are_normalised():
    assert same({"a": ["X  y"]}, {"a": ["x y"]}, lambda text: " ".join(text.lower().split()))


@given(st.lists(st.lists(st.booleans(), min_size=4, max_size=4), max_size=4))
def test_an_assignment_is_found_if_there_is_one(table):
    found = assigned(len(table), 4, lambda need, offer: table[need][offer])
    possible = any(
        all(table[need][offer] for need, offer in enumerate(offers))
        for offers in itertools.permutations(range(4), len(table))
    )
    assert (found is not None) == possible
    if found is not None:
        assert len(set(found)) == len(found) == len(table)
        assert all(table[need][offer] for need, offer in enumerate(found))


LETTERS = st.lists(st.lists(st.sampled_from("abc"), max_size=3), max_size=4)


def made_of(turns):
    return [
        call(name=letter, turn=turn) for turn, letters in enumerate(turns) for letter in letters
    ]


@given(LETTERS, st.lists(st.sampled_from("abc"), max_size=6))
def test_calls_of_one_turn_are_put_in_order(turns, expected):
    calls = made_of(turns)
    out = arranged(calls, len(expected), lambda need, one: one.name == expected[need])
    assert [one.turn for one in out] == [one.turn for one in calls]
    assert sorted(one.name for one in out) == sorted(one.name for one in calls)
    start = 0
    right = True
    for letters in turns:
        wanted = expected[start : start + len(letters)]
        right = right and sorted(letters) == sorted(wanted)
        start += len(letters)
    assert ([one.name for one in out] == expected) == (right and start == len(expected))


@given(LETTERS, st.lists(st.sampled_from("abc"), min_size=1, max_size=6))
def test_progress(turns, expected):
    calls = made_of(turns)

    def fit(need, one):
        return one.name == expected[need]

    progress = Progress.of(calls, len(expected), fit, turns=len(turns))
    names = [one.name for one in arranged(calls, len(expected), fit)]
    assert progress.distance == levenshtein(tuple(names), tuple(expected))
    assert list(progress.done) == sorted(progress.done)
    assert len(progress.done) == len(turns)
    whole = progress.done[-1:] == (len(expected),) and progress.first_error is None
    assert (progress.distance == 0) == whole
    if progress.first_error is not None:
        before = sum(len(letters) for letters in turns[: progress.first_error])
        assert names[:before] == expected[:before]


def levenshtein(a, b):
    """The distance by its definition."""
    if not a or not b:
        return len(a) + len(b)
    if a[0] == b[0]:
        return levenshtein(a[1:], b[1:])
    return 1 + min(levenshtein(a[1:], b[1:]), levenshtein(a[1:], b), levenshtein(a, b[1:]))
