"""The key is found in what a server says, however the server's JSON writes its characters."""

import base64
import json
import re
from html import escape
from time import process_time
from urllib.parse import quote

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from orbiter.generate.openai.secret import Secret

KEY = 'sk-P1anted+Secret/Va"lue\\9=&f8e'

keys = st.text(st.characters(min_codepoint=0x21, max_codepoint=0x7E), min_size=12, max_size=40)


@settings(max_examples=200, deadline=None)
@given(
    key=keys,
    escaped=st.sets(st.integers(0x21, 0x7E)),
    upper=st.booleans(),
    depth=st.integers(0, 3),
    before=st.sampled_from([" ", "\\", "\n", "/"]),
)
def test_it_is_found_however_it_is_escaped(key, escaped, upper, depth, before):
    def written(one):
        if ord(one) in escaped:
            return "\\u00" + (f"{ord(one):02X}" if upper else f"{ord(one):02x}")
        return json.dumps(one)[1:-1]

    before = json.dumps(f"it is{before}")[:-1]
    text = '{"content": ' + before + "".join(map(written, key)) + ' indeed"}'
    assert key in json.loads(text)["content"]
    for _ in range(depth):
        text = json.dumps({"error": text})
    assert Secret(key).is_in(text.encode())
    assert Secret(key).redacted(text).count("[key]") == 1


QUOTED = json.dumps(KEY)[1:-1]
PERCENT = quote(KEY, safe="")
PAGE = "".join(f"&#{ord(one)};" if one in "/=" else escape(one) for one in KEY)


@pytest.mark.parametrize(
    "text",
    [
        KEY,
        QUOTED,
        QUOTED.replace("/", "\\/"),
        QUOTED.replace("+", "\\u002B").replace("=", "\\u003d").replace("/", "\\/"),
        quote(KEY),
        PERCENT,
        re.sub("%..", lambda found: found[0].lower(), PERCENT),
        quote(PERCENT),
        PAGE,
        PAGE.replace("&#61;", "&#x3D;"),
    ],
)
def test_how_known_servers_write_it(text):
    assert Secret(KEY).is_in(text.encode())
    assert Secret(KEY).redacted(f"<{text}>") == "<[key]>"


@pytest.mark.parametrize("before", ["", "Bearer ", "user:", "x"])
@pytest.mark.parametrize("after", ["", "\n", "?"])
@pytest.mark.parametrize("write", [base64.b64encode, base64.urlsafe_b64encode])
def test_it_is_found_in_base64(before, after, write):
    text = write(f"{before}{KEY}{after}".encode()).decode()
    for written in (text, json.dumps(text).replace("/", "\\/"), quote(text, safe="")):
        assert Secret(KEY).is_in(written.encode())
        assert "[key]" in Secret(KEY).redacted(written)
        assert len(Secret(KEY).redacted(written)) < 30


def test_other_answers_do_not_show_it():
    text = json.dumps({"content": KEY[:-1] + 'x \\u002B "a/b" é %2F &#47; &amp; c2s= \n'})
    assert not Secret(KEY).is_in(text.encode())
    assert Secret(KEY).redacted(text) == text


@pytest.mark.parametrize("key", ["sk-" + KEY, "/" + KEY])
def test_an_answer_of_backslashes_is_searched_in_one_go(key):
    started = process_time()
    assert not Secret(key).is_in(b'{"content": "\\u0026' + b"\\" * 200_000 + b'"}')
    assert process_time() - started < 10  # as the square of its length it took a minute


@pytest.mark.parametrize("key", [None, "EMPTY"])
def test_what_is_no_secret_may_stand_in_an_answer(key):
    assert not Secret(key).is_in(b"the list is EMPTY")
    assert Secret(key).redacted("the list is full") == "the list is full"
