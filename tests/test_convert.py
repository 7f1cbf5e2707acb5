import enum
from collections.abc import Mapping
from pathlib import Path
from typing import Any

import pytest
from attrs import field, fields, frozen
from hypothesis import given, settings
from hypothesis import strategies as st

from orbiter.convert import join_path, show, structure, unstructure
from orbiter.errors import RecordError


class Colour(enum.StrEnum):
    RED = "red"
    BLUE = "blue"


class Level(enum.IntEnum):
    LOW = 1


@frozen
class Point:
    x: int
    y: float = 0.0


@frozen
class Drawing:
    name: str
    points: tuple[Point, ...] = ()
    labels: list[str] = field(factory=list)
    named: Mapping[str, Point] = field(factory=dict)
    colour: Colour = Colour.RED
    level: Level = Level.LOW
    origin: Point | None = None
    note: str | list[Any] | None = None
    size: int | float = 1
    visible: bool = True
    path: Path = Path("a")
    free: Any = None


@frozen
class Open:
    name: str
    size: int = 1
    extra: Mapping[str, Any] = field(factory=dict)


def problem(value: object, cls: type) -> str:
    with pytest.raises(RecordError) as caught:
        structure(value, cls)
    return caught.value.message


@pytest.mark.parametrize(
    ("row", "message"),
    [
        ({}, "field 'name' is missing"),
        ({"name": 3}, "field 'name' must be a string, got 3"),
        ({"name": None}, "field 'name' must be a string, got None"),
        ({"name": "a", "points": [{"y": 1}]}, "field 'points[0].x' is missing"),
        (
            {"name": "a", "points": [{"x": 1}, {"x": True}]},
            "field 'points[1].x' must be an integer, got True",
        ),
        (
            {"name": "a", "points": [{"x": 1.0}]},
            "field 'points[0].x' must be an integer, got 1.0",
        ),
        (
            {"name": "a", "points": [{"x": 1, "y": "2"}]},
            "field 'points[0].y' must be a number, got '2'",
        ),
        (
            {"name": "a", "points": [{"x": 1, "y": False}]},
            "field 'points[0].y' must be a number, got False",
        ),
        (
            {"name": "a", "points": [{"x": 1, "y": float("nan")}]},
            "field 'points[0].y' must be a finite number, got nan",
        ),
        (
            {"name": "a", "points": [{"x": 1, "z": 1}]},
            "field 'points[0].z' is unknown; did you mean 'x'?",
        ),
        ({"name": "a", "points": {"x": 1}}, "field 'points' must be a list, got {'x': 1}"),
        ({"name": "a", "points": "abc"}, "field 'points' must be a list, got 'abc'"),
        ({"name": "a", "labels": "abc"}, "field 'labels' must be a list, got 'abc'"),
        ({"name": "a", "labels": ["b", 1]}, "field 'labels[1]' must be a string, got 1"),
        ({"name": "a", "named": []}, "field 'named' must be an object, got []"),
        ({"name": "a", "named": {"p": {}}}, "field 'named.p.x' is missing"),
        ({"name": "a", "named": {1: {"x": 1}}}, "field 'named' must have text keys, got the key 1"),
        (
            {"name": "a", "colour": "green"},
            "field 'colour' must be one of 'red', 'blue', got 'green'",
        ),
        ({"name": "a", "level": True}, "field 'level' must be one of 1, got True"),
        ({"name": "a", "origin": 3}, "field 'origin' must be an object, got 3"),
        ({"name": "a", "origin": {"x": "1"}}, "field 'origin.x' must be an integer, got '1'"),
        ({"name": "a", "note": 3}, "field 'note' must be a string or a list or null, got 3"),
        ({"name": "a", "size": "1"}, "field 'size' must be an integer or a number, got '1'"),
        ({"name": "a", "visible": 1}, "field 'visible' must be true or false, got 1"),
        ({"name": "a", "path": 1}, "field 'path' must be a path, got 1"),
        ({"nam": "a", "name": "a"}, "field 'nam' is unknown; did you mean 'name'?"),
        ([], "must be an object, got []"),
        (None, "must be an object, got None"),
    ],
)
def test_the_error_names_the_field_by_its_path(row, message):
    # The suggestion for a one-letter key is not the point of that case.
    assert problem(row, Drawing).replace("; did you mean 'x'?", "") == message.replace(
        "; did you mean 'x'?", ""
    )


def test_a_missing_key_is_told_with_the_required_ones():
    with pytest.raises(RecordError) as caught:
        structure({"size": 2}, Open, source="rows.jsonl", line=17)
    assert str(caught.value) == "rows.jsonl line 17: field 'name' is missing\n  required: name"


def test_numbers_stay_what_they_are():
    point = structure({"x": 1, "y": 2}, Point)
    assert (type(point.y), point.y) == (int, 2)
    assert structure({"x": 1, "y": 10**400}, Point).y == 10**400


def test_structured_values_pass():
    drawing = structure(
        {
            "name": "a",
            "points": [{"x": 1}, Point(2)],
            "labels": ("b",),
            "named": {"p": {"x": 3}},
            "colour": "blue",
            "level": 1,
            "origin": None,
            "note": [1],
            "size": 1.5,
            "path": "b/c",
            "free": {"any": [1]},
        },
        Drawing,
    )
    assert drawing == Drawing(
        "a",
        (Point(1), Point(2)),
        ["b"],
        {"p": Point(3)},
        Colour.BLUE,
        Level.LOW,
        None,
        [1],
        1.5,
        True,
        Path("b/c"),
        {"any": [1]},
    )
    assert type(drawing.colour) is Colour
    assert type(drawing.level) is Level


def test_unknown_keys_are_kept_under_their_own_names():
    row = {"name": "a", "more": [1], "extra": {"extra": 2}}
    made = structure(row, Open)
    assert made == Open("a", extra={"more": [1], "extra": {"extra": 2}})
    assert unstructure(made) == row


def test_a_lone_key_extra_is_an_unknown_key_too():
    row = {"name": "a", "extra": 3}
    assert structure(row, Open).extra == {"extra": 3}
    assert unstructure(structure(row, Open)) == row


def test_extra_must_not_shadow_a_field():
    with pytest.raises(RecordError) as caught:
        unstructure(Open("a", extra={"size": 2}))
    assert caught.value.message == "field 'extra' must not hold the known key 'size' of Open"


def test_keys_of_extra_must_be_text():
    assert problem({"name": "a", 3: 4}, Open) == "must have text keys, got the key 3"


def test_defaults_are_left_out_and_equal_values_of_another_type_are_not():
    assert unstructure(Open("a")) == {"name": "a"}
    assert unstructure(Open("a", size=True)) == {"name": "a", "size": True}


def nested(depth: int) -> list[Any]:
    value: list[Any] = []
    for _ in range(depth):
        value = [value]
    return value


def test_deep_nesting_is_an_error_and_never_a_recursion_error():
    deep = nested(100_000)
    assert structure({"name": "a", "free": deep}, Drawing).free is deep
    assert problem({"name": deep}, Drawing).startswith("field 'name' must be a string, got [[[")
    with pytest.raises(RecordError, match="must be nested less deep"):
        unstructure(Drawing("a", free=deep))


def test_shown_values_are_short():
    for value in ("x" * 10**6, list(range(10**5)), {"k": "v" * 10**5}, 10**3000, nested(5000)):
        assert len(show(value)) <= 100


def test_paths():
    assert join_path("", "a") == "a"
    assert join_path("a", "b") == "a.b"
    assert join_path("a", 0) == "a[0]"
    assert join_path("a[0]", "b") == "a[0].b"
    assert join_path("a", "[0].b") == "a[0].b"


values = st.recursive(
    st.none() | st.booleans() | st.integers() | st.floats() | st.text() | st.binary(max_size=3),
    lambda inner: st.lists(inner, max_size=3) | st.dictionaries(st.text(), inner, max_size=3),
    max_leaves=8,
)


@settings(deadline=None, max_examples=60)
@given(values, st.sampled_from([a.name for a in fields(Drawing) if a.name != "free"]))
def test_any_value_is_taken_or_refused_with_a_record_error(value, name):
    row = {"name": "a", name: value}
    try:
        made = structure(row, Drawing)
    except RecordError:
        assert problem(row, Drawing).startswith(f"field '{name}")
    else:
        assert structure(unstructure(made), Drawing) == made
