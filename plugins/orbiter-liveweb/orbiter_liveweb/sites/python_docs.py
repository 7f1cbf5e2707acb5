"""Questions about the Python documentation as Debian's python3-doc ships it: its indexes, tables and cross references."""

from __future__ import annotations

import re
from abc import abstractmethod
from collections.abc import Sequence
from functools import lru_cache
from random import Random

from orbiter_liveweb.dom import Element
from orbiter_liveweb.guide import Guide
from orbiter_liveweb.topology import NotVisitedError, Site, Template, Visited, Web
from orbiter_liveweb.urls import resolve

_INDEX = r"(.*/)py-modindex\.html"
_PAGE = r".*/library/([a-z0-9_.]+)\.html"

LONGEST_PAGE = 1_200
"""Lines of a page's tree that a teacher reads through for a table."""


def base_of(web: Web) -> str | None:
    """Return the address that the documentation stands below, or None where the web has none."""
    found = web.slugs(_INDEX)
    return found[0] if found else None


@lru_cache(maxsize=8)
def _modules(index: Element) -> dict[str, tuple[str, str]]:
    """Return the modules of the index by name: where each leads and what is said of it."""
    found: dict[str, tuple[str, str]] = {}
    table = index.find("table", class_="modindextable")
    for row in table.find_all("tr") if table else ():
        cells = row.find_all("td")
        link = row.find("a")
        if len(cells) == 3 and link is not None and cells[1].words == link.words:
            found[link.words] = (link.get("href") or "", cells[2].words)
    return found


class _OfModule(Template):
    """A template whose variables are the address of the documentation and a module."""

    def draw(self, web: Web, stream: Random) -> tuple[str, ...] | None:
        base = base_of(web)
        if base is None:
            return None
        names = sorted(_modules(web.root(f"{base}py-modindex.html")))
        for _ in range(50):
            name = stream.choice(names)
            if self._fits(web, base, name):
                return base, name
        return None

    @abstractmethod
    def _fits(self, web: Web, base: str, name: str) -> bool:
        """Return whether there is something to be asked about the module."""

    def entities(self, variables: tuple[str, ...]) -> tuple[str, ...]:
        return (f"python_docs/module/{variables[1]}",)


def _find_in_index(guide: Guide, base: str, name: str) -> None:
    guide.open(f"{base}py-modindex.html")
    guide.follow(ends=f"#cap-{name[0].lower()}")


class ModuleSynopsis(_OfModule):
    """What the module index says of a module."""

    name, kind = "module_synopsis", "single_hop"

    def _fits(self, web: Web, base: str, name: str) -> bool:
        synopsis = _modules(web.root(f"{base}py-modindex.html"))[name][1]
        return bool(synopsis) and len(synopsis) < 200

    def ask(self, web: Web, variables: tuple[str, ...]) -> str:
        base, name = variables
        return f"What does the Python module index say of the module {name}? Begin at {base}py-modindex.html"

    def teach(self, guide: Guide, variables: tuple[str, ...]) -> str:
        base, name = variables
        _find_in_index(guide, base, name)
        return guide.row(name, column=1)[2]

    def truth(self, pages: Visited, variables: tuple[str, ...]) -> str | None:
        base, name = variables
        found = _modules(pages.root(f"{base}py-modindex.html")).get(name)
        return found[1] or None if found else None


class ModuleSource(_OfModule):
    """Which file holds the source of a module, which the module's page says."""

    name, kind = "module_source", "multi_page"

    def _fits(self, web: Web, base: str, name: str) -> bool:
        href = _modules(web.root(f"{base}py-modindex.html"))[name][0]
        # Modules that share a page are told apart by no file.
        url = resolve(base, href) if href == f"library/{name}.html#module-{name}" else None
        root = web.cache.root(url) if url else None
        return root is not None and _source(root) is not None

    def ask(self, web: Web, variables: tuple[str, ...]) -> str:
        base, name = variables
        return f"Which file is the source code of the Python module {name}, as its page says? Begin at {base}py-modindex.html"

    def teach(self, guide: Guide, variables: tuple[str, ...]) -> str:
        base, name = variables
        _find_in_index(guide, base, name)
        guide.follow(name=name)
        return guide.find(r'- link "(Lib/[^"]+)" \[ref=')[1]

    def truth(self, pages: Visited, variables: tuple[str, ...]) -> str | None:
        base, name = variables
        found = _modules(pages.root(f"{base}py-modindex.html")).get(name)
        url = resolve(base, found[0]) if found else None
        return _source(pages.root(url)) if url else None


def _source(root: Element) -> str | None:
    """Return the one file that a module's page names as its source code; None where there are several or none."""
    files = [
        link.words
        for paragraph in root.find_all("p")
        if paragraph.words.startswith("Source code:")
        for link in paragraph.find_all("a")
    ]
    return files[0] if len(files) == 1 and files[0].startswith("Lib/") else None


class ModulesOfLetter(Template):
    """How many modules the index lists under a letter."""

    name, kind = "modules_of_letter", "aggregation"

    def draw(self, web: Web, stream: Random) -> tuple[str, ...] | None:
        base = base_of(web)
        if base is None:
            return None
        counts = _letters(web.root(f"{base}py-modindex.html"))
        return base, stream.choice(sorted(counts))

    def entities(self, variables: tuple[str, ...]) -> tuple[str, ...]:
        return tuple(f"python_docs/letter/{letter}" for letter in variables[1:])

    def ask(self, web: Web, variables: tuple[str, ...]) -> str:
        base, letter = variables
        return (
            f"How many modules and submodules does the Python module index list under the letter {letter.upper()}? "
            f"Begin at {base}py-modindex.html"
        )

    def teach(self, guide: Guide, variables: tuple[str, ...]) -> str:
        guide.open(f"{variables[0]}py-modindex.html")
        return str(_count(guide, variables[1]))

    def truth(self, pages: Visited, variables: tuple[str, ...]) -> str | None:
        count = _letters(pages.root(f"{variables[0]}py-modindex.html")).get(variables[1])
        return None if count is None else str(count)


class LetterDifference(ModulesOfLetter):
    """How many more modules stand under one letter than under another."""

    name, kind = "letter_difference", "computation"

    def draw(self, web: Web, stream: Random) -> tuple[str, ...] | None:
        base = base_of(web)
        if base is None:
            return None
        counts = _letters(web.root(f"{base}py-modindex.html"))
        a, b = stream.sample(sorted(counts), 2)
        return (base, a, b) if counts[a] >= counts[b] else (base, b, a)

    def ask(self, web: Web, variables: tuple[str, ...]) -> str:
        base, a, b = variables
        return (
            f"How many more modules and submodules does the Python module index list under the letter {a.upper()} than under "
            f"{b.upper()}? Begin at {base}py-modindex.html"
        )

    def teach(self, guide: Guide, variables: tuple[str, ...]) -> str:
        guide.open(f"{variables[0]}py-modindex.html")
        first = _count(guide, variables[1])
        guide.open(f"{variables[0]}py-modindex.html")
        return str(first - _count(guide, variables[2]))

    def truth(self, pages: Visited, variables: tuple[str, ...]) -> str | None:
        counts = _letters(pages.root(f"{variables[0]}py-modindex.html"))
        first, second = (counts.get(letter) for letter in variables[1:])
        return None if first is None or second is None else str(first - second)


def _count(guide: Guide, letter: str) -> int:
    """Return how many rows the index shows between a letter and the next."""
    guide.follow(ends=f"#cap-{letter}")
    while True:
        names = [row[1] for row in guide.rows() if len(row) == 3]
        after = names[names.index(letter) + 1 :] if letter in names else []
        end = next((n for n, name in enumerate(after) if len(name) == 1), None)
        if end is not None or not guide.more():
            return sum(1 for name in after[:end] if name)


@lru_cache(maxsize=8)
def _letters(index: Element) -> dict[str, int]:
    """Return how many modules stand under each letter of the index."""
    counts: dict[str, int] = {}
    letter = ""
    table = index.find("table", class_="modindextable")
    for row in table.find_all("tr") if table else ():
        name = row.get("id") or ""
        if name.startswith("cap-"):
            letter = name.removeprefix("cap-")
            counts[letter] = 0
        elif letter and row.find("code") is not None:
            counts[letter] += 1
    return counts


class NthOfChapter(Template):
    """The section at a place in the list of a chapter of the library reference."""

    name, kind = "nth_of_chapter", "list_navigation"

    def draw(self, web: Web, stream: Random) -> tuple[str, ...] | None:
        base = base_of(web)
        chapters = [] if base is None else _chapters(web, base)
        if not chapters or base is None:
            return None
        chapter = stream.choice(chapters)
        sections = _sections(web.root(f"{base}library/{chapter}.html"))
        return base, chapter, str(stream.randrange(1, len(sections) + 1))

    def entities(self, variables: tuple[str, ...]) -> tuple[str, ...]:
        return (f"python_docs/chapter/{variables[1]}",)

    def ask(self, web: Web, variables: tuple[str, ...]) -> str:
        base, chapter, place = variables
        url = f"{base}library/{chapter}.html"
        title = web.heading(url).rstrip("¶")
        return f"Which page stands at place {place} of the list of sections of the chapter {title!r}? Begin at {url}"

    def teach(self, guide: Guide, variables: tuple[str, ...]) -> str:
        base, chapter, place = variables
        guide.open(f"{base}library/{chapter}.html")
        wanted = int(place)
        while True:
            names = _top_links(guide.lines)
            if len(names) >= wanted or not guide.more():
                return names[wanted - 1]

    def truth(self, pages: Visited, variables: tuple[str, ...]) -> str | None:
        base, chapter, place = variables
        sections = _sections(pages.root(f"{base}library/{chapter}.html"))
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


def _sections(root: Element) -> list[str]:
    """Return the names of the sections of a chapter, if its list of them is the first list of the page."""
    main = root.find("div", role="main")
    first = main.find("ul") if main else None
    is_list = first is not None and "toctree-wrapper" in (first.parent.get("class") or "")
    entries = [e for e in first.child_elements() if e.tag == "li"] if is_list else []
    links = [entry.find("a") for entry in entries]
    return [link.words for link in links if link is not None]


def _chapters(web: Web, base: str) -> list[str]:
    """Return the pages of the library that list at least three sections, in names without quotation marks."""
    found = []
    for name in web.slugs(_PAGE):
        root = web.cache.root(f"{base}library/{name}.html")
        sections = _sections(root) if root is not None and name != "index" else []
        if len(sections) >= 3 and not any('"' in s or "\\" in s for s in sections):
            found.append(name)
    return found


class NextTopic(Template):
    """The heading of the page that the next-links of the documentation lead to."""

    name, kind = "next_topic", "multi_page"

    def draw(self, web: Web, stream: Random) -> tuple[str, ...] | None:
        base, names = base_of(web), web.slugs(_PAGE)
        if base is None or not names:
            return None
        for _ in range(50):
            variables = (base, stream.choice(names), str(stream.randrange(1, 4)))
            try:
                if self.truth(Visited(web.cache), variables) is not None:
                    return variables
            except NotVisitedError:  # the links lead out of the cache
                continue
        return None

    def entities(self, variables: tuple[str, ...]) -> tuple[str, ...]:
        return (f"python_docs/page/{variables[1]}",)

    def ask(self, web: Web, variables: tuple[str, ...]) -> str:
        base, name, steps = variables
        times = {"1": "once", "2": "twice", "3": "three times"}[steps]
        return f"What is the heading of the page that you reach when you follow the link 'next' {times}? Begin at {base}library/{name}.html"

    def teach(self, guide: Guide, variables: tuple[str, ...]) -> str:
        base, name, steps = variables
        guide.open(f"{base}library/{name}.html")
        for _ in range(int(steps)):
            guide.follow(name="next")
        return _plain(guide.find(r'- \'?heading "((?:[^"\\]|\\.)+)" \[level=1\]')[1])

    def truth(self, pages: Visited, variables: tuple[str, ...]) -> str | None:
        base, name, steps = variables
        url: str | None = f"{base}library/{name}.html"
        for _ in range(int(steps)):
            links = pages.root(url).find_all("link", rel="next") if url else []
            url = resolve(url or base, links[0].get("href") or "") if links else None
        heading = pages.root(url).find("h1") if url else None
        return None if heading is None else _plain(heading.words) or None


def _plain(heading: str) -> str:
    return heading.replace("''", "'").replace('\\"', '"').rstrip("¶").strip()


class TableCell(Template):
    """What a table of a page says in the row of something."""

    name, kind = "table_cell", "single_hop"

    def draw(self, web: Web, stream: Random) -> tuple[str, ...] | None:
        base, names = base_of(web), web.slugs(_PAGE)
        if base is None or not names:
            return None
        for name in stream.sample(names, len(names)):
            url = f"{base}library/{name}.html"
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

    def entities(self, variables: tuple[str, ...]) -> tuple[str, ...]:
        return (f"python_docs/page/{variables[1]}",)

    def ask(self, web: Web, variables: tuple[str, ...]) -> str:
        base, name, row, column = variables
        return f"In the table of the page, what stands in the column {column!r} of the row that begins with {row!r}? Begin at {base}library/{name}.html"

    def teach(self, guide: Guide, variables: tuple[str, ...]) -> str:
        base, name, row, column = variables
        guide.open(f"{base}library/{name}.html")
        cells = guide.row(row)
        columns = [one for one in guide.rows() if column in one]
        return cells[columns[0].index(column)]

    def truth(self, pages: Visited, variables: tuple[str, ...]) -> str | None:
        base, name, row, column = variables
        return _cells(pages.root(f"{base}library/{name}.html")).get((row, column))


@lru_cache(maxsize=64)
def _cells(root: Element) -> dict[tuple[str, str], str]:
    """Return the cells of a page's only table with a header by the first cell of the row and the column, where that is plain."""
    tables = [table for table in root.find_all("table") if table.find("th") is not None]
    firsts = [cells[0].words for row in root.find_all("tr") if (cells := row.child_elements())]
    found: dict[tuple[str, str], str] = {}
    if len(tables) != 1:
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


class PythonDocs(Site):
    """The Python documentation."""

    name = "python_docs"

    def templates(self) -> Sequence[Template]:
        return [
            ModuleSynopsis(),
            ModuleSource(),
            ModulesOfLetter(),
            LetterDifference(),
            NthOfChapter(),
            NextTopic(),
            TableCell(),
        ]

    def is_in(self, web: Web) -> bool:
        return base_of(web) is not None

    def entity_of(self, url: str) -> str | None:
        match = re.fullmatch(_PAGE, url)
        return f"python_docs/page/{match[1]}" if match else None
