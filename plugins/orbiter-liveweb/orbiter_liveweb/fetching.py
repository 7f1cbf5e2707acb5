"""Fetching: one page of a site after another, by plain HTTP or with a browser."""

from __future__ import annotations

import http.client
import urllib.error
import urllib.request
import zlib
from abc import ABC, abstractmethod
from collections.abc import Sequence
from contextlib import suppress
from typing import Any
from urllib.parse import urlsplit

import orjson
from attrs import frozen

from orbiter_liveweb.content import HTML_TYPES, MAX_PAGE_BYTES, decode, media_type
from orbiter_liveweb.snapshot import timestamp

TIMEOUT_S = 30.0

QUIET_S = 10.0
"""Longest that scripts of a page are waited for."""

MAX_DATA = 32
"""Answers with JSON that are kept with a page, each of at most MAX_DATA_BYTES."""
MAX_DATA_BYTES = 2**20
AGENT = "orbiter-liveweb"


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


class _WebRedirects(urllib.request.HTTPRedirectHandler):
    """Follows a redirect within the web; by itself urllib would go to servers of files, too."""

    def redirect_request(
        self, req: Any, fp: Any, code: int, msg: str, headers: Any, newurl: str
    ) -> Any:
        if urlsplit(newurl).scheme not in ("http", "https"):
            raise urllib.error.HTTPError(newurl, code, "leads to no web page", headers, fp)
        return super().redirect_request(req, fp, code, msg, headers, newurl)


_OPENER = urllib.request.build_opener(_WebRedirects)


def ask(url: str, *, accept: str = "*/*") -> Any:
    """Return the answer of a server, to be closed, redirects within the web followed.

    Raises:
        OSError: None came, or one that says it is an error (``urllib.error.HTTPError``).
        http.client.HTTPException, ValueError: What came is no HTTP.
    """
    request = urllib.request.Request(url, headers={"User-Agent": AGENT, "Accept": accept})  # noqa: S310  # normalised: http or https
    return _OPENER.open(request, timeout=TIMEOUT_S)


class HttpFetcher(Fetcher):
    """Fetches by plain HTTP: what the server sends, before any script."""

    source = "http"

    def fetch(self, url: str) -> Fetched:
        """Return the page of an address."""
        try:
            with ask(url, accept="text/html") as response:
                return _taken(response)
        except urllib.error.HTTPError as error:
            with error:
                status = f"is a placeholder: status {error.code}"
                raise FetchError(
                    status if error.code >= 400 else f"cannot be fetched: {error}"
                ) from None
        except (OSError, ValueError, http.client.HTTPException, zlib.error) as error:
            raise _failure(error) from None


def _failure(error: Exception) -> FetchError:
    said = str(error).splitlines() or [type(error).__name__]
    return FetchError(f"cannot be fetched: {said[0]}")


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
        unpacking = zlib.decompressobj(zlib.MAX_WBITS + 32)
        data = unpacking.decompress(data, MAX_PAGE_BYTES + 1)
        if len(data) <= MAX_PAGE_BYTES and not unpacking.eof:
            raise FetchError("was cut off before its end")
    elif encoding != "identity":
        raise FetchError(f"is encoded as {encoding[:60]}, which was not asked for")
    if len(data) > MAX_PAGE_BYTES:
        raise FetchError(f"is larger than {MAX_PAGE_BYTES} bytes")
    text = decode(data, headers.get_content_charset())
    return Fetched(response.url, text, response.status, timestamp())


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
            kind = media_type(response.headers.get("content-type", ""))
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
            raise _failure(error) from None
        finally:
            tab.close()


def _data_of(answers: Sequence[Any]) -> dict[str, Any] | None:
    """Return the JSON among the answers to a page's scripts, by address; None where there is none."""
    found: dict[str, Any] = {}
    for answer in answers:
        kind = media_type(answer.headers.get("content-type", ""))
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
