"""The pages of the synthetic web."""

from __future__ import annotations

from collections.abc import Iterator
from html import escape
from pathlib import Path

from orbiter.errors import ConfigError
from orbiter_liveweb.cache import Cache
from orbiter_liveweb.snapshot import Snapshot
from orbiter_liveweb.synthetic import markup as html
from orbiter_liveweb.synthetic.world import MONTHS, YEARS, Item, Station, World, slug_of

CATALOGUE = "https://catalogue.example"
WEATHER = "https://weather.example"
LEAGUE = "https://league.example"

SYNTHETIC_TIME = "2000-01-01T00:00:00Z"
"""When a generated page was fetched: never; one time for all, so that the same seed gives the same bytes."""

READY_AFTER_S = 3
"""Seconds until the report of a weather station opens."""


def build(folder: str | Path, *, seed: int = 0, size: str = "small") -> Cache:
    """Make the synthetic web in a folder and return its cache; the same seed and size give the same bytes.

    Raises:
        ConfigError: The folder holds other pages, which would be mixed with these.
    """
    world = World(seed, size)
    cache = Cache(folder, create=True)
    made = {page.url: page.content_hash for page in pages(world)} if cache.listed else {}
    if not cache.listed.items() <= made.items():
        raise ConfigError(
            f"{str(folder)!r} holds pages that are not of this synthetic web",
            hint="give a folder of its own, or delete this one",
        )
    cache.put_all(pages(world), durable=False)
    return cache


def pages(world: World) -> Iterator[Snapshot]:
    """Yield every page of a world."""
    for site, origin in ((_catalogue, CATALOGUE), (_weather, WEATHER), (_league, LEAGUE)):
        for path, text in site(world):
            yield Snapshot.of_page(
                origin + path, text, fetched_at=SYNTHETIC_TIME, source="generated"
            )


def _listed(
    path: str, title: str, site: str, entries: list[str], intro: str = ""
) -> Iterator[tuple[str, str]]:
    for number in range(1, html.page_count(entries) + 1):
        body = intro + html.listing(entries, path=path, number=number)
        yield html.page_path(path, number), html.page(title, site, body)


def _catalogue(world: World) -> Iterator[tuple[str, str]]:
    site = "Catalogue"
    search = html.search_form("/search", "q", "Search the catalogue", "Search")
    categories = list(dict.fromkeys(item.category for item in world.items))
    by_slug = {maker.slug: maker for maker in world.makers}

    def entry(item: Item) -> str:
        return f"{html.link(f'/item/{item.slug}', item.name)} for {html.money(item.price)}"

    links = "".join(f"<li>{html.link(f'/category/{slug_of(c)}', c)}</li>" for c in categories)
    yield "/", html.page("All categories", site, f"{search}<ul>{links}</ul>")
    for category in categories:
        found = [entry(item) for item in world.items if item.category == category]
        intro = f"<p>{len(found)} things.</p>"
        yield from _listed(f"/category/{slug_of(category)}", category, site, found, intro)
    for maker in world.makers:
        made = "".join(
            f"<li>{entry(item)}</li>" for item in world.items if item.maker == maker.slug
        )
        about = html.facts([("Town", escape(maker.town)), ("Founded", str(maker.founded))])
        yield (
            f"/maker/{maker.slug}",
            html.page(maker.name, site, f"{about}<h2>Things</h2><ul>{made}</ul>"),
        )
    for item in world.items:
        about = html.facts(
            [
                ("Price", html.money(item.price)),
                ("Weight", f"{item.weight} g"),
                ("In stock", str(item.stock)),
                ("Code", item.code),
                ("Maker", html.link(f"/maker/{item.maker}", by_slug[item.maker].name)),
            ]
        )
        up = html.link(f"/category/{slug_of(item.category)}", item.category)
        yield (
            f"/item/{item.slug}",
            html.page(item.name, site, f'<nav aria-label="Up"><p>In {up}</p></nav>{about}'),
        )
        words = item.name.lower().split()
        like = [other for other in world.items if other.name.lower().split()[1] == words[1]]
        like.sort(key=lambda other: (other is not item, other.name))
        results = "".join(f"<li>{entry(other)}</li>" for other in like[:6])
        body = f"{search}<p>Results for {escape(item.name)}:</p><ul>{results}</ul>"
        yield html.query_path("/search", "q", item.name), html.page("Search results", site, body)


def _weather(world: World) -> Iterator[tuple[str, str]]:
    site = "Weather service"
    find = html.search_form("/find", "town", "Town", "Find")
    regions = list(dict.fromkeys(station.region for station in world.stations))
    names = {station.slug: station.name for station in world.stations}
    links = "".join(f"<li>{html.link(f'/region/{slug_of(r)}', r)}</li>" for r in regions)
    yield "/", html.page("Stations", site, f"{find}<h2>Regions</h2><ul>{links}</ul>")
    for region in regions:
        found = [
            html.link(f"/station/{s.slug}", s.name) for s in world.stations if s.region == region
        ]
        yield from _listed(f"/region/{slug_of(region)}", region, site, found)
    for station in world.stations:
        base = f"/station/{station.slug}"
        body = f"{find}<ul><li>{html.link(base, station.name)}, {escape(station.region)}</li></ul>"
        yield (
            html.query_path("/find", "town", station.name),
            html.page("Stations found", site, body),
        )
        head = f'<meta http-equiv="refresh" content="{READY_AFTER_S}; url={base}/report">'
        years = "".join(f"<li>{html.link(f'{base}/{year}', f'Year {year}')}</li>" for year in YEARS)
        body = f"<p>The report is being prepared and opens within {READY_AFTER_S} seconds.</p><h2>Years</h2><ul>{years}</ul>"
        yield base, html.page(station.name, site, body, head=head)
        yield (
            f"{base}/report",
            html.page(f"Report of {station.name}", site, _report(station, names, years)),
        )
        for year, months in station.years.items():
            rows = [
                (name, str(m.rain), str(m.high), str(m.low), str(m.sun))
                for name, m in zip(MONTHS, months)
            ]
            columns = ("Month", "Rain in mm", "High in °C", "Low in °C", "Sun in hours")
            body = html.table(f"{station.name} in {year}", columns, rows)
            yield f"{base}/{year}", html.page(f"{station.name} in {year}", site, body)


def _report(station: Station, names: dict[str, str], years: str) -> str:
    about = html.facts(
        [
            ("Temperature", f"{station.temperature} °C"),
            ("Wind", f"{station.wind} km/h"),
            ("Humidity", f"{station.humidity} %"),
            ("Elevation", f"{station.elevation} m"),
            ("Region", escape(station.region)),
            ("Nearest station", html.link(f"/station/{station.nearest}", names[station.nearest])),
        ]
    )
    return f"{about}<h2>Years</h2><ul>{years}</ul>"


def _league(world: World) -> Iterator[tuple[str, str]]:
    site = "League tables"
    names = {club.slug: club.name for club in world.clubs}
    links = "".join(
        f"<li>{html.link(f'/league/{slug_of(name)}', f'{name} League')}</li>"
        for name in world.leagues
    )
    yield "/", html.page("Leagues", site, f"<ul>{links}</ul>")
    for league, clubs in world.leagues.items():
        base = f"/league/{slug_of(league)}"
        seasons = "".join(
            f"<li>{html.link(f'{base}/{year}', f'Season {year}')}</li>" for year in world.seasons
        )
        members = "".join(
            f"<li>{html.link(f'/club/{club.slug}', club.name)}</li>" for club in clubs
        )
        body = f"<h2>Seasons</h2><ol>{seasons}</ol><h2>Clubs</h2><ul>{members}</ul>"
        yield base, html.page(f"{league} League", site, body)
        for year in world.seasons:
            rows = [
                (str(n), html.link(f"/club/{r.club}", names[r.club]), str(r.won), str(r.drawn), str(r.lost),
                 str(r.scored), str(r.conceded), str(r.points))
                for n, r in enumerate(world.table(league, year), start=1)
            ]  # fmt: skip
            columns = ("Position", "Club", "Won", "Drawn", "Lost", "Scored", "Conceded", "Points")
            title = f"{league} League, season {year}"
            yield f"{base}/{year}", html.page(title, site, html.table(title, columns, rows))
    for club in world.clubs:
        about = html.facts(
            [
                ("Town", escape(club.town)),
                ("Stadium", escape(club.stadium)),
                ("Capacity", str(club.capacity)),
                ("Founded", str(club.founded)),
                ("League", html.link(f"/league/{slug_of(club.league)}", f"{club.league} League")),
            ]
        )
        yield f"/club/{club.slug}", html.page(club.name, site, about)
