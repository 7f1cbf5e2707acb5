from datetime import UTC, datetime, timedelta

import attrs
import pytest
from orbiter_liveweb.cache import Cache
from orbiter_liveweb.snapshot import timestamp

from orbiter.errors import ConfigError

WHEN = "2024-05-01T12:00:00Z"


def test_a_page_that_could_not_be_read_again_is_none(cache, monkeypatch, page):
    cache.put(page("<p>" + "x" * 1_000))
    (path,) = cache.files()
    monkeypatch.setattr("orbiter_liveweb.snapshot.MAX_SNAPSHOT_BYTES", path.stat().st_size)
    page("<p>" + "x" * 1_000)
    with pytest.raises(ConfigError, match=r"page https://a\.example/ is larger than"):
        page("<p>" + "x" * 1_001)


def test_a_page_that_is_nested_too_deep_for_a_tree_is_told(page):
    chain = "".join(f"<p id=i{n} aria-owns=i{n + 1}>" for n in range(3_000))
    with pytest.raises(ConfigError, match="nested too deep"):
        page(chain)
    assert page("<button>" + "<span>" * 3_000 + "x").tree == '- button "x"'


def test_a_page_is_as_old_as_its_fetch(cache, page):
    cache.put(page())
    now = datetime(2024, 5, 3, 12, tzinfo=UTC)
    assert cache.get("https://a.example/").age_s(now) == timedelta(days=2).total_seconds()
    cache.put(cache.get("https://a.example/"))
    assert Cache(cache.folder).get("https://a.example/").fetched_at == WHEN


def test_a_page_without_a_time_of_its_fetch_is_none(page):
    with pytest.raises(ConfigError, match="time must look like"):
        attrs.evolve(page(), fetched_at="noon")
    with pytest.raises(ConfigError, match="fetched_at must be in UTC"):
        attrs.evolve(page(), fetched_at="2024-05-01T14:00:00+02:00")


def test_times_have_a_zone():
    assert timestamp("2024-05-01T14:00:00.123+02:00") == WHEN
    for wrong in ("2024-05-01", "noon", "2024-05-01T12:00:00", "0001-01-01T00:00:00+14:00"):
        with pytest.raises(ConfigError, match="time must look like"):
            timestamp(wrong)
