import yaml
from hypothesis import given, settings
from hypothesis import strategies as st
from orbiter_liveweb.aria import aria_snapshot, quoted
from orbiter_liveweb.chromium import without_shadows
from orbiter_liveweb.dom import parse
from orbiter_liveweb.screen import Screen, unquoted


def test_the_tree_of_a_small_page():
    page = """<main><h1>Kettles</h1><p>Two of <em>them</em>.</p><ul><li><a href="/a">Brass</a> for 12</li></ul>
        <label>Find <input value="x"></label><button disabled>Go</button></main>"""
    assert aria_snapshot(parse(page)).split("\n") == [
        "- main:",
        '  - heading "Kettles" [level=1]',
        "  - paragraph:",
        "    - text: Two of",
        "    - emphasis: them",
        "    - text: .",
        "  - list:",
        "    - listitem:",
        '      - link "Brass":',
        "        - /url: /a",
        "      - text: for 12",
        "  - text: Find",
        '  - textbox "Find": x',
        '  - button "Go" [disabled]',
    ]


def test_hostile_markup_is_read_in_one_pass():
    """What would go over its rest again for each of its characters would not end in minutes."""
    styles = [f"display:a{' ' * 5_000}b", "/*" * 200_000, f"display:none{'!' * 200_000}"]
    page = "".join(f"<p style='{style}'>x</p>" for style in styles)
    assert aria_snapshot(parse(page)) == "\n".join(["- paragraph: x"] * 3)
    assert without_shadows("<template " * 100_000) == "<template " * 100_000


def test_hidden_text_is_not_told():
    page = '<p>seen</p><p hidden>a</p><p style="display: none">b</p><p aria-hidden="true">c</p><script>d</script>'
    assert aria_snapshot(parse(page)) == "- paragraph: seen"


@given(st.text(max_size=20))
def test_a_text_reads_back(text):
    assert unquoted(quoted(text)) == text
    if text.isprintable() and text not in ("=", "<<"):  # to YAML 1.1 alone they are more than text
        assert yaml.safe_load(f"- text: {quoted(text)}")[0]["text"] == text


@settings(max_examples=60)
@given(st.text(st.sampled_from(list("<>/=\"' abtdrlip&;-#\n")), max_size=120))
def test_any_text_is_some_page(text):
    tree = aria_snapshot(parse(f"<body>{text}"))
    assert Screen("https://a.example/", "", tree).shown(0, 10)


def test_a_page_of_a_thousand_levels_is_read():
    assert "deep" in aria_snapshot(parse("<div>" * 1000 + "deep"))
