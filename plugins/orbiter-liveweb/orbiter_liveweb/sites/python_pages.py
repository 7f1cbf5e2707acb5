"""Questions about the pages of the Python documentation: lists of chapters, next-links, tables."""

from __future__ import annotations

import re
from collections.abc import Sequence
from functools import lru_cache
from random import Random

from orbiter.errors import ConfigError
from orbiter_liveweb.dom import Element
from orbiter_liveweb.guide import Guide
from orbiter_liveweb.sites.python_index import base_of
from orbiter_liveweb.topology import Template, Visited, Web
from orbiter_liveweb.urls import resolve

PAGE = r".*/library/([a-z0-9_.]+)\.html"
"""Addresses of the library's pages."""

LONGEST_PAGE = 1_200
"""Lines of a page's tree that a teacher reads through for a table."""


def _url(base: str, name: str) -> str:
    return f"{base}library/{name}.html"


class _OfPage(Template):
    """A template whose variables begin with the address of the documentation and the name of a page."""

    def entities(self, variables: tuple[str, ...]) -> tuple[str, ...]:
        return (f"python_docs/page/{variables[1]}",)


class NthOfChapter(_OfPage):
    """The section at a place in the list of a chapter of the library reference."""

    name, kind = "nth_of_chapter", "list_navigation"

    def draw(self, web: Web, stream: Random) -> tuple[str, ...] | None:
        base = base_of(web)
        chapters = [] if base is None else web.once(_chapters, base)
        if not chapters or base is None:
            return None
        chapter = stream.choice(chapters)
        sections = _sections(web.root(_url(base, chapter)))
        return base, chapter, str(stream.randrange(1, len(sections) + 1))

    def ask(self, web: Web, variables: tuple[str, ...]) -> str:
        base, chapter, place = variables
        url = _url(base, chapter)
        title = web.heading(url).rstrip("¶")
        return f"Which page stands at place {place} of the list of sections of the chapter {title!r}? Begin at {url}"

    def teach(self, guide: Guide, variables: tuple[str, ...]) -> str:
        base, chapter, place = variables
        guide.open(_url(base, chapter))
        wanted = int(place)
        while True:
            names = _top_links(guide.lines)
            if len(names) >= wanted or not guide.more():
                return names[wanted - 1]

    def truth(self, pages: Visited, variables: tuple[str, ...]) -> str | None:
        base, chapter, place = variables
        sections = _sections(pages.root(_url(base, chapter)))
        return sections[int(place) - 1] if 1 <= int(place) <= len(sections) else None


def _top_links(lines: Sequence[str]) -> list[str]:
    """Return the names of the links of the outermost list in the main part of a page."""
    text = "\n".join(lines)
    main = re.search(r"^( *)- main:$", text, re.MULTILINE)
    if main is None:
        return []
    after = text[main.end() :]
    first = re.search(r"^( *)- list:$", after, re.MULTILINE)
    if first is None:
        return []
    # A list item, one level in, and its link, two levels in.
    indent = len(first[1]) + 2
    pattern = rf'^ {{{indent}}}- listitem:\n {{{indent + 2}}}- \'?link "((?:[^"\\]|\\.)*)"'
    return [
        name.replace("''", "'") for name in re.findall(pattern, after[first.end() :], re.MULTILINE)
    ]


def _section_list(root: Element) -> Element | None:
    """Return the list of a chapter's sections, if it is the first list of the page."""
    main = root.find("div", role="main")
    first = main.find("ul") if main else None
    wrapper = first.parent if first else None
    is_one = wrapper is not None and "toctree-wrapper" in (wrapper.get("class") or "")
    return first if is_one else None


def _sections(root: Element) -> list[str]:
    """Return the names of the sections of a chapter."""
    listing = _section_list(root)
    entries = listing.child_elements() if listing else []
    links = [entry.find("a") for entry in entries if entry.tag == "li"]
    return [link.words for link in links if link is not None]


def _lists_pages_below(root: Element) -> bool:
    """Return whether an entry that stands below a section in the list of them is a page too."""
    listing = _section_list(root)
    below = listing.find_all("ul") if listing else []
    return any("#" not in (a.get("href") or "#") for entry in below for a in entry.find_all("a"))


def _chapters(web: Web, base: str) -> list[str]:
    """Return the pages of the library that list at least three sections, in names without quotation marks, and no page below a section."""
    found = []
    for name in web.slugs(PAGE):
        snapshot = web.cache.get(_url(base, name))
        # A look at the text before the page is parsed.
        if snapshot is None or "toctree-wrapper" not in snapshot.html or name == "index":
            continue
        root = web.cache.root(snapshot.url)
        sections = [] if root is None else _sections(root)
        if root is not None and _lists_pages_below(root):
            continue  # which page stands at a place is not plain
        if len(sections) >= 3 and not any('"' in s or "\\" in s for s in sections):
            found.append(name)
    return found


class NextTopic(_OfPage):
    """The heading of the page that the next-links of the documentation lead to."""

    name, kind = "next_topic", "multi_page"

    def draw(self, web: Web, stream: Random) -> tuple[str, ...] | None:
        base, names = base_of(web), web.slugs(PAGE)
        if base is None or not names:
            return None
        for _ in range(50):
            variables = (base, stream.choice(names), str(stream.randrange(1, 4)))
            try:
                if self.truth(web, variables) is not None:
                    return variables
            except ConfigError:  # the links lead out of the cache
                continue
        return None

    def ask(self, web: Web, variables: tuple[str, ...]) -> str:
        base, name, steps = variables
        times = {"1": "once", "2": "twice", "3": "three times"}[steps]
        return f"What is the heading of the page that you reach when you follow the link 'next' {times}? Begin at {_url(base, name)}"

    def teach(self, guide: Guide, variables: tuple[str, ...]) -> str:
        base, name, steps = variables
        guide.open(_url(base, name))
        for _ in range(int(steps)):
            guide.follow(name="next")
        return _plain(guide.find(r'- \'?heading "((?:[^"\\]|\\.)+)" \[level=1\]')[1])

    def truth(self, pages: Visited, variables: tuple[str, ...]) -> str | None:
        base, name, steps = variables
        url: str | None = _url(base, name)
        for _ in range(int(steps)):
            link = pages.root(url).find("link", rel="next") if url else None
            url = resolve(url or base, link.get("href") or "") if link else None
        heading = pages.root(url).find("h1") if url else None
        return None if heading is None else _plain(heading.words) or None


def _plain(heading: str) -> str:
    return heading.replace("''", "'").replace('\\"', '"').rstrip("¶").strip()


class TableCell(_OfPage):
    """What a table of a page says in the row of something."""

    name, kind = "table_cell", "single_hop"

    def draw(self, web: Web, stream: Random) -> tuple[str, ...] | None:
        base, names = base_of(web), web.slugs(PAGE)
        if base is None or not names:
            return None
        for name in stream.sample(names, len(names)):
            url = _url(base, name)
            snapshot = web.cache.get(url)
            # A look at the text before the page is parsed.
            if snapshot is None or "- columnheader" not in snapshot.tree:
                continue
            if snapshot.tree.count("\n") > LONGEST_PAGE:
                continue
            cells = _cells(web.root(url))
            if cells:
                row, column = stream.choice(sorted(cells))
                return base, name, row, column
        return None

    def ask(self, web: Web, variables: tuple[str, ...]) -> str:
        base, name, row, column = variables
        return f"In the table of the page, what stands in the column {column!r} of the row that begins with {row!r}? Begin at {_url(base, name)}"

    def teach(self, guide: Guide, variables: tuple[str, ...]) -> str:
        base, name, row, column = variables
        guide.open(_url(base, name))
        cells = guide.row(row)
        columns = [one for one in guide.rows() if column in one]
        return cells[columns[0].index(column)]

    def truth(self, pages: Visited, variables: tuple[str, ...]) -> str | None:
        base, name, row, column = variables
        return _cells(pages.root(_url(base, name))).get((row, column))


def _spans(cell: Element) -> bool:
    return any((cell.get(name) or "1") != "1" for name in ("rowspan", "colspan"))


@lru_cache(maxsize=64)
def _cells(root: Element) -> dict[tuple[str, str], str]:
    """Return the cells of a page's only table with a header by the first cell of the row and the column, where that is plain."""
    tables = [table for table in root.find_all("table") if table.find("th") is not None]
    firsts = [row.child_elements()[0].words for row in root.find_all("tr") if row.child_elements()]
    found: dict[tuple[str, str], str] = {}
    if len(tables) != 1 or any(_spans(cell) for cell in tables[0].find_all("td")):
        return found
    rows = [[cell.words for cell in row.child_elements()] for row in tables[0].find_all("tr")]
    head = rows[0]
    if len(set(head)) < len(head) or len(head) < 2:
        return found
    for cells in rows[1:]:
        plain = len(cells) == len(head) and cells[0] and firsts.count(cells[0]) == 1
        for column, text in zip(head[1:], cells[1:]):
            if plain and column and text and len(text) <= 80 and len(cells[0]) <= 40:
                found[cells[0], column] = text
    return found
