"""Pages whose elements are made when they are asked for."""

import sys
import threading

from hypothesis import given, settings
from hypothesis import strategies as st
from orbiter_liveweb.aria import aria_lines, aria_tree
from orbiter_liveweb.browser import MARK, anchor_line
from orbiter_liveweb.chromium import line_of_mark
from orbiter_liveweb.dom import MAX_DEPTH, parse

TAGS = st.sampled_from(
    "a b button details div h2 iframe input label li p select option span table td tr ul".split()
)
ATTRIBUTES = st.sampled_from(
    [
        "", "hidden", "role=presentation", "aria-owns=i1", "aria-labelledby=i2", "for=i1", "href=x", "placeholder=p",
        "style='display:inline'", "aria-hidden=true", "value=v",
    ]
)  # fmt: skip
PIECES = st.one_of(
    st.builds("<{} id=i{} {}>".format, TAGS, st.integers(0, 3), ATTRIBUTES),
    TAGS.map("</{}>".format),
    st.sampled_from(["x", "Foo", " ", "- k: v"]),
)


@settings(max_examples=150, deadline=None)
@given(st.lists(PIECES, max_size=30).map("".join))
def test_a_place_in_a_page_is_the_line_that_the_whole_tree_gives_it(html):
    for fragment in ("i0", "i1", "i2", "i3"):
        root = parse(html)
        element = root.find("*", id=fragment)
        if element is not None:
            element.attributes.update({"role": "note", "aria-label": MARK})
        lines = [line for line, _ in aria_lines(aria_tree(root))]
        assert anchor_line(html, fragment) == (line_of_mark(lines) if element else 0)


def test_what_stands_deeper_than_is_kept_hangs_on_the_last_level():
    root = parse("<div>x<b>y</b>" * 1000)
    assert (root.text.count("x"), root.text.count("y")) == (1000, 1000)
    elements = list(root.elements())
    assert len(elements) == len(set(map(id, elements))) == 2003
    for element in elements[1:]:
        assert sum(child is element for child in element.parent.children) == 1
    depths = {None: -1}
    for element in elements:
        depths[element] = depths[element.parent] + 1
    assert max(depths.values()) == MAX_DEPTH


def test_threads_see_the_same_elements():
    """A page is shared by all sessions: each goes from an element to its siblings and must find itself among them."""
    lost, interval = [], sys.getswitchinterval()

    def walk(root, start):
        start.wait()
        lost.extend(e for e in root.elements() if not any(e is one for one in e.siblings()))

    sys.setswitchinterval(1e-6)
    try:
        for _ in range(5):
            root, start = parse("<ul><li><a>x</a><b>y</b></li></ul>" * 60), threading.Barrier(3)
            threads = [threading.Thread(target=walk, args=(root, start)) for _ in range(3)]
            for thread in threads:
                thread.start()
            for thread in threads:
                thread.join()
    finally:
        sys.setswitchinterval(interval)
    assert lost == []
