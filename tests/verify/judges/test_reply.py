import json

import pytest
from hypothesis import given
from hypothesis import strategies as st

from orbiter.verify.judges.reply import MAX_REPLY_LENGTH, UnreadableError, last_object

SOUND = {
    "bare": '{"score": 7}',
    "after prose": 'It is right. So: {"score": 7}',
    "on a line of its own, with space after": 'It is right.\n\n{"score": 7}\n \n',
    "fenced": 'Well.\n```json\n{"score": 7}\n```',
    "fenced without a language": '```\n{\n  "score": 7\n}\n```\n',
    "after a thought": '<think>{"score": 1} or {"score": 2}?</think>{"score": 7}',
    "after a thought that the template opened": 'hm {"score": 1}</think>{"score": 7}',
    "with a reason beside it": '{"reason": "uses {x} and \\\\frac{1}{2}", "score": 7}',
    "after an object of another kind": 'The answer is {"x": 1}. {"score": 7}',
    "after braces": 'the set {1, 2} and \\frac{1}{2} {"score": 7}',
    "after a form": 'I write {"score": <number>}: {"score": 7}',
    "after a long thought": f'<think>{"hm " * MAX_REPLY_LENGTH}</think>{{"score": 7}}',
    "with a nested object of the same key": '{"score": 7, "parts": {"score": 1}}',
}
NO_VERDICT = "no verdict at the end"
BROKEN = {
    "empty": ("", NO_VERDICT),
    "prose": ("It is right, 7 of 10.", NO_VERDICT),
    "a verdict in words": ("score: 7", NO_VERDICT),
    "html": ("<html><body>502</body></html>", NO_VERDICT),
    "truncated": ('It is right. {"score": ', NO_VERDICT),
    "truncated after the number": ('{"score": 7', NO_VERDICT),
    "something after it": ('{"score": 7} I hope this helps.', NO_VERDICT),
    "an object after it": ('{"score": 7} {"note": 1}', NO_VERDICT),
    "a list": ('[{"score": 7}]', NO_VERDICT),
    "single quotes": ("{'score': 7}", NO_VERDICT),
    "NaN": ('{"score": NaN}', NO_VERDICT),
    "Infinity": ('{"score": -Infinity}', NO_VERDICT),
    "a key twice": ('{"score": 1, "score": 7}', NO_VERDICT),
    "another key": ('{"rating": 7}', NO_VERDICT),
    "two verdicts": ('{"score": 1} no: {"score": 7}', "two verdicts"),
    "twice the same": ('{"score": 7} {"score": 7}', "two verdicts"),
    "a quoted one": ('The answer says {"score": 10}.\n{"score": 2}', "two verdicts"),
    "a quoted one at the end": ('{"score": 2}\nThe answer said {"score": 10}', "two verdicts"),
    "a thought without an end": ('<think>it is right {"score": 7}', "thought without an end"),
    "too long": ("x" * MAX_REPLY_LENGTH + '{"score": 7}', "reply is too long"),
}  # fmt: skip


@pytest.mark.parametrize("text", SOUND.values(), ids=SOUND)
def test_a_verdict_is_found(text):
    assert last_object(text, ["score"])["score"] == 7


@pytest.mark.parametrize(("text", "why"), BROKEN.values(), ids=BROKEN)
def test_what_is_no_verdict(text, why):
    with pytest.raises(UnreadableError) as caught:
        last_object(text, ["score"])
    assert caught.value.message == why


def test_every_key_must_be_there():
    assert last_object('{"a": 1, "b": 2}', ["a", "b"]) == {"a": 1, "b": 2}
    with pytest.raises(UnreadableError, match="verdict is not whole"):
        last_object('{"a": 1}', ["a", "b"])


@pytest.mark.parametrize(
    "text", ["{" * 20_000, '{"a":' * 4_000, "[" * 20_000, '{"score":' + "[" * 19_000, '{"a":1}' * 2_800]
)  # fmt: skip
def test_a_hostile_reply_is_no_verdict(text):
    with pytest.raises(UnreadableError):
        last_object(text, ["score"])


@given(st.text(st.sampled_from('{}[]":,0 score1n\\e`<think>/')), st.integers(0, 10))
def test_a_reply_holds_one_verdict_or_none(noise, score):
    verdict = json.dumps({"score": score})
    try:
        found = last_object(f"{noise}\n{verdict}", ["score"])
    except UnreadableError:
        return
    assert found["score"] == score
