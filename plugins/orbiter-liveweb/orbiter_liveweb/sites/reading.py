"""Tables and lists read from the HTML of pages: how a truth is read, which shares nothing with how the teacher reads."""

from __future__ import annotations

from collections.abc import Iterator
from itertools import islice

from orbiter_liveweb.dom import Element
from orbiter_liveweb.topology import Visited, Web


def fact(root: Element, name: str) -> str | None:
    """Return the value beside a name in a table of names and values, or None."""
    for row in root.find_all("tr"):
        head = row.find("th", scope="row")
        cell = row.find("td")
        if head is not None and cell is not None and head.words == name:
            return cell.words
    return None


def fact_link(root: Element, name: str) -> str | None:
    """Return where the link beside a name leads, or None."""
    for row in root.find_all("tr"):
        head, link = row.find("th", scope="row"), row.find("a")
        if head is not None and link is not None and head.words == name:
            return link.get("href")
    return None


def body_rows(root: Element) -> list[list[str]]:
    """Return the cells of the rows of a page's first table with a header."""
    head = root.find("thead")
    table = None if head is None else head.parent
    if table is None:
        return []
    return [
        [cell.words for cell in row.child_elements()]
        for body in table.find_all("tbody")
        for row in body.find_all("tr")
    ]


def list_entries(pages: Visited, origin: str, path: str) -> Iterator[Element]:
    """Yield the entries of a list, page after page: a page is read when an entry of it is asked for."""
    href: str | None = path
    while href is not None:
        root = pages.root(origin + href)
        listing = root.find("ol")
        yield from listing.find_all("li") if listing else ()
        href = next((a.get("href") for a in root.find_all("a") if a.words == "Next page"), None)


def list_size(web: Web, origin: str, path: str) -> int:
    """Return how many entries a list has."""
    return sum(1 for _ in list_entries(web, origin, path))


def nth_entry(pages: Visited, origin: str, path: str, place: int) -> Element | None:
    """Return the entry at a place of a list, from 1, or None."""
    return next(islice(list_entries(pages, origin, path), place - 1, None), None)
