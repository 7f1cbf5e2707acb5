"""HAR and WARC: what comes in, what goes out, and what is refused."""

import base64
import gzip
import io
import json

import pytest
from attrs import Factory, frozen
from orbiter_liveweb.browser import served
from orbiter_liveweb.cache import Cache
from orbiter_liveweb.checking import check_cache
from orbiter_liveweb.fetching import _data_of
from orbiter_liveweb.har import export_har, import_har
from orbiter_liveweb.snapshot import Snapshot
from orbiter_liveweb.warc import import_warc
from warcio.statusandheaders import StatusAndHeaders
from warcio.warcwriter import WARCWriter

from orbiter.errors import RecordError

PAGE = "<title>T</title><p>Ünicode and text"


def entry(
    url,
    html=PAGE,
    *,
    when="2024-05-01T12:00:00.5Z",
    status=200,
    mime="text/html; charset=utf-8",
    method="GET",
    **content,
):
    return {
        "startedDateTime": when,
        "request": {"method": method, "url": url},
        "response": {
            "status": status,
            "content": {"mimeType": mime, "text": html, **content},
            "redirectURL": "",
        },
    }


@pytest.fixture
def har(tmp_path):
    def write(*entries):
        path = tmp_path / "x.har"
        path.write_text(json.dumps({"log": {"version": "1.2", "entries": list(entries)}}))
        return path

    return write


@pytest.fixture
def cache(tmp_path):
    return Cache(tmp_path / "cache", create=True)


def test_pages_of_a_har_come_in_as_old_as_they_are(har, cache):
    found = import_har(
        cache,
        har(
            entry("https://a.example/#top"),
            entry("https://a.example/style.css", mime="text/css"),
            entry("https://a.example/send", method="POST"),
            entry(
                "https://a.example/b", base64.b64encode(PAGE.encode()).decode(), encoding="base64"
            ),
            entry("https://a.example/gone", status=404),
            entry("https://a.example/wait", "<title>Just a moment...</title>"),
        ),
    )
    assert found.imported == ["https://a.example/", "https://a.example/b"]
    assert (found.skipped, len(found.refused)) == (1, 2)
    assert [cache.get(url).fetched_at for url in cache.urls()] == ["2024-05-01T12:00:00Z"] * 2
    assert cache.get("https://a.example/b").html == PAGE
    assert found.refused[1] == ("https://a.example/wait", "is a placeholder: cloudflare challenge")


def test_a_har_as_browsers_save_it(tmp_path, cache):
    """A byte order mark, bytes in a charset, what a browser had cached, contents left out, pictures, sockets, beacons."""
    entries = [
        entry("https://a.example/latin", base64.b64encode("<p>Käse".encode("latin-1")).decode(), encoding="base64", mime="text/html; charset=ISO-8859-1"),
        entry("https://a.example/cached", status=304),
        entry("https://a.example/cached/style.css", "", status=304, mime="text/css"),
        entry("https://a.example/left-out", None),
        entry("https://a.example/measured", "", size=4711),
        entry("data:image/png;base64,AA==", "", mime="image/png"),
        entry("wss://a.example/socket", "", status=101, mime="x-unknown"),
        entry("https://beacon.example/1", "", status=302, mime="text/html"),
        entry("https://a.example/old", "", status=301, mime=""),
        entry("https://a.example/older", "", status=301, mime=""),
        entry("https://a.example/b"),
        entry("https://a.example/failed", "", status=0, mime="x-unknown"),
    ]  # fmt: skip
    for number, to in ((7, "/pixel.gif"), (8, "/b#top"), (9, "old")):
        entries[number]["response"] |= {"redirectURL": to}
    del entries[3]["response"]["content"]["text"]
    path = tmp_path / "x.har"
    path.write_text(json.dumps({"log": {"entries": entries}}), encoding="utf-8-sig")
    found = import_har(cache, path)
    assert found.refused == [
        (f"https://a.example/{name}", "is in the archive without its content: save it as HAR with content")
        for name in ("left-out", "measured")
    ]  # fmt: skip
    assert [url.rpartition("/")[2] for url in found.imported] == ["latin", "cached", "b", "old", "older"]  # fmt: skip
    assert found.skipped == 5
    assert cache.get("https://a.example/latin").tree == "- paragraph: Käse"
    assert (cache.get("https://a.example/cached").html, cache.get("https://a.example/cached").status) == (PAGE, 200)  # fmt: skip
    assert served(cache, "https://a.example/older").url == "https://a.example/b"


def test_an_import_that_was_killed_is_made_good_by_another(har, cache):
    path = har(entry("https://a.example/"), entry("https://a.example/b"))
    import_har(cache, path)
    listing = cache.folder / "pages.jsonl"
    listing.write_bytes(listing.read_bytes().splitlines(keepends=True)[0])
    cache.path_of("https://a.example/").write_bytes(b"{")
    again = Cache(cache.folder)
    assert [finding.kind for finding in check_cache(again)] == ["altered page", "unlisted page"]
    import_har(again, path)
    assert check_cache(Cache(cache.folder)) == []


def test_a_page_that_is_too_large_does_not_stop_the_others(har, cache, monkeypatch):
    monkeypatch.setattr("orbiter_liveweb.snapshot.MAX_SNAPSHOT_BYTES", 1_000)
    found = import_har(cache, har(entry("https://a.example/", "<p>" + "x" * 1_000), entry("https://a.example/b")))  # fmt: skip
    assert (found.imported, [url for url, _ in found.refused]) == (["https://a.example/b"], ["https://a.example/"])  # fmt: skip


def test_a_page_that_moved_away_later_is_no_clash(har, cache):
    moved = entry("https://a.example/?utm_source=x", status=302, when="2024-05-02T12:00:00Z")
    moved["response"]["redirectURL"] = "/b"
    found = import_har(cache, har(entry("https://a.example/b"), entry("https://a.example/?utm_source=x"), moved))  # fmt: skip
    assert found.clashes == []
    assert served(cache, "https://a.example/").url == "https://a.example/b"


def test_two_pages_of_one_address_are_a_clash(har, cache):
    path = har(
        entry("https://a.example/?q=1&utm_source=x", "<p>one"),
        entry("https://a.example/?q=1", "<p>two", when="2024-05-02T12:00:00Z"),
        entry("https://a.example/same?utm_id=1"),
        entry("https://a.example/same"),
    )
    found = import_har(cache, path)
    assert found.clashes == [("https://a.example/?q=1&utm_source=x", "https://a.example/?q=1")]
    assert cache.get("https://a.example/?q=1").html == "<p>two"


def test_what_is_newer_stays(har, cache):
    import_har(cache, har(entry("https://a.example/", "<p>new", when="2024-06-01T00:00:00Z")))
    found = import_har(cache, har(entry("https://a.example/", "<p>old")))
    assert (found.imported, found.older) == ([], ["https://a.example/"])
    assert cache.get("https://a.example/").html == "<p>new"


def test_a_page_of_the_future_is_refused(har, cache):
    found = import_har(cache, har(entry("https://a.example/", when="2999-01-01T00:00:00Z")))
    assert "in the future" in found.refused[0][1]


def test_a_cache_goes_out_and_comes_in_as_it_was(forms, tmp_path, cache):
    path = tmp_path / "out.har"
    assert export_har(forms, path) == len(forms.urls())
    import_har(cache, path)
    assert cache.urls() == forms.urls()
    for url in forms.urls():
        out, back = forms.get(url), cache.get(url)
        assert (back.html, back.tree, back.title, back.fetched_at) == (
            out.html,
            out.tree,
            out.title,
            out.fetched_at,
        )


def test_data_of_a_page_go_out_and_come_in(tmp_path, cache):
    page = Snapshot.of_page(
        "https://a.example/", PAGE, fetched_at="2024-05-01T12:00:00Z", source="http", api_data=[{"k": None}]
    )  # fmt: skip
    other = Cache(tmp_path / "other", create=True)
    other.put(page)
    export_har(other, tmp_path / "out.har")
    import_har(cache, tmp_path / "out.har")
    assert cache.get("https://a.example/").api_data == [{"k": None}]


def nested(depth):
    data = {}
    for _ in range(depth):
        data = {"k": data}
    return data


@pytest.mark.parametrize("depth", [253, 800])
def test_a_page_whose_data_no_snapshot_can_hold_is_refused_alone(har, cache, depth):
    deep = entry("https://a.example/deep") | {"_api_data": nested(depth)}
    found = import_har(cache, har(deep, entry("https://a.example/")))
    assert found.imported == ["https://a.example/"]
    assert found.refused == [
        (
            "https://a.example/deep",
            "page https://a.example/deep cannot be kept as JSON: Recursion limit reached",
        )
    ]


@frozen
class Answer:
    """What a browser hands over of an answer to a script."""

    data: bytes
    url: str = "https://a.example/data"
    headers: dict = Factory(lambda: {"content-type": "application/json"})

    def body(self):
        return self.data


def test_data_that_a_page_asked_for_are_kept_as_deep_as_a_snapshot_can_hold():
    for depth in range(246, 260):
        found = _data_of([Answer(json.dumps(nested(depth)).encode())])
        Snapshot.of_page("https://a.example/", PAGE, fetched_at="2024-05-01T12:00:00Z", source="browser", api_data=found)  # fmt: skip
        assert (found is not None) == (depth < 252)


@pytest.mark.parametrize(
    ("text", "said"),
    [
        ("", "is no JSON"),
        ("[]", "the file"),
        ("{}", "field 'log' is missing"),
        ('{"log": {}}', "field 'log.entries' is missing"),
        ('{"log": {"entries": [3]}}', r"log.entries\[0\]' must be dict"),
        ('{"log": {"entries": [{}]}}', r"log.entries\[0\].request' is missing"),
        (json.dumps({"log": {"entries": [entry(3)]}}), r"request.url' must be str, got int"),
        (json.dumps({"log": {"entries": [entry("https://a.example/", 3)]}}), r"content.text' must be text"),
        (json.dumps({"log": {"entries": [entry("https://a.example/", "*", encoding="base64")]}}), "is no base64"),
    ],
)  # fmt: skip
def test_a_broken_har_is_told_in_one_line(tmp_path, cache, text, said):
    path = tmp_path / "x.har"
    path.write_text(text)
    with pytest.raises(RecordError, match=said) as caught:
        import_har(cache, path)
    assert str(path) in caught.value.message
    assert "\n" not in caught.value.message
    assert cache.urls() == []


# Of warcio's writer.
WRITER_LEAKS = pytest.mark.filterwarnings("ignore::pytest.PytestUnraisableExceptionWarning")


def warc(*captures, packed=True):
    out = io.BytesIO()
    writer = WARCWriter(out, gzip=packed)
    writer.write_record(writer.create_warcinfo_record("x.warc", {"software": "test"}))
    for url, status, headers, body, *more in captures:
        given = more[0] if more else {}
        record = writer.create_warc_record(
            url,
            given.get("WARC-Type", "response"),
            payload=io.BytesIO(body),
            http_headers=StatusAndHeaders(status, headers, protocol="HTTP/1.1"),
            warc_headers_dict={"WARC-Date": "2024-05-01T12:00:00Z", **given},
        )
        writer.write_record(record)
    return out.getvalue()


HTML = [("Content-Type", "text/html; charset=iso-8859-1")]


@WRITER_LEAKS
@pytest.mark.parametrize("packed", [True, False])
def test_pages_of_a_warc_come_in(tmp_path, cache, packed):
    path = tmp_path / "x.warc.gz"
    path.write_bytes(
        warc(
            ("https://a.example/", "200 OK", HTML, "<p>Käse \x80".encode("latin-1")),
            ("https://a.example/pic", "200 OK", [("Content-Type", "image/png")], b"\x89PNG"),
            ("https://a.example/old", "301 Moved", [("Location", "/")], b""),
            packed=packed,
        )
    )
    found = import_warc(cache, path)
    assert found.imported == ["https://a.example/", "https://a.example/old"]
    assert cache.get("https://a.example/").tree == "- paragraph: Käse €"
    assert cache.get("https://a.example/old").redirect_to == "https://a.example/"
    assert cache.get("https://a.example/").fetched_at == "2024-05-01T12:00:00Z"


CODED = [("Content-Type", "text/html; charset=utf-8"), ("Content-Encoding", "gzip")]


@WRITER_LEAKS
def test_a_warc_as_crawlers_write_it(tmp_path, cache):
    """Compressed and chunked bodies, a revisit, a body that was cut off, one in a code that nothing here reads."""
    body = gzip.compress(b"<p>packed")
    chunked = b"%x\r\n%s\r\n0\r\n\r\n" % (len(body), body)
    cut = {"WARC-Truncated": "length"}
    path = tmp_path / "x.warc.gz"
    path.write_bytes(
        warc(
            ("https://a.example/packed", "200 OK", CODED, body),
            ("https://a.example/chunks", "200 OK", [*CODED, ("Transfer-Encoding", "chunked")], chunked),
            ("https://a.example/cut", "200 OK", HTML, b"<p>one and tw", cut),
            ("https://a.example/zstd", "200 OK", [HTML[0], ("Content-Encoding", "zstd")], b"(\xb5/\xfd"),
            ("https://a.example/gone", "200 OK", HTML, b"<p>x" * 5_000_000),
            ("https://a.example/again", "302 Found", [("Location", "packed")], b""),
            ("https://a.example/beacon", "302 Found", [("Location", "pixel.gif")], b""),
            ("https://a.example/packed", "200 OK", HTML, b"", {"WARC-Type": "revisit"}),
        )
    )  # fmt: skip
    found = import_warc(cache, path)
    assert [url.rpartition("/")[2] for url in found.imported] == ["packed", "chunks", "again"]
    assert {cache.get(url).tree for url in found.imported[:2]} == {"- paragraph: packed"}
    assert found.refused == [
        ("https://a.example/cut", "was cut off by its crawler"),
        ("https://a.example/zstd", "is encoded as zstd, which cannot be read"),
        ("https://a.example/gone", "is larger than 16777216 bytes"),
    ]
    assert found.skipped == 1


@WRITER_LEAKS
@pytest.mark.parametrize("cut", [10, 300, -200])
def test_a_broken_warc_is_told(tmp_path, cache, cut):
    path = tmp_path / "x.warc.gz"
    whole = warc(("https://a.example/", "200 OK", HTML, b"<p>x" * 50), packed=False)
    path.write_bytes(b"nonsense" + whole[:cut])
    with pytest.raises(RecordError, match="is no readable WARC") as caught:
        import_warc(cache, path)
    assert str(path) in caught.value.message
