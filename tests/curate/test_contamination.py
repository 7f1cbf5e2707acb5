import pytest
from hypothesis import given
from hypothesis import strategies as st

from orbiter.curate import Contamination, HeldOutIndex, decontaminate
from orbiter.errors import ConfigError
from orbiter.records import Message, Task, Trajectory

LONG = "a train leaves the old station at nine and meets another one at half past ten"


def task(prompt, number=0, answer=None, *before):
    return Task("sums", f"sums:{number}", (*before, Message("user", prompt)), answer=answer)


def row(prompt, answer="42", *before):
    turns = (*before, Message("user", prompt), Message("assistant", answer))
    return Trajectory(turns, "train", "train:0", None)


def evidence(rows, held_out, **options):
    return [c.ngram for c in decontaminate(rows, held_out, **options).contaminated]


def test_shared_words_in_a_row_are_evidence():
    rows = [row("what is 1+1"), row("Yesterday, " + LONG + ". When?")]
    result = decontaminate(rows, [task("first other text"), task(LONG, 1)])
    assert result.kept == (rows[0],)
    assert result.contaminated == (
        Contamination(
            1, "sums", "sums:1", "a train leaves the old station at nine and meets another one at"
        ),
    )


@pytest.mark.parametrize("count", [12, 13])
def test_thirteen_words_are_needed(count):
    words = LONG.split()[:count]
    found = evidence([row("so " + " ".join(words) + " then")], [task(LONG)])
    assert bool(found) == (count == 13)


def test_case_space_and_punctuation_do_not_hide_a_repeat():
    disguised = LONG.upper().replace(" ", ",\n  ")
    assert evidence([row("x " + disguised)], [task(LONG)])


def test_unicode_forms_do_not_hide_a_repeat():
    wide = LONG.translate({ord(c): ord(c) + 0xFEE0 for c in "abcdefghijklmnopqrstuvwxyz"})
    assert evidence([row("x " + wide)], [task(LONG)])


def test_leak_in_an_answer_is_found():
    assert evidence([row("hello", "you asked: " + LONG)], [task(LONG)])


def test_leaked_reference_answer_is_found_but_a_short_one_is_no_evidence():
    leak, held_out = row("x", "well, " + LONG), [task("short", answer=LONG)]
    assert evidence([leak], held_out, answers=True)
    assert evidence([leak], held_out) == []
    assert evidence([row("x", "42")], [task("short", answer="42")], answers=True) == []
    assert evidence([row("x", "42")], [task("short", answer=42)], answers=True) == []


def test_short_prompt_is_found_only_whole():
    held_out = [task("sort: 3 1 2")]
    assert evidence([row("Sort:  3 1 2")], held_out) == ["sort: 3 1 2"]
    assert evidence([row("sort: 3 1 2 4")], held_out) == []


def test_punctuation_counts_in_a_short_prompt():
    assert evidence([row("3+4=")], [task("3-4=")]) == []


def test_answer_that_reads_like_a_held_out_prompt_is_no_repeat():
    assert evidence([row("3 2 1", "1 2 3")], [task("1 2 3")]) == []


def test_short_prompt_of_several_messages_is_found_as_a_run():
    shots = (Message("user", "1+1"), Message("assistant", "2"))
    held_out = [task("5+5", 0, None, Message("system", "be brief"), *shots)]
    assert evidence([row("1+1", "2")], held_out) == []
    assert evidence([row("5+5", "10", Message("user", "hi"), *shots)], held_out) == ["1+1\n2\n5+5"]


def test_system_messages_are_not_compared():
    system = Message("system", LONG)
    assert evidence([row("mine", "x", system)], [task("theirs", 0, None, system)]) == []


def test_words_that_most_held_out_prompts_share_are_template():
    held_out = [task(f"{LONG} {i} {i} {i}", i) for i in range(20)]
    fresh = row(LONG + " 77 77 77")
    assert evidence([fresh], held_out, max_shared=10, n=13) == []
    assert evidence([row(f"{LONG} 3 3 3")], held_out) == [f"{LONG} 3 3 3"]


def test_phrase_of_a_minority_is_template_beyond_the_bound():
    held_out = [task(f"{LONG} {i} {i}", i) for i in range(12)]
    held_out += [task(f"something quite different {i}", i) for i in range(12, 40)]
    fresh = row(LONG + " 77 77 77")
    assert evidence([fresh], held_out, max_shared=11) == []
    assert evidence([fresh], held_out, max_shared=12) != []


def test_template_of_a_small_held_out_set_is_told_by_its_majority():
    held_out = [task(f"{LONG} {i} {i} {i}", i) for i in range(3)]
    assert evidence([row(LONG + " 77 77 77")], held_out) == []


def test_repeated_held_out_prompt_is_no_template():
    assert evidence([row("so " + LONG)], [task(LONG, i) for i in range(20)])


def test_characters_for_text_without_spaces():
    held_out = [task("从前有一座山山里有一座庙庙里有一个老和尚在讲故事")]
    leak = row("他说从前有一座山山里有一座庙庙里有一个老和尚")
    assert evidence([leak], held_out) == []
    assert evidence([leak], held_out, unit="char", n=10) == ["从前有一座山山里有一"]


def test_tasks_can_be_decontaminated_too():
    assert decontaminate([task("a"), task("b")], [task("b")]).kept == (task("a"),)


def test_empty_prompt_and_no_held_out_tasks_match_nothing():
    assert evidence([row(""), row("x")], [task("")]) == []
    assert evidence([row("x")], []) == []


@given(
    st.lists(st.sampled_from("abcd"), max_size=12),
    st.lists(st.sampled_from("abcd"), max_size=12),
    st.integers(1, 5),
    st.sampled_from([("word", " "), ("char", "")]),
)
def test_agrees_with_brute_force(mine, theirs, n, unit):
    def grams(words):
        return {tuple(words[i : i + n]) for i in range(len(words) - n + 1)}

    name, space = unit
    shared = grams(mine) & grams(theirs) or (mine and mine == theirs)
    index = HeldOutIndex([task(space.join(theirs))], n=n, unit=name)
    found = index.find(row(space.join(mine), ""))
    assert (found is not None) == bool(shared)


@pytest.mark.parametrize(
    ("option", "message"),
    [
        ({"n": 0}, "n must be >= 1, got 0"),
        ({"unit": "token"}, "unit must be one of word, char, got 'token'"),
        ({"max_shared": 0}, "max_shared must be >= 1, got 0"),
    ],
)
def test_options_out_of_range_are_errors(option, message):
    with pytest.raises(ConfigError, match=message):
        decontaminate([], [], **option)
