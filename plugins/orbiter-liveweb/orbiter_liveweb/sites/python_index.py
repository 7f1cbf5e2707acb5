"""Questions about the module index of the Python documentation."""

from __future__ import annotations

from abc import abstractmethod
from functools import lru_cache
from random import Random

from orbiter_liveweb.dom import Element
from orbiter_liveweb.guide import Guide
from orbiter_liveweb.topology import Template, Visited, Web
from orbiter_liveweb.urls import resolve

_INDEX = r"(.*/)py-modindex\.html"


def base_of(web: Web) -> str | None:
    """Return the address that the documentation stands below, or None where the web has none."""
    found = web.slugs(_INDEX)
    return found[0] if found else None


def _index(base: str) -> str:
    return f"{base}py-modindex.html"


def _rows(index: Element) -> list[Element]:
    table = index.find("table", class_="modindextable")
    return table.find_all("tr") if table else []


@lru_cache(maxsize=8)
def _modules(index: Element) -> dict[str, tuple[str, str]]:
    """Return the modules of the index by name: where each leads and what is said of it."""
    found: dict[str, tuple[str, str]] = {}
    for row in _rows(index):
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
        names = sorted(_modules(web.root(_index(base))))
        for _ in range(50 if names else 0):
            name = stream.choice(names)
            if self._fits(web, base, name):
                return base, name
        return None

    @abstractmethod
    def _fits(self, web: Web, base: str, name: str) -> bool:
        """Return whether there is something to be asked about the module."""

    def entities(self, variables: tuple[str, ...]) -> tuple[str, ...]:
        return (f"python_docs/page/{variables[1]}",)  # what is told of a module stands there too


def _find_in_index(guide: Guide, base: str, name: str) -> None:
    guide.open(_index(base))
    guide.follow(ends=f"#cap-{name[0].lower()}")


class ModuleSynopsis(_OfModule):
    """What the module index says of a module."""

    name, kind = "module_synopsis", "single_hop"

    def _fits(self, web: Web, base: str, name: str) -> bool:
        synopsis = _modules(web.root(_index(base)))[name][1]
        return bool(synopsis) and len(synopsis) < 200

    def ask(self, web: Web, variables: tuple[str, ...]) -> str:
        base, name = variables
        return (
            f"What does the Python module index say of the module {name}? Begin at {_index(base)}"
        )

    def teach(self, guide: Guide, variables: tuple[str, ...]) -> str:
        base, name = variables
        _find_in_index(guide, base, name)
        return guide.row(name, column=1)[2]

    def truth(self, pages: Visited, variables: tuple[str, ...]) -> str | None:
        base, name = variables
        found = _modules(pages.root(_index(base))).get(name)
        return found[1] or None if found else None


class ModuleSource(_OfModule):
    """Which file holds the source of a module, which the module's page says."""

    name, kind = "module_source", "multi_page"

    def _fits(self, web: Web, base: str, name: str) -> bool:
        href = _modules(web.root(_index(base)))[name][0]
        # Modules that share a page are told apart by no file.
        url = resolve(base, href) if href == f"library/{name}.html#module-{name}" else None
        root = web.cache.root(url) if url else None
        return root is not None and _source(root) is not None

    def ask(self, web: Web, variables: tuple[str, ...]) -> str:
        base, name = variables
        return f"Which file is the source code of the Python module {name}, as its page says? Begin at {_index(base)}"

    def teach(self, guide: Guide, variables: tuple[str, ...]) -> str:
        base, name = variables
        _find_in_index(guide, base, name)
        guide.follow(name=name)
        return guide.find(r'- link "(Lib/[^"]+)" \[ref=')[1]

    def truth(self, pages: Visited, variables: tuple[str, ...]) -> str | None:
        base, name = variables
        found = _modules(pages.root(_index(base))).get(name)
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
        letters = sorted(_letters(web.root(_index(base)))) if base else []
        return (base, stream.choice(letters)) if base and letters else None

    def entities(self, variables: tuple[str, ...]) -> tuple[str, ...]:
        return tuple(f"python_docs/letter/{letter}" for letter in variables[1:])

    def ask(self, web: Web, variables: tuple[str, ...]) -> str:
        base, letter = variables
        return (
            f"How many modules and submodules does the Python module index list under the letter {letter.upper()}? "
            f"Begin at {_index(base)}"
        )

    def teach(self, guide: Guide, variables: tuple[str, ...]) -> str:
        guide.open(_index(variables[0]))
        return str(_count(guide, variables[1]))

    def truth(self, pages: Visited, variables: tuple[str, ...]) -> str | None:
        count = _letters(pages.root(_index(variables[0]))).get(variables[1])
        return None if count is None else str(count)


class LetterDifference(ModulesOfLetter):
    """How many more modules stand under one letter than under another."""

    name, kind = "letter_difference", "computation"

    def draw(self, web: Web, stream: Random) -> tuple[str, ...] | None:
        base = base_of(web)
        counts = _letters(web.root(_index(base))) if base else {}
        if base is None or len(counts) < 2:
            return None
        a, b = stream.sample(sorted(counts), 2)
        return (base, a, b) if counts[a] >= counts[b] else (base, b, a)

    def ask(self, web: Web, variables: tuple[str, ...]) -> str:
        base, a, b = variables
        return (
            f"How many more modules and submodules does the Python module index list under the letter {a.upper()} than under "
            f"{b.upper()}? Begin at {_index(base)}"
        )

    def teach(self, guide: Guide, variables: tuple[str, ...]) -> str:
        guide.open(_index(variables[0]))
        first = _count(guide, variables[1])
        guide.open(_index(variables[0]))
        return str(first - _count(guide, variables[2]))

    def truth(self, pages: Visited, variables: tuple[str, ...]) -> str | None:
        counts = _letters(pages.root(_index(variables[0])))
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
    for row in _rows(index):
        name = row.get("id") or ""
        if name.startswith("cap-"):
            letter = name.removeprefix("cap-")
            counts[letter] = 0
        elif letter and row.find("code") is not None:
            counts[letter] += 1
    return counts
