"""Recording: pages fetched from a site, with a browser or by plain HTTP, into a cache."""

from __future__ import annotations

import codecs
import http.client
import re
import time
import urllib.error
import urllib.request
import urllib.robotparser
import zlib
from abc import ABC, abstractmethod
from collections.abc import Callable, Sequence
from contextlib import suppress
from typing import Any

import orjson
from attrs import Factory, define, frozen

from orbiter.checks import check_number, check_whole_number
from orbiter.errors import ConfigError
from orbiter_liveweb.cache import Cache
from orbiter_liveweb.dom import parse
from orbiter_liveweb.placeholders import placeholder_kind
from orbiter_liveweb.snapshot import Snapshot, timestamp
from orbiter_liveweb.urls import normalise, origin_of, resolve

HTML_TYPES = ("text/html", "application/xhtml+xml")

MAX_PAGE_BYTES = 16 * 2**20
TIMEOUT_S = 30.0

QUIET_S = 10.0
"""Longest that scripts of a page are waited for."""

MAX_DATA = 32
"""Answers with JSON that are kept with a page, each of at most MAX_DATA_BYTES."""
MAX_DATA_BYTES = 2**20
AGENT = "orbiter-liveweb"

_CHARSET = re.compile(
    rb"""<meta[^>]{0,200}?charset\s*=\s*["']?\s*([A-Za-z0-9_.:-]{1,40})""", re.IGNORECASE
)


_NO_CHARSETS = ("unicode_escape", "raw_unicode_escape", "idna", "punycode", "undefined")
"""Encodings of Python that no page is written in."""


class FetchError(Exception):
    """A page did not come; the text says why."""


@frozen
class Fetched:
    """A page as it came: where from in the end, what, and when; ``api_data``: the JSON that its scripts asked for, by address."""

    url: str
    html: str
    status: int
    fetched_at: str
    api_data: dict[str, Any] | None = None


class Fetcher(ABC):
    """Fetches one page after another."""

    source: str

    @abstractmethod
    def fetch(self, url: str) -> Fetched:
        """Return the page of an address.

        Raises:
            FetchError: There is none, or it is no HTML.
        """


class HttpFetcher(Fetcher):
    """Fetches by plain HTTP: what the server sends, before any script."""

    source = "http"

    def fetch(self, url: str) -> Fetched:
        """Return the page of an address."""
        request = urllib.request.Request(url, headers={"User-Agent": AGENT, "Accept": "text/html"})  # noqa: S310  # normalised: http or https
        try:
            with urllib.request.urlopen(request, timeout=TIMEOUT_S) as response:  # noqa: S310
                return _taken(response)
        except urllib.error.HTTPError as error:
            with error:
                status = f"is a placeholder: status {error.code}"
                raise FetchError(
                    status if error.code >= 400 else f"cannot be fetched: {error}"
                ) from None
        except (OSError, ValueError, http.client.HTTPException, zlib.error) as error:
            said = str(error) or type(error).__name__
            raise FetchError(f"cannot be fetched: {said}") from None


def _taken(response: Any) -> Fetched:
    headers = response.headers
    kind = headers.get_content_type()
    if kind not in HTML_TYPES:
        raise FetchError(f"is no HTML page but {kind[:60]}")
    data = response.read(MAX_PAGE_BYTES + 1)
    if len(data) <= MAX_PAGE_BYTES and (missing := getattr(response, "length", None)):
        raise FetchError(f"was cut off, {missing} bytes before its end")
    encoding = headers.get("Content-Encoding", "identity").strip().lower()
    if encoding in ("gzip", "x-gzip", "deflate"):  # some servers do not ask whether one takes that
        data = zlib.decompressobj(zlib.MAX_WBITS + 32).decompress(data, MAX_PAGE_BYTES + 1)
    elif encoding != "identity":
        raise FetchError(f"is encoded as {encoding[:60]}, which was not asked for")
    if len(data) > MAX_PAGE_BYTES:
        raise FetchError(f"is larger than {MAX_PAGE_BYTES} bytes")
    text = decode(data, headers.get_content_charset())
    return Fetched(response.url, text, response.status, timestamp())


def decode(data: bytes, charset: str | None = None) -> str:
    """Return the text of a page, decoded as browsers do: by byte order mark, header, meta element, else as UTF-8.

    Args:
        data: The page.
        charset: What its header says.
    """
    for mark, name in (
        (codecs.BOM_UTF8, "utf-8"),
        (codecs.BOM_UTF16_LE, "utf-16-le"),
        (codecs.BOM_UTF16_BE, "utf-16-be"),
    ):
        if data.startswith(mark):
            return data[len(mark) :].decode(name, errors="replace")
    said = _CHARSET.search(data[:4096])
    name = charset or (said[1].decode() if said else "utf-8")
    try:
        known = codecs.lookup(name)
    except LookupError:
        known = codecs.lookup("utf-8")
    if not known._is_text_encoding or known.name.replace("-", "_") in _NO_CHARSETS:
        known = codecs.lookup("utf-8")
    # Browsers take these for Windows' code page.
    name = "cp1252" if known.name in ("iso8859-1", "ascii") else known.name
    return data.decode(name, errors="replace")


def charset_of(mime: str) -> str | None:
    """Return the charset that a ``Content-Type`` names, or None."""
    _, found, rest = mime.lower().partition("charset=")
    return rest.split(";")[0].strip(" \"'") or None if found else None


class BrowserFetcher(Fetcher):
    """Fetches with Chromium: the document as scripts have left it when the network is quiet, or after QUIET_S where it never is.

    Args:
        chromium: From :func:`orbiter_liveweb.chromium.launched`.
    """

    source = "browser"

    def __init__(self, chromium: Any) -> None:
        self._context = chromium.new_context(service_workers="block", accept_downloads=False)

    def fetch(self, url: str) -> Fetched:
        """Return the page of an address."""
        from playwright.sync_api import TimeoutError

        tab = self._context.new_page()
        asked: list[Any] = []  # and answered to the end: one that goes on for ever has no body
        tab.on("requestfinished", lambda request: asked.append(request))
        try:
            response = tab.goto(url, wait_until="domcontentloaded", timeout=TIMEOUT_S * 1000)
            if response is None:
                raise FetchError("gave no answer")
            kind = response.headers.get("content-type", "").split(";")[0].strip()
            if kind not in HTML_TYPES:
                raise FetchError(f"is no HTML page but {kind[:60]}")
            # Pages that poll are never quiet, nor are those that wait for a picture that does not come.
            with suppress(TimeoutError):
                tab.wait_for_load_state("networkidle", timeout=QUIET_S * 1000)
            html = tab.content()
            if len(html) > MAX_PAGE_BYTES:
                raise FetchError(f"is larger than {MAX_PAGE_BYTES} bytes")
            answers = [one.response() for one in asked if one.resource_type in ("fetch", "xhr")]
            data = _data_of([answer for answer in answers if answer is not None])
            return Fetched(tab.url, html, response.status, timestamp(), data)
        except FetchError:
            raise
        except Exception as error:  # Playwright's own errors have no common base that is public
            raise FetchError(f"cannot be fetched: {str(error).splitlines()[0]}") from None
        finally:
            tab.close()


def _data_of(answers: Sequence[Any]) -> dict[str, Any] | None:
    """Return the JSON among the answers to a page's scripts, by address; None where there is none."""
    found: dict[str, Any] = {}
    for answer in answers:
        kind = answer.headers.get("content-type", "").split(";")[0].strip().lower()
        if len(found) == MAX_DATA or not (kind == "application/json" or kind.endswith("+json")):
            continue
        try:
            body = answer.body()
            if len(body) <= MAX_DATA_BYTES:
                data = orjson.loads(body)
                orjson.dumps([[data]])  # what is nested too deep for a snapshot cannot be kept
                found[answer.url] = data
        except Exception:  # noqa: S112  # an answer that was cut off, or is no JSON: the page stands without it
            continue
    return found or None


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
    on_page: Callable[[str], None] = lambda _url: None,
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
        on_page: Called with each address before it is fetched.
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
        on_page(url)
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
    if rules is not None and not rules.allow(url):
        raise FetchError("is forbidden by robots.txt")
    page = fetcher.fetch(url)
    there = normalise(page.url)
    if rules is not None and there != url and not rules.allow(there):
        raise FetchError(f"leads to {there}, which is forbidden by robots.txt")
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
        cache.put(redirect(url, snapshot.url, fetched_at=page.fetched_at, source=fetcher.source))
    return snapshot


def redirect(url: str, to: str, *, fetched_at: str, source: str) -> Snapshot:
    """Return the snapshot of an address that leads to another."""
    return Snapshot(
        url=url,
        title="",
        html="",
        tree="",
        fetched_at=fetched_at,
        source=source,
        status=302,
        redirect_to=to,
    )


def links_of(snapshot: Snapshot) -> list[str]:
    """Return the normalised addresses that a page links to, each once, in order."""
    root = parse(snapshot.html)
    base = root.find("base")
    here = (resolve(snapshot.url, base.get("href") or "") if base else None) or snapshot.url
    found = (
        resolve(here, link.get("href") or "") for link in root.find_all("a") if link.get("href")
    )
    return list(dict.fromkeys(url for url in found if url is not None))


class _Robots:
    """The robots.txt of each site, read once."""

    def __init__(self) -> None:
        self._rules: dict[str, urllib.robotparser.RobotFileParser] = {}

    def allow(self, url: str) -> bool:
        origin = origin_of(url)
        if origin not in self._rules:
            rules = urllib.robotparser.RobotFileParser()
            request = urllib.request.Request(f"{origin}robots.txt", headers={"User-Agent": AGENT})  # noqa: S310
            try:
                with urllib.request.urlopen(request, timeout=TIMEOUT_S) as response:  # noqa: S310
                    rules.parse(response.read(500_000).decode(errors="replace").splitlines())
            except (OSError, ValueError, http.client.HTTPException) as error:
                rules.parse([])  # none: everything is allowed
                # A site that cannot say wants nobody (RFC 9309, 2.3.1.4).
                rules.disallow_all = isinstance(error, urllib.error.HTTPError) and error.code >= 500
            self._rules[origin] = rules
        return self._rules[origin].can_fetch(AGENT, url)
