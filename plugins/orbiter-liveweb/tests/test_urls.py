import pytest
from hypothesis import given
from hypothesis import strategies as st
from orbiter_liveweb.urls import normalise, resolve

from orbiter.errors import ConfigError


@pytest.mark.parametrize(
    ("url", "expected"),
    [
        ("HTTP://Shop.Example:80", "http://shop.example/"),
        ("https://shop.example:443/a/../b/./c", "https://shop.example/b/c"),
        ("https://shop.example:8443/", "https://shop.example:8443/"),
        ("https://shop.example./x#part", "https://shop.example/x"),
        ("https://shop.example/?b=2&a=1&utm_source=m&gclid=9&UTM_x=1", "https://shop.example/?a=1&b=2"),
        ("https://shop.example/?a=2&a=1", "https://shop.example/?a=1&a=2"),
        ("https://shop.example/?q=brass+kettle", "https://shop.example/?q=brass+kettle"),
        ("https://shop.example/?q=brass%20kettle", "https://shop.example/?q=brass+kettle"),
        ("https://shop.example/%7euser/%e4", "https://shop.example/~user/%E4"),
        ("https://shop.example/a b", "https://shop.example/a%20b"),
        ("https://shop.example/a%2Fb", "https://shop.example/a%2Fb"),
        ("https://bücher.example/", "https://xn--bcher-kva.example/"),
        ("https://faß.example/", "https://xn--fa-hia.example/"),
        ("https://Ⓐ.B。example/", "https://a.b.example/"),
        ("https://💩.example/", "https://xn--ls8h.example/"),
        ("https://my_host.example/", "https://my_host.example/"),
        ("http://[::1]:80/x/..", "http://[::1]/"),
        ("  https://shop.example/Path  ", "https://shop.example/Path"),
    ],
)  # fmt: skip
def test_one_spelling(url, expected):
    assert normalise(url) == expected


@pytest.mark.parametrize(
    "url",
    [
        "",
        "shop",
        "file:///etc/passwd",
        "javascript:alert(1)",
        "http://",
        "http://a:b",
        "http://[::1",
        "http://a b/",
        pytest.param("http://" + "一" * 254, id="long host"),
        "http://a%2Fb/",
        "http://\u200b/",
        "http://a.\ud800/",
        "http://a.example/\udcff",
        "http://a.example/?q=\ud800",
    ],
)
def test_what_is_no_address_is_refused(url):
    with pytest.raises(ConfigError, match="address"):
        normalise(url)


def test_a_password_is_never_kept_nor_told():
    with pytest.raises(ConfigError, match="must not carry") as caught:
        normalise("https://user:hunter2@shop.example/")
    assert "hunter2" not in str(caught.value)


_PARTS = st.text(st.characters(codec="utf-8", exclude_categories=("Cc",)), max_size=12)


@given(path=_PARTS, query=_PARTS)
def test_a_spelling_stays(path, query):
    once = normalise(
        f"https://a.example/{path.replace('#', '').replace('?', '')}?{query.replace('#', '')}"
    )
    assert normalise(once) == once


def test_links_are_resolved_as_in_a_browser():
    base = "https://a.example/x/y"
    assert resolve(base, "z") == "https://a.example/x/z"
    assert resolve(base, "//b.example") == "https://b.example/"
    assert resolve(base, "?q=1") == "https://a.example/x/y?q=1"
    assert resolve(base, "mailto:a@b.example") is None
