import enum
import json
import math

import pytest
from hypothesis import given
from hypothesis import strategies as st
from orbiter_code.inside.values import (
    MAX_DEPTH,
    MAX_NODES,
    ValueRefusedError,
    dump,
    load,
    pack,
    unpack,
)

HASHABLE = st.recursive(
    st.none()
    | st.booleans()
    | st.integers()
    | st.floats(allow_nan=False)
    | st.text()
    | st.binary(),
    lambda inner: st.lists(inner, max_size=3).map(tuple) | st.frozensets(inner, max_size=3),
    max_leaves=5,
)
VALUES = st.recursive(
    HASHABLE | st.complex_numbers(allow_nan=False),
    lambda inner: (
        st.lists(inner, max_size=4)
        | st.lists(inner, max_size=4).map(tuple)
        | st.dictionaries(HASHABLE, inner, max_size=4)
        | st.sets(HASHABLE, max_size=4)
    ),
    max_leaves=20,
)


def kinds(items):
    return sorted(type(item).__name__ for item in items)


def exact(a, b):
    """Return whether two values are equal and made of exactly the same types."""
    if type(a) is not type(b):
        return False
    if isinstance(a, list | tuple):
        return len(a) == len(b) and all(map(exact, a, b))
    if isinstance(a, dict):
        return exact(list(a), list(b)) and exact(list(a.values()), list(b.values()))
    if isinstance(a, set | frozenset):
        return a == b and kinds(a) == kinds(b)
    if isinstance(a, float):
        return a == b and math.copysign(1, a) == math.copysign(1, b)
    return a == b


@given(VALUES)
def test_a_plain_value_comes_back_as_it_went(value):
    assert exact(unpack(load(dump([pack(value)]))[0]), value)


def test_not_a_number_comes_back():
    (value,) = load(dump([pack(float("nan"))]))
    assert math.isnan(unpack(value))
    assert unpack(load(dump([pack(-math.inf)]))[0]) == -math.inf


class Text(str):
    def __eq__(self, other):
        return True

    __hash__ = str.__hash__


class Colour(str, enum.Enum):  # noqa: UP042  # a StrEnum would have a str() of its own
    RED = "red"


class Half(float):
    def __float__(self):
        return 1.0


class Number(int):
    def __int__(self):
        return 99

    def __eq__(self, other):
        return True

    __hash__ = int.__hash__


class List(list):
    def __len__(self):
        return 99

    def __iter__(self):
        return iter([1, 2, 3])


class Dict(dict):
    def items(self):
        return [("a", 1)]


@pytest.mark.parametrize(
    ("value", "plain"),
    [
        (Text("a"), "a"),
        (Number(3), 3),
        (Colour.RED, "red"),
        (Half(0.5), 0.5),
        (List([7]), [7]),
        (Dict(b=2), {"b": 2}),
        ([Text("a")], ["a"]),
        ({Text("k"): Number(1)}, {"k": 1}),
        (bytearray(b"a"), b"a"),
        (True, True),
    ],
)
def test_what_a_subclass_claims_does_not_cross(value, plain):
    assert exact(unpack(load(dump([pack(value)]))[0]), plain)


@pytest.mark.parametrize("value", [object(), len, int, range(3), iter([]), [object()], {1: print}])
def test_what_is_not_plain_is_refused(value):
    with pytest.raises(ValueRefusedError, match="is not a plain value"):
        pack(value)


def nested(depth):
    value = 1
    for _ in range(depth):
        value = [value]
    return value


def test_depth_is_bounded_on_both_sides():
    assert unpack(pack(nested(MAX_DEPTH))) == nested(MAX_DEPTH)
    with pytest.raises(ValueRefusedError, match="too deeply nested"):
        pack(nested(MAX_DEPTH + 2))
    with pytest.raises(ValueRefusedError, match="too deeply nested"):
        unpack(nested(MAX_DEPTH + 2))
    endless = []
    endless.append(endless)
    with pytest.raises(ValueRefusedError, match="too deeply nested"):
        pack(endless)


def test_an_int_of_any_length_crosses_and_no_long_decimal_is_read():
    value = [3**20_000, {-(7**9000): (10**5000, 10**4000)}]
    assert unpack(load(dump([pack(value)]))[0]) == value
    with pytest.raises(ValueRefusedError, match="malformed"):
        load(b"[" + b"9" * 5000 + b"]")


def test_numbers_of_numpy_go_as_plain_ones():
    numpy = pytest.importorskip("numpy")
    row = numpy.array([1, 2])
    values = [row[0], row.sum() == 3, row.mean(), numpy.float32(0.5), row.astype(complex)[0]]
    packed = unpack(load(dump([pack(values)]))[0])
    assert packed == [1, True, 1.5, 0.5, 1 + 0j]
    assert list(map(type, packed)) == [int, bool, float, float, complex]
    with pytest.raises(ValueRefusedError, match="ndarray is not a plain value"):
        pack(row)


def test_parts_are_counted_before_they_are_read():
    assert len(load(b"[" + b"1," * (MAX_NODES - 2) + b"1]")) == MAX_NODES - 1
    with pytest.raises(ValueRefusedError, match="too many parts"):
        load(b"[" + b"{}," * MAX_NODES + b"1]")


@pytest.mark.parametrize(
    "text",
    [b"", b"[", b"\xff", b"[1,]", b"{", b"[" * 100_000, b"nope", b'["\\ud8"]'],
)
def test_what_is_no_json_is_refused(text):
    with pytest.raises(ValueRefusedError):
        load(text)


@pytest.mark.parametrize(
    "data",
    [
        {},
        {"x": 1},
        {"t": 1},
        {"t": {"t": []}},
        {"t": [], "s": []},
        {"s": [[1]]},
        {"f": [{"d": []}]},
        {"d": [1]},
        {"d": [[1]]},
        {"d": [[1, 2, 3]]},
        {"d": [[[1], 2]]},
        {"b": 1},
        {"b": "zz"},
        {"c": [1.0]},
        {"c": ["a", "b"]},
        {"c": [1, 2]},
    ],
)
def test_what_stands_for_no_value_is_refused(data):
    with pytest.raises(ValueRefusedError):
        unpack(data)


JSON = st.recursive(
    st.none() | st.booleans() | st.integers() | st.floats() | st.text(),
    lambda inner: (
        st.lists(inner, max_size=3) | st.dictionaries(st.sampled_from("tsfdbcx"), inner, max_size=2)
    ),
    max_leaves=20,
)
PLAIN = {type(None), bool, int, float, str, list, tuple, set, frozenset, dict, bytes, complex}


@given(JSON)
def test_any_message_gives_a_plain_value_or_is_refused(data):
    try:
        value = unpack(load(json.dumps(data).encode()))
    except ValueRefusedError:
        return
    assert_plain(value)


def assert_plain(value):
    assert type(value) in PLAIN
    if isinstance(value, list | tuple | set | frozenset):
        for item in value:
            assert_plain(item)
    if isinstance(value, dict):
        for item in value.items():
            assert_plain(item)
