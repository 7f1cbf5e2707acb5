"""WARC, the format of web archives: its pages into a cache."""

from __future__ import annotations

import zlib
from collections.abc import Iterator
from pathlib import Path
from typing import Any

from warcio.archiveiterator import ArchiveIterator
from warcio.bufferedreaders import BufferedReader
from warcio.exceptions import ArchiveLoadFailed

from orbiter.errors import RecordError
from orbiter_liveweb.cache import Cache
from orbiter_liveweb.content import HTML_TYPES, MAX_PAGE_BYTES, charset_of, decode, media_type
from orbiter_liveweb.importing import Capture, Imported, import_captures


def import_warc(cache: Cache, path: str | Path) -> Imported:
    """Put the HTML pages of a WARC file, compressed or not, into a cache.

    Raises:
        RecordError: The file is no WARC.
    """
    return import_captures(cache, read_warc(Path(path)), source="warc")


def read_warc(path: Path) -> Iterator[Capture]:
    """Yield the responses of a WARC file, in order.

    Raises:
        RecordError: The file is no WARC, or is cut off.
    """
    number = 0
    with open(path, "rb") as file:
        try:
            for record in ArchiveIterator(file):
                number += 1
                if record.rec_type == "response" and record.http_headers is not None:
                    yield _capture(record)
        except (ArchiveLoadFailed, EOFError, OSError, ValueError, KeyError, zlib.error) as error:
            said = " ".join(str(error).split())[:200] or type(error).__name__
            raise RecordError(
                f"is no readable WARC after record {number}: {said}",
                source=str(path),
                hint="give a .warc or .warc.gz file; warcio check says more",
            ) from None


def _capture(record: Any) -> Capture:
    headers = record.http_headers
    mime = headers.get_header("Content-Type") or ""
    encoding = (headers.get_header("Content-Encoding") or "identity").strip().lower()
    html, missing = None, ""
    if media_type(mime) not in HTML_TYPES:
        pass
    elif record.rec_headers.get_header("WARC-Truncated"):
        missing = "was cut off by its crawler"
    elif encoding not in ("identity", *BufferedReader.get_supported_decompressors()):
        missing = f"is encoded as {encoding[:60]}, which cannot be read"
    elif len(data := record.content_stream().read(MAX_PAGE_BYTES + 1)) > MAX_PAGE_BYTES:
        missing = f"is larger than {MAX_PAGE_BYTES} bytes"
    else:
        html = decode(data, charset_of(mime))
    code = headers.get_statuscode()
    return Capture(
        url=record.rec_headers.get_header("WARC-Target-URI") or "",
        status=int(code) if code.isascii() and code.isdigit() else 0,
        mime=mime,
        html=html,
        fetched_at=record.rec_headers.get_header("WARC-Date") or "",
        redirect_to=headers.get_header("Location"),
        missing=missing,
    )
