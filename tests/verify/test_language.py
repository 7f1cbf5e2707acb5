import time

import pytest

from orbiter.errors import ConfigError
from orbiter.records import Message, Outcome, Task
from orbiter.verify.answer import answered
from orbiter.verify.language import LANGUAGES, LanguageVerifier

PASS, FAIL, INVALID = Outcome.PASS, Outcome.FAIL, Outcome.INVALID


def verdict_on(text, prompt="How many are left?", **options):
    task = Task("e", "e:1", (Message("user", prompt),))
    return LanguageVerifier(**options).verify(task, answered(task, text))


@pytest.mark.parametrize(
    ("prompt", "text"),
    [
        ("How many are left?", "Nine are left."),
        ("How many are left?", "Ils sont neuf; déjà, naïve, cœur"),
        ("How many are left?", "42"),
        ("How many are left?", "3² + α² = 13, where $\\alpha = 2$ and `βeta` is code"),
        ("还剩多少？", "还剩九个。"),
        ("还剩多少？", "由 $x = 9$ 可知 \\(x\\) 是 9，见 https://example.org/abc 。"),
        ("残りはいくつ？カタカナ", "残りは九つです。コーヒー"),
        ("Сколько осталось?", "Осталось девять."),
        ("كم بقي؟", "بقي تسعة."),
        ("남은 것은?", "아홉 개가 남았습니다."),
        ("कितने बचे?", "नौ बचे।"),
        ("Mixed 中文 prompt", "either is 可以 fine"),
    ],
)
def test_the_language_of_the_prompt(prompt, text):
    verdict = verdict_on(text, prompt)
    assert (verdict.outcome, verdict.score) == (PASS, 1.0)


@pytest.mark.parametrize(
    ("prompt", "text"),
    [
        ("How many are left?", "还剩九个。"),
        ("How many are left?", "There are nine, 因为十减一等于九, so the answer is nine."),
        ("还剩多少？", "Nine are left, I think, after all."),
        ("How many are left?", "Осталось девять"),
        ("How many are left?", "Тhе аnswеr is ninе"),
        ("How many are left?", "<think>十减一等于九</think>Nine."),
    ],
)
def test_another_script_fails(prompt, text):
    verdict = verdict_on(text, prompt)
    assert (verdict.outcome, verdict.reason) == (FAIL, "other language")
    assert verdict.score < 0.9


def test_look_alike_letters_make_a_word_foreign():
    verdict = verdict_on("one twо three four")  # the second o is Cyrillic
    assert verdict.score == 0.75
    assert verdict_on("one two three four").score == 1.0


def test_marks_belong_to_their_word():
    assert verdict_on("cafe\u0301 nai\u0308ve").score == 1.0


def test_given_languages():
    assert verdict_on("还剩九个", languages=["zh"]).outcome is PASS
    assert verdict_on("还剩九个", languages=["en"]).outcome is FAIL
    assert verdict_on("还剩九个 OK", languages=["en", "zh"]).score == 1.0
    assert verdict_on("nine", "还剩多少？", languages=["en"]).outcome is PASS


def test_the_share_is_of_words():
    verdict = verdict_on("one two three 九", languages=["en"], min_share=0.75)
    assert (verdict.outcome, verdict.score) == (PASS, 0.75)
    assert verdict.details == {"share": 0.75, "scripts": ["Latin"]}
    assert verdict_on("one two three 九", languages=["en"], min_share=0.76).outcome is FAIL


def test_a_prompt_without_words_says_nothing():
    verdict = verdict_on("four", "2 + 2 = ?")
    assert (verdict.outcome, verdict.reason) == (INVALID, "the prompt has no words")
    assert verdict_on("four", "2 + 2 = ?", languages=["en"]).outcome is PASS


def test_only_the_final_answer():
    assert verdict_on("<think>十减一等于九</think>Nine.", thoughts=False).outcome is PASS


def test_blank_is_no_answer():
    assert verdict_on("").reason == "no answer"


@pytest.mark.parametrize("code", LANGUAGES)
def test_every_language_has_scripts_that_exist(code):
    verdict = verdict_on("42", languages=[code])
    assert verdict.outcome is PASS
    assert verdict.details["scripts"] == sorted(LANGUAGES[code])


@pytest.mark.parametrize(
    "unit",
    ["\\(", "\\[", "$$", "$", "`", "<a", "```", "a", "\\(\\", "$$ a $$", "1$", "漢a", "<think "],
)
def test_hostile_texts_take_no_time(unit):
    started = time.process_time()
    verdict_on(unit * (100_000 // len(unit)))
    assert time.process_time() - started < 2


@pytest.mark.parametrize(
    ("options", "message"),
    [
        ({"languages": []}, "languages must be a list of codes, got []"),
        ({"languages": "en"}, "languages must be a list of codes, got 'en'"),
        ({"languages": ["e"]}, "languages must be known codes, got 'e'"),
        ({"min_share": 0}, "min_share must be a number in (0, 1], got 0"),
        ({"min_share": "1"}, "min_share must be a number in (0, 1], got '1'"),
    ],
)
def test_options(options, message):
    with pytest.raises(ConfigError) as caught:
        LanguageVerifier(**options)
    assert caught.value.message.startswith(message)
