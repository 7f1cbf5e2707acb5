import pytest
from orbiter_liveweb.answers import is_same, numbered, read_answers


@pytest.mark.parametrize(
    ("given", "truth", "same"),
    [
        ("12.50", "12.5", True), ("1,250", "1250", True), ("12 mm", "12", True), (" 12 MM. ", "12", True), ("-3", "-3", True),
        ("12 kg", "12", False), ("12 or 13", "12", False), ("1,25", "125", False), ("12.501", "12.5", False), ("", "12", False),
        ("oak Gate", "Oak gate", True), ("Oakgate", "Oak gate", False), ("nan", "12", False), ("1e1", "10", False), ("٣", "3", False),
    ],
)  # fmt: skip
def test_when_an_answer_is_right(given, truth, same):
    assert is_same(given, truth, unit="mm") is same


def test_answers_are_read_as_they_are_written():
    for answers in (["a"], ["a", "2. b", "c"]):
        assert read_answers(numbered(answers), len(answers)) == answers
