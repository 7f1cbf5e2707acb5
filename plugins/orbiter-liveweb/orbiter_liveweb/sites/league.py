"""Questions about the league tables of the synthetic web."""

from __future__ import annotations

import re
from collections.abc import Sequence
from random import Random

from orbiter_liveweb.guide import Guide, TeacherError
from orbiter_liveweb.sites.reading import body_rows, fact
from orbiter_liveweb.synthetic.web import LEAGUE
from orbiter_liveweb.topology import Site, Template, Visited, Web

CLUB = re.escape(f"{LEAGUE}/club/") + "([a-z-]+)"
ABOUT_CLUB = "league/club"
_SEASON = re.escape(f"{LEAGUE}/league/") + "([a-z]+/[0-9]{4})"
_SCORED, _CONCEDED, _POINTS = 5, 6, 7


def club_url(slug: str) -> str:
    """Return the address of a club's page."""
    return f"{LEAGUE}/club/{slug}"


def club_name(slug: str) -> str:
    """Return the name of a club, which is its slug in words."""
    return slug.replace("-", " ").title()


def find_club_town(guide: Guide, slug: str) -> str:
    """Look through the leagues for a club, and return its town.

    Raises:
        TeacherError: No league has it.
    """
    guide.open(f"{LEAGUE}/")
    for name in [name for name in guide.link_names() if name.endswith(" League")]:
        guide.open(f"{LEAGUE}/")
        guide.follow(name=name)
        if guide.look_for(ends=f"/club/{slug}"):
            guide.follow(ends=f"/club/{slug}")
            return guide.row("Town")[1]
    raise TeacherError(f"no league of {LEAGUE}/ has a club {slug!r}")


def club_town(pages: Visited, slug: str) -> str | None:
    """Return the town of a club from its page."""
    return fact(pages.root(club_url(slug)), "Town")


def find_season(guide: Guide, league: str, year: str) -> None:
    """Go to the table of a season."""
    guide.open(f"{LEAGUE}/")
    guide.follow(name=f"{league.capitalize()} League")
    guide.follow(name=f"Season {year}")


def league_of(web: Web, slug: str) -> str:
    """Return the league of a club."""
    said = fact(web.root(club_url(slug)), "League") or ""
    return said.removesuffix(" League").lower()


def _season_url(league: str, year: str) -> str:
    return f"{LEAGUE}/league/{league}/{year}"


class _OfClubSeason(Template):
    """A template whose variables are a league, a season and a club."""

    def draw(self, web: Web, stream: Random) -> tuple[str, ...] | None:
        seasons = web.slugs(_SEASON)
        if not seasons:
            return None
        league, year = stream.choice(seasons).split("/")
        table = web.root(_season_url(league, year)).find("tbody")
        links = [a.get("href") or "" for a in table.find_all("a")] if table else []
        return (league, year, stream.choice(links).rpartition("/")[2]) if links else None

    def entities(self, variables: tuple[str, ...]) -> tuple[str, ...]:
        return (f"{ABOUT_CLUB}/{variables[2]}",)

    def _row(self, pages: Visited, variables: tuple[str, ...]) -> list[str] | None:
        league, year, slug = variables
        table = pages.root(_season_url(league, year)).find("tbody")
        for row in table.find_all("tr") if table else ():
            link = row.find("a")
            if link is not None and link.get("href") == f"/club/{slug}":
                return [cell.words for cell in row.find_all("td")]
        return None

    def _find_row(self, guide: Guide, variables: tuple[str, ...]) -> list[str]:
        league, year, slug = variables
        find_season(guide, league, year)
        return guide.row(club_name(slug), column=1)


class ClubPoints(_OfClubSeason):
    """How many points a club won in a season."""

    name, kind = "club_points", "single_hop"

    def ask(self, web: Web, variables: tuple[str, ...]) -> str:
        league, year, slug = variables
        return f"How many points did {web.heading(club_url(slug))} win in season {year} of the {league.capitalize()} League? Begin at {LEAGUE}/"

    def teach(self, guide: Guide, variables: tuple[str, ...]) -> str:
        return self._find_row(guide, variables)[_POINTS]

    def truth(self, pages: Visited, variables: tuple[str, ...]) -> str | None:
        row = self._row(pages, variables)
        return None if row is None else row[_POINTS]


class GoalDifference(_OfClubSeason):
    """Goals scored minus goals conceded."""

    name, kind = "goal_difference", "computation"

    def ask(self, web: Web, variables: tuple[str, ...]) -> str:
        league, year, slug = variables
        return f"What was the goal difference of {web.heading(club_url(slug))} in season {year} of the {league.capitalize()} League? Begin at {LEAGUE}/"

    def teach(self, guide: Guide, variables: tuple[str, ...]) -> str:
        row = self._find_row(guide, variables)
        return str(int(row[_SCORED]) - int(row[_CONCEDED]))

    def truth(self, pages: Visited, variables: tuple[str, ...]) -> str | None:
        row = self._row(pages, variables)
        return None if row is None else str(int(row[_SCORED]) - int(row[_CONCEDED]))


class _OfSeason(Template):
    """A template whose variables begin with a league and a season."""

    def draw(self, web: Web, stream: Random) -> tuple[str, ...] | None:
        seasons = web.slugs(_SEASON)
        return tuple(stream.choice(seasons).split("/")) if seasons else None

    def entities(self, variables: tuple[str, ...]) -> tuple[str, ...]:
        return (f"league/season/{variables[0]}-{variables[1]}",)


class TotalGoals(_OfSeason):
    """The goals of a season: the sum over its clubs."""

    name, kind = "total_goals", "aggregation"

    def ask(self, web: Web, variables: tuple[str, ...]) -> str:
        league, year = variables
        return f"How many goals were scored in season {year} of the {league.capitalize()} League? Begin at {LEAGUE}/"

    def teach(self, guide: Guide, variables: tuple[str, ...]) -> str:
        find_season(guide, *variables)
        guide.read_on()
        return str(sum(int(row[_SCORED]) for row in guide.rows() if row[0].isdigit()))

    def truth(self, pages: Visited, variables: tuple[str, ...]) -> str | None:
        rows = body_rows(pages.root(_season_url(*variables)))
        return str(sum(int(row[_SCORED]) for row in rows)) if rows else None


class StadiumOfPlace(_OfSeason):
    """The stadium of the club that finished at a place, which the club's page says."""

    name, kind = "stadium_of_place", "multi_page"

    def draw(self, web: Web, stream: Random) -> tuple[str, ...] | None:
        drawn = super().draw(web, stream)
        count = drawn and len(body_rows(web.root(_season_url(*drawn))))
        return (*drawn, str(stream.randrange(1, count + 1))) if drawn and count else None

    def ask(self, web: Web, variables: tuple[str, ...]) -> str:
        league, year, place = variables
        return (
            f"What is the stadium of the club that finished at place {place} in season {year} of the "
            f"{league.capitalize()} League? Begin at {LEAGUE}/"
        )

    def teach(self, guide: Guide, variables: tuple[str, ...]) -> str:
        find_season(guide, *variables[:2])
        guide.follow(name=guide.row(variables[2])[1])
        return guide.row("Stadium")[1]

    def truth(self, pages: Visited, variables: tuple[str, ...]) -> str | None:
        table = pages.root(_season_url(*variables[:2])).find("tbody")
        for row in table.find_all("tr") if table else ():
            cells, link = row.find_all("td"), row.find("a")
            if link is not None and cells[0].words == variables[2]:
                return fact(pages.root(f"{LEAGUE}{link.get('href')}"), "Stadium")
        return None


class NthClub(Template):
    """The club at a place in the list of a league's clubs."""

    name, kind = "nth_club", "list_navigation"

    def draw(self, web: Web, stream: Random) -> tuple[str, ...] | None:
        seasons = web.slugs(_SEASON)
        if not seasons:
            return None
        league = stream.choice(seasons).split("/")[0]
        clubs = _clubs(web, league)
        return (league, str(stream.randrange(1, len(clubs) + 1))) if clubs else None

    def entities(self, variables: tuple[str, ...]) -> tuple[str, ...]:
        return (f"league/league/{variables[0]}",)

    def ask(self, web: Web, variables: tuple[str, ...]) -> str:
        league, place = variables
        return f"Which club stands at place {place} of the list of clubs of the {league.capitalize()} League? Begin at {LEAGUE}/"

    def teach(self, guide: Guide, variables: tuple[str, ...]) -> str:
        league, place = variables
        guide.open(f"{LEAGUE}/")
        guide.follow(name=f"{league.capitalize()} League")
        while True:
            names = guide.link_names("/club/")
            if len(names) >= int(place) or not guide.more():
                return names[int(place) - 1]

    def truth(self, pages: Visited, variables: tuple[str, ...]) -> str | None:
        clubs = _clubs(pages, variables[0])
        place = int(variables[1])
        return clubs[place - 1] if 1 <= place <= len(clubs) else None


def _clubs(pages: Visited, league: str) -> list[str]:
    root = pages.root(f"{LEAGUE}/league/{league}")
    listing = root.find("ul")
    return [entry.words for entry in listing.find_all("li")] if listing else []


class League(Site):
    """The league tables of the synthetic web."""

    name = "league"

    def templates(self) -> Sequence[Template]:
        return [ClubPoints(), GoalDifference(), TotalGoals(), StadiumOfPlace(), NthClub()]

    def is_in(self, web: Web) -> bool:
        return bool(web.slugs(CLUB))

    def entity_of(self, url: str) -> str | None:
        match = re.fullmatch(CLUB, url)
        return f"{ABOUT_CLUB}/{match[1]}" if match else None
