"""What is wrong with a cache: every fault by name."""

from __future__ import annotations

from collections.abc import Collection, Iterator, Mapping

from attrs import frozen

from orbiter.errors import ConfigError
from orbiter.tasks.streams import item_stream
from orbiter_liveweb.aria import aria_snapshot
from orbiter_liveweb.cache import Cache, CacheError, read_snapshot
from orbiter_liveweb.dom import parse, title_of
from orbiter_liveweb.links import links_of
from orbiter_liveweb.placeholders import placeholder_kind
from orbiter_liveweb.snapshot import Snapshot
from orbiter_liveweb.topology import NotVisitedError, Question, Topology, Visited
from orbiter_liveweb.urls import normalise, origin_of

TRUTHS = 20
"""Questions per template whose truth is looked for."""


@frozen
class Finding:
    """One fault.

    Args:
        kind: ``altered page``, ``missing page``, ``missing link``, ``key clash``, ``unlisted page``, ``placeholder``, ``stale page``,
            ``other tree``, ``other title``, ``null truth``, ``damaged list``.
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
    hashes: dict[str, str] = {}
    links = _Links()
    for path in cache.files():
        try:
            snapshot = read_snapshot(path)
        except CacheError as error:
            name = _named(cache, str(path))
            found.append(Finding("altered page", name, error.message.removeprefix(f"page {name} ")))
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
        hashes[snapshot.url] = snapshot.content_hash
        found += _of_page(snapshot, max_age_s)
        links.add(snapshot)
    found += _listed(cache, hashes, {finding.url for finding in found if finding.is_error})
    found += links.missing(hashes)
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


def _listed(cache: Cache, hashes: Mapping[str, str], named: set[str]) -> Iterator[Finding]:
    """Compare what is there with what was put."""
    try:
        listed = cache.listed
    except CacheError as error:
        yield Finding("damaged list", "pages.jsonl", error.message)
        return
    for url, content_hash in listed.items():
        there = hashes.get(url)
        if there is None:
            if url not in named:
                yield Finding("missing page", url, "was recorded, and its file is gone")
        elif there != content_hash:
            yield Finding("altered page", url, "is not the snapshot that was recorded")
    for url in hashes.keys() - listed.keys():
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
    try:
        is_its_tree = aria_snapshot(root) == snapshot.tree
    except ConfigError:
        is_its_tree = False
    if not is_its_tree:
        yield Finding("other tree", snapshot.url, "has a tree that its HTML does not give")
    if title_of(root) != snapshot.title:
        yield Finding("other title", snapshot.url, "has a title that its HTML does not give")


class _Links:
    """The links of the pages that were read: to each address, the pages that have one."""

    def __init__(self) -> None:
        self._pages: dict[str, list[str]] = {}
        self._redirects: set[str] = set()

    def add(self, snapshot: Snapshot) -> None:
        """Take in the links of a page, or where a redirect leads."""
        if snapshot.redirect_to is not None:
            self._redirects.add(snapshot.redirect_to)
        targets = [snapshot.redirect_to] if snapshot.redirect_to else links_of(snapshot)
        for target in targets:
            self._pages.setdefault(target, []).append(snapshot.url)

    def missing(self, pages: Collection[str]) -> Iterator[Finding]:
        """Yield the redirects, and the links within the recorded sites, that lead to no recorded page."""
        origins = {origin_of(url) for url in pages}
        for target, linking in self._pages.items():
            if target in pages or not (target in self._redirects or origin_of(target) in origins):
                continue
            others = f"{len(linking)} pages link to it, the first is"
            if len(linking) == 1:
                others = "1 page links to it:"
            said = f"is not in the cache; {others} {linking[0]}"
            yield Finding("missing link", target, said, is_error=False)


def _truths(topology: Topology) -> Iterator[Finding]:
    """Yield questions to which no page of the cache holds the answer."""
    pages = Visited(topology.cache)
    for name in topology.templates:
        for number in range(TRUTHS):
            try:
                question = topology.draw(name, item_stream("liveweb", "check", name, number))
                if question is None:
                    said = "the web has no question of this template"
                    yield Finding("null truth", name, said, is_error=False)
                    break
                fault = _fault_of_truth(topology, question, pages)
                if fault is not None:
                    yield Finding("null truth", question.id, fault)
            except (ConfigError, CacheError) as error:
                yield Finding("null truth", name, error.message)
                break


def _fault_of_truth(topology: Topology, question: Question, pages: Visited) -> str | None:
    try:
        is_there = topology.truth(question, pages) is not None
    except NotVisitedError as error:
        return f"its answer stands on {error.url}, which is missing"
    return None if is_there else "the pages hold no answer to it"
