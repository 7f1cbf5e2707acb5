import pytest
from orbiter_liveweb.sites import SITES, topology_of
from orbiter_liveweb.synthetic import World
from orbiter_liveweb.topology import Question, Visited

from orbiter.errors import ConfigError


@pytest.mark.parametrize(
    ("plugins", "said"),
    [
        (["catalog"], "unknown site 'catalog'; did you mean 'catalogue'?"),
        ([], "must be a list of sites"),
        ("catalogue", "must be a list of sites"),
        (["league", "league"], "must name each site once"),
        (["python_docs"], "has no page of site 'python_docs'"),
        ([3], "got 3 in it"),
    ],
)
def test_wrong_sites_are_told(web, plugins, said):
    with pytest.raises(ConfigError, match=said.replace("?", r"\?")):
        topology_of(web, plugins)


def test_a_site_of_ones_own(web, tmp_path):
    (tmp_path / "mine.py").write_text(
        "from orbiter_liveweb.sites.league import League\nclass Mine(League):\n    name = 'mine'\n"
    )
    topology = topology_of(web, [f"{tmp_path}/mine.py:Mine"])
    assert "mine/club_points" in topology.templates


def test_templates_of_two_sites_need_both(web):
    assert set(topology_of(web, ["towns", "weather"]).templates) == {
        f"weather/{template.name}" for template in SITES["weather"]().templates()
    }


def test_truths_are_those_of_the_world(web):
    """The pages say what the world that they were made from says."""
    world, topology, pages = World(0, "small"), topology_of(web), Visited(web)
    makers = {maker.slug: maker for maker in world.makers}
    stations = {station.slug: station for station in world.stations}
    clubs = {club.slug: club for club in world.clubs}

    def truth(name):
        return topology.truth(Question.from_id(name), pages)

    for item in world.items[::7]:
        assert truth(f"catalogue/item_fact/{item.slug},weight") == str(item.weight)
        assert truth(f"catalogue/maker_town/{item.slug}") == makers[item.maker].town
        cents = 3 * item.price + 2 * world.items[0].price
        assert (
            truth(f"catalogue/order_cost/{item.slug},3,{world.items[0].slug},2")
            == f"{cents / 100:.2f}"
        )
    kitchen = [item for item in world.items if item.category == "Kitchen"]
    assert (
        truth("catalogue/cheapest_of_category/kitchen") == min(kitchen, key=lambda i: i.price).name
    )
    assert truth("catalogue/nth_of_category/kitchen,2") == kitchen[1].name
    for station in world.stations[::5]:
        july = station.years[2021][6]
        assert truth(f"weather/now/{station.slug},wind") == str(station.wind)
        assert truth(f"weather/neighbour_elevation/{station.slug}") == str(
            stations[station.nearest].elevation
        )
        assert truth(f"weather/month_spread/{station.slug},2021,july") == str(july.high - july.low)
        assert truth(f"weather/year_total/{station.slug},2022,sun") == str(
            sum(m.sun for m in station.years[2022])
        )
    league, season = next(iter(world.leagues)), world.seasons[0]
    table = world.table(league, season)
    place = f"{league.lower()},{season}"
    assert truth(f"league/stadium_of_place/{place},1") == clubs[table[0].club].stadium
    assert truth(f"league/total_goals/{place}") == str(sum(row.scored for row in table))
    for row in table:
        assert truth(f"league/club_points/{place},{row.club}") == str(row.points)
        assert truth(f"league/goal_difference/{place},{row.club}") == str(row.scored - row.conceded)
