"""What servers send: of which type it is, and the text of a page."""

from __future__ import annotations

import codecs
import re

HTML_TYPES = ("text/html", "application/xhtml+xml")
MAX_PAGE_BYTES = 16 * 2**20

_CHARSET = re.compile(
    rb"""<meta[^>]{0,200}?charset\s*=\s*["']?\s*([A-Za-z0-9_.:-]{1,40})""", re.IGNORECASE
)
_NO_CHARSETS = ("unicode_escape", "raw_unicode_escape", "idna", "punycode", "undefined")
"""Encodings of Python that no page is written in."""


def media_type(mime: str) -> str:
    """Return the type that a ``Content-Type`` names, in lower case, without its parameters."""
    return mime.partition(";")[0].strip().lower()


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
