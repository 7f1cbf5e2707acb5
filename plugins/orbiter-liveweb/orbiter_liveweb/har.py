"""HAR 1.2, the HTTP archive that browsers export: pages into a cache, and a cache as an archive."""

from __future__ import annotations

import base64
import binascii
import codecs
from collections.abc import Iterator, Mapping
from pathlib import Path
from typing import Any

import orjson

from orbiter.errors import RecordError
from orbiter.jsonl import replace_file
from orbiter_liveweb.cache import Cache
from orbiter_liveweb.content import charset_of, decode
from orbiter_liveweb.importing import Capture, Imported, import_captures
from orbiter_liveweb.snapshot import Snapshot

MAX_HAR_BYTES = 2**30


def import_har(cache: Cache, path: str | Path) -> Imported:
    """Put the HTML pages of a HAR file into a cache.

    Raises:
        RecordError: The file is no HAR; names the field.
    """
    captures = list(read_har(Path(path)))  # all or none of a file that is in memory as a whole
    return import_captures(cache, captures, source="har")


def read_har(path: Path) -> Iterator[Capture]:
    """Yield what was answered to the GET requests of a HAR file, in order.

    Raises:
        RecordError: The file is no HAR; names the field.
    """
    if path.stat().st_size > MAX_HAR_BYTES:
        raise RecordError(f"must be at most {MAX_HAR_BYTES} bytes", source=str(path))
    try:
        data = orjson.loads(path.read_bytes().removeprefix(codecs.BOM_UTF8))
    except orjson.JSONDecodeError as error:
        raise RecordError(f"is no JSON: {error}", source=str(path), hint=_HINT) from None
    try:
        log = _get(_checked(data, dict, "the file"), "log", dict, "")
        for number, entry in enumerate(_get(log, "entries", list, "log.")):
            place = f"log.entries[{number}]"
            capture = _capture(_checked(entry, dict, place), f"{place}.")
            if capture is not None:
                yield capture
    except RecordError as error:
        raise error.at(str(path)) from None


_HINT = "export it again: in a browser's developer tools, network, save all as HAR with content"


def _capture(entry: Mapping[str, Any], place: str) -> Capture | None:
    request = _get(entry, "request", dict, place)
    response = _get(entry, "response", dict, place)
    url = _get(request, "url", str, f"{place}request.")
    if _get(request, "method", str, f"{place}request.").upper() != "GET":
        return None
    content = _get(response, "content", dict, f"{place}response.")
    status = _get(response, "status", int, f"{place}response.")
    return Capture(
        url=url,
        status=status,
        mime=str(content.get("mimeType") or ""),
        html=_text(content, f"{place}response.content."),
        fetched_at=_get(entry, "startedDateTime", str, place),
        redirect_to=str(response.get("redirectURL") or "") or None,
        api_data=entry.get("_api_data"),
        missing="is in the archive without its content: save it as HAR with content",
    )


def _text(content: Mapping[str, Any], place: str) -> str | None:
    """Return the content, or None where a browser says how long it is and no more."""
    text = content.get("text")
    if text is None or (text == "" and content.get("size")):
        return None
    if not isinstance(text, str):
        raise RecordError(
            f"must be text, got {type(text).__name__}", field=f"{place}text", hint=_HINT
        )
    if content.get("encoding") != "base64":
        return text
    try:
        data = base64.b64decode(text, validate=True)
    except (binascii.Error, ValueError):
        raise RecordError("is no base64", field=f"{place}text", hint=_HINT) from None
    return decode(data, charset_of(str(content.get("mimeType") or "")))


def _get(given: Mapping[str, Any], key: str, kind: type, place: str) -> Any:
    return _checked(given.get(key), kind, place + key)


def _checked(value: Any, kind: type, field: str) -> Any:
    if value is None:
        raise RecordError("is missing", field=field, hint=_HINT)
    if not isinstance(value, kind) or isinstance(value, bool):
        said = f"must be {kind.__name__}, got {type(value).__name__}"
        raise RecordError(said, field=field, hint=_HINT)
    return value


def export_har(cache: Cache, path: str | Path) -> int:
    """Write every page of a cache as a HAR file, and return how many; times are when each was fetched.

    What a HAR has no field for, such as trees, stands in fields whose names begin with an underscore, as the format allows.
    """
    count = 0
    with replace_file(path) as file:
        creator = orjson.dumps({"name": "orbiter-liveweb", "version": "1"})
        file.write(b'{"log":{"version":"1.2","creator":' + creator + b',"pages":[],"entries":[')
        for url in cache.urls():
            snapshot = cache.get(url)
            if snapshot is not None:
                file.write((b",\n" if count else b"\n") + orjson.dumps(_entry(snapshot)))
                count += 1
        file.write(b"\n]}}\n")
    return count


def _entry(snapshot: Snapshot) -> dict[str, Any]:
    size = len(snapshot.html.encode())
    mime = "text/html; charset=utf-8"
    return {
        "startedDateTime": snapshot.fetched_at,
        "time": 0,
        "request": {
            "method": "GET",
            "url": snapshot.url,
            "httpVersion": "HTTP/1.1",
            "cookies": [],
            "headers": [],
            "queryString": [],
            "headersSize": -1,
            "bodySize": 0,
        },
        "response": {
            "status": snapshot.status,
            "statusText": "",
            "httpVersion": "HTTP/1.1",
            "cookies": [],
            "headers": [{"name": "Content-Type", "value": mime}],
            "content": {"size": size, "mimeType": mime, "text": snapshot.html},
            "redirectURL": snapshot.redirect_to or "",
            "headersSize": -1,
            "bodySize": size,
        },
        "cache": {},
        "timings": {"send": 0, "wait": 0, "receive": 0},
        "_source": snapshot.source,
        "_accessibility_tree": snapshot.tree,
        "_api_data": snapshot.api_data,
    }
