import os
import threading
from datetime import UTC, datetime, timedelta

import attrs
import orjson
import pytest
from orbiter_liveweb.cache import Cache, CacheError
from orbiter_liveweb.snapshot import Snapshot, timestamp
from orbiter_liveweb.synthetic import build

from orbiter.errors import ConfigError

WHEN = "2024-05-01T12:00:00Z"


def snapshot(url="https://a.example/", html="<title>T</title><p>text", **more):
    return Snapshot.of_page(url, html, fetched_at=WHEN, source="http", **more)


def test_what_was_put_comes_back(tmp_path):
    cache = Cache(tmp_path, create=True)
    put = snapshot("HTTPS://A.example:443/x?b=1&a=2&utm_source=z", api_data={"k": [1, None]})
    cache.put(put)
    assert Cache(tmp_path).get("https://a.example/x?a=2&b=1") == put
    assert (put.title, put.tree, put.api_data) == ("T", "- paragraph: text", {"k": [1, None]})
    assert Cache(tmp_path).urls() == ["https://a.example/x?a=2&b=1"]


def test_one_address_has_one_snapshot(tmp_path):
    cache = Cache(tmp_path, create=True)
    cache.put(snapshot(html="<p>old"))
    assert cache.get("https://a.example/").tree == "- paragraph: old"
    cache.put(snapshot(html="<p>new"))
    assert cache.get("https://a.example/").tree == "- paragraph: new"
    assert len(list(cache.files())) == len(cache.urls()) == 1


def test_two_synthetic_webs_are_not_mixed(own_web, tmp_path):
    assert build(own_web.folder).urls() == own_web.urls()  # the same again
    cache = Cache(tmp_path / "other", create=True)
    cache.put(snapshot())
    with pytest.raises(ConfigError, match="holds pages that are not of this synthetic web"):
        build(cache.folder)
    assert cache.urls() == ["https://a.example/"]


def test_no_address_is_part_of_a_path(tmp_path):
    cache = Cache(tmp_path / "c", create=True)
    cache.put(snapshot("https://a.example/../../../etc/passwd%00/..%2f..%2fx?../../y=/z"))
    (path,) = cache.files()
    assert path.parent.parent == tmp_path / "c" / "pages"
    assert path.stem.isalnum()


@pytest.mark.parametrize(
    "old_new",
    [
        (b"text", b"TEXT"),
        (b"2024-05-01", b"2025-05-01"),
        (b"<p>", b"<b>"),
        (b'"status":200', b'"status":201'),
    ],
)
def test_an_altered_page_is_named(tmp_path, old_new):
    cache = Cache(tmp_path, create=True)
    cache.put(snapshot())
    (path,) = cache.files()
    data = path.read_bytes()
    assert old_new[0] in data
    path.write_bytes(data.replace(*old_new))
    with pytest.raises(
        CacheError, match=r"page https://a\.example/ was altered since it was recorded"
    ):
        Cache(tmp_path).get("https://a.example/")


@pytest.mark.parametrize(
    "data", [b"", b"{", b"[]", b"null", b'{"url": 1, "content_hash": "x"}', b"\xff"]
)
def test_a_damaged_file_is_named(tmp_path, data):
    cache = Cache(tmp_path, create=True)
    cache.put(snapshot())
    (path,) = cache.files()
    path.write_bytes(data)
    with pytest.raises(CacheError, match=r"snapshot of https://a\.example/ is damaged"):
        Cache(tmp_path).get("https://a.example/")


def test_a_write_that_fails_leaves_what_was_there(tmp_path, monkeypatch):
    cache = Cache(tmp_path, create=True)
    cache.put(snapshot(html="<p>old"))

    def fail(*_):
        raise OSError(28, "no space left")

    monkeypatch.setattr(os, "replace", fail)
    with pytest.raises(OSError, match="no space"):
        cache.put(snapshot(html="<p>new"))
    monkeypatch.undo()
    assert Cache(tmp_path).get("https://a.example/").tree == "- paragraph: old"
    assert [p.suffix for p in (tmp_path / "pages").glob("??/*")] == [".json"]


def test_two_who_put_one_page_leave_it_as_it_is_listed(tmp_path, monkeypatch):
    """The second comes in between a page of the first and its line in the list."""
    Cache(tmp_path, create=True)
    replace, second = os.replace, None

    def interrupted(*paths):
        nonlocal second
        replace(*paths)
        if second is None:
            page = snapshot(html="<p>second")
            second = threading.Thread(target=lambda: Cache(tmp_path).put(page))
            second.start()
            second.join(0.2)

    monkeypatch.setattr(os, "replace", interrupted)
    Cache(tmp_path).put(snapshot(html="<p>first"))
    second.join()
    cache = Cache(tmp_path)
    assert cache.get("https://a.example/").html == "<p>second"
    assert cache.listed["https://a.example/"] == cache.get("https://a.example/").content_hash


def test_a_line_that_was_torn_is_alone(tmp_path):
    cache = Cache(tmp_path, create=True)
    cache.put(snapshot())
    with open(tmp_path / "pages.jsonl", "ab") as file:
        file.write(b'{"url": "https://b.ex')
    cache.put(snapshot("https://c.example/"))
    lines = (tmp_path / "pages.jsonl").read_bytes().splitlines(keepends=True)
    (tmp_path / "pages.jsonl").write_bytes(lines[0] + lines[2])
    assert Cache(tmp_path).urls() == ["https://a.example/", "https://c.example/"]


def test_a_page_that_could_not_be_read_again_is_none(tmp_path, monkeypatch):
    cache = Cache(tmp_path, create=True)
    cache.put(snapshot(html="<p>" + "x" * 1_000))
    (path,) = cache.files()
    monkeypatch.setattr("orbiter_liveweb.snapshot.MAX_SNAPSHOT_BYTES", path.stat().st_size)
    snapshot(html="<p>" + "x" * 1_000)
    with pytest.raises(ConfigError, match=r"page https://a\.example/ is larger than"):
        snapshot(html="<p>" + "x" * 1_001)


def test_a_page_that_is_nested_too_deep_for_a_tree_is_told():
    chain = "".join(f"<p id=i{n} aria-owns=i{n + 1}>" for n in range(3_000))
    with pytest.raises(ConfigError, match="nested too deep"):
        snapshot(html=chain)
    assert snapshot(html="<button>" + "<span>" * 3_000 + "x").tree == '- button "x"'


def test_a_page_is_as_old_as_its_fetch(tmp_path):
    cache = Cache(tmp_path, create=True)
    cache.put(snapshot())
    now = datetime(2024, 5, 3, 12, tzinfo=UTC)
    assert cache.get("https://a.example/").age_s(now) == timedelta(days=2).total_seconds()
    cache.put(cache.get("https://a.example/"))
    assert Cache(tmp_path).get("https://a.example/").fetched_at == WHEN


def test_no_cache_is_told_with_what_to_do(tmp_path):
    with pytest.raises(CacheError, match="is no cache") as caught:
        Cache(tmp_path / "nowhere")
    assert "orbiter liveweb" in caught.value.hint
    assert not (tmp_path / "nowhere").exists()


def test_a_page_without_a_time_of_its_fetch_is_none():
    with pytest.raises(ConfigError, match="time must look like"):
        attrs.evolve(snapshot(), fetched_at="noon")
    with pytest.raises(ConfigError, match="fetched_at must be in UTC"):
        attrs.evolve(snapshot(), fetched_at="2024-05-01T14:00:00+02:00")


def test_times_have_a_zone():
    assert timestamp("2024-05-01T14:00:00.123+02:00") == WHEN
    for wrong in ("2024-05-01", "noon", "2024-05-01T12:00:00"):
        with pytest.raises(ConfigError, match="time must look like"):
            timestamp(wrong)


def test_a_torn_list_is_told(tmp_path):
    cache = Cache(tmp_path, create=True)
    cache.put(snapshot())
    with open(tmp_path / "pages.jsonl", "ab") as file:
        file.write(orjson.dumps({"url": "https://b.example/"})[:-4] + b"\n")
    with pytest.raises(CacheError, match="line 2"):
        Cache(tmp_path).urls()
