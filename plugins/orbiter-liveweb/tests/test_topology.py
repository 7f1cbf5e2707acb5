import pytest
from hypothesis import given
from hypothesis import strategies as st
from orbiter_liveweb.sites.catalogue import Catalogue, ItemFact
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


def test_every_kind_of_template_is_there(teacher):
    assert {template.kind for template in teacher.verifier.topology.templates.values()} == set(
        KINDS
    )


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
