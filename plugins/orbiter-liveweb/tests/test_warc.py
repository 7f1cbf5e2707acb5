import gzip
import io

import pytest
from orbiter_liveweb.warc import import_warc
from warcio.statusandheaders import StatusAndHeaders
from warcio.warcwriter import WARCWriter

from orbiter.errors import RecordError

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
