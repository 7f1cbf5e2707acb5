"""What is wrong with a cache: every fault by name."""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterator

from attrs import frozen

from orbiter.errors import ConfigError
from orbiter.tasks.streams import item_stream
from orbiter_liveweb.aria import aria_snapshot
from orbiter_liveweb.cache import Cache, CacheError, read_snapshot
from orbiter_liveweb.dom import parse
from orbiter_liveweb.placeholders import placeholder_kind
from orbiter_liveweb.record import links_of
from orbiter_liveweb.snapshot import Snapshot
from orbiter_liveweb.topology import NotVisitedError, Topology, Visited
from orbiter_liveweb.urls import normalise, origin_of

TRUTHS = 20
"""Questions per template whose truth is looked for."""


@frozen
class Finding:
    """One fault.

    Args:
        kind: ``altered page``, ``missing page``, ``missing link``, ``key clash``, ``unlisted page``, ``placeholder``, ``stale page``,
            ``other tree``, ``null truth``, ``damaged list``.
        url: The page, or the question.
        said: What is wrong with it.
        is_error: Whether tasks cannot be trusted with it; a link to a page that was not recorded is only a note.
    """

    kind: str
    url: str
    said: str
    is_error: bool = True


def check_cache(
    cache: Cache, topology: Topology | None = None, *, max_age_s: float | None = None
) -> list[Finding]:
    """Return what is wrong with a cache, worst first.

    Args:
        cache: The cache.
        topology: Its questions, to look for truths; None: none.
        max_age_s: A page that is older is stale; None: none is.
    """
    found: list[Finding] = []
    snapshots: dict[str, Snapshot] = {}
    for path in cache.files():
        try:
            snapshot = read_snapshot(path)
        except CacheError as error:
            found.append(Finding("altered page", _named(cache, str(path)), error.message))
            continue
        if path != cache.path_of(snapshot.url) or snapshot.url != _normal(snapshot.url):
            found.append(
                Finding(
                    "key clash",
                    snapshot.url,
                    f"stands in {path.name}, the place of another address",
                )
            )
            continue
        snapshots[snapshot.url] = snapshot
    found += _listed(cache, snapshots, {finding.url for finding in found})
    for snapshot in snapshots.values():
        found += _of_page(snapshot, max_age_s)
    found += _links(snapshots)
    if topology is not None:
        found += _truths(topology)
    return sorted(found, key=lambda f: (not f.is_error, f.kind, f.url))


def _normal(url: str) -> str:
    try:
        return normalise(url)
    except ConfigError:
        return ""


def _named(cache: Cache, path: str) -> str:
    """Return the address whose snapshot a damaged file was, by its name."""
    try:
        return next((url for url in cache.listed if str(cache.path_of(url)) == path), path)
    except CacheError:
        return path


def _listed(cache: Cache, snapshots: dict[str, Snapshot], named: set[str]) -> Iterator[Finding]:
    """Compare what is there with what was put."""
    try:
        listed = cache.listed
    except CacheError as error:
        yield Finding("damaged list", "pages.jsonl", error.message)
        return
    for url, content_hash in listed.items():
        snapshot = snapshots.get(url)
        if snapshot is None:
            if url not in named:
                yield Finding("missing page", url, "was recorded, and its file is gone")
        elif snapshot.content_hash != content_hash:
            yield Finding("altered page", url, "is not the snapshot that was recorded")
    for url in snapshots.keys() - listed.keys():
        yield Finding("unlisted page", url, "is there, and pages.jsonl does not list it")


def _of_page(snapshot: Snapshot, max_age_s: float | None) -> Iterator[Finding]:
    if max_age_s is not None and snapshot.age_s() > max_age_s:
        yield Finding(
            "stale page", snapshot.url, f"was fetched at {snapshot.fetched_at}", is_error=False
        )
    if snapshot.redirect_to is not None:
        return
    root = parse(snapshot.html)
    kind = placeholder_kind(snapshot.html, status=snapshot.status, root=root)
    if kind is not None:
        yield Finding("placeholder", snapshot.url, f"is no page: {kind}")
    if aria_snapshot(root) != snapshot.tree:
        yield Finding("other tree", snapshot.url, "has a tree that its HTML does not give")


def _links(snapshots: dict[str, Snapshot]) -> Iterator[Finding]:
    """Yield the links within the recorded sites that lead to no recorded page."""
    origins = {origin_of(url) for url in snapshots}
    counts: Counter[str] = Counter()
    first: dict[str, str] = {}
    for snapshot in snapshots.values():
        targets = [snapshot.redirect_to] if snapshot.redirect_to else links_of(snapshot)
        for target in targets:
            if target not in snapshots and origin_of(target) in origins:
                counts[target] += 1
                first.setdefault(target, snapshot.url)
    for target, count in counts.items():
        others = "1 page links to it:" if count == 1 else f"{count} pages link to it, the first is"
        said = f"is not in the cache; {others} {first[target]}"
        yield Finding("missing link", target, said, is_error=False)


def _truths(topology: Topology) -> Iterator[Finding]:
    """Yield questions to which no page of the cache holds the answer."""
    pages = Visited(topology.cache)
    for name in topology.templates:
        for number in range(TRUTHS):
            try:
                question = topology.draw(name, item_stream("liveweb", "check", name, number))
                if question is None:
                    yield Finding(
                        "null truth",
                        name,
                        "the web has no question of this template",
                        is_error=False,
                    )
                    break
                if topology.truth(question, pages) is None:
                    yield Finding("null truth", question.id, "the pages hold no answer to it")
            except NotVisitedError as error:
                yield Finding(
                    "null truth",
                    question.id if question else name,
                    f"its answer stands on {error.url}, which is missing",
                )
            except (ConfigError, CacheError) as error:
                yield Finding("null truth", name, error.message)
                break
