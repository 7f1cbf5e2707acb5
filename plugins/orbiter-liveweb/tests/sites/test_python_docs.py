"""Which questions about pages of the Python documentation are plain."""

from random import Random

import pytest
from orbiter_liveweb.sites import topology_of
from orbiter_liveweb.sites.python_docs import PythonDocs
from orbiter_liveweb.topology import Question, Topology, Visited

BASE = "https://docs.example/"
INDEX = "<table class=modindextable><tr id=cap-a><td><td>a<td><tr><td><td><a href=library/a.html><code>a</code></a><td>says</table>"
SECTIONS = "<ul><li><a href=/>top</a></ul><div role=main><div class=toctree-wrapper><ul><li><a href=a.html>A</a><li><a href=b.html>B</a>{}<li><a href=c.html>C</a></ul></div></div>"
ROWS = "<table><thead><tr><th>Key<th>Of</thead><tr><td{}>k<td>v<tr><td>l<td>w</table>"


@pytest.fixture
def drawn(cache, page):
    """Draws a question of a template from a documentation of one page."""

    def draw(template, html):
        cache.put(page(INDEX, f"{BASE}py-modindex.html"))
        cache.put(page(html, f"{BASE}library/page.html"))
        topology = topology_of(cache)
        question = topology.draw(f"python_docs/{template}", Random(0))
        return question and topology.truth(question, Visited(cache))

    return draw


@pytest.mark.parametrize(
    ("below", "is_plain"),
    [
        ("", True),
        ("<ul><li><a href=b.html#part>part</a></ul>", True),
        ("<ul><li><a href=b.sub.html>page</a></ul>", False),
    ],
)
def test_a_place_in_a_list_is_asked_for_where_all_its_pages_are_on_one_level(
    drawn, below, is_plain
):
    assert (drawn("nth_of_chapter", SECTIONS.format(below)) in ("A", "B", "C")) == is_plain


@pytest.mark.parametrize(("span", "is_plain"), [("", True), (" rowspan=2", False)])
def test_a_cell_is_asked_for_where_no_row_is_another_s(drawn, span, is_plain):
    assert (drawn("table_cell", ROWS.format(span)) in ("v", "w")) == is_plain


@pytest.mark.parametrize("index", [INDEX, "<table class=modindextable></table>"])
def test_of_a_small_index_only_what_there_is_is_asked(cache, page, index):
    cache.put(page(index, f"{BASE}py-modindex.html"))
    topology = topology_of(cache)
    asked = {name for name in topology.templates if topology.draw(name, Random(0))}
    names = ("module_synopsis", "modules_of_letter") if index is INDEX else ()
    assert asked == {f"python_docs/{name}" for name in names}


def test_a_module_and_its_page_are_on_one_side_of_a_split():
    topology = Topology(None, [PythonDocs()])
    names = ("module_synopsis", "module_source", "nth_of_chapter", "next_topic", "table_cell")
    about = {topology.entities(Question("python_docs", n, (BASE, "abc", "1", "x"))) for n in names}
    assert about == {tuple(topology.entities_of_pages([f"{BASE}library/abc.html"]))}
