from collections import Counter

import pytest

from orbiter.errors import ConfigError
from orbiter.generate.constitution import Constitution


@pytest.fixture
def read(tmp_path):
    def read(text):
        path = tmp_path / "c.yaml"
        path.write_text(text)
        return Constitution.read(path)

    return read


def test_principles_are_drawn_by_weight_and_the_same_again(read):
    made = read("principles:\n  a: {text: '  be\n    right ', weight: 3}\n  b: be brief\n")
    assert [(p.name, p.text, p.weight) for p in made.principles] == [
        ("a", "be right", 3),
        ("b", "be brief", 1.0),
    ]
    drawn = Counter(made.draw(7, n).name for n in range(4_000))
    assert 0.72 < drawn["a"] / 4_000 < 0.78
    assert [made.draw(7, n) for n in range(20)] == [made.draw(7, n) for n in range(20)]


def test_the_default_speaks_of_four_things():
    names = [principle.name for principle in Constitution.default().principles]
    assert names == ["helpfulness", "honesty", "harmlessness", "calibrated_refusal"]


@pytest.mark.parametrize(
    ("text", "message"),
    [
        ("- a\n", "must have the section principles and no other, got ['a']"),
        ("principles: {a: x}\nrules: 3\n", "must have the section principles and no other"),
        ("principles: {}\n", "must be names with a text each, got {}"),
        ("principles: [be right]\n", "must be names with a text each, got ['be right']"),
        ("principles: {1: x}\n", "must be a letter, then letters"),
        ("principles: {a: {text: x, wieght: 2}}\n", "principle 'a' in"),
        ("principles: {a: {weight: 2}}\n", "must be a text, or text and weight"),
        ("principles: {a: ' '}\n", "text of principle 'a'"),
        ("principles: {a: {text: x, weight: 0}}\n", "weight of principle 'a'"),
        ("principles: {a: {text: x, weight: true}}\n", "weight of principle 'a'"),
        ("principles: {a: !!python/object/apply:os.system [true]}\n", "cannot be read: ConstructorError"),
        ("principles: {a: \x00}\n", "cannot be read: ReaderError"),
    ],
)  # fmt: skip
def test_what_is_no_constitution_is_refused(read, text, message):
    with pytest.raises(ConfigError) as error:
        read(text)
    assert message in str(error.value)
    assert "c.yaml" in str(error.value)


def test_a_file_that_is_not_there(tmp_path):
    with pytest.raises(ConfigError, match="cannot be read: No such file"):
        Constitution.read(tmp_path / "none.yaml")
