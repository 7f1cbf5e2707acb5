"""What an archive holds of the web, into a cache: only pages, only once, each as old as it is."""

from __future__ import annotations

from collections.abc import Iterable
from datetime import UTC, datetime
from typing import Any

from attrs import Factory, define, frozen

from orbiter.errors import ConfigError
from orbiter_liveweb.cache import Cache
from orbiter_liveweb.placeholders import placeholder_kind
from orbiter_liveweb.record import redirect
from orbiter_liveweb.snapshot import Snapshot, timestamp
from orbiter_liveweb.urls import normalise

_HTML = ("text/html", "application/xhtml+xml")


@frozen(kw_only=True)
class Capture:
    """One answer of a server to a GET request, as an archive has it."""

    url: str
    status: int
    mime: str
    html: str
    fetched_at: str
    redirect_to: str | None = None
    api_data: Any = None


@define
class Imported:
    """What came of an import.

    Args:
        imported: Addresses that the cache has now.
        skipped: How many answers were no HTML.
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
    """Put captures into a cache; a page in it that is at least as new stays."""
    found = Imported()
    chosen: dict[str, tuple[str, Snapshot]] = {}
    for capture in captures:
        try:
            snapshot = _snapshot(capture, source)
        except ConfigError as error:
            found.refused.append((capture.url[:200], error.message))
            continue
        if snapshot is None:
            found.skipped += 1
            continue
        if snapshot.redirect_to is None:
            kind = placeholder_kind(snapshot.html, status=snapshot.status)
            if kind is not None:
                found.refused.append((snapshot.url, f"is a placeholder: {kind}"))
                continue
        earlier = chosen.get(snapshot.url)
        if earlier is not None:
            same_page = (earlier[1].html, earlier[1].redirect_to) == (
                snapshot.html,
                snapshot.redirect_to,
            )
            if not same_page and _spelling(earlier[0]) != _spelling(capture.url):
                found.clashes.append((earlier[0], capture.url))
            if earlier[1].fetched_at > snapshot.fetched_at:
                continue
        chosen[snapshot.url] = (capture.url, snapshot)
    newer: list[Snapshot] = []
    for url, (_, snapshot) in chosen.items():
        there = cache.get(url)
        if there is not None and there.fetched_at >= snapshot.fetched_at:
            found.older.append(url)
        else:
            newer.append(snapshot)
            found.imported.append(url)
    cache.put_all(newer)
    return found


def _spelling(url: str) -> str:
    return url.partition("#")[0]


def _snapshot(capture: Capture, source: str) -> Snapshot | None:
    """Return the snapshot of a capture, or None where it is no page."""
    url = normalise(capture.url)
    when = timestamp(capture.fetched_at)
    if when > timestamp(datetime.now(UTC)):
        raise ConfigError(f"was fetched in the future, at {when}")
    if 300 <= capture.status < 400:
        if capture.redirect_to is None:
            return None
        from urllib.parse import urljoin

        return redirect(
            url,
            normalise(urljoin(capture.url, capture.redirect_to)),
            fetched_at=when,
            source=source,
        )
    if capture.mime.partition(";")[0].strip().lower() not in _HTML:
        return None
    if not 100 <= capture.status <= 599:
        raise ConfigError(f"has no HTTP status but {capture.status}")
    return Snapshot.of_page(
        url,
        capture.html,
        fetched_at=when,
        source=source,
        status=capture.status,
        api_data=capture.api_data,
    )
