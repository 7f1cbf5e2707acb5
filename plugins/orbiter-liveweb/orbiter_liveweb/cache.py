"""The cache: a folder with one snapshot per address."""

from __future__ import annotations

import fcntl
import functools
import hashlib
import os
import secrets
from collections.abc import Iterable, Iterator
from io import FileIO
from pathlib import Path
from typing import Any

import orjson
from attrs import asdict

from orbiter.convert import structure
from orbiter.errors import ConfigError, OrbiterError, RecordError
from orbiter_liveweb.dom import Element, parse
from orbiter_liveweb.snapshot import MAX_SNAPSHOT_BYTES, Snapshot
from orbiter_liveweb.urls import normalise

MAX_REDIRECTS = 10
"""Redirects that are followed, one after the other."""

_LIST = "pages.jsonl"


class CacheError(OrbiterError, ValueError):
    """A cache is not there, or a snapshot in it is not what was written."""

    exit_code = 2


class Cache:
    """Snapshots in a folder, found by their normalised addresses.

    ``pages/3f/3f0a...json`` holds one snapshot; its name is a hash of the address, so no address is ever part of a path. A
    snapshot appears whole or not at all, and carries a hash of its content that is checked whenever it is read. ``pages.jsonl``
    lists what was put, a line each, so that a page that is gone is missed.

    Nothing here fetches: what is old stays as old as it is until somebody records it again.

    Args:
        folder: Where.
        create: Make the folder if it is not there.

    Raises:
        CacheError: There is no cache in the folder.
    """

    def __init__(self, folder: str | Path, *, create: bool = False) -> None:
        self.folder = Path(folder)
        if create:
            (self.folder / "pages").mkdir(parents=True, exist_ok=True)
        elif not (self.folder / "pages").is_dir():
            raise CacheError(
                f"{str(self.folder)!r} is no cache of web pages",
                hint="make one: orbiter liveweb synth DIR, or orbiter liveweb record --cache DIR URL",
            )
        self.get = functools.lru_cache(maxsize=4096)(self._get)
        self.root = functools.lru_cache(maxsize=512)(self._root)

    def __repr__(self) -> str:
        return f"Cache({str(self.folder)!r})"

    def __reduce__(self) -> tuple[Any, ...]:
        return (Cache, (self.folder,))

    def path_of(self, url: str) -> Path:
        """Return where the snapshot of a normalised address is kept."""
        name = hashlib.blake2b(url.encode(), digest_size=16).hexdigest()
        return self.folder / "pages" / name[:2] / f"{name}.json"

    def _get(self, url: str) -> Snapshot | None:
        """Return the snapshot of an address, or None; one that was read is remembered.

        Raises:
            CacheError: Its file was altered or damaged.
            ConfigError: It is no web address.
        """
        url = normalise(url)
        path = self.path_of(url)
        return read_snapshot(path, url=url) if path.is_file() else None

    def _root(self, url: str) -> Element | None:
        """Return the parsed page of an address, or None; it is shared, and must not be changed."""
        snapshot = self.get(url)
        return None if snapshot is None else parse(snapshot.html)

    def put(self, snapshot: Snapshot, *, durable: bool = True) -> None:
        """Put a snapshot in the place of any that its address has.

        Args:
            snapshot: What to keep.
            durable: Wait until it is on disk for good; not for what can be generated again.
        """
        self.put_all([snapshot], durable=durable)

    def put_all(self, snapshots: Iterable[Snapshot], *, durable: bool = True) -> int:
        """Put many snapshots, one after the other, and return how many; each appears whole or not at all.

        Others may put snapshots at the same time: a page and its line in the list change together.
        """
        count = 0
        with open(self.folder / _LIST, "a+b", buffering=0) as listing:
            try:
                for snapshot in snapshots:
                    self._put(snapshot, listing, durable=durable)
                    count += 1
            finally:
                if durable:
                    os.fsync(listing.fileno())
                self.get.cache_clear()
                self.root.cache_clear()
                self.__dict__.pop("listed", None)
        return count

    def _put(self, snapshot: Snapshot, listing: FileIO, *, durable: bool) -> None:
        data = orjson.dumps(asdict(snapshot, recurse=False))
        entry = {"url": snapshot.url, "content_hash": snapshot.content_hash}
        line = orjson.dumps(entry) + b"\n"
        path = self.path_of(snapshot.url)
        draft = _draft(path, data, durable=durable)
        try:
            fcntl.flock(listing, fcntl.LOCK_EX)
            os.replace(draft, path)
            size = listing.seek(0, os.SEEK_END)
            is_torn = size > 0 and os.pread(listing.fileno(), 1, size - 1) != b"\n"
            listing.write(b"\n" + line if is_torn else line)
        except BaseException:
            draft.unlink(missing_ok=True)
            raise
        finally:
            fcntl.flock(listing, fcntl.LOCK_UN)

    @functools.cached_property
    def listed(self) -> dict[str, str]:
        """The addresses that were put, with the content hash of the last snapshot of each, in order of address."""
        found: dict[str, str] = {}
        path = self.folder / _LIST
        if path.is_file():
            for number, line in enumerate(path.read_bytes().split(b"\n"), start=1):
                try:
                    entry = orjson.loads(line) if line else None
                    if entry is not None:
                        found[str(entry["url"])] = str(entry["content_hash"])
                except (orjson.JSONDecodeError, KeyError, TypeError):
                    # A line that was torn by a crash: its page is there all the same, and is named by a check.
                    raise CacheError(
                        f"{path} line {number}: must be an address and a content hash",
                        hint="delete the line; orbiter liveweb check names the page that it listed",
                    ) from None
        return dict(sorted(found.items()))

    def urls(self) -> list[str]:
        """Return the addresses that were put, in order."""
        return list(self.listed)

    def files(self) -> Iterator[Path]:
        """Yield the files of all snapshots, in order of name."""
        yield from sorted((self.folder / "pages").glob("??/*.json"))


def read_snapshot(path: Path, *, url: str | None = None) -> Snapshot:
    """Return the snapshot in a file.

    Args:
        path: The file.
        url: The address that it must be of.

    Raises:
        CacheError: It was altered since it was written, or is of another address.
    """
    whose = url or str(path)
    try:
        if path.stat().st_size > MAX_SNAPSHOT_BYTES:
            raise CacheError(f"snapshot of {whose} must be at most {MAX_SNAPSHOT_BYTES} bytes")
        data = path.read_bytes()
    except OSError as error:
        raise CacheError(f"snapshot of {whose} cannot be read: {error.strerror}") from None
    try:
        fields = orjson.loads(data)
        stated = fields.pop("content_hash")
        snapshot = structure(fields, Snapshot)
    except (orjson.JSONDecodeError, RecordError, ConfigError, KeyError, AttributeError, TypeError):
        raise CacheError(
            f"snapshot of {url} is damaged: {path}" if url else f"snapshot {path} is damaged",
            hint=_AGAIN,
        ) from None
    if snapshot.content_hash != stated:
        raise CacheError(f"page {snapshot.url} was altered since it was recorded", hint=_AGAIN)
    if url is not None and snapshot.url != url:
        raise CacheError(f"key clash: the file of {url} holds {snapshot.url}", hint=_AGAIN)
    return snapshot


_AGAIN = "record it again, or put the file back from a copy"


def _draft(path: Path, data: bytes, *, durable: bool) -> Path:
    """Write a file beside another, whose place it can take, and return its path."""
    path.parent.mkdir(parents=True, exist_ok=True)
    draft = path.with_name(f".{path.name}.{secrets.token_hex(4)}.tmp")
    try:
        with open(draft, "xb") as file:
            file.write(data)
            if durable:
                file.flush()
                os.fsync(file.fileno())
    except BaseException:
        draft.unlink(missing_ok=True)
        raise
    return draft
