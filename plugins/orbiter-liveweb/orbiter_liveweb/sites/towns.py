"""Questions that two sites of the synthetic web answer together, over the towns that both name."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from random import Random

from attrs import frozen

from orbiter_liveweb.guide import Guide
from orbiter_liveweb.sites import catalogue, league, weather
from orbiter_liveweb.synthetic.web import CATALOGUE, LEAGUE, WEATHER
from orbiter_liveweb.synthetic.world import MONTHS, YEARS, slug_of
from orbiter_liveweb.topology import Site, Template, Visited, Web


@frozen
class _Things:
    """Things that belong to towns: their pages and names, and how their towns are found by acting and known from pages."""

    pattern: str
    about: str
    url: Callable[[str], str]
    name: Callable[[str], str]
    find_town: Callable[[Guide, str], str]
    town: Callable[[Visited, str], str | None]


class _ByWeather(Template):
    """Which of two things belongs to the town that had more of something in a month."""

    kind = "comparison"
    things: _Things
    column: int
    """Column of the table of a year that is compared."""

    def draw(self, web: Web, stream: Random) -> tuple[str, ...] | None:
        slugs = web.slugs(self.things.pattern)
        for _ in range(10 if len(slugs) >= 2 else 0):
            two, year = stream.sample(slugs, 2), str(stream.choice(YEARS))
            variables = (*two, year, stream.choice(MONTHS).lower())
            if self.truth(web, variables) is not None:
                return variables
        return None

    def entities(self, variables: tuple[str, ...]) -> tuple[str, ...]:
        return tuple(f"{self.things.about}/{slug}" for slug in variables[:2])

    def teach(self, guide: Guide, variables: tuple[str, ...]) -> str:
        *slugs, year, month = variables
        found: list[tuple[int, str]] = []
        for slug in slugs:
            town = self.things.find_town(guide, slug)
            row = weather.find_month(guide, town, year, month.capitalize())
            found.append((int(row[self.column]), self.things.name(slug)))
        return max(found)[1]

    def truth(self, pages: Visited, variables: tuple[str, ...]) -> str | None:
        *slugs, year, month = variables
        values: list[int] = []
        for slug in slugs:
            town = self.things.town(pages, slug)
            row = town and weather.month_row(pages, slug_of(town), year, month.capitalize())
            if not row:
                return None
            values.append(int(row[self.column]))
        if values[0] == values[1]:
            return None
        heading = pages.root(self.things.url(slugs[values.index(max(values))])).find("h1")
        return None if heading is None else heading.words


class WetterHome(_ByWeather):
    """Which of two clubs has the wetter home town."""

    name, needs, column = "wetter_home", ("league", "weather"), weather.COLUMNS["rain"]
    things = _Things(
        league.CLUB,
        league.ABOUT_CLUB,
        league.club_url,
        league.club_name,
        league.find_club_town,
        league.club_town,
    )

    def ask(self, web: Web, variables: tuple[str, ...]) -> str:
        a, b, year, month = variables
        names = [web.heading(league.club_url(slug)) for slug in (a, b)]
        leagues = [league.league_of(web, slug).capitalize() for slug in (a, b)]
        return (
            f"Which club's home town had more rain in {month.capitalize()} {year}: {names[0]} of the {leagues[0]} League or "
            f"{names[1]} of the {leagues[1]} League? Begin at {LEAGUE}/ and use {WEATHER}/"
        )


class WarmerMaker(_ByWeather):
    """Which of two items is made in the warmer town."""

    name, needs, column = "warmer_maker", ("catalogue", "weather"), weather.COLUMNS["high"]
    things = _Things(
        catalogue.ITEM,
        catalogue.ABOUT_ITEM,
        catalogue.item_url,
        catalogue.item_name,
        catalogue.find_maker_town,
        catalogue.maker_town,
    )

    def ask(self, web: Web, variables: tuple[str, ...]) -> str:
        a, b, year, month = variables
        names = [web.heading(catalogue.item_url(slug)) for slug in (a, b)]
        return (
            f"Which is made in the town with the higher high in {month.capitalize()} {year}: the {names[0]} or the {names[1]}? "
            f"Begin at {CATALOGUE}/ and use {WEATHER}/"
        )


class Towns(Site):
    """What the sites of the synthetic web say together."""

    name = "towns"

    def templates(self) -> Sequence[Template]:
        return [WetterHome(), WarmerMaker()]

    def is_in(self, web: Web) -> bool:
        return bool(web.slugs(weather.STATION))
