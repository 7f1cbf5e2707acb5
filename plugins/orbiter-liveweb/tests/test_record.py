"""Recording from a server on loopback, by plain HTTP and with Chromium."""

import pytest
from orbiter_liveweb.cache import Cache
from orbiter_liveweb.record import HttpFetcher, decode, record


@pytest.fixture
def cache(tmp_path):
    return Cache(tmp_path, create=True)


def test_links_are_followed_within_bounds(server, cache):
    server, _ = server
    found = record(cache, [f"{server}/"], fetcher=HttpFetcher(), follow=f"{server}/")
    assert found.recorded == [f"{server}/", f"{server}/b"]
    assert found.refused == [
        (f"{server}/c", "is a placeholder: cloudflare challenge"),
        (f"{server}/private/d", "is forbidden by robots.txt"),
    ]
    assert cache.urls() == found.recorded
    assert "made by" not in cache.get(f"{server}/b").tree
    assert record(
        cache, [f"{server}/"], fetcher=HttpFetcher(), follow=f"{server}/", max_pages=1
    ).recorded == [f"{server}/"]


def test_what_is_no_page_is_refused(server, cache):
    server, _ = server
    urls = [f"{server}/file", f"{server}/gone", "http://127.0.0.1:9/"]
    found = record(cache, urls, fetcher=HttpFetcher(), robots=False)
    assert [why.split(":")[0] for _, why in found.refused] == [
        "is no HTML page but application/pdf",
        "is a placeholder",
        "cannot be fetched",
    ]
    assert cache.urls() == []


def test_a_redirect_is_recorded_as_one(server, cache):
    server, _ = server
    record(cache, [f"{server}/moved"], fetcher=HttpFetcher(), robots=False)
    assert cache.get(f"{server}/moved").redirect_to == f"{server}/b"
    assert cache.get(f"{server}/b").title == "B"


def test_a_fetch_that_fails_leaves_a_page_as_old_as_it_was(server, cache, monkeypatch):
    server, pages = server
    record(cache, [f"{server}/b"], fetcher=HttpFetcher(), robots=False)
    before = cache.get(f"{server}/b")
    monkeypatch.setitem(pages, "/b", pages["/c"])
    assert record(cache, [f"{server}/b"], fetcher=HttpFetcher(), robots=False).recorded == []
    assert cache.get(f"{server}/b") == before


@pytest.mark.parametrize(
    ("data", "charset", "text"),
    [
        ("é".encode(), None, "é"),
        ("é€".encode("cp1252"), "iso-8859-1", "é€"),
        (b'<meta charset="windows-1252">\xe9', None, '<meta charset="windows-1252">é'),
        ("\ufeffé".encode("utf-16-le"), "utf-8", "é"),
        (b"\xe9", "utf-8", "\ufffd"),
        (b"x", "no-such-charset", "x"),
        (b"\\u0041", "unicode_escape", "\\u0041"),
        (b"eJx", "zlib", "eJx"),
    ],
)
def test_pages_are_decoded_as_in_a_browser(data, charset, text):
    assert decode(data, charset) == text
