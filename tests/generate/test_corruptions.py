"""Wrong answers made by program."""

import json
from string import ascii_letters, digits

import pytest
from hypothesis import given
from hypothesis import strategies as st

from orbiter.generate.corruptions import NegativeKind, Right, _names, corruption
from orbiter.tasks import item_stream
from orbiter.verify.refusals import is_refusal

WORKED = "She sold 48 / 2 = 24 clips in May.\nIn all she sold 48 + 24 = 72 clips.\n#### 72"
OTHERS = ("Berlin", "He met Ada Lovelace there.")


def made(kind, answer, *, count=40, prompt="what?", others=OTHERS):
    """Return every text that ``count`` streams make, by how it was made."""
    right = Right(prompt=prompt, answer=answer, others=others)
    found = {}
    for n in range(count):
        one = corruption(NegativeKind(kind), right, item_stream("test", n))
        if one is not None:
            found.setdefault(one[1], set()).add(one[0])
    return found


@pytest.mark.parametrize(
    ("answer", "how", "sample"),
    [
        ("It was signed in 1957.", "another date", "It was signed in 1959."),
        ("Due on 2024-03-05.", "another date", "Due on 2024-03-07."),
        ("He came in May.", "another date", "He came in October."),
        ("It is 3 km away.", "another unit", "It is 3 miles away."),
        ("Water boils at 100 °C.", "another unit", "Water boils at 100 °F."),
        ("It was found by Marie Curie.", "another name", "It was found by Ada Lovelace."),
        ("Paris", "another name", "Berlin"),
        ("The earth is round.", "negated claim", "The earth is not round."),
        ("It is not true that pigs fly.", "negated claim", "It is true that pigs fly."),
        ("You can't do that.", "negated claim", "You can do that."),
        ("Won’t do: it isn’t in order.", "negated claim", "Will do: it isn’t in order."),
        ("Won’t do: it isn’t in order.", "negated claim", "Won’t do: it is in order."),
        ("I cannot tell.", "negated claim", "I can tell."),
        ("Es ist José Ortega.", "another name", "Es ist Ada Lovelace."),
        ("Роман написал Лев Толстой.", "another name", "Роман написал Ada Lovelace."),
        ("True", "opposite", "False"),
        (WORKED, "another number", WORKED[:-2] + "27"),
    ],
)
def test_a_wrong_fact_is_another_one_of_its_sort(answer, how, sample):
    assert sample in made("wrong", answer, count=200)[how]


def test_of_several_numbers_the_last_is_wrong():
    for text in made("wrong", WORKED)["another number"]:
        assert text.startswith(WORKED[:-2])


def test_the_numbers_of_a_list_are_no_facts():
    listed = "1. It weighs 48 kg.\n2. It is grey."
    for text in made("wrong", listed)["another number"]:
        assert text.startswith("1. It weighs ")
        assert text.endswith(" kg.\n2. It is grey.")
    assert made("wrong", "1. red\n2. blue").keys() == {"another character"}
    assert "another number" in made("wrong", "4. That is all.")


def test_no_name_is_put_amid_a_word_nor_taken_from_the_beginning_of_a_sentence():
    others = ("This is plain.", "Es heißt Ångström.", "We know DeepMind.")
    for how, texts in made("wrong", "Es ist París.", others=others).items():
        assert how != "another name" or texts == {"Es ist Ångström."}
    assert "another name" not in made("wrong", "By DeepMind.", others=others)


def test_a_long_text_is_gone_through_once():
    class Counted(str):
        count = 0

        def strip(self, chars=None):
            Counted.count += 1
            return super().strip(chars)

    assert _names(Counted("Paris. Berlin. " * 9)) == []
    assert Counted.count == 1


def test_a_number_keeps_its_length():
    assert {len(text) for text in made("wrong", "00112345")["another number"]} == {8}


def test_what_states_nothing_gets_another_character():
    assert made("wrong", "abc").keys() == {"another character"}


@pytest.mark.parametrize(
    ("answer", "changed"),
    [
        ('{"city": "Paris"}', {"Berlin", "Ada Lovelace"}),
        ('{"is":{"is":true}}', {False}),
        ("[\n  48,\n  48\n]", None),
        ('{"born": 1085}', None),
        (f"[{'12' * 200}]", None),
        ('{"é": ["true"]}', {"false"}),
    ],
)
def test_in_json_a_value_is_wrong_and_everything_else_as_it_was(answer, changed):
    def flat(value):
        if isinstance(value, dict | list):
            items = value.items() if isinstance(value, dict) else enumerate(value)
            return [((key, *path), leaf) for key, inner in items for path, leaf in flat(inner)]
        return [((), value)]

    right = flat(json.loads(answer))
    found = {text for texts in made("wrong", answer).values() for text in texts}
    assert found
    leaves = set()
    for text in found:
        wrong = flat(json.loads(text))
        assert [path for path, _ in wrong] == [path for path, _ in right]
        ((old, new),) = [(o, n) for (_, o), (_, n) in zip(right, wrong) if o != n]
        assert type(old) is type(new)
        assert text.replace(json.dumps(new), json.dumps(old)) == answer
        leaves.add(new)
    assert changed is None or leaves == changed


def test_json_without_a_value_states_nothing():
    assert made("wrong", '{"a": [null, {}, NaN, -1e999]}') == {}


def test_broken_json_is_no_json_or_has_other_keys():
    found = made("format", '{"name": "Ada", "born": 1815}')
    assert found.keys() == {
        "JSON that is not closed", "JSON with single quotes", "JSON with other keys", "JSON inside prose",
    }  # fmt: skip
    (renamed,) = found.pop("JSON with other keys")
    assert json.loads(renamed) == {"name_": "Ada", "born_": 1815}
    for texts in found.values():
        for text in texts:
            with pytest.raises(json.JSONDecodeError):
                json.loads(text)


@pytest.mark.parametrize(
    ("answer", "left"),
    [
        ("2 + 2 = 4\n#### 4", "2 + 2 = 4\n4"),
        (r"So \boxed{4}.", "So 4."),
        ("<answer>4</answer>", "<answer>4"),
        ("```python\nx = 1\n```", "x = 1\n"),
        ("1. one\n2. two", "one\ntwo"),
    ],
)
def test_the_marks_that_a_task_asks_for_are_left_out(answer, left):
    assert made("format", answer) == {"without the marks of the format": {left}}


def test_refusals_are_refusals_in_many_wordings():
    (texts,) = made("refusal", "4", count=300).values()
    assert len(texts) > 100
    assert all(map(is_refusal, texts))


def test_off_topic_is_what_answers_another_task():
    assert made("off_topic", "berlin")["another task's answer"] == {OTHERS[1]}
    assert made("off_topic", "Paris", others=("paris",)) == {}


def test_padding_repeats_the_answer_and_terseness_leaves_the_work_out():
    for text in made("verbose", "Paris", prompt="Where?")["padded with repetition"]:
        assert text.count("Paris") >= 2
        assert "Where?" in text
        assert len(text) >= 3 * len("Paris")
    assert made("terse", WORKED)["the last line alone"] == {"#### 72"}
    assert made("terse", "4") == {}


words = st.text(ascii_letters + digits + " .,#{}\"'\n°é", max_size=60)


@given(kind=st.sampled_from(NegativeKind), answer=words, avoid=st.lists(words, max_size=3), seed=st.integers(0, 99))  # fmt: skip
def test_a_corruption_is_never_the_right_answer_nor_empty_and_always_the_same(
    kind, answer, avoid, seed
):
    right = Right(prompt="what?", answer=answer, others=OTHERS)
    found = corruption(kind, right, item_stream(seed), avoid=avoid)
    assert found == corruption(kind, right, item_stream(seed), avoid=avoid)
    if found is not None:
        assert found[0].strip() not in {"", answer.strip(), *avoid}
