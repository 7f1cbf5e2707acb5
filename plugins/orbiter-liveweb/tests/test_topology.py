import pytest
from hypothesis import given
from hypothesis import strategies as st
from orbiter_liveweb.composing import Composer, questions_of, task_of
from orbiter_liveweb.sites import SITES, topology_of
from orbiter_liveweb.sites.catalogue import Catalogue, ItemFact
from orbiter_liveweb.synthetic import World
from orbiter_liveweb.topology import KINDS, Question, Topology, Visited

from orbiter.errors import ConfigError

_NAMES = st.from_regex(r"[a-z0-9_]{1,8}", fullmatch=True)


@given(
    _NAMES,
    _NAMES,
    st.lists(st.text(st.characters(codec="utf-8"), min_size=1), max_size=3).map(tuple),
)
def test_an_id_names_its_question(site, template, variables):
    question = Question(site, template, variables)
    assert Question.from_id(question.id) == question
    assert "+" not in question.id


@pytest.mark.parametrize("name", ["", "a/b", "a/b/c/d", "A/b/c", "a/b/%zz%", "../b/c", "a/b/c d"])
def test_what_is_no_id_is_refused(name):
    with pytest.raises(ConfigError, match="question must"):
        Question.from_id(name)


def test_ids_are_for_ever(teacher):
    """These were written down when the templates were made; a change of one is a change of what old data mean."""
    asked = [
        task_of(
            teacher.verifier.topology, teacher.composer.draw(seed=seed, templates=[name])
        ).task_id
        for seed, name in (
            (1, "catalogue/item_fact"),
            (1, "weather/year_total"),
            (1, "league/nth_club"),
            (2, "towns/warmer_maker"),
        )
    ]
    assert asked == EVER


EVER = [
    "liveweb:catalogue/item_fact/pewter-trellis,weight",
    "liveweb:weather/year_total/westhaven,2022,rain",
    "liveweb:league/nth_club/valley,1",
    "liveweb:towns/warmer_maker/oak-colander,bamboo-stool,2021,october",
]


class Extra(ItemFact):
    name = "extra_fact"


class LargerCatalogue(Catalogue):
    def templates(self):
        return [*super().templates(), Extra()]


def test_another_template_renames_nothing_and_takes_its_own_tasks_alone(web):
    old = Composer(Topology(web, [Catalogue()]))
    new = Composer(Topology(web, [LargerCatalogue()]))
    before = [old.draw(seed=seed)[0] for seed in range(120)]
    after = [new.draw(seed=seed)[0] for seed in range(120)]
    moved = [b for a, b in zip(before, after) if a != b]
    assert {question.template for question in moved} == {"extra_fact"}
    assert 5 < len(moved) < 40  # one of six templates
    assert all(task_of(new.topology, [q]) == task_of(old.topology, [q]) for q in before)


def test_every_kind_of_template_is_there(teacher):
    assert {template.kind for template in teacher.verifier.topology.templates.values()} == set(
        KINDS
    )


def test_a_composite_names_its_questions(teacher):
    questions = teacher.composer.draw(seed=5, num_subtasks=3)
    task = task_of(teacher.verifier.topology, questions)
    assert questions_of(task.task_id) == questions
    assert len(set(questions)) == 3
    assert all(f"{n}. " in task.prompt for n in (1, 2, 3))


def test_no_entity_is_on_both_sides(web):
    sides = {}
    for split in ("train", "held_out"):
        composer = Composer(topology_of(web), split=split, held_out_share=0.3)
        questions = [composer.draw(seed=seed)[0] for seed in range(60)]
        sides[split] = {e for q in questions for e in composer.topology.entities(q)}
    assert len(sides["train"]) > 20 < len(sides["held_out"])
    assert not sides["train"] & sides["held_out"]


def test_a_web_with_too_few_questions_says_so(web):
    composer = Composer(topology_of(web, ["league"]), split="held_out", held_out_share=1e-6)
    with pytest.raises(ConfigError, match="found 0 of 1 questions of split 'held_out'"):
        composer.draw(seed=0)


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


class Careless(ItemFact):
    """Takes for granted that pages are what they were."""

    name = "careless"

    def truth(self, pages, variables):
        return pages.root("https://catalogue.example/").find("marquee").words


def test_a_page_that_a_template_does_not_understand_holds_no_truth(web):
    class Site(Catalogue):
        def templates(self):
            return [Careless()]

    topology = Topology(web, [Site()])
    assert topology.truth(Question("catalogue", "careless", ("x", "price")), Visited(web)) is None


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
