"""Recording from a server on loopback, by plain HTTP and with Chromium."""

import gzip
import socketserver
import threading

import pytest
from orbiter_liveweb.fetching import Fetched, HttpFetcher
from orbiter_liveweb.record import record


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


PAGE = b"<p>a page of some words"
HEAD = b"HTTP/1.0 200 OK\r\nContent-Type: text/html\r\n"
ANSWERS = {
    "/cut": HEAD + b"Content-Length: 999\r\n\r\n" + PAGE,
    "/chunk": HEAD.replace(b"1.0", b"1.1") + b"Transfer-Encoding: chunked\r\n\r\nZZ\r\nx\r\n",
    "/status": b"nonsense\r\n\r\n",
    "/heads": HEAD + b"X: y\r\n" * 200 + b"\r\n" + PAGE,
    "/code": HEAD + b"Content-Encoding: br\r\n\r\n\x1b\x00",
    "/bomb": HEAD + b"Content-Encoding: gzip\r\n\r\n" + gzip.compress(b"x" * 2**25),
    "/packed": HEAD + b"Content-Encoding: gzip\r\n\r\n" + gzip.compress(PAGE),
    "/end": HEAD + b"Content-Encoding: gzip\r\n\r\n" + gzip.compress(PAGE)[:-9],
    "/short": HEAD + b"Content-Encoding: gzip\r\n\r\nxyz",
    "/secret": b"HTTP/1.0 302 Found\r\nLocation: /private\r\n\r\n",
    "/private": HEAD + b"\r\n" + PAGE,
    "/robots.txt": b"HTTP/1.0 200 OK\r\n\r\nUser-agent: *\nDisallow: /private",
    "/last": HEAD + b"\r\n" + PAGE,
}


@pytest.fixture
def odd_server():
    """A site on loopback that answers byte for byte as ANSWERS says."""
    answers = dict(ANSWERS)

    class Handler(socketserver.StreamRequestHandler):
        def handle(self):
            path = self.rfile.readline().split()[1].decode()
            while self.rfile.readline().strip():
                pass
            self.wfile.write(answers[path])

    with socketserver.ThreadingTCPServer(("127.0.0.1", 0), Handler) as server:
        thread = threading.Thread(target=server.serve_forever)
        thread.start()
        yield f"http://127.0.0.1:{server.server_address[1]}", answers
        server.shutdown()
        thread.join()


def test_an_answer_that_is_broken_stops_no_recording(odd_server, cache):
    server, _ = odd_server
    found = record(cache, [server + path for path in ANSWERS], fetcher=HttpFetcher())
    assert found.recorded == [f"{server}/packed", f"{server}/last"]
    assert cache.get(f"{server}/packed").tree == "- paragraph: a page of some words"
    assert cache.urls() == sorted(found.recorded)
    why = {url.removeprefix(server): said for url, said in found.refused}
    assert why["/cut"] == f"was cut off, {999 - len(PAGE)} bytes before its end"
    assert why["/end"] == "was cut off before its end"
    assert why["/code"] == "is encoded as br, which was not asked for"
    assert why["/bomb"] == "is larger than 16777216 bytes"
    assert why["/secret"] == f"leads to {server}/private, which is forbidden by robots.txt"
    assert why["/private"] == "is forbidden by robots.txt"
    for path in ("/chunk", "/status", "/heads", "/short"):
        assert why[path].startswith("cannot be fetched: ")


@pytest.mark.parametrize("scheme", ["ftp", "FTP", "file"])
def test_a_redirect_out_of_the_web_is_not_followed(odd_server, cache, scheme):
    server, answers = odd_server
    asked = []

    class Handler(socketserver.BaseRequestHandler):
        def handle(self):
            asked.append(self.request)

    with socketserver.ThreadingTCPServer(("127.0.0.1", 0), Handler) as files:
        thread = threading.Thread(target=files.serve_forever)
        thread.start()
        target = f"{scheme}://127.0.0.1:{files.server_address[1]}/etc/hostname"
        answers["/last"] = f"HTTP/1.0 302 Found\r\nLocation: {target}\r\n\r\n".encode()
        found = record(cache, [f"{server}/last"], fetcher=HttpFetcher())
        files.shutdown()
        thread.join()
    assert not asked
    [(_, why)] = found.refused
    assert why.startswith("cannot be fetched: HTTP Error 302")


@pytest.mark.parametrize(
    ("answer", "said"),
    [
        (b"HTTP/1.0 404 Not Found\r\n\r\n", None),
        (b"HTTP/1.0 503 Busy\r\n\r\n", "HTTP Error 503: Busy"),
        (b"", "Remote end closed connection without response"),
    ],
)
def test_a_site_that_cannot_say_what_it_allows_allows_nothing(odd_server, cache, answer, said):
    server, answers = odd_server
    answers["/robots.txt"] = answer
    found = record(cache, [f"{server}/last", f"{server}/packed"], fetcher=HttpFetcher())
    why = f"has a robots.txt that cannot be read: {said}"
    assert found.refused == ([] if said is None else [(url, why) for url, _ in found.refused])
    assert len(found.recorded) == (2 if said is None else 0)


class Lost(HttpFetcher):
    """Comes to an address that is none."""

    def fetch(self, url):
        return Fetched("http://user:hunter2@a.example/", "<p>x", 200, "2024-05-01T12:00:00Z")


def test_a_page_at_no_address_is_refused(cache):
    found = record(cache, ["http://a.example/"], fetcher=Lost(), robots=False)
    assert (cache.urls(), len(found.refused)) == ([], 1)
    assert "hunter2" not in str(found)


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
