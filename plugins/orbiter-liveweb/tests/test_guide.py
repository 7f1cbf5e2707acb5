from random import Random

import pytest
from orbiter_liveweb.browser import CacheBrowser
from orbiter_liveweb.guide import Guide, TeacherError
from orbiter_liveweb.session import Session


@pytest.fixture
def guide(cache, page):
    """Opens a page."""

    def on(html):
        cache.put(page(html))
        made = Guide(Session(lambda: CacheBrowser(cache)), Random(0))
        made.open("https://a.example/")
        return made

    return on


@pytest.mark.parametrize("text", ["a - ''b''", "''", "it's: 'x'", 'a "b": c', "- '", "\\"])
def test_a_cell_is_read_as_it_is_written(guide, text):
    assert guide(f"<table><tr><td>{text}<td>y</table>").rows() == [[text, "y"]]


def test_what_is_below_the_window_is_looked_for(guide):
    made = guide("<p>x</p>" * 200 + "<a href=/end>end</a>")
    assert made.look_for(ends="/gone") is None
    assert made.look_for(ends="/end").name == "end"
    with pytest.raises(TeacherError, match="has no link 'gone'"):
        made.follow(name="gone")
