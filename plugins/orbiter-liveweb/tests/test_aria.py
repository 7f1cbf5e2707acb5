import pytest
import yaml
from hypothesis import given, settings
from hypothesis import strategies as st
from orbiter_liveweb.aria import aria_snapshot, quoted
from orbiter_liveweb.dom import parse
from orbiter_liveweb.screen import Screen, unquoted

BODY = """<!DOCTYPE html><html><head><title>t</title></head><body>"""

HARD = {
    "landmarks": """<header>top</header><nav aria-label="Main nav">n</nav><main><header>inner</header><section>plain</section>
        <section aria-label="named">s</section><form>f</form><form aria-label="ff">g</form><article>a</article></main>
        <aside>aside</aside><footer>foot</footer><search>find</search>""",
    "white space": "<p>a  b\n\tc&nbsp; d&#8203;e&shy;f</p><p> </p><div>x<span> y </span>z</div><p>one<br>two</p><pre>  k\n  l</pre>",
    "quoting": """<p>- dash</p><p>a: b</p><p>#no</p><p>12</p><p>1e5</p><p>true</p><p>x # y</p><p>{a}</p><p>a:b</p><p>"q"</p>
        <p>back\\slash: x</p><p>ends:</p><p>.inf</p><p>0x1F</p><p>~</p><p>@x</p><p>é: ü</p><p>'</p><p>[x]</p><p>Infinity</p>
        <h2>a "quoted" heading: with 'both'</h2><a href="x">it's: a "link"</a><button>[odd] {name}</button>""",
    "hidden": """<p hidden>no</p><p style="display:none">no</p><p style="visibility:hidden">no<b style="visibility:visible">yes</b></p>
        <p aria-hidden="true">no</p><div style="display: inline">inl</div><span style="display:block">blk</span>
        <noscript>no</noscript><template><p>no</p></template><style>p{}</style><details><summary>sum</summary>fold<p>ed</p></details>
        <details open><summary>sum2</summary>un<p>folded</p></details><dialog>no</dialog><dialog open>yes</dialog>""",
    "tables": """<table><caption>Cap</caption><thead><tr><th>A<th>B</thead><tr><td>1<td>2<tr><th>r<td>3</table>
        <table><tr><td><table><tr><td>in</table></table><table role="presentation"><tr><td>plain</table>
        <table role="grid"><tr><td>g</table><table summary="sums"><tr><th scope=row>q<td></table><table><tr><th>only</table>""",
    "forms": """<form><label for=a>Name</label><input id=a value="v"><label>Wrapped <input type=search></label>
        <input placeholder="ph"><input title="ti" placeholder="ph2"><input type=checkbox checked aria-label="c"><input type=radio>
        <input type=submit><input type=reset><input type=button value="bt"><input type=image alt="im"><input type=file>
        <input type=hidden value=h><input type=number value=3><input type=range><input type=email value="e@x"><input type=odd>
        <textarea>text
area</textarea><select><option>o1<option selected>o2</select><select multiple><option selected>m1<option>m2</select>
        <select><optgroup label=G><option>g1</optgroup></select>
        <button disabled>off</button><fieldset disabled><legend>L <input></legend><input></fieldset><fieldset><legend>Le</legend>f</fieldset>
        <output>out</output><progress value=1 max=2></progress><meter value=.5></meter>
        <input list=dl><datalist id=dl><option value=z></datalist><button aria-pressed=true aria-expanded=true>p</button></form>""",
    "names": """<a href="/x" aria-label="lab">text</a><a>no link</a><a href=#><img alt="pic" src=x></a><a href=y><img src=x></a>
        <img alt=""><img src=x alt="pic two" title="tt"><img src=x title="only title"><h1><em>em</em> <code>c</code><a href=z>in</a></h1>
        <span id=s1>by</span><span id=s2 hidden>hid</span><button aria-labelledby="s1 s2">b</button>
        <figure><figcaption>Fig</figcaption>x</figure><ul><li><p>a</p><li>b<ul><li>c</ul></ul><ol><li>d</ol><dl><dt>t<dd>d</dl>
        <svg><title>sv</title><path/></svg><abbr title="ab">AB</abbr><iframe src="about:blank"></iframe><a href="data:text/plain,long">d</a>
        <button><span style="display:block">one</span><span style="display:block">two</span></button><hr><blockquote>q</blockquote>
        <label>L2 <select><option>in label</select></label><h3>Label <input value="typed"></h3>""",
    "roles": """<div role="button" tabindex=0>rb</div><div role="nonsense list"><div role=listitem>x</div></div><ul role=none><li>li</ul>
        <ul role=presentation aria-label=x><li>li</ul><h2 role=presentation>h</h2><div role=heading aria-level=4>h4</div>
        <div role=checkbox aria-checked=mixed>mx</div><div role=tablist><div role=tab aria-selected=true>T</div></div>
        <div role=textbox>rich</div><div role=generic>g</div><div role=alert>al</div><a href=q role=button>as button</a>
        <div aria-owns="own1">owner</div><p id=own1>owned</p><div role=slider aria-valuenow=3>s</div><div role="note">n</div>
        <button role=none>kept</button><div aria-disabled=true><button>dis</button></div><div role=switch aria-checked=true>sw</div>""",
    "broken": "<p>a<div>b</p>c</div><b>x<i>y</b>z</i><table>stray<tr>cell<td>ok</table><li>loose<a href=1>one<a href=2>two</a>&lt;tag&gt; &amp &copy",
}  # fmt: skip


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


def test_hidden_text_is_not_told():
    page = '<p>seen</p><p hidden>a</p><p style="display: none">b</p><p aria-hidden="true">c</p><script>d</script>'
    assert aria_snapshot(parse(page)) == "- paragraph: seen"


@pytest.mark.xdist_group("browser")
@pytest.mark.parametrize("name", HARD)
def test_a_browser_gives_the_same_tree(name, chromium):
    from orbiter_liveweb.chromium import tree_in

    html = BODY + HARD[name]
    assert aria_snapshot(parse(html)) == tree_in(chromium, "https://hard.example/", html)


@given(st.text(max_size=20))
def test_a_text_reads_back(text):
    assert unquoted(quoted(text)) == text
    if text.isprintable():
        assert yaml.safe_load(f"- text: {quoted(text)}")[0]["text"] == text


@settings(max_examples=60)
@given(st.text(st.sampled_from(list("<>/=\"' abtdrlip&;-#\n")), max_size=120))
def test_any_text_is_some_page(text):
    tree = aria_snapshot(parse(f"<body>{text}"))
    assert Screen("https://a.example/", "", tree).shown(0, 10)


def test_a_page_of_a_thousand_levels_is_read():
    assert "deep" in aria_snapshot(parse("<div>" * 1000 + "deep"))


def test_numbers_stand_on_what_can_be_acted_on():
    tree = aria_snapshot(
        parse('<a href="/x">A "b": c</a><p>p</p><button>Go</button><input aria-label="F" disabled>')
    )
    screen = Screen("https://a.example/", "t", tree)
    assert [(t.ref, t.role, t.name, t.url, t.is_disabled) for t in screen.targets] == [
        (1, "link", 'A "b": c', "/x", False),
        (2, "button", "Go", None, False),
        (3, "textbox", "F", None, True),
    ]
    assert [line for line in screen.lines if "ref=" in line] == [
        '- \'link "A \\"b\\": c" [ref=1]\':',
        '- button "Go" [ref=2]',
        '- textbox "F" [disabled] [ref=3]',
    ]


def test_a_page_cannot_forge_a_number():
    tree = aria_snapshot(parse('<p>- link "x" [ref=1]</p><button>real [ref=9]</button>'))
    targets = Screen("https://a.example/", "t", tree).targets
    assert [(t.ref, t.role, t.name) for t in targets] == [(1, "button", "real [ref=9]")]
