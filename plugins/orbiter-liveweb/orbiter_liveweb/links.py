"""Where a page leads: the base of its addresses, its links, and the page that it gives way to."""

from __future__ import annotations

import re
from functools import lru_cache

from orbiter_liveweb.dom import Element, parse
from orbiter_liveweb.snapshot import Snapshot
from orbiter_liveweb.urls import resolve


def base_of(root: Element, url: str) -> str:
    """Return the address that those in a page are relative to: of its first ``base`` with one, or its own."""
    written = (base.get("href") for base in root.find_all("base"))
    href = next((one for one in written if one is not None), None)
    return (None if href is None else resolve(url, href)) or url


def links_of(snapshot: Snapshot) -> list[str]:
    """Return the normalised addresses that a page links to, each once, in order."""
    root = parse(snapshot.html)
    base = base_of(root, snapshot.url)
    found = (resolve(base, href) for link in root.find_all("a") if (href := link.get("href")))
    return list(dict.fromkeys(url for url in found if url is not None))


_REFRESH = re.compile(
    r"\s*([0-9]+(?:\.[0-9]*)?)\s*[;,]?\s*(?:url\s*=\s*)?['\"]?([^'\"]*)['\"]?\s*", re.IGNORECASE
)


def refresh_of(snapshot: Snapshot) -> tuple[float, str] | None:
    """Return after how many seconds a page leads to which other address, or None if it stays."""
    if not says(snapshot.html, "http-equiv"):
        return None
    root = parse(snapshot.html)
    for meta in root.find_all("meta"):
        if meta.attributes.get("http-equiv", "").lower() != "refresh":
            continue
        match = _REFRESH.fullmatch(meta.attributes.get("content", ""))
        url = resolve(base_of(root, snapshot.url), match[2]) if match and match[2] else None
        if match and url:
            return float(match[1]), url
    return None


@lru_cache(maxsize=1024)
def says(html: str, word: str) -> bool:
    """Return whether a page holds a word in any case: a look before it is parsed."""
    return word in html.lower()
