import attrs
import pytest
from orbiter_liveweb.cache import Cache
from orbiter_liveweb.checking import check_cache
from orbiter_liveweb.sites import topology_of
from orbiter_liveweb.snapshot import Snapshot

URL = "https://weather.example/"
WHEN = "2024-05-01T12:00:00Z"


def found(cache):
    return [(f.kind, f.url, f.is_error) for f in check_cache(Cache(cache.folder))]


@pytest.fixture
def small(cache, page):
    """Three pages that link to each other."""
    for path, link in (("", "a"), ("a", "b"), ("b", "")):
        html = f"<title>{path}</title><p>text <a href='/{link}'>on</a> <a href='https://other.example/'>out</a>"
        cache.put(page(html, f"https://a.example/{path}"))
    return cache


def test_the_synthetic_web_is_sound(web):
    assert check_cache(web, topology_of(web)) == []


def test_a_page_that_was_deleted_is_named(small):
    small.path_of("https://a.example/a").unlink()
    assert found(small) == [
        ("missing page", "https://a.example/a", True),
        ("missing link", "https://a.example/a", False),
    ]


def test_a_page_that_was_altered_is_named(small):
    path = small.path_of("https://a.example/a")
    path.write_bytes(path.read_bytes().replace(b"text", b"TEXT"))
    assert ("altered page", "https://a.example/a", True) in found(small)


def test_a_page_that_was_altered_with_its_hash_is_named(small, page):
    """Whoever writes the whole snapshot anew still differs from the list of what was recorded."""
    data = (small.folder / "pages.jsonl").read_bytes()
    html = small.get("https://a.example/a").html.replace("text", "TEXT")
    small.put(page(html, "https://a.example/a"))
    (small.folder / "pages.jsonl").write_bytes(data)
    assert found(small) == [("altered page", "https://a.example/a", True)]


def test_a_page_in_the_place_of_another_is_named(small):
    small.path_of("https://a.example/a").write_bytes(
        small.path_of("https://a.example/b").read_bytes()
    )
    assert ("key clash", "https://a.example/b", True) in found(small)


def test_a_page_that_nobody_listed_is_named(small):
    listed = (small.folder / "pages.jsonl").read_bytes().splitlines(keepends=True)
    (small.folder / "pages.jsonl").write_bytes(b"".join(listed[:2]))
    assert found(small) == [("unlisted page", "https://a.example/b", True)]


def test_a_file_that_cannot_be_read_is_named(small):
    path = small.path_of("https://a.example/a")
    path.unlink()
    path.mkdir()
    assert ("altered page", "https://a.example/a", True) in found(small)


def test_a_title_that_is_not_that_of_the_page_is_named(small):
    small.put(attrs.evolve(small.get("https://a.example/a"), title="b"))
    assert found(small) == [("other title", "https://a.example/a", True)]


def test_a_page_that_no_tree_can_be_made_of_is_named(small):
    chain = "".join(f"<p id=i{n} aria-owns=i{n + 1}>" for n in range(3_000))
    small.put(attrs.evolve(small.get("https://a.example/a"), html=f"<title>a</title>{chain}"))
    assert ("other tree", "https://a.example/a", True) in found(small)


def test_a_redirect_that_leads_nowhere_is_named(small):
    small.put(Snapshot.of_redirect("https://a.example/r", "https://gone.example/", fetched_at=WHEN, source="http"))  # fmt: skip
    assert found(small) == [("missing link", "https://gone.example/", False)]


def test_a_damaged_list_is_named(small):
    (small.folder / "pages.jsonl").write_bytes(b"{")
    assert ("damaged list", "pages.jsonl", True) in found(small)


def test_placeholders_and_false_trees_are_named(small, page):
    challenge = page("<title>Just a moment...</title>x", "https://a.example/c")
    lying = attrs.evolve(small.get("https://a.example/b"), tree="- paragraph: other")
    small.put_all([challenge, lying])
    assert ("placeholder", "https://a.example/c", True) in found(small)
    assert ("other tree", "https://a.example/b", True) in found(small)


def test_what_is_old_is_named_where_age_matters(small):
    kinds = {f.kind for f in check_cache(small, max_age_s=3600)}
    assert kinds == {"stale page"}
    assert check_cache(small, max_age_s=1e12) == []


def test_a_question_without_truth_is_named(own_web, page):
    for year in [u for u in own_web.urls() if "/station/" in u and u.endswith("/2021")]:
        html = own_web.get(year).html.replace("tbody", "tfoot")
        own_web.put(page(html, year), durable=False)
    nulls = [f for f in check_cache(own_web, topology_of(own_web)) if f.kind == "null truth"]
    assert nulls
    assert all(f.is_error for f in nulls)
    assert any(f.url.startswith("weather/year_total/") for f in nulls)


def test_a_page_without_which_nothing_is_drawn_is_named(own_web):
    for year in [u for u in own_web.urls() if "/station/" in u and u.endswith(("/2021", "/2022"))]:
        own_web.path_of(year).unlink()
    cache = Cache(own_web.folder)
    found = [f for f in check_cache(cache, topology_of(cache)) if f.kind == "null truth"]
    said = {f.url: f.said for f in found if f.is_error}
    assert said["towns/wetter_home"].startswith("the cache has no page https://weather.example/")
    assert any("which is missing" in said[name] for name in said if "month_spread/" in name)


def test_an_altered_page_is_named_by_the_questions_that_need_it(own_web):
    for year in [u for u in own_web.urls() if "/station/" in u and u.endswith("/2021")]:
        path = own_web.path_of(year)
        path.write_bytes(path.read_bytes().replace(b"tbody", b"tfoot"))
    cache = Cache(own_web.folder)
    said = [f.said for f in check_cache(cache, topology_of(cache)) if f.kind == "null truth"]
    assert said
    assert all("/2021 was altered since it was recorded" in one for one in said)
