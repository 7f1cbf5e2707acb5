"""WARC, the format of web archives: its pages into a cache."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path

from warcio.archiveiterator import ArchiveIterator
from warcio.exceptions import ArchiveLoadFailed

from orbiter.errors import RecordError
from orbiter_liveweb.cache import Cache
from orbiter_liveweb.importing import Capture, Imported, import_captures
from orbiter_liveweb.record import MAX_PAGE_BYTES, decode


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
                if record.rec_type != "response" or record.http_headers is None:
                    continue
                headers = record.http_headers
                mime = headers.get_header("Content-Type") or ""
                is_html = mime.partition(";")[0].strip().lower() in (
                    "text/html",
                    "application/xhtml+xml",
                )
                data = record.content_stream().read(MAX_PAGE_BYTES + 1) if is_html else b""
                code = headers.get_statuscode()
                yield Capture(
                    url=record.rec_headers.get_header("WARC-Target-URI") or "",
                    status=int(code) if code.isascii() and code.isdigit() else 0,
                    mime=mime if len(data) <= MAX_PAGE_BYTES else "too large",
                    html=decode(data, _charset(mime)),
                    fetched_at=record.rec_headers.get_header("WARC-Date") or "",
                    redirect_to=headers.get_header("Location"),
                )
        except (ArchiveLoadFailed, EOFError, OSError, ValueError, KeyError) as error:
            said = " ".join(str(error).split())[:200] or type(error).__name__
            raise RecordError(
                f"is no readable WARC after record {number}: {said}",
                source=str(path),
                hint="give a .warc or .warc.gz file; warcio check says more",
            ) from None


def _charset(mime: str) -> str | None:
    _, found, rest = mime.lower().partition("charset=")
    return rest.split(";")[0].strip(" \"'") or None if found else None
