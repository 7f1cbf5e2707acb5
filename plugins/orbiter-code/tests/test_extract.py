import pytest
from hypothesis import given
from hypothesis import strategies as st
from orbiter_code.extract import program_in

CODE = "def f(x):\n    return x\n"


@pytest.mark.parametrize(
    "answer",
    [
        CODE,
        f"```python\n{CODE}```",
        f"Here it is:\n```python\n{CODE}```\nDone.",
        f"```py\n{CODE}```",
        f"```Python3 title=x\n{CODE}```",
        f"```\n{CODE}```",
        f"  ```python\n{CODE}  ```",
        f"```python\n{CODE}",
        f"First\n```python\nwrong\n```\nbetter\n```python\n{CODE}```",
        f"```python\n{CODE}```\nRun it:\n```bash\npython x.py\n```",
        f"```python\n{CODE}```\nIt prints\n```\n42\n```",
        f"```\nwrong\n```\n```\n{CODE}```",
    ],
)
def test_the_program_is_found(answer):
    assert program_in(answer) == CODE


def test_only_a_block_of_another_language_is_no_program():
    answer = "```bash\nls\n```"
    assert program_in(answer) == answer


def test_fences_inside_a_line_are_no_fences():
    code = 'def f():\n    return "```"\n'
    assert program_in(f"```python\n{code}```") == code


def test_the_body_of_a_function_keeps_its_indentation():
    assert program_in("    return x\n") == "    return x\n"


@given(st.text())
def test_text_without_fences_is_the_program(text):
    if "```" not in text:
        assert program_in(text) == text


@given(st.text(alphabet="`python\n x", max_size=200))
def test_any_text_has_a_program(text):
    assert program_in(text) in text
