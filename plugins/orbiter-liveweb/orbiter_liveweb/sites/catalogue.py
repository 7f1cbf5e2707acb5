"""Questions about the catalogue of the synthetic web."""

from __future__ import annotations

import re
from collections.abc import Sequence
from decimal import Decimal
from random import Random

from orbiter_liveweb.guide import Guide
from orbiter_liveweb.sites.reading import fact, fact_link, list_entries, list_size, nth_entry
from orbiter_liveweb.synthetic.web import CATALOGUE
from orbiter_liveweb.topology import Site, SlugTemplate, Template, Visited, Web

ITEM = re.escape(f"{CATALOGUE}/item/") + "([a-z-]+)"
ABOUT_ITEM = "catalogue/item"
_FACTS = {"price": "Price", "weight": "Weight", "stock": "In stock", "code": "Code"}
_ASKED = {
    "price": "What does the {} cost",
    "weight": "How many grams does the {} weigh",
    "stock": "How many of the {} are in stock",
    "code": "What is the code of the {}",
}
_ENTRY = re.compile(r"(.+) for ([0-9]+\.[0-9]{2})")
_SHOWN_ENTRY = re.compile(
    r'- link "([^"]+)" \[ref=[0-9]+\]:\n *- /url: .*\n *- text: for ([0-9.]+)'
)


def item_url(slug: str) -> str:
    """Return the address of an item's page."""
    return f"{CATALOGUE}/item/{slug}"


def item_name(slug: str) -> str:
    """Return the name of an item, which is its slug in words."""
    return slug.replace("-", " ").capitalize()


def find_item(guide: Guide, slug: str) -> None:
    """Go to the page of an item by the search of the catalogue."""
    guide.open(f"{CATALOGUE}/")
    guide.search("Search the catalogue", item_name(slug), button="Search")
    guide.follow(ends=f"/item/{slug}")


def find_maker_town(guide: Guide, slug: str) -> str:
    """Go from the search to the maker of an item, and return the maker's town."""
    find_item(guide, slug)
    guide.follow(name=guide.row("Maker")[1])
    return guide.row("Town")[1]


def maker_town(pages: Visited, slug: str) -> str | None:
    """Return the town of an item's maker from the two pages that say so."""
    href = fact_link(pages.root(item_url(slug)), "Maker")
    return None if href is None else fact(pages.root(CATALOGUE + href), "Town")


class _OfItem(SlugTemplate):
    pattern, about = ITEM, ABOUT_ITEM


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


class OrderCost(Template):
    """What some of one item and some of another cost together."""

    name, kind = "order_cost", "computation"

    def draw(self, web: Web, stream: Random) -> tuple[str, ...] | None:
        items = web.slugs(ITEM)
        if len(items) < 2:
            return None
        a, b = stream.sample(items, 2)
        return a, str(stream.randrange(1, 10)), b, str(stream.randrange(1, 10))

    def entities(self, variables: tuple[str, ...]) -> tuple[str, ...]:
        return tuple(f"{ABOUT_ITEM}/{slug}" for slug in (variables[0], variables[2]))

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


class _OfCategory(SlugTemplate):
    pattern, about = re.escape(f"{CATALOGUE}/category/") + "([a-z-]+)", "catalogue/category"


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
            guide.read_on()
            entries = _SHOWN_ENTRY.findall("\n".join(guide.lines))
            found += [(Decimal(price), name) for name, price in entries]
            if "Next page" not in guide.link_names():
                return min(found)[1]
            guide.follow(name="Next page")

    def truth(self, pages: Visited, variables: tuple[str, ...]) -> str | None:
        entries = list_entries(pages, CATALOGUE, f"/category/{variables[0]}")
        matches = (_ENTRY.fullmatch(entry.words) for entry in entries)
        found = [(float(match[2]), match[1]) for match in matches if match]
        return min(found)[1] if found else None


class NthOfCategory(_OfCategory):
    """The item at a place in the list of a category."""

    name, kind = "nth_of_category", "list_navigation"

    def draw(self, web: Web, stream: Random) -> tuple[str, ...] | None:
        drawn = super().draw(web, stream)
        count = drawn and web.once(list_size, CATALOGUE, f"/category/{drawn[0]}")
        return (*drawn, str(stream.randrange(1, count + 1))) if drawn and count else None

    def ask(self, web: Web, variables: tuple[str, ...]) -> str:
        name = web.heading(f"{CATALOGUE}/category/{variables[0]}")
        return f"Which thing stands at place {variables[1]} of the list of the category {name}? Begin at {CATALOGUE}/"

    def teach(self, guide: Guide, variables: tuple[str, ...]) -> str:
        guide.open(f"{CATALOGUE}/")
        guide.follow(ends=f"/category/{variables[0]}")
        return guide.nth_of_list(int(variables[1]), begins="/item/")

    def truth(self, pages: Visited, variables: tuple[str, ...]) -> str | None:
        category, place = variables
        entry = nth_entry(pages, CATALOGUE, f"/category/{category}", int(place))
        link = entry and entry.find("a")
        return link.words if link else None


class Catalogue(Site):
    """The catalogue of the synthetic web."""

    name = "catalogue"

    def templates(self) -> Sequence[Template]:
        return [ItemFact(), MakerTown(), OrderCost(), CheapestOfCategory(), NthOfCategory()]

    def is_in(self, web: Web) -> bool:
        return bool(web.slugs(ITEM))

    def entity_of(self, url: str) -> str | None:
        match = re.fullmatch(ITEM, url)
        return f"{ABOUT_ITEM}/{match[1]}" if match else None
