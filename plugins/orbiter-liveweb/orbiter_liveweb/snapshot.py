"""A snapshot: what one page held when it was fetched."""

from __future__ import annotations

import hashlib
from datetime import UTC, datetime
from functools import cached_property
from typing import Any

import orjson
from attrs import asdict, field, frozen

from orbiter.checks import check_whole_number
from orbiter.errors import ConfigError
from orbiter_liveweb.aria import aria_snapshot
from orbiter_liveweb.dom import parse, title_of
from orbiter_liveweb.screen import Screen
from orbiter_liveweb.urls import normalise

SOURCES = ("browser", "http", "har", "warc", "generated")

MAX_SNAPSHOT_BYTES = 64 * 2**20
"""Largest snapshot, in bytes of JSON."""

_HASH_BYTES = len(',"content_hash":""') + 32


@frozen(kw_only=True)
class Snapshot:
    """One page as it was fetched.

    Args:
        url: Its normalised address.
        title: The title of the page.
        html: The page; one that a browser recorded is the document as scripts had left it.
        tree: The accessibility tree of ``html`` alone, without style sheets and scripts, as YAML.
        fetched_at: When it was fetched, RFC 3339 in UTC; never later than the fetch, whatever is done with the snapshot.
        source: How it came: one of SOURCES.
        status: The HTTP status.
        api_data: JSON that belongs to the page, or None.
        redirect_to: The normalised address that this one led to, instead of a page.
    """

    url: str
    title: str
    html: str
    tree: str
    fetched_at: str
    source: str
    status: int = 200
    api_data: Any = None
    redirect_to: str | None = None
    content_hash: str = field(init=False, default="")

    def __attrs_post_init__(self) -> None:
        if self.source not in SOURCES:
            raise ConfigError(f"source must be one of {', '.join(SOURCES)}, got {self.source!r}")
        check_whole_number("status", self.status, low=100, high=599)
        if timestamp(self.fetched_at) != self.fetched_at:
            raise ConfigError(
                f"fetched_at must be in UTC and whole seconds, got {self.fetched_at!r}"
            )
        fields = {k: v for k, v in asdict(self, recurse=False).items() if k != "content_hash"}
        try:
            data = orjson.dumps(fields, option=orjson.OPT_SORT_KEYS)
        except TypeError as error:
            raise ConfigError(f"page {self.url} cannot be kept as JSON: {error}") from None
        if len(data) + _HASH_BYTES > MAX_SNAPSHOT_BYTES:
            raise ConfigError(f"page {self.url} is larger than {MAX_SNAPSHOT_BYTES} bytes")
        object.__setattr__(self, "content_hash", hashlib.blake2b(data, digest_size=16).hexdigest())

    @classmethod
    def of_page(
        cls,
        url: str,
        html: str,
        *,
        fetched_at: str,
        source: str,
        status: int = 200,
        api_data: Any = None,
    ) -> Snapshot:
        """Return the snapshot of a page whose title and tree are read from its HTML.

        Raises:
            ConfigError: The address is none, or the page is one that no tree can be made of.
        """
        # Half a character, which no JSON holds, is a replacement character in every browser.
        html = html.encode(errors="replace").decode()
        root = parse(html)
        return cls(
            url=normalise(url),
            title=title_of(root),
            html=html,
            tree=aria_snapshot(root),
            fetched_at=fetched_at,
            source=source,
            status=status,
            api_data=api_data,
        )

    @classmethod
    def of_redirect(cls, url: str, to: str, *, fetched_at: str, source: str) -> Snapshot:
        """Return the snapshot of an address that leads to another; both are normalised."""
        return cls(
            url=url,
            title="",
            html="",
            tree="",
            fetched_at=fetched_at,
            source=source,
            status=302,
            redirect_to=to,
        )

    @cached_property
    def screen(self) -> Screen:
        """What the page shows before anything is typed."""
        return Screen(self.url, self.title, self.tree)

    def age_s(self, now: datetime | None = None) -> float:
        """Return the seconds since it was fetched."""
        now = now or datetime.now(UTC)
        return (now - datetime.fromisoformat(self.fetched_at)).total_seconds()


def timestamp(when: str | None = None) -> str:
    """Return a time as snapshots write it, to the second in UTC; default: now.

    Raises:
        ConfigError: It is no time with a zone.
    """
    try:
        time = datetime.now(UTC) if when is None else datetime.fromisoformat(when)
        if time.tzinfo is not None:
            return time.astimezone(UTC).strftime("%Y-%m-%dT%H:%M:%SZ")
    except (
        ValueError,
        OverflowError,
    ):  # the first and the last day of all have no hour in some zones
        pass
    raise ConfigError(f"time must look like 2024-05-01T12:00:00Z, got {(when or '')[:60]!r}")
