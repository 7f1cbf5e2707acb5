"""What an archive holds of the web, into a cache: only pages, only once, each as old as it is."""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Mapping
from typing import Any

from attrs import Factory, define, frozen

from orbiter.errors import ConfigError
from orbiter_liveweb.cache import MAX_REDIRECTS, Cache, CacheError, read_snapshot
from orbiter_liveweb.content import HTML_TYPES, media_type
from orbiter_liveweb.placeholders import placeholder_kind
from orbiter_liveweb.snapshot import Snapshot, timestamp
from orbiter_liveweb.urls import normalise, resolve

NOT_MODIFIED = 304


@frozen(kw_only=True)
class Capture:
    """One answer of a server to a GET request, as an archive has it; without ``html``, ``missing`` says why that is not there."""

    url: str
    status: int
    mime: str
    html: str | None
    fetched_at: str
    missing: str
    redirect_to: str | None = None
    api_data: Any = None


@define
class Imported:
    """What came of an import.

    Args:
        imported: Addresses that the cache has now.
        skipped: How many answers were no HTML, and led to none.
        refused: Addresses that were not taken, and why.
        clashes: Pairs of addresses that are normalised to one but had different pages; the page that was fetched last was taken.
        older: Addresses of which the cache has a page at least as new.
    """

    imported: list[str] = Factory(list)
    skipped: int = 0
    refused: list[tuple[str, str]] = Factory(list)
    clashes: list[tuple[str, str]] = Factory(list)
    older: list[str] = Factory(list)


def import_captures(cache: Cache, captures: Iterable[Capture], *, source: str) -> Imported:
    """Put captures into a cache, one after the other; a page in it that is at least as new stays."""
    found = Imported()
    cache.put_all(_Import(cache, source, found).taken(captures))
    return found


class _Import:
    """What is known of the addresses of one archive while it is read."""

    def __init__(self, cache: Cache, source: str, found: Imported) -> None:
        self._cache, self._source, self._found = cache, source, found
        self._newest: dict[str, str] = {}
        self._pages: dict[str, tuple[str, int]] = {}
        self._is_taken: dict[str, bool] = {}

    def taken(self, captures: Iterable[Capture]) -> Iterator[Snapshot]:
        """Yield what the cache has to take: pages as they come, then the redirects that lead to pages."""
        redirects: list[tuple[str, Snapshot]] = []
        for capture in captures:
            try:
                snapshot = _snapshot(capture, self._source)
            except ConfigError as error:
                self._found.refused.append((capture.url[:200], error.message))
                continue
            if snapshot is None:
                self._found.skipped += 1
            elif snapshot.redirect_to is not None:
                redirects.append((capture.url, snapshot))
            elif self._is_newest(snapshot, capture.url):
                yield from self._if_newer(snapshot)
        pages = dict(self._newest)
        leads_on = {one.url: one.redirect_to for _, one in redirects}
        for written, one in redirects:
            if not self._leads_to_a_page(one, leads_on):
                self._found.skipped += 1
            elif pages.get(one.url, "") >= one.fetched_at:
                continue  # it was a page then
            elif self._is_newest(one, written):
                yield from self._if_newer(one)
        for url, is_taken in self._is_taken.items():
            (self._found.imported if is_taken else self._found.older).append(url)

    def _is_newest(self, snapshot: Snapshot, written: str) -> bool:
        """Return whether the archive has had nothing newer of an address; a different page under another spelling is a clash."""
        url, spelling = snapshot.url, written.partition("#")[0]
        page = hash((snapshot.html, snapshot.redirect_to))
        other, other_page = self._pages.get(url, (spelling, page))
        if other != spelling and other_page != page:
            self._found.clashes.append((other, spelling))
        if self._newest.get(url, "") > snapshot.fetched_at:
            return False
        self._newest[url] = snapshot.fetched_at
        self._pages[url] = (spelling, page)
        return True

    def _if_newer(self, snapshot: Snapshot) -> Iterator[Snapshot]:
        """Yield what the cache has to take for an address: nothing where it has something as new."""
        url = snapshot.url
        there = None if self._is_taken.get(url) else self._there(url)
        self._is_taken[url] = there is None or there.fetched_at < snapshot.fetched_at
        if self._is_taken[url]:
            yield snapshot
        elif there is not None and self._cache.listed.get(url) != there.content_hash:
            yield there  # it was put, and never listed: an import was killed

    def _there(self, url: str) -> Snapshot | None:
        path = self._cache.path_of(url)
        try:
            return read_snapshot(path, url=url) if path.is_file() else None
        except CacheError:
            return None  # what is damaged is mended

    def _leads_to_a_page(self, redirect: Snapshot, leads_on: Mapping[str, str | None]) -> bool:
        url = redirect.redirect_to
        for _ in range(MAX_REDIRECTS):
            if url is None:
                return False
            if url in self._is_taken or self._cache.path_of(url).is_file():
                return True
            url = leads_on.get(url)
        return False


def _snapshot(capture: Capture, source: str) -> Snapshot | None:
    """Return the snapshot of a capture, or None where it is no page."""
    status = 200 if capture.status == NOT_MODIFIED else capture.status  # a page that was cached
    if 300 <= status < 400:
        if capture.redirect_to is None:
            return None
        to = resolve(capture.url, capture.redirect_to)
        if to is None:
            return None
        url, when = normalise(capture.url), _fetched_at(capture)
        return Snapshot.of_redirect(url, to, fetched_at=when, source=source)
    if media_type(capture.mime) not in HTML_TYPES:
        return None
    url, when = normalise(capture.url), _fetched_at(capture)
    if not 100 <= status <= 599:
        raise ConfigError(f"has no HTTP status but {status}")
    if capture.html is None:
        raise ConfigError(capture.missing)
    kind = placeholder_kind(capture.html, status=status)
    if kind is not None:
        raise ConfigError(f"is a placeholder: {kind}")
    return Snapshot.of_page(
        url,
        capture.html,
        fetched_at=when,
        source=source,
        status=status,
        api_data=capture.api_data,
    )


def _fetched_at(capture: Capture) -> str:
    when = timestamp(capture.fetched_at)
    if when > timestamp():
        raise ConfigError(f"was fetched in the future, at {when}")
    return when
