import base64
import json

import pytest
from orbiter_liveweb.browser import served
from orbiter_liveweb.cache import Cache
from orbiter_liveweb.har import export_har, import_har
from orbiter_liveweb.snapshot import Snapshot

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
