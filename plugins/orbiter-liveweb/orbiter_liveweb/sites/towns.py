"""Questions that two sites of the synthetic web answer together, over the towns that both name."""

from __future__ import annotations

from collections.abc import Sequence
from random import Random

from orbiter_liveweb.guide import Guide
from orbiter_liveweb.sites import catalogue, league, weather
from orbiter_liveweb.sites.tables import fact
from orbiter_liveweb.synthetic.web import CATALOGUE, LEAGUE, WEATHER
from orbiter_liveweb.synthetic.world import MONTHS, YEARS, slug_of
from orbiter_liveweb.topology import Site, Template, Visited, Web


def _month_of(stream: Random) -> tuple[str, str]:
    return str(stream.choice(YEARS)), stream.choice(MONTHS).lower()


def _rain(pages: Visited, town: str | None, year: str, month: str, *, column: int) -> int | None:
    row = weather.month_row(pages, slug_of(town), year, month.capitalize()) if town else None
    return None if row is None else int(row[column])


class WetterHome(Template):
    """Which of two clubs has the wetter home town."""

    name, kind, needs = "wetter_home", "comparison", ("league", "weather")

    def draw(self, web: Web, stream: Random) -> tuple[str, ...] | None:
        clubs = web.slugs(league.CLUB)
        if len(clubs) < 2:
            return None
        for _ in range(10):
            variables = (*stream.sample(clubs, 2), *_month_of(stream))
            if self.truth(Visited(web.cache), variables) is not None:
                return variables
        return None

    def entities(self, variables: tuple[str, ...]) -> tuple[str, ...]:
        return tuple(league.entity(slug) for slug in variables[:2])

    def ask(self, web: Web, variables: tuple[str, ...]) -> str:
        a, b, year, month = variables
        names = [web.heading(league.club_url(slug)) for slug in (a, b)]
        leagues = [league.league_of(web, slug).capitalize() for slug in (a, b)]
        return (
            f"Which club's home town had more rain in {month.capitalize()} {year}: {names[0]} of the {leagues[0]} League or "
            f"{names[1]} of the {leagues[1]} League? Begin at {LEAGUE}/ and use {WEATHER}/"
        )

    def teach(self, guide: Guide, variables: tuple[str, ...]) -> str:
        year, month = variables[2:]
        found: list[tuple[int, str]] = []
        for slug in variables[:2]:
            name = slug.replace("-", " ").title()
            guide.open(f"{LEAGUE}/")
            self._find_club(guide, slug)
            town = guide.row("Town")[1]
            row = weather.find_month(guide, town, year, month.capitalize())
            found.append((int(row[1]), name))
        return max(found)[1]

    def _find_club(self, guide: Guide, slug: str) -> None:
        """Look through the leagues, which the question names, for the club."""
        names = [name for name in guide.link_names() if name.endswith(" League")]
        for name in names:
            guide.open(f"{LEAGUE}/")
            guide.follow(name=name)
            while not guide.has_link(f"/club/{slug}"):
                if not guide.more():
                    break
            else:
                guide.follow(ends=f"/club/{slug}")
                return

    def truth(self, pages: Visited, variables: tuple[str, ...]) -> str | None:
        a, b, year, month = variables
        roots = [pages.root(league.club_url(slug)) for slug in (a, b)]
        rain = [_rain(pages, fact(root, "Town"), year, month, column=1) for root in roots]
        if rain[0] is None or rain[1] is None or rain[0] == rain[1]:
            return None
        heading = roots[0 if rain[0] > rain[1] else 1].find("h1")
        return None if heading is None else heading.words


class WarmerMaker(Template):
    """Which of two items is made in the warmer town."""

    name, kind, needs = "warmer_maker", "comparison", ("catalogue", "weather")

    def draw(self, web: Web, stream: Random) -> tuple[str, ...] | None:
        items = web.slugs(catalogue.ITEM)
        if len(items) < 2:
            return None
        for _ in range(10):
            variables = (*stream.sample(items, 2), *_month_of(stream))
            if self.truth(Visited(web.cache), variables) is not None:
                return variables
        return None

    def entities(self, variables: tuple[str, ...]) -> tuple[str, ...]:
        return tuple(catalogue.entity(slug) for slug in variables[:2])

    def ask(self, web: Web, variables: tuple[str, ...]) -> str:
        a, b, year, month = variables
        names = [web.heading(catalogue.item_url(slug)) for slug in (a, b)]
        return (
            f"Which is made in the town with the higher high in {month.capitalize()} {year}: the {names[0]} or the {names[1]}? "
            f"Begin at {CATALOGUE}/ and use {WEATHER}/"
        )

    def teach(self, guide: Guide, variables: tuple[str, ...]) -> str:
        year, month = variables[2:]
        found: list[tuple[int, str]] = []
        for slug in variables[:2]:
            town = catalogue.find_maker_town(guide, slug)
            row = weather.find_month(guide, town, year, month.capitalize())
            found.append((int(row[2]), slug.replace("-", " ").capitalize()))
        return max(found)[1]

    def truth(self, pages: Visited, variables: tuple[str, ...]) -> str | None:
        a, b, year, month = variables
        highs = [
            _rain(pages, catalogue.maker_town(pages, slug), year, month, column=2)
            for slug in (a, b)
        ]
        if highs[0] is None or highs[1] is None or highs[0] == highs[1]:
            return None
        heading = pages.root(catalogue.item_url(a if highs[0] > highs[1] else b)).find("h1")
        return None if heading is None else heading.words


class Towns(Site):
    """What the sites of the synthetic web say together."""

    name = "towns"

    def templates(self) -> Sequence[Template]:
        return [WetterHome(), WarmerMaker()]

    def is_in(self, web: Web) -> bool:
        return bool(web.slugs(weather.STATION))
