import pytest
from orbiter_liveweb.browser import served
from orbiter_liveweb.cache import Cache
from orbiter_liveweb.checking import check_cache
from orbiter_liveweb.importing import Capture, import_captures

HOME = "https://a.example/"
LATER = "2024-06-01T00:00:00Z"


def capture(url=HOME, html="<title>T</title><p>text", *, fetched_at="2024-05-01T12:00:00Z", **more):
    made = {"status": 200, "mime": "text/html", "missing": "", **more}
    return Capture(url=url, html=html, fetched_at=fetched_at, **made)


@pytest.fixture
def imported(cache):
    """Imports captures into the cache."""
    return lambda *captures: import_captures(cache, captures, source="har")


def test_an_import_that_was_killed_is_made_good_by_another(cache, imported):
    captures = [capture(), capture(f"{HOME}b")]
    imported(*captures)
    listing = cache.folder / "pages.jsonl"
    listing.write_bytes(listing.read_bytes().splitlines(keepends=True)[0])
    cache.path_of(HOME).write_bytes(b"{")
    again = Cache(cache.folder)
    assert [finding.kind for finding in check_cache(again)] == ["altered page", "unlisted page"]
    import_captures(again, captures, source="har")
    assert check_cache(Cache(cache.folder)) == []


def test_a_page_that_is_too_large_does_not_stop_the_others(imported, monkeypatch):
    monkeypatch.setattr("orbiter_liveweb.snapshot.MAX_SNAPSHOT_BYTES", 1_000)
    found = imported(capture(HOME, "<p>" + "x" * 1_000), capture(f"{HOME}b"))
    assert (found.imported, [url for url, _ in found.refused]) == ([f"{HOME}b"], [HOME])


def test_a_page_that_moved_away_later_is_no_clash(cache, imported):
    tracked = f"{HOME}?utm_source=x"
    moved = capture(tracked, "", status=302, fetched_at=LATER, redirect_to="/b")
    assert imported(capture(f"{HOME}b"), capture(tracked), moved).clashes == []
    assert served(cache, HOME).url == f"{HOME}b"


def test_two_pages_of_one_address_are_a_clash(cache, imported):
    found = imported(
        capture(f"{HOME}?q=1&utm_source=x", "<p>one"),
        capture(f"{HOME}?q=1", "<p>two", fetched_at=LATER),
        capture(f"{HOME}same?utm_id=1"),
        capture(f"{HOME}same"),
    )
    assert found.clashes == [(f"{HOME}?q=1&utm_source=x", f"{HOME}?q=1")]
    assert cache.get(f"{HOME}?q=1").html == "<p>two"


def test_what_is_newer_stays(cache, imported):
    imported(capture(HOME, "<p>new", fetched_at=LATER))
    found = imported(capture(HOME, "<p>old"))
    assert (found.imported, found.older) == ([], [HOME])
    assert cache.get(HOME).html == "<p>new"


def test_a_page_of_the_future_is_refused(imported):
    found = imported(capture(fetched_at="2999-01-01T00:00:00Z"))
    assert "in the future" in found.refused[0][1]
