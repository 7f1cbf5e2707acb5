"""Instructions that a policy wrote: what is eliminated, and what is new."""

from itertools import pairwise

import pytest

from orbiter.generate.instructions import bare, fault, novel, word_count

SOURCE = "Name three rivers of France and say into which sea each flows."


@pytest.mark.parametrize(
    ("text", "reason"),
    [
        ("Name three rivers of Spain, and give their lengths.", None),
        ("", "empty"),
        (" ... ", "empty"),
        ("I'm sorry, but I can't help with that.", "refusal"),
        (SOURCE.upper().replace(".", "!"), "copy of its source"),
        ("#Rewritten Prompt#: name rivers", "words of the order"),
        ("Answer the given prompt about rivers.", "words of the order"),
        ("word " * 21, "too long"),
        ("Write C# that lists rivers under a # heading.", None),
    ],
)
def test_a_failed_instruction_is_eliminated(text, reason):
    assert fault(text, source=SOURCE, max_words=20) == reason


def test_words_that_the_source_has_are_none_of_the_order():
    assert (
        fault("Explain the given prompt.", source="Shorten the given prompt.", max_words=9) is None
    )


@pytest.mark.parametrize("text", ["Task 9: name rivers", '"name rivers"', " Instruction:\nname rivers", "**New task:** name rivers"])  # fmt: skip
def test_labels_and_quotation_marks_are_taken_off(text):
    assert bare(text) == "name rivers"


@pytest.mark.parametrize(
    ("said", "left"),
    [
        ("Task: -3 + 4 = ?", "-3 + 4 = ?"),
        ("Request: ¿Qué es?", "¿Qué es?"),
        ("**Prompt**: (a) or (b)?", "(a) or (b)?"),
        ("Task:\n- one\n- two", "- one\n- two"),
        ('Task: "name rivers"', "name rivers"),
        ("“name rivers”", "name rivers"),
        ("'what's new?'", "what's new?"),
        ('"Task 2: name rivers"', "name rivers"),
    ],
)
def test_nothing_of_the_instruction_is_taken_off_with_its_label(said, left):
    assert bare(said) == left


@pytest.mark.parametrize(
    ("text", "count"),
    [
        ("", 0),
        (" Name  three\nrivers. ", 3),
        ("it's 3.5 km/h - or is it?", 7),
        ("列举三条河流", 6),
        ("川の名前を3つ", 7),
        ("Translate 河流 now", 4),
        ("강 이름을 세 개", 4),
        ("บอกชื่อแม่น้ำ", 4),
    ],
)
def test_words_are_counted_in_scripts_without_spaces_too(text, count):
    assert word_count(text) == count
    assert (fault(text or "x", source="s", max_words=max(1, count - 1)) == "too long") == (
        count > 1
    )


@pytest.mark.parametrize("said", ['"A" or "B"', "“A” or “B”", "'A' or 'B'", '"'])
def test_quotation_marks_around_parts_stay(said):
    assert bare(said) == said


def test_new_is_what_repeats_neither_the_pool_nor_one_before_it():
    texts = [
        SOURCE + " Be brief.",
        "Prove that 7 is prime.",
        "Prove that 7 is prime!",
        "Draw a cat.",
    ]
    assert novel(texts, pool=[SOURCE], threshold=0.7) == [False, True, False, True]
    assert novel(texts, pool=[SOURCE], threshold=1.0) == [True] * 4
    assert novel([], pool=[SOURCE], threshold=0.7) == []


@pytest.mark.parametrize("change", [str.upper, str.title, lambda text: text.replace(" ", "\u200b \n"), lambda text: text.replace("a", "ａ")])  # fmt: skip
def test_what_only_looks_different_is_not_new(change):
    assert change(SOURCE) != SOURCE
    assert novel([change(SOURCE)], pool=[SOURCE], threshold=1.0) == [False]
    assert fault(change(SOURCE), source=SOURCE, max_words=99) == "copy of its source"


def test_another_calculation_is_no_copy():
    sums = ["What is 3+4?", "What is 3*4?", "What is 3-4?", "What is 3 < 4?", "What is 3×4?", "What is 3÷4?"]  # fmt: skip
    assert novel(sums, pool=[], threshold=1.0) == [True] * 6
    for one, other in pairwise(sums):
        assert fault(other, source=one, max_words=9) is None
