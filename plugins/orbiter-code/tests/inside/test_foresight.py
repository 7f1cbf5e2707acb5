import pytest
from orbiter_code.inside.foresight import first_calls

ONE = ("f", (1,), {})


def calls(tests, kind="asserts", order=None, entry_point="f"):
    order = range(len(tests)) if order is None else order
    return first_calls({"tests": tests, "kind": kind, "order": order, "entry_point": entry_point})


@pytest.mark.parametrize(
    ("text", "found"),
    [
        ("assert f(1) == 2", [ONE]),
        ("assert f(1)", [ONE]),
        ("assert f(1) == g(2), f(3)", [ONE, ("g", (2,), {})]),
        ("assert 2 == f(1)", [ONE]),
        ("assert not f(1)", [ONE]),
        ("assert abs(f(1) + 1) == len([2])", [ONE]),
        ("assert f(1)\nassert f(1)\nx = f(2)", [ONE, ONE]),
        ("assert f(sum(range(2)) * 3 - 2) == 2", [ONE]),
        ("assert f(*[1])", [ONE]),
        ("assert f(**{'a': sorted('ba')})", [("f", (), {"a": ["a", "b"]})]),
        (
            "assert f([1, {'a': (2, None)}], b=-1.5) > 0",
            [("f", ([1, {"a": (2, None)}],), {"b": -1.5})],
        ),
        ("assert f(x) == 2", []),
        ("assert f(g(1)) == 2", []),
        ("assert f(id(1)) == 2", []),
        ("assert f(1 / 0) == 2", []),
        ("assert f('a'.join('b')) == 2", []),
        ("assert f(1) == x", []),
        ("assert f(1) == 2 == f(3)", []),
        ("assert f(1) and f(2)", []),
        ("assert f(1) if f(2) else f(3)", []),
        ("assert all(f(1) for _ in 'ab')", []),
        ("assert map(lambda: f(1), 'ab')", []),
        ("assert map(f, 'ab')", []),
        ("assert a.f(1) == 2", []),
        ("x = f(1)\nassert x == 2", []),
        ("f(1)", []),
        ("", []),
    ],
)
def test_an_assert(text, found):
    assert calls([text]) == found


def test_asserts_come_in_order_up_to_the_first_that_cannot_be_told():
    tests = ["assert f(0)", "assert f(1)", "assert f(x)", "assert f(3)"]
    assert [args for _, args, _ in calls(tests, order=[1, 0, 2, 3])] == [(1,), (0,)]
    assert calls(tests, order=[2, 0, 1, 3]) == []
    assert calls(["assert f(1) == 2\nx = f(2)", "assert f(3)"]) == [ONE]


def test_an_entry_point_with_the_name_of_a_builtin():
    assert calls(["assert sum(1, 2) == 3", "assert f(1)"], entry_point="sum") == []


def test_a_check_gives_the_asserts_that_it_begins_with():
    text = (
        "METADATA = {}\n\ndef check(candidate):\n    assert candidate(1) == 2\n    assert candidate(2) == 3\n"
        "    for x in range(3):\n        assert candidate(x)\n    assert candidate(9) == 10\n"
    )
    assert calls([text], kind="check", entry_point="g") == [("g", (1,), {}), ("g", (2,), {})]


@pytest.mark.parametrize(
    "text",
    [
        "def check(candidate):\n    if candidate(1): pass\n",
        "def check(candidate):\n    assert other(1) == 2\n",
        "def check(candidate):\n    import math\n    assert candidate(1) == 2\n",
        "def check(a, b):\n    assert a(1) == 2\n",
        "def control(candidate):\n    assert candidate(1) == 2\n",
    ],
)
def test_a_check_that_begins_otherwise(text):
    assert calls([text], kind="check") == []


def test_a_table_gives_all():
    tests = [{"args": [1], "output": 2}, {"args": [], "kwargs": {"x": 1}, "output": 2}]
    assert calls(tests, kind="table", order=[1, 0]) == [("f", (), {"x": 1}), ONE]
