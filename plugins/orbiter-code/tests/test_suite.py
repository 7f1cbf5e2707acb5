import math

import pytest
from orbiter_code.suite import suite_of

from orbiter.errors import RecordError
from orbiter.records import Message, Task


def suite(answer, **metadata):
    return suite_of(Task("e", "e:1", (Message("user", "?"),), answer=answer, metadata=metadata))


def test_humaneval_as_it_stands():
    found = suite(
        "\n\ndef check(candidate):\n    assert candidate(1) == 2\n",
        prompt="def inc(x):\n",
        entry_point="inc",
    )
    assert (found.kind, found.entry_point, found.prefix) == ("check", "inc", "def inc(x):\n")
    assert (len(found.tests), found.visible) == (1, 0)


def test_mbpp_as_it_stands():
    found = suite(["assert inc(1) == 2", "assert inc(2) == 3"], test_setup_code="import math")
    assert (found.kind, found.setup, len(found.tests)) == ("asserts", "import math", 2)


def test_visible_tests_come_first():
    found = suite({"tests": ["assert f(2) == 3"], "visible": ["assert f(1) == 2"]})
    assert found.tests == ("assert f(1) == 2", "assert f(2) == 3")
    assert found.visible == 1


def test_tables_and_scripts():
    table = [{"args": [1], "output": 2}, {"args": [], "kwargs": {"x": 1}, "output": [2]}]
    assert suite({"tests": table, "entry_point": "f", "tolerance": 1e-6}).kind == "table"
    assert suite({"tests": table, "entry_point": "Solution.f"}).entry_point == "Solution.f"
    assert suite([{"stdin": "1", "stdout": "2"}]).kind == "script"


def test_settings_of_the_answer_come_before_those_of_the_metadata():
    assert suite({"tests": ["assert f() == 1"], "prefix": "a"}, prompt="b").prefix == "a"


@pytest.mark.parametrize(
    ("answer", "metadata", "problem"),
    [
        (None, {}, "field 'answer' must hold tests, got none"),
        ([], {}, "field 'answer' must hold tests, got none"),
        ({}, {}, "field 'answer' must hold tests, got none"),
        ("", {}, "field 'answer' must hold tests, got none"),
        (42, {}, "field 'tests' must be a text or a list, got int"),
        ({"tests": {"a": 1}}, {}, "field 'tests' must be a text or a list, got dict"),
        ([1], {}, "field 'tests' must all be texts, or"),
        (["assert f()", {"stdin": "", "stdout": ""}], {}, "field 'tests' must all be texts, or"),
        ([{"stdin": "1"}], {}, "field 'tests' must all be texts, or"),
        ([{"stdin": 1, "stdout": "2"}], {}, "field 'tests' must all be texts, or"),
        ([{"args": 1, "output": 2}], {"entry_point": "f"}, "field 'tests' must all be texts, or"),
        ([{"args": [1], "output": 2}], {}, "field 'entry_point' must name a function, got ''"),
        ("def check(candidate): pass", {}, "field 'entry_point' must name a function, got ''"),
        (["assert f()"], {"entry_point": "f()"}, "field 'entry_point' must name a function"),
        (["assert f()"], {"entry_point": "a.b.c"}, "field 'entry_point' must name a function"),
        (["assert f()"], {"prompt": 1}, "field 'prefix' must be a text, got 1"),
        (
            {"tests": ["assert f()"], "tolerance": -1},
            {},
            "field 'tolerance' must be a number from 0",
        ),
        (
            {"tests": ["assert f()"], "tolerance": math.nan},
            {},
            "field 'tolerance' must be a number",
        ),
        ({"tests": ["assert f()"], "tolerance": True}, {}, "field 'tolerance' must be a number"),
    ],
)
def test_a_malformed_task_is_named(answer, metadata, problem):
    with pytest.raises(RecordError) as caught:
        suite(answer, **metadata)
    assert str(caught.value).startswith(problem)
