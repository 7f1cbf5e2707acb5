import re
import xml.etree.ElementTree as ET

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from orbiter.flywheel.charts import HEIGHT, WIDTH, Line, Point, line_chart, stacked_bars

COLOURS = {"kept": "#15803d", "lost": "#b91c1c"}


def draw(chart: str) -> ET.Element:
    return ET.fromstring(chart.partition("<ul")[0])


def numbers(text: str) -> list[float]:
    return [float(n) for n in re.split("[ ,]", text)]


def test_higher_values_are_higher_up_and_later_rounds_further_right():
    drawing = draw(
        line_chart([Line("p", [Point(0, 0.2), Point(1, 0.4), Point(2, 0.9)])], label="x")
    )
    places = [(float(c.get("cx")), float(c.get("cy"))) for c in drawing.iter("circle")]
    assert [x for x, _ in places] == sorted(x for x, _ in places)
    assert [y for _, y in places] == sorted((y for _, y in places), reverse=True)
    # Distances are in proportion.
    (_, a), (_, b), (_, c) = places
    assert (b - c) / (a - b) == pytest.approx(2.5, abs=0.02)


def test_a_band_goes_around_its_points():
    points = [Point(0, 0.5, 0.4, 0.6), Point(1, 0.7, 0.5, 0.8)]
    drawing = draw(line_chart([Line("p", points)], label="x"))
    ys = numbers(drawing.find("polygon").get("points"))[1::2]
    dots = [float(c.get("cy")) for c in drawing.iter("circle")]
    assert ys[0] < dots[0] < ys[3]
    assert ys[1] < dots[1] < ys[2]


def test_a_point_without_an_interval_is_in_no_band():
    points = [Point(0, 0.5), Point(1, 0.7, 0.5, 0.8)]
    assert draw(line_chart([Line("p", points)], label="x")).find("polygon") is None


def test_an_empty_line_is_left_out_and_no_line_at_all_is_a_chart_still():
    chart = line_chart([Line("gone", []), Line("here", [Point(3, 1.0)])], label="x")
    assert "gone" not in chart
    assert len(list(draw(chart).iter("circle"))) == 1
    assert draw(line_chart([], label="x")).find("circle") is None


def test_names_and_labels_are_escaped():
    chart = line_chart([Line("<b>&", [Point(0, 0.5)])], label='"><script>')
    assert "<b>" not in chart
    assert "<script>" not in chart
    assert draw(chart).get("aria-label") == '"><script>'


def test_bars_stack_without_gaps_and_their_heights_are_in_proportion():
    drawing = draw(stacked_bars({1: {"kept": 3, "lost": 1}, 2: {"lost": 2}}, COLOURS, label="x"))
    first, second, third = drawing.iter("rect")
    height = {r: float(r.get("height")) for r in (first, second, third)}
    assert height[first] == pytest.approx(3 * height[second], abs=0.2)
    assert height[third] == pytest.approx(2 * height[second], abs=0.2)
    assert float(second.get("y")) + height[second] == pytest.approx(float(first.get("y")), abs=0.1)
    assert third.get("fill") == COLOURS["lost"]


def test_parts_that_never_occur_are_not_in_the_legend():
    chart = stacked_bars({1: {"kept": 3, "lost": 0}}, COLOURS, label="x")
    assert "kept" in chart.partition("<ul")[2]
    assert "lost" not in chart


def test_many_rounds_have_few_labels():
    drawing = draw(stacked_bars({n: {"kept": 1} for n in range(60)}, COLOURS, label="x"))
    shown = [t.text for t in drawing.iter("text") if t.get("text-anchor") == "middle"]
    assert shown == [str(n) for n in range(0, 60, 6)] + ["round"]
    assert len(list(drawing.iter("rect"))) == 60


@pytest.mark.parametrize(
    ("most", "top"),
    [(0, "1"), (3, "4"), (6400, "8000"), (0.03, "0.04"), (100, "100"), (101, "200")],
)
def test_the_axis_ends_at_a_short_number(most, top):
    drawing = draw(stacked_bars({1: {"kept": most}}, COLOURS, label="x"))
    ticks = [t.text for t in drawing.iter("text") if t.get("text-anchor") == "end"]
    assert (ticks[0], ticks[-1]) == ("0", top)
    assert all(len(tick) <= 5 for tick in ticks)


@given(
    st.dictionaries(
        st.integers(0, 500),
        st.dictionaries(st.sampled_from(list(COLOURS)), st.floats(0, 1e9)),
        max_size=8,
    )
)
@settings(max_examples=60, deadline=None)
def test_bars_stay_on_the_canvas(bars):
    for rect in draw(stacked_bars(bars, COLOURS, label="x")).iter("rect"):
        x, y, width, height = (float(rect.get(k)) for k in ("x", "y", "width", "height"))
        assert 0 <= x <= x + width <= WIDTH
        assert 0 <= y <= y + height <= HEIGHT


@given(st.lists(st.tuples(st.integers(0, 50), st.floats(-1e6, 1e6)), max_size=8))
@settings(max_examples=60, deadline=None)
def test_points_stay_on_the_canvas(points):
    chart = line_chart([Line("p", [Point(x, y, y - 1, y + 1) for x, y in points])], label="x")
    for circle in draw(chart).iter("circle"):
        assert 0 <= float(circle.get("cx")) <= WIDTH
        assert 0 <= float(circle.get("cy")) <= HEIGHT
