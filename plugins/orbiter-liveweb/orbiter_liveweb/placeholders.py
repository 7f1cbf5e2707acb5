"""Pages that stand in for the page that was asked for: challenges, blocks, empty shells."""

from __future__ import annotations

import re

from orbiter_liveweb.dom import Element, body_of, parse, title_of

LONGEST_PLACEHOLDER = 1_500
"""Characters of text: a page that says more than this is a page, even if it speaks of CAPTCHAs."""

_SOURCES = (
    ("captcha", re.compile(r"(?:google|recaptcha)\.[a-z.]+/recaptcha|hcaptcha\.com|geo\.captcha-delivery|arkoselabs")),
    ("cloudflare challenge", re.compile(r"challenges\.cloudflare\.com|/cdn-cgi/challenge-platform|cf-chl-|__cf_chl_")),
)  # fmt: skip
_PHRASES = (
    ("cloudflare challenge", re.compile(r"just a moment|attention required|checking your browser")),
    ("captcha", re.compile(r"captcha|verify (?:that )?you are (?:a )?human|are you a robot|not a robot|unusual traffic")),
    ("access denied", re.compile(r"access (?:to this page has been )?denied|403 forbidden|you have been blocked|request blocked")),
    ("needs javascript", re.compile(r"(?:enable|turn on|requires?) javascript")),
    ("not found", re.compile(r"404 not found|page not found")),
    ("unavailable", re.compile(r"503 service|service unavailable|temporarily unavailable|bad gateway|too many requests")),
    ("parked domain", re.compile(r"domain (?:name )?is for sale|buy this domain|parked free")),
)  # fmt: skip


def placeholder_kind(html: str, *, status: int = 200, root: Element | None = None) -> str | None:
    """Return what kind of placeholder a page is, or None for a page.

    Args:
        html: The page.
        status: Its HTTP status; 400 and above is no page.
        root: The parsed page, where it is at hand.
    """
    if status >= 400:
        return f"status {status}"
    root = parse(html) if root is None else root
    text = " ".join(
        child.strip()
        for element in body_of(root).elements()
        if element.tag not in ("script", "style", "template")
        for child in element.children
        if isinstance(child, str) and child.strip()
    )
    if len(text) > LONGEST_PLACEHOLDER:
        return None
    sources = [
        element.attributes.get(name, "")
        for element in root.elements()
        if element.tag in ("script", "iframe", "form")
        for name in ("src", "action", "id", "class")
    ]
    for kind, pattern in _SOURCES:
        # A login form that asks for a CAPTCHA beside its other fields is a page.
        if any(pattern.search(source) for source in sources) and len(text) < 400:
            return kind
    heading = root.find("h1")
    loud = f"{title_of(root)} {heading.words if heading else ''}".lower()
    for kind, pattern in _PHRASES:
        if pattern.search(loud) or (len(text) < 300 and pattern.search(text.lower())):
            return kind
    return "empty page" if not text and body_of(root).find("img") is None else None
