import os
import threading

import orjson
import pytest
from orbiter_liveweb.cache import Cache, CacheError


def test_what_was_put_comes_back(cache, page):
    put = page(url="HTTPS://A.example:443/x?b=1&a=2&utm_source=z", api_data={"k": [1, None]})
    cache.put(put)
    assert Cache(cache.folder).get("https://a.example/x?a=2&b=1") == put
    assert (put.title, put.tree, put.api_data) == ("T", "- paragraph: text", {"k": [1, None]})
    assert Cache(cache.folder).urls() == ["https://a.example/x?a=2&b=1"]


def test_one_address_has_one_snapshot(cache, page):
    cache.put(page("<p>old"))
    assert cache.get("https://a.example/").tree == "- paragraph: old"
    cache.put(page("<p>new"))
    assert cache.get("https://a.example/").tree == "- paragraph: new"
    assert len(list(cache.files())) == len(cache.urls()) == 1


def test_no_address_is_part_of_a_path(cache, page):
    cache.put(page(url="https://a.example/../../../etc/passwd%00/..%2f..%2fx?../../y=/z"))
    (path,) = cache.files()
    assert path.parent.parent == cache.folder / "pages"
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
def test_an_altered_page_is_named(cache, old_new, page):
    cache.put(page())
    (path,) = cache.files()
    data = path.read_bytes()
    assert old_new[0] in data
    path.write_bytes(data.replace(*old_new))
    with pytest.raises(
        CacheError, match=r"page https://a\.example/ was altered since it was recorded"
    ):
        Cache(cache.folder).get("https://a.example/")


@pytest.mark.parametrize(
    "data", [b"", b"{", b"[]", b"null", b'{"url": 1, "content_hash": "x"}', b"\xff"]
)
def test_a_damaged_file_is_named(cache, data, page):
    cache.put(page())
    (path,) = cache.files()
    path.write_bytes(data)
    with pytest.raises(CacheError, match=r"snapshot of https://a\.example/ is damaged"):
        Cache(cache.folder).get("https://a.example/")


def test_a_write_that_fails_leaves_what_was_there(cache, monkeypatch, page):
    cache.put(page("<p>old"))

    def fail(*_):
        raise OSError(28, "no space left")

    monkeypatch.setattr(os, "replace", fail)
    with pytest.raises(OSError, match="no space"):
        cache.put(page("<p>new"))
    monkeypatch.undo()
    assert Cache(cache.folder).get("https://a.example/").tree == "- paragraph: old"
    assert [p.suffix for p in (cache.folder / "pages").glob("??/*")] == [".json"]


def test_two_who_put_one_page_leave_it_as_it_is_listed(cache, monkeypatch, page):
    """The second comes in between a page of the first and its line in the list."""
    replace, second = os.replace, None

    def interrupted(*paths):
        nonlocal second
        replace(*paths)
        if second is None:
            put = page("<p>second")
            second = threading.Thread(target=lambda: Cache(cache.folder).put(put))
            second.start()
            second.join(0.2)

    monkeypatch.setattr(os, "replace", interrupted)
    cache.put(page("<p>first"))
    second.join()
    cache = Cache(cache.folder)
    assert cache.get("https://a.example/").html == "<p>second"
    assert cache.listed["https://a.example/"] == cache.get("https://a.example/").content_hash


def test_a_line_that_was_torn_is_alone(cache, page):
    cache.put(page())
    with open(cache.folder / "pages.jsonl", "ab") as file:
        file.write(b'{"url": "https://b.ex')
    cache.put(page(url="https://c.example/"))
    lines = (cache.folder / "pages.jsonl").read_bytes().splitlines(keepends=True)
    (cache.folder / "pages.jsonl").write_bytes(lines[0] + lines[2])
    assert Cache(cache.folder).urls() == ["https://a.example/", "https://c.example/"]


def test_no_cache_is_told_with_what_to_do(tmp_path):
    with pytest.raises(CacheError, match="is no cache") as caught:
        Cache(tmp_path / "nowhere")
    assert "orbiter liveweb" in caught.value.hint
    assert not (tmp_path / "nowhere").exists()


def test_a_torn_list_is_told(cache, page):
    cache.put(page())
    with open(cache.folder / "pages.jsonl", "ab") as file:
        file.write(orjson.dumps({"url": "https://b.example/"})[:-4] + b"\n")
    with pytest.raises(CacheError, match="line 2"):
        Cache(cache.folder).urls()
