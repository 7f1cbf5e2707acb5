"""Questions about the catalogue of the synthetic web."""

from __future__ import annotations

import re
from collections.abc import Sequence
from decimal import Decimal
from random import Random

from orbiter_liveweb.guide import Guide
from orbiter_liveweb.sites.tables import fact, fact_link
from orbiter_liveweb.synthetic.web import CATALOGUE
from orbiter_liveweb.topology import Site, Template, Visited, Web

ITEM = re.escape(f"{CATALOGUE}/item/") + "([a-z-]+)"
_CATEGORY = re.escape(f"{CATALOGUE}/category/") + "([a-z-]+)"
_FACTS = {"price": "Price", "weight": "Weight", "stock": "In stock", "code": "Code"}
_ASKED = {
    "price": "What does the {} cost",
    "weight": "How many grams does the {} weigh",
    "stock": "How many of the {} are in stock",
    "code": "What is the code of the {}",
}
_ENTRY = re.compile(r"(.+) for ([0-9]+\.[0-9]{2})")


def item_url(slug: str) -> str:
    """Return the address of an item's page."""
    return f"{CATALOGUE}/item/{slug}"


def find_item(guide: Guide, slug: str) -> str:
    """Go to the page of an item by the search of the catalogue, and return its name."""
    # An item's name is its slug in words; only its page is known to the question.
    name = slug.replace("-", " ").capitalize()
    guide.open(f"{CATALOGUE}/")
    guide.search("Search the catalogue", name, button="Search")
    guide.follow(ends=f"/item/{slug}")
    return name


def find_maker_town(guide: Guide, slug: str) -> str:
    """Go from the search to the maker of an item, and return the maker's town."""
    find_item(guide, slug)
    guide.follow(name=guide.row("Maker")[1])
    return guide.row("Town")[1]


def maker_town(pages: Visited, slug: str) -> str | None:
    """Return the town of an item's maker from the two pages that say so."""
    href = fact_link(pages.root(item_url(slug)), "Maker")
    return None if href is None else fact(pages.root(CATALOGUE + href), "Town")


def entity(slug: str) -> str:
    """Return the entity of an item."""
    return f"catalogue/item/{slug}"


class _OfItem(Template):
    """A template whose first variable is an item."""

    def draw(self, web: Web, stream: Random) -> tuple[str, ...] | None:
        items = web.slugs(ITEM)
        return (stream.choice(items),) if items else None

    def entities(self, variables: tuple[str, ...]) -> tuple[str, ...]:
        return (entity(variables[0]),)


class ItemFact(_OfItem):
    """What the page of an item says."""

    name, kind, unit = "item_fact", "single_hop", "g"

    def draw(self, web: Web, stream: Random) -> tuple[str, ...] | None:
        drawn = super().draw(web, stream)
        return drawn and (*drawn, stream.choice(sorted(_FACTS)))

    def ask(self, web: Web, variables: tuple[str, ...]) -> str:
        item, which = variables
        return f"{_ASKED[which].format(web.heading(item_url(item)))}? Begin at {CATALOGUE}/"

    def teach(self, guide: Guide, variables: tuple[str, ...]) -> str:
        find_item(guide, variables[0])
        return guide.row(_FACTS[variables[1]])[1].removesuffix(" g")

    def truth(self, pages: Visited, variables: tuple[str, ...]) -> str | None:
        value = fact(pages.root(item_url(variables[0])), _FACTS[variables[1]])
        return value.split()[0] if value else None


class MakerTown(_OfItem):
    """Where the maker of an item sits, which the maker's page says."""

    name, kind = "maker_town", "multi_page"

    def ask(self, web: Web, variables: tuple[str, ...]) -> str:
        name = web.heading(item_url(variables[0]))
        return f"In which town is the maker of the {name}? Begin at {CATALOGUE}/"

    def teach(self, guide: Guide, variables: tuple[str, ...]) -> str:
        return find_maker_town(guide, variables[0])

    def truth(self, pages: Visited, variables: tuple[str, ...]) -> str | None:
        return maker_town(pages, variables[0])


class OrderCost(_OfItem):
    """What some of one item and some of another cost together."""

    name, kind = "order_cost", "computation"

    def draw(self, web: Web, stream: Random) -> tuple[str, ...] | None:
        items = web.slugs(ITEM)
        if len(items) < 2:
            return None
        a, b = stream.sample(items, 2)
        return a, str(stream.randrange(1, 10)), b, str(stream.randrange(1, 10))

    def entities(self, variables: tuple[str, ...]) -> tuple[str, ...]:
        return entity(variables[0]), entity(variables[2])

    def ask(self, web: Web, variables: tuple[str, ...]) -> str:
        a, m, b, n = variables
        names = [web.heading(item_url(slug)) for slug in (a, b)]
        return f"What does an order of {m} x {names[0]} and {n} x {names[1]} cost? Begin at {CATALOGUE}/"

    def teach(self, guide: Guide, variables: tuple[str, ...]) -> str:
        total = Decimal(0)
        for slug, count in (variables[:2], variables[2:]):
            find_item(guide, slug)
            total += int(count) * Decimal(guide.row("Price")[1])
        return f"{total:.2f}"

    def truth(self, pages: Visited, variables: tuple[str, ...]) -> str | None:
        cents = 0
        for slug, count in (variables[:2], variables[2:]):
            price = fact(pages.root(item_url(slug)), "Price")
            if price is None:
                return None
            cents += int(count) * int(price.replace(".", ""))
        return f"{cents // 100}.{cents % 100:02}"


class _OfCategory(Template):
    """A template whose first variable is a category."""

    def draw(self, web: Web, stream: Random) -> tuple[str, ...] | None:
        found = web.slugs(_CATEGORY)
        return (stream.choice(found),) if found else None

    def entities(self, variables: tuple[str, ...]) -> tuple[str, ...]:
        return (f"catalogue/category/{variables[0]}",)


def _pages_of(pages: Visited, category: str) -> list[tuple[str, str]]:
    """Return name and price of every entry of a category, over all its pages."""
    found: list[tuple[str, str]] = []
    href: str | None = f"/category/{category}"
    while href is not None:
        root = pages.root(CATALOGUE + href)
        listing = root.find("ol")
        entries = listing.find_all("li") if listing else ()
        matches = (_ENTRY.fullmatch(entry.words) for entry in entries)
        found += [(match[1], match[2]) for match in matches if match]
        href = next((a.get("href") for a in root.find_all("a") if a.words == "Next page"), None)
    return found


class CheapestOfCategory(_OfCategory):
    """The cheapest item of a category, which stands on any of its pages."""

    name, kind = "cheapest_of_category", "aggregation"

    def ask(self, web: Web, variables: tuple[str, ...]) -> str:
        name = web.heading(f"{CATALOGUE}/category/{variables[0]}")
        return f"Which thing in the category {name} is the cheapest? Begin at {CATALOGUE}/"

    def teach(self, guide: Guide, variables: tuple[str, ...]) -> str:
        guide.open(f"{CATALOGUE}/")
        guide.follow(ends=f"/category/{variables[0]}")
        found: list[tuple[Decimal, str]] = []
        while True:
            while guide.more():
                pass
            lines = guide.lines
            for n, line in enumerate(lines):
                if match := re.fullmatch(r' *- link "(.+)" \[ref=[0-9]+\]:', line):
                    price = re.search(r"text: for ([0-9.]+)", "".join(lines[n + 2 : n + 3]))
                    if price:
                        found.append((Decimal(price[1]), match[1]))
            if not any('link "Next page"' in line for line in lines):
                return min(found)[1]
            guide.follow(name="Next page")

    def truth(self, pages: Visited, variables: tuple[str, ...]) -> str | None:
        found = _pages_of(pages, variables[0])
        return min(found, key=lambda one: (float(one[1]), one[0]))[0] if found else None


class NthOfCategory(_OfCategory):
    """The item at a place in the list of a category."""

    name, kind = "nth_of_category", "list_navigation"

    def draw(self, web: Web, stream: Random) -> tuple[str, ...] | None:
        drawn = super().draw(web, stream)
        if drawn is None:
            return None
        count = _count(web, drawn[0])
        return (*drawn, str(stream.randrange(1, count + 1))) if count else None

    def ask(self, web: Web, variables: tuple[str, ...]) -> str:
        name = web.heading(f"{CATALOGUE}/category/{variables[0]}")
        return f"Which thing stands at place {variables[1]} of the list of the category {name}? Begin at {CATALOGUE}/"

    def teach(self, guide: Guide, variables: tuple[str, ...]) -> str:
        guide.open(f"{CATALOGUE}/")
        guide.follow(ends=f"/category/{variables[0]}")
        place = int(variables[1])
        names: list[str] = []
        while True:
            while guide.more():
                pass
            found = re.findall(
                r'- link "([^"]+)" \[ref=[0-9]+\]:\n *- /url: /item/', "\n".join(guide.lines)
            )
            names += found
            if len(names) >= place:
                return names[place - 1]
            guide.follow(name="Next page")

    def truth(self, pages: Visited, variables: tuple[str, ...]) -> str | None:
        place, category = int(variables[1]), variables[0]
        href: str | None = f"/category/{category}"
        while href is not None:
            root = pages.root(CATALOGUE + href)
            listing = root.find("ol")
            entries = listing.find_all("li") if listing else []
            start = int(listing.get("start") or 1) if listing else 1
            if start <= place < start + len(entries):
                link = entries[place - start].find("a")
                return None if link is None else link.words
            href = next((a.get("href") for a in root.find_all("a") if a.words == "Next page"), None)
        return None


def _count(web: Web, category: str) -> int:
    said = re.search(r"([0-9]+) things\.", web.root(f"{CATALOGUE}/category/{category}").words)
    return int(said[1]) if said else 0


class Catalogue(Site):
    """The catalogue of the synthetic web."""

    name = "catalogue"

    def templates(self) -> Sequence[Template]:
        return [ItemFact(), MakerTown(), OrderCost(), CheapestOfCategory(), NthOfCategory()]

    def is_in(self, web: Web) -> bool:
        return bool(web.slugs(ITEM))

    def entity_of(self, url: str) -> str | None:
        match = re.fullmatch(ITEM, url)
        return entity(match[1]) if match else None
