import time

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
        f"````python\n{CODE}````",
        f"~~~python\n{CODE}~~~~",
        f"```python\n{CODE} ```",
        f"Run ```f(1)``` after\n```python\n{CODE}```",
        f"1. This:\n\n   ```python\n   {CODE.replace(chr(10), chr(10) + '   ')}```\n",
        f"Here:\n```python\n{CODE}```\n".replace("\n", "\r\n"),
        f"\ufeff{CODE}",
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


@pytest.mark.parametrize(
    "inner", ["    ```\n    f(1)\n    ```\n", "    ```python\n    f(1)\n    ```\n"]
)
def test_fences_deep_inside_a_block_are_part_of_it(inner):
    code = f'def f():\n    """Do.\n\n{inner}    """\n    return 1\n'
    assert program_in(f"```python\n{code}```\nDone.") == code


@pytest.mark.parametrize("piece", ["a", " ", " a", "`", "~", "\n", "```\n", "```a ", "\n    ```"])
def test_time_grows_as_the_answer_does(piece):
    """A whole second on an answer that took minutes: each line used to be tried in every division."""
    answer = "```" + piece * (200_000 // len(piece))
    begun = time.process_time()
    program_in(answer)
    assert time.process_time() - begun < 1


def test_the_body_of_a_function_keeps_its_indentation():
    assert program_in("    return x\n") == "    return x\n"


@given(st.text())
def test_text_without_fences_is_the_program(text):
    if "```" not in text and "~~~" not in text:
        assert program_in(text) == text.removeprefix("\ufeff").replace("\r\n", "\n")


@given(st.text(alphabet="`python\n x", max_size=200))
def test_any_text_has_a_program(text):
    lines = [line.strip() for line in text.split("\n")]
    assert all(line.strip() in lines for line in program_in(text).split("\n") if line.strip())
