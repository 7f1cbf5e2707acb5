"""Tables of a page read from its HTML: how a truth is read, which shares nothing with how the teacher reads."""

from __future__ import annotations

from orbiter_liveweb.dom import Element


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
