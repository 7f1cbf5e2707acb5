"""What the pages of the synthetic web tell of: towns, things to buy, weather and leagues, all from one seed."""

from __future__ import annotations

from collections.abc import Mapping
from functools import cached_property
from random import Random

from attrs import frozen

from orbiter.errors import ConfigError
from orbiter.tasks.streams import item_stream

MONTHS = tuple(
    "January February March April May June July August September October November December".split()
)
YEARS = (2021, 2022)
SEASONS = tuple(range(2012, 2024))

_STARTS = """Alder Ash Barrow Beck Birch Black Brook Cedar Clay Cold Crow Dun East Elm Fair Fern Gold Grey Hart Hazel Heath
    High Holm Kirk Lang Linden Long Mill Moss North Oak Raven Red Rush Salt Sand Silver South Stone Swan Thorn West White
    Wil Win Wood""".split()
_ENDS = "bridge bury cliff combe dale field ford gate ham haven holt hurst ley mere minster mouth port stead ton wick".split()
_MATERIALS = """Ash Bamboo Beech Brass Bronze Canvas Ceramic Cherry Copper Cork Cotton Enamel Felt Glass Granite Iron Leather
    Linen Maple Marble Oak Pewter Pine Porcelain Silk Slate Steel Teak Tin Walnut Wicker Wool""".split()
_KINDS: Mapping[str, str] = {
    "Kitchen": "kettle ladle colander whisk teapot skillet",
    "Furniture": "stool bench shelf cabinet desk wardrobe",
    "Garden": "trowel rake lantern planter trellis sundial",
    "Office": "lamp tray stapler notebook ruler clock",
    "Travel": "trunk satchel flask hammock compass tent",
    "Music": "flute drum fiddle whistle zither bell",
}
_WORKS = "Foundry Workshop Mills Trading Supplies Makers".split()
_CLUBS = "Rovers United Athletic Wanderers Albion Town".split()
_REGIONS = (
    "Northern Coast|Eastern Plain|Southern Hills|Western Isles|Central Lakes|High Moors".split("|")
)
_LEAGUES = "Harbour|Valley|Moorland|Border|Island|Capital".split("|")


@frozen
class Size:
    """How much there is of everything.

    Args:
        items: Things in the catalogue, at most 1,152.
        towns: Towns, each with a weather station, at most 920.
        leagues: Leagues, at most 6.
        clubs: Clubs of a league, an even number.
        seasons: Seasons of a league, at most 12.
    """

    items: int
    towns: int
    leagues: int
    clubs: int
    seasons: int


SIZES: Mapping[str, Size] = {
    "small": Size(items=60, towns=24, leagues=2, clubs=6, seasons=4),
    "full": Size(items=900, towns=180, leagues=6, clubs=14, seasons=12),
}
"""Sizes by name: 288 and 3,036 pages."""


@frozen
class Item:
    """A thing in the catalogue; the price is in cents, the weight in grams."""

    slug: str
    name: str
    category: str
    maker: str
    price: int
    weight: int
    stock: int
    code: str


@frozen
class Maker:
    """Who makes things."""

    slug: str
    name: str
    town: str
    founded: int


@frozen
class Month:
    """The weather of a month: rain in millimetres, the mean daily high and low in degrees Celsius, hours of sun."""

    rain: int
    high: int
    low: int
    sun: int


@frozen
class Station:
    """The weather station of a town."""

    slug: str
    name: str
    region: str
    elevation: int
    temperature: int
    wind: int
    humidity: int
    nearest: str
    years: Mapping[int, tuple[Month, ...]]


@frozen
class Club:
    """A club of a league."""

    slug: str
    name: str
    town: str
    league: str
    stadium: str
    capacity: int
    founded: int


@frozen
class Standing:
    """A line of a league table."""

    club: str
    won: int
    drawn: int
    lost: int
    scored: int
    conceded: int

    @property
    def points(self) -> int:
        """Three for a win, one for a draw."""
        return 3 * self.won + self.drawn


def slug_of(name: str) -> str:
    """Return a name as it stands in an address."""
    return name.lower().replace(" ", "-")


class World:
    """Everything that there is, from a seed.

    Args:
        seed: Selects the world.
        size: How much of everything: one of SIZES.
    """

    def __init__(self, seed: int = 0, size: str = "small") -> None:
        if size not in SIZES:
            raise ConfigError(f"size must be one of {', '.join(SIZES)}, got {size!r}")
        self.seed, self.size = seed, SIZES[size]

    def _stream(self, *key: str | int) -> Random:
        return item_stream("liveweb", self.seed, *key)

    @cached_property
    def towns(self) -> tuple[str, ...]:
        """The names of the towns."""
        names = [start + end for start in _STARTS for end in _ENDS]
        return tuple(sorted(self._stream("towns").sample(names, self.size.towns)))

    @cached_property
    def makers(self) -> tuple[Maker, ...]:
        """Who makes the things of the catalogue."""
        stream = self._stream("makers")
        chosen = stream.sample(self.towns, max(4, self.size.towns // 3))
        names = [(town, f"{town} {stream.choice(_WORKS)}") for town in chosen]
        return tuple(
            Maker(slug_of(name), name, stream.choice(self.towns), stream.randrange(1850, 2010))
            for _, name in names
        )

    @cached_property
    def items(self) -> tuple[Item, ...]:
        """The things of the catalogue."""
        stream = self._stream("items")
        names = [
            (f"{material} {noun}", category)
            for category, nouns in _KINDS.items()
            for noun in nouns.split()
            for material in _MATERIALS
        ]
        codes = stream.sample(range(10_000, 99_999), self.size.items)
        prices = stream.sample(range(150, 40_000, 5), self.size.items)
        return tuple(
            Item(
                slug=slug_of(name),
                name=name,
                category=category,
                maker=stream.choice(self.makers).slug,
                price=price,
                weight=stream.randrange(20, 9_000),
                stock=stream.randrange(0, 400),
                code=f"{category[:2].upper()}-{code}",
            )
            for (name, category), code, price in zip(
                sorted(stream.sample(names, self.size.items)), codes, prices
            )
        )

    @cached_property
    def stations(self) -> tuple[Station, ...]:
        """The weather stations, one per town."""
        return tuple(self._station(i, town) for i, town in enumerate(self.towns))

    def _station(self, index: int, town: str) -> Station:
        stream = self._stream("station", town)
        other = stream.randrange(len(self.towns) - 1)
        return Station(
            slug=slug_of(town),
            name=town,
            region=_REGIONS[index % len(_REGIONS)],
            elevation=stream.randrange(2, 900),
            temperature=stream.randrange(-8, 33),
            wind=stream.randrange(0, 70),
            humidity=stream.randrange(25, 100),
            nearest=slug_of(self.towns[other + (other >= index)]),
            years={year: tuple(_month(stream, n) for n in range(12)) for year in YEARS},
        )

    @cached_property
    def clubs(self) -> tuple[Club, ...]:
        """The clubs of all leagues."""
        stream = self._stream("clubs")
        count = self.size.leagues * self.size.clubs
        towns = stream.sample(self.towns, min(count, len(self.towns)))
        return tuple(
            Club(
                slug=slug_of(name := f"{town} {stream.choice(_CLUBS)}"),
                name=name,
                town=town,
                league=_LEAGUES[n // self.size.clubs],
                stadium=f"{stream.choice(_STARTS)} {stream.choice(('Park', 'Road', 'Lane', 'Meadow'))}",
                capacity=stream.randrange(2_000, 60_000, 50),
                founded=stream.randrange(1870, 1990),
            )
            for n, town in enumerate(towns)
        )

    @cached_property
    def leagues(self) -> Mapping[str, tuple[Club, ...]]:
        """The clubs of each league."""
        names = dict.fromkeys(club.league for club in self.clubs)
        return {name: tuple(c for c in self.clubs if c.league == name) for name in names}

    def table(self, league: str, season: int) -> list[Standing]:
        """Return the final table of a season, the champion first: every club plays every other twice."""
        stream, clubs = self._stream("season", league, season), self.leagues[league]
        tally = {club.slug: [0, 0, 0, 0, 0] for club in clubs}
        for home in clubs:
            for away in clubs:
                if home is away:
                    continue
                goals = (
                    min(stream.randrange(6), stream.randrange(6)),
                    min(stream.randrange(5), stream.randrange(6)),
                )
                for club, own, other in ((home, *goals), (away, goals[1], goals[0])):
                    line = tally[club.slug]
                    line[0 if own > other else 1 if own == other else 2] += 1
                    line[3] += own
                    line[4] += other
        rows = [Standing(slug, *line) for slug, line in tally.items()]
        return sorted(rows, key=lambda r: (-r.points, r.conceded - r.scored, -r.scored, r.club))

    @property
    def seasons(self) -> tuple[int, ...]:
        """The seasons that were played."""
        return SEASONS[-self.size.seasons :]


def _month(stream: Random, number: int) -> Month:
    warmth = 6 - abs(number - 6)  # July is the warmest
    high = stream.randrange(2, 8) + 3 * warmth
    return Month(
        stream.randrange(5, 220),
        high,
        high - stream.randrange(4, 12),
        stream.randrange(30, 90) + 25 * warmth,
    )
