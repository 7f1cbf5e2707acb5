"""Recording: pages fetched from a site into a cache."""

from __future__ import annotations

import http.client
import time
import urllib.error
import urllib.robotparser
from collections.abc import Sequence

from attrs import Factory, define

from orbiter.checks import check_number, check_whole_number
from orbiter.errors import ConfigError
from orbiter_liveweb.cache import Cache
from orbiter_liveweb.fetching import AGENT, Fetcher, FetchError, ask
from orbiter_liveweb.links import links_of
from orbiter_liveweb.placeholders import placeholder_kind
from orbiter_liveweb.snapshot import Snapshot
from orbiter_liveweb.urls import normalise, origin_of


@define
class Recording:
    """What was recorded, and what was not and why."""

    recorded: list[str] = Factory(list)
    refused: list[tuple[str, str]] = Factory(list)


def record(
    cache: Cache,
    urls: Sequence[str],
    *,
    fetcher: Fetcher,
    follow: str | None = None,
    max_pages: int = 1_000,
    delay_s: float = 0.0,
    robots: bool = True,
) -> Recording:
    """Fetch pages into a cache, and with ``follow`` the pages that they link to.

    A page that cannot be fetched, is a placeholder or is forbidden by the site's robots.txt is refused by name; what the cache has
    of it stays, and stays as old as it is.

    Args:
        cache: Where to.
        urls: Addresses to begin with.
        fetcher: How.
        follow: Follow links to addresses that begin so; None: none.
        max_pages: Most pages that are asked for.
        delay_s: Seconds between two pages.
        robots: Go by robots.txt.
    """
    check_whole_number("max_pages", max_pages, low=1)
    check_number("delay_s", delay_s, "[0, inf)")
    prefix = None if follow is None else normalise(follow)
    waiting = list(dict.fromkeys(normalise(url) for url in urls))
    known, found, rules = set(waiting), Recording(), _Robots() if robots else None
    asked = 0
    while waiting and asked < max_pages:
        url = waiting.pop(0)
        if asked and delay_s:
            time.sleep(delay_s)
        asked += 1
        try:
            snapshot = _recorded(cache, url, fetcher, rules)
        except FetchError as error:
            found.refused.append((url, str(error)))
            continue
        except ConfigError as error:
            found.refused.append((url, error.message))
            continue
        found.recorded.append(snapshot.url)
        if prefix is None:
            continue
        for link in links_of(snapshot):
            if link.startswith(prefix) and link not in known:
                known.add(link)
                waiting.append(link)
    return found


def _recorded(cache: Cache, url: str, fetcher: Fetcher, rules: _Robots | None) -> Snapshot:
    if rules is not None:
        rules.check(url)
    page = fetcher.fetch(url)
    there = normalise(page.url)
    if rules is not None and there != url:
        try:
            rules.check(there)
        except FetchError as error:
            raise FetchError(f"leads to {there}, which {error}") from None
    kind = placeholder_kind(page.html, status=page.status)
    if kind is not None:
        raise FetchError(f"is a placeholder: {kind}")
    snapshot = Snapshot.of_page(
        page.url,
        page.html,
        fetched_at=page.fetched_at,
        source=fetcher.source,
        status=page.status,
        api_data=page.api_data,
    )
    cache.put(snapshot)
    if snapshot.url != url:
        when = {"fetched_at": page.fetched_at, "source": fetcher.source}
        cache.put(Snapshot.of_redirect(url, snapshot.url, **when))
    return snapshot


class _Robots:
    """The robots.txt of each site, read once."""

    def __init__(self) -> None:
        self._rules: dict[str, urllib.robotparser.RobotFileParser | str] = {}

    def check(self, url: str) -> None:
        """Raise FetchError where the site of a page forbids it, or cannot say."""
        origin = origin_of(url)
        if origin not in self._rules:
            self._rules[origin] = _rules_of(origin)
        rules = self._rules[origin]
        if isinstance(rules, str):
            raise FetchError(f"has a robots.txt that cannot be read: {rules}")
        if not rules.can_fetch(AGENT, url):
            raise FetchError("is forbidden by robots.txt")


def _rules_of(origin: str) -> urllib.robotparser.RobotFileParser | str:
    """Return the rules of a site, or why they cannot be read: such a site wants nobody (RFC 9309, 2.3.1.4)."""
    rules = urllib.robotparser.RobotFileParser()
    try:
        with ask(f"{origin}robots.txt") as response:
            rules.parse(response.read(500_000).decode(errors="replace").splitlines())
    except (OSError, ValueError, http.client.HTTPException) as error:
        if not isinstance(error, urllib.error.HTTPError) or error.code >= 500:
            return str(error) or type(error).__name__
        rules.parse([])  # there is none: everything is allowed
    return rules
