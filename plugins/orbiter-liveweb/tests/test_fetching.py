import json

import pytest
from attrs import Factory, frozen
from orbiter_liveweb.fetching import BrowserFetcher, _data_of
from orbiter_liveweb.record import record
from orbiter_liveweb.snapshot import Snapshot

PAGE = "<title>T</title><p>Ünicode and text"


def nested(depth):
    data = {}
    for _ in range(depth):
        data = {"k": data}
    return data


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


class Silent:
    """A browser, a tab and an answer of it in one; what goes wrong with it has no words."""

    def new_context(self, **_):
        return self

    def new_page(self):
        return self

    def on(self, event, listener):
        pass

    def close(self):
        pass

    def goto(self, url, **_):
        raise RuntimeError


def test_a_browser_that_fails_without_a_word_stops_no_recording(cache):
    pytest.importorskip("playwright.sync_api", reason="playwright is not installed")
    found = record(cache, ["http://a.example/"], fetcher=BrowserFetcher(Silent()), robots=False)
    assert found.refused == [("http://a.example/", "cannot be fetched: RuntimeError")]
