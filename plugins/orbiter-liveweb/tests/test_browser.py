from hypothesis import given, settings
from hypothesis import strategies as st
from orbiter_liveweb.aria import aria_lines, aria_tree
from orbiter_liveweb.browser import MARK, anchor_line
from orbiter_liveweb.chromium import line_of_mark
from orbiter_liveweb.dom import parse

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
