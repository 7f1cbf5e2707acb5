"""Questions about the weather service of the synthetic web."""

from __future__ import annotations

import re
from collections.abc import Sequence
from random import Random

from orbiter_liveweb.guide import Guide
from orbiter_liveweb.sites.reading import body_rows, fact, fact_link, list_size, nth_entry
from orbiter_liveweb.synthetic.web import READY_AFTER_S, WEATHER
from orbiter_liveweb.synthetic.world import MONTHS, YEARS
from orbiter_liveweb.topology import Site, SlugTemplate, Template, Visited, Web

STATION = re.escape(f"{WEATHER}/station/") + "([a-z-]+)"
_NOW = {
    "temperature": ("Temperature", "°C"),
    "wind": ("Wind", "km/h"),
    "humidity": ("Humidity", "%"),
}
COLUMNS = {"rain": 1, "high": 2, "low": 3, "sun": 4}
"""Columns of the table of a year."""


def report_url(slug: str) -> str:
    """Return the address of a station's report."""
    return f"{WEATHER}/station/{slug}/report"


def year_url(slug: str, year: str) -> str:
    """Return the address of a year at a station."""
    return f"{WEATHER}/station/{slug}/{year}"


def find_station(guide: Guide, name: str) -> None:
    """Go to the page of a station by the search."""
    guide.open(f"{WEATHER}/")
    guide.search("Town", name, button="Find")
    guide.follow(name=name)


def find_month(guide: Guide, name: str, year: str, month: str) -> list[str]:
    """Go to a year of a station and return the row of a month."""
    find_station(guide, name)
    guide.follow(name=f"Year {year}")
    return guide.row(month)


def month_row(pages: Visited, slug: str, year: str, month: str) -> list[str] | None:
    """Return the row of a month from the page of a year."""
    rows = body_rows(pages.root(year_url(slug, year)))
    return next((row for row in rows if row[0] == month), None)


class _OfStation(SlugTemplate):
    pattern, about = STATION, "weather/station"


class Now(_OfStation):
    """What a station reports, once its report is ready."""

    name, kind = "now", "single_hop"

    def draw(self, web: Web, stream: Random) -> tuple[str, ...] | None:
        drawn = super().draw(web, stream)
        return drawn and (*drawn, stream.choice(sorted(_NOW)))

    def ask(self, web: Web, variables: tuple[str, ...]) -> str:
        town, (what, unit) = web.heading(f"{WEATHER}/station/{variables[0]}"), _NOW[variables[1]]
        return f"What is the {what.lower()} that {town} reports, in {unit}? Begin at {WEATHER}/"

    def teach(self, guide: Guide, variables: tuple[str, ...]) -> str:
        find_station(guide, variables[0].capitalize())
        said = guide.find(r"opens within ([0-9]+) seconds")
        guide.do("wait", seconds=int(said[1]))
        return guide.row(_NOW[variables[1]][0])[1].split()[0]

    def truth(self, pages: Visited, variables: tuple[str, ...]) -> str | None:
        value = fact(pages.root(report_url(variables[0])), _NOW[variables[1]][0])
        return value.split()[0] if value else None


class NeighbourElevation(_OfStation):
    """How high the station lies that is nearest to another."""

    name, kind, unit = "neighbour_elevation", "multi_page", "m"

    def ask(self, web: Web, variables: tuple[str, ...]) -> str:
        town = web.heading(f"{WEATHER}/station/{variables[0]}")
        return f"At how many metres lies the station that is nearest to {town}? Begin at {WEATHER}/"

    def teach(self, guide: Guide, variables: tuple[str, ...]) -> str:
        find_station(guide, variables[0].capitalize())
        guide.do("wait", seconds=READY_AFTER_S)
        guide.follow(name=guide.row("Nearest station")[1])
        guide.do("wait", seconds=READY_AFTER_S)
        return guide.row("Elevation")[1].split()[0]

    def truth(self, pages: Visited, variables: tuple[str, ...]) -> str | None:
        href = fact_link(pages.root(report_url(variables[0])), "Nearest station")
        value = fact(pages.root(f"{WEATHER}{href}/report"), "Elevation") if href else None
        return value.split()[0] if value else None


class MonthSpread(_OfStation):
    """The difference of high and low in a month."""

    name, kind, unit = "month_spread", "computation", "°C"

    def draw(self, web: Web, stream: Random) -> tuple[str, ...] | None:
        drawn = super().draw(web, stream)
        return drawn and (*drawn, str(stream.choice(YEARS)), stream.choice(MONTHS).lower())

    def ask(self, web: Web, variables: tuple[str, ...]) -> str:
        slug, year, month = variables
        town = web.heading(year_url(slug, year)).removesuffix(f" in {year}")
        return (
            f"By how many °C does the high exceed the low in {town} in {month.capitalize()} {year}? "
            f"Begin at {WEATHER}/"
        )

    def teach(self, guide: Guide, variables: tuple[str, ...]) -> str:
        slug, year, month = variables
        row = find_month(guide, slug.capitalize(), year, month.capitalize())
        return str(int(row[COLUMNS["high"]]) - int(row[COLUMNS["low"]]))

    def truth(self, pages: Visited, variables: tuple[str, ...]) -> str | None:
        row = month_row(pages, variables[0], variables[1], variables[2].capitalize())
        return None if row is None else str(int(row[COLUMNS["high"]]) - int(row[COLUMNS["low"]]))


class YearTotal(_OfStation):
    """The rain or sun of a year: the sum of its months."""

    name, kind = "year_total", "aggregation"

    def draw(self, web: Web, stream: Random) -> tuple[str, ...] | None:
        drawn = super().draw(web, stream)
        return drawn and (*drawn, str(stream.choice(YEARS)), stream.choice(("rain", "sun")))

    def ask(self, web: Web, variables: tuple[str, ...]) -> str:
        slug, year, what = variables
        town = web.heading(year_url(slug, year)).removesuffix(f" in {year}")
        how = "millimetres of rain" if what == "rain" else "hours of sun"
        return f"How many {how} did {town} have in the whole year {year}? Begin at {WEATHER}/"

    def teach(self, guide: Guide, variables: tuple[str, ...]) -> str:
        slug, year, what = variables
        find_station(guide, slug.capitalize())
        guide.follow(name=f"Year {year}")
        guide.read_on()
        return str(sum(int(row[COLUMNS[what]]) for row in guide.rows() if row[0] in MONTHS))

    def truth(self, pages: Visited, variables: tuple[str, ...]) -> str | None:
        slug, year, what = variables
        rows = body_rows(pages.root(year_url(slug, year)))
        return str(sum(int(row[COLUMNS[what]]) for row in rows)) if len(rows) == 12 else None


class NthOfRegion(SlugTemplate):
    """The station at a place in the list of a region."""

    name, kind = "nth_of_region", "list_navigation"
    pattern, about = re.escape(f"{WEATHER}/region/") + "([a-z-]+)", "weather/region"

    def draw(self, web: Web, stream: Random) -> tuple[str, ...] | None:
        drawn = super().draw(web, stream)
        count = drawn and web.once(list_size, WEATHER, f"/region/{drawn[0]}")
        return (*drawn, str(stream.randrange(1, count + 1))) if drawn and count else None

    def ask(self, web: Web, variables: tuple[str, ...]) -> str:
        name = web.heading(f"{WEATHER}/region/{variables[0]}")
        return f"Which station stands at place {variables[1]} of the list of the region {name}? Begin at {WEATHER}/"

    def teach(self, guide: Guide, variables: tuple[str, ...]) -> str:
        guide.open(f"{WEATHER}/")
        guide.follow(ends=f"/region/{variables[0]}")
        return guide.nth_of_list(int(variables[1]), begins="/station/")

    def truth(self, pages: Visited, variables: tuple[str, ...]) -> str | None:
        region, place = variables
        entry = nth_entry(pages, WEATHER, f"/region/{region}", int(place))
        return entry.words if entry else None


class Weather(Site):
    """The weather service of the synthetic web."""

    name = "weather"

    def templates(self) -> Sequence[Template]:
        return [Now(), NeighbourElevation(), MonthSpread(), YearTotal(), NthOfRegion()]

    def is_in(self, web: Web) -> bool:
        return bool(web.slugs(STATION))

    def entity_of(self, url: str) -> str | None:
        match = re.fullmatch(f"{STATION}(?:/.*)?", url)
        return f"{_OfStation.about}/{match[1]}" if match else None
