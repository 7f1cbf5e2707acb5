from collections import Counter

import pytest

from orbiter.errors import ConfigError
from orbiter.generate.constitution import Constitution, Principle


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
        ("principles: {1: x}\n", "line 1: is not valid YAML: key 1 must be text"),
        ("principles: {1a: x}\n", "must be a letter, then letters"),
        ("principles:\n  a: x\n  b: y\n  a: z\n", "line 4: is not valid YAML: key 'a' stands here twice"),
        ("principles: {a: 2024-99-99, b: {text: 3}}\n", "text of principle 'b'"),
        ("principles: {a: {text: x, weight: 1.0e+10}}\n", "weight of principle 'a' must be a number in (0, 1e9]"),
        (f"principles: {{a: {{text: x, weight: {'9' * 5000}}}}}\n", "line 1: is not valid YAML: '9999"),
        ('principles: {a: "\\ud800"}\n', "text must be whole characters"),
        ("principles: &p {a: *p}\n", "a value must not contain itself"),
        ("principles: {a: {text: x, wieght: 2}}\n", "principle 'a' must be a text, or text and weight"),
        ("principles: {a: {weight: 2}}\n", "must be a text, or text and weight"),
        ("principles: {a: ' '}\n", "text of principle 'a'"),
        ("principles: {a: {text: x, weight: 0}}\n", "weight of principle 'a'"),
        ("principles: {a: {text: x, weight: true}}\n", "weight of principle 'a'"),
        ("principles: {a: !!python/object/apply:os.system [true]}\n", "the tag 'tag:yaml.org,2002:python"),
        ("principles: {a: \x00}\n", "the character '\\x00' is not allowed"),
    ],
)  # fmt: skip
def test_what_is_no_constitution_is_refused(read, text, message):
    with pytest.raises(ConfigError) as error:
        read(text)
    assert message in str(error.value)
    assert "c.yaml" in str(error.value)


def test_one_made_in_python_is_checked_as_one_that_is_read():
    with pytest.raises(ConfigError, match="must have a principle, got none"):
        Constitution(())
    with pytest.raises(ConfigError, match="principles must have names of their own"):
        Constitution((Principle("a", "x"), Principle("a", "y")))
    with pytest.raises(ConfigError, match="weight of principle 'a' must be a number"):
        Principle("a", "x", 10**400)


def test_a_file_that_is_not_there(tmp_path):
    with pytest.raises(ConfigError, match="cannot be read: No such file"):
        Constitution.read(tmp_path / "none.yaml")
