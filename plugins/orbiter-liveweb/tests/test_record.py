"""Recording from a server on loopback, by plain HTTP and with Chromium."""

import threading
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer

import pytest
from orbiter_liveweb.cache import Cache
from orbiter_liveweb.chromium import tree_in
from orbiter_liveweb.record import BrowserFetcher, HttpFetcher, decode, record

HTML = "text/html; charset=utf-8"
PAGES = {
    "/": (200, HTML, b"<title>Home</title><p>home <a href='/b?utm_source=x'>b</a> <a href='/c'>c</a> <a href='/private/d'>d</a> <a href='http://other.example/'>o</a>"),
    "/b": (200, HTML, b"<title>B</title><p>b <a href='/'>home</a><p id=x></p><script>document.getElementById('x').textContent = 'made by a script'</script>"),
    "/c": (200, HTML, b"<title>Just a moment...</title><p>Checking"),
    "/file": (200, "application/pdf", b"%PDF"),
    "/gone": (404, HTML, b"<p>not here"),
    "/robots.txt": (200, "text/plain", b"User-agent: *\nDisallow: /private/\n"),
    "/private/d": (200, HTML, b"<p>private"),
}  # fmt: skip


@pytest.fixture(scope="module")
def server():
    class Handler(BaseHTTPRequestHandler):
        def do_GET(self):
            if self.path == "/moved":
                self.send_response(301)
                self.send_header("Location", "/b")
                self.end_headers()
                return
            status, kind, body = PAGES.get(self.path.split("?")[0], PAGES["/gone"])
            self.send_response(status)
            self.send_header("Content-Type", kind)
            self.send_header("Content-Length", str(len(body)))
            self.end_headers()
            self.wfile.write(body)

        def log_message(self, *_):
            pass

    server = ThreadingHTTPServer(("127.0.0.1", 0), Handler)
    thread = threading.Thread(target=server.serve_forever, daemon=True)
    thread.start()
    yield f"http://127.0.0.1:{server.server_port}"
    server.shutdown()
    server.server_close()
    thread.join()


@pytest.fixture
def cache(tmp_path):
    return Cache(tmp_path, create=True)


def test_links_are_followed_within_bounds(server, cache):
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
    urls = [f"{server}/file", f"{server}/gone", "http://127.0.0.1:9/"]
    found = record(cache, urls, fetcher=HttpFetcher(), robots=False)
    assert [why.split(":")[0] for _, why in found.refused] == [
        "is no HTML page but application/pdf",
        "is a placeholder",
        "cannot be fetched",
    ]
    assert cache.urls() == []


def test_a_redirect_is_recorded_as_one(server, cache):
    record(cache, [f"{server}/moved"], fetcher=HttpFetcher(), robots=False)
    assert cache.get(f"{server}/moved").redirect_to == f"{server}/b"
    assert cache.get(f"{server}/b").title == "B"


def test_a_fetch_that_fails_leaves_a_page_as_old_as_it_was(server, cache, monkeypatch):
    record(cache, [f"{server}/b"], fetcher=HttpFetcher(), robots=False)
    before = cache.get(f"{server}/b")
    monkeypatch.setitem(PAGES, "/b", PAGES["/c"])
    assert record(cache, [f"{server}/b"], fetcher=HttpFetcher(), robots=False).recorded == []
    assert cache.get(f"{server}/b") == before


@pytest.mark.xdist_group("browser")
def test_chromium_records_what_scripts_left(server, cache, chromium):
    found = record(
        cache, [f"{server}/b", f"{server}/file"], fetcher=BrowserFetcher(chromium), robots=False
    )
    assert found.recorded == [f"{server}/b"]
    snapshot = cache.get(f"{server}/b")
    assert (snapshot.source, "paragraph: made by a script" in snapshot.tree) == ("browser", True)
    assert tree_in(chromium, snapshot.url, snapshot.html) == snapshot.tree


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
