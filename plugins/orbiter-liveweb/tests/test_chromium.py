"""All that is held to a real Chromium: trees, sessions, replays, recording, and the page that shows a trajectory."""

import functools
import http.server
import threading
from pathlib import Path

import pytest
from orbiter_liveweb.aria import aria_snapshot
from orbiter_liveweb.browser import CacheBrowser
from orbiter_liveweb.cache import Cache
from orbiter_liveweb.checking import check_cache
from orbiter_liveweb.chromium import ChromiumBrowser, tree_in
from orbiter_liveweb.dom import parse
from orbiter_liveweb.fetching import BrowserFetcher, HttpFetcher
from orbiter_liveweb.record import record
from orbiter_liveweb.rendering import render
from orbiter_liveweb.session import Session, call
from orbiter_liveweb.teacher import TeacherGenerator
from orbiter_liveweb.verifier import replay

from orbiter.records import Outcome
from orbiter.verify.calls import read_calls

pytestmark = pytest.mark.xdist_group("browser")

HOME = "https://a.example/"
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
    "style sheets": """<style>.x{display:none} p::before{content:"B"}</style><link rel=stylesheet href="data:text/css,p{display:none}"><p class=x>sheet</p>
        <p style="DISPLAY : NONE !Important; display: block">no</p><p style="display:bogus">p</p><p style="display:none;display:">no</p><p>a<span
        style="display:contents"> b</span><span style="display:contents"> </span></p><iframe style="display:contents"></iframe><p style="/* display:none */">c</p>
        <p style="content-visibility:hidden">d<b>no</b></p><p style="display:none" hidden=until-found>no</p><p hidden=until-found>e<i>no</i></p>
        <p>f<span style="display:-webkit-box">g</span><span style="display:unset">h</span></p><p style="visibility;visibility:bogus">i</p><p style="display:none/*">no</p>
        <meta http-equiv=Content-Security-Policy content="default-src 'none'"><p style="display:none">policy</p>""",
    "drawn whole": """<video controls>v<b>no</b></video><audio controls>a<a href=x>no</a></audio><meter value=.5>m<b>no</b></meter><progress value=1 max=2><em>no</em>
        </progress><object data=x>o <a href=q>l</a></object><canvas>c <button>b</button></canvas><div popover>no</div><dialog open popover>d</dialog>
        <div><template shadowrootmode=open><p>no</p></template>light</div><p>x<i role=generic></i>y <b role=generic>z</b></p>
        <svg hidden><title>s</title></svg><math><mi>x</mi><mo>=</mo><mn>2</mn><semantics><mi>y</mi><annotation>no</annotation></semantics></math>""",
    "values": """<input type=number value=abc><input type=number value=" 5"><input type=number value=-.5e3><input type=email multiple value="a , b"><input type=color>
        <input type=color value="#00FF00"><input type=date value=2024-02-30><input type=date value=2024-02-29><input type=month value=2024-1><input type=time
        value=10:30><input type=time value=10:30:00><input type=datetime-local value="2024-02-29 10:30:00"><input type=date value=0999-01-01>
        <input type=week value=2024-W53><input type=week value=2024-W09><input type=datetime-local value=2024-02-29T10:30>""",
    "frames": """</body><frameset cols=50%><frame src=/x title=t><frame src=/y></frameset>""",
    "broken": "<p>a<div>b</p>c</div><b>x<i>y</b>z</i><table>stray<tr>cell<td>ok</table><li>loose<a href=1>one<a href=2>two</a>&lt;tag&gt; &amp &copy",
}  # fmt: skip

PYTHON_DOCS = next(
    (p for p in Path("/usr/share/doc").glob("python3*/html") if (p / "py-modindex.html").is_file()),
    None,
)


def assert_same_in_chromium(made, cache, chromium):
    messages = made.trajectory.messages[2:]
    opened = []

    def browser():
        opened.append(ChromiumBrowser(cache, chromium))
        return opened[-1]

    try:
        found = replay(read_calls(messages, open_end=True), messages, browser)
        assert (found.departs_at, found.said) == (None, "")
        assert found.answer == made.trajectory.answer
        return opened[0].blocked
    finally:
        for one in opened:
            one.close()


def test_the_synthetic_web_in_chromium(teacher, web, chromium):
    templates = ["catalogue/order_cost", "weather/now", "league/stadium_of_place"]
    made = teacher.compose(seed=0, num_subtasks=3, templates=templates)
    assert assert_same_in_chromium(made, web, chromium) == []


@pytest.fixture(scope="module")
def python_docs(tmp_path_factory):
    """Some pages of the Python documentation, recorded from a server on loopback."""
    if PYTHON_DOCS is None:
        pytest.skip("no Python documentation on this machine: apt-get install python3-doc")

    class Handler(http.server.SimpleHTTPRequestHandler):
        def log_message(self, *_):
            pass

    server = http.server.ThreadingHTTPServer(
        ("127.0.0.1", 0), functools.partial(Handler, directory=PYTHON_DOCS)
    )
    thread = threading.Thread(target=server.serve_forever, daemon=True)
    thread.start()
    base = f"http://127.0.0.1:{server.server_port}/"
    names = "markup text html html.parser html.entities fnmatch linecache glob abc atexit".split()
    cache = Cache(tmp_path_factory.mktemp("docs"), create=True)
    found = record(
        cache,
        [f"{base}py-modindex.html", *(f"{base}library/{n}.html" for n in names)],
        fetcher=HttpFetcher(),
    )
    server.shutdown()
    server.server_close()
    thread.join()
    assert found.refused == []
    return cache


def test_a_real_site_is_taught_from(python_docs):
    teacher = TeacherGenerator(python_docs)
    assert len(teacher.templates) == 7
    for name in teacher.templates:
        made = teacher.compose(seed=1, num_subtasks=1, templates=[name])
        assert made.verdict.outcome is Outcome.PASS, (name, made.verdict.reason)
    assert [f for f in check_cache(python_docs) if f.is_error] == []


def test_a_real_site_in_chromium(python_docs, chromium):
    made = TeacherGenerator(python_docs).compose(
        seed=1, num_subtasks=1, templates=["python_docs/module_source"]
    )
    blocked = assert_same_in_chromium(made, python_docs, chromium)
    # What is no page of the cache gets no answer.
    assert any(url.endswith(".svg") for url in blocked)
    for name in ("fnmatch", "text"):
        url = next(u for u in python_docs.urls() if u.endswith(f"/{name}.html"))
        snapshot = python_docs.get(url)
        assert tree_in(chromium, url, snapshot.html) == snapshot.tree


@pytest.mark.parametrize("name", HARD)
def test_a_browser_gives_the_same_tree(name, chromium):
    html = (BODY if name != "frames" else "") + HARD[name]
    assert aria_snapshot(parse(html)) == tree_in(chromium, "https://hard.example/", html)


def test_chromium_shows_the_same_after_every_action(forms, chromium):
    ours = Session(lambda: CacheBrowser(forms))
    theirs = Session(lambda: ChromiumBrowser(forms, chromium))
    calls = [
        ("goto", {"url": "https://gone.example/"}), ("view_more", {}), ("goto", {"url": HOME}), ("click", {"ref": 4}), ("click", {"ref": 3}),
        ("click_role", {"role": "button", "name": "Idle"}), ("type_role", {"role": "textbox", "name": "Secret", "text": "p"}),
        ("press", {"key": "Enter"}), ("click", {"ref": 5}), ("type", {"ref": 7, "text": "x yz"}), ("press", {"key": "Backspace"}),
        ("press", {"key": "Enter"}), ("goto", {"url": HOME}), ("type", {"ref": 7, "text": "x"}),
        ("click_role", {"role": "button", "name": "Find"}), ("goto", {"url": f"{HOME}long#there"}), ("scroll", {"direction": "up"}),
        ("goto", {"url": HOME}), ("click", {"ref": 1}), ("goto", {"url": HOME}), ("click_role", {"role": "link", "name": "Moved"}),
        ("type_role", {"role": "textbox", "name": "Fixed", "text": "x"}), ("goto", {"url": f"{HOME}slow"}), ("wait", {"seconds": 1}),
        ("wait", {"seconds": 5}), ("stop", {"answer": "x"}),
    ]  # fmt: skip
    try:
        assert [call(theirs, *one) for one in calls] == [call(ours, *one) for one in calls]
    finally:
        theirs.reset(None)


AWKWARD = {
    "links": """<svg><title>drawing</title></svg><title>Links</title><base target=_blank><a href="/t" aria-label="empty"></a><a href="\\t">back</a><a href="\tt ">tab</a>
        <div style="position:fixed;inset:0">over all</div><a href="/t" style="position:absolute;left:-9999px">far</a><a href="/t" download>load</a>
        <a href="https://faß.example/t">host</a><a href="/ü ö?ä=é&b=%FF">other</a><svg><a href="/t"><text>drawn</text></a></svg><a href="/t#ü">place</a>
        <a href="https://u:p@a.example/t">secret</a><a href="">self</a><a href="http://[">no</a>""",
    "form": """<form action=/f target=_blank><input required name=q aria-label=Q><input type=email name=e value=bad><input type=date name=d aria-label=D>
        <input type=hidden name=_charset_><input type=file name=f><textarea name=t>a\nb</textarea><button formtarget=x name=b value=1>Go</button>
        <input type=image name=i alt=I><input type=image alt=J></form>""",
    "x/based": """<base target=_blank><base href=/y/><base href=/z/><a href=t>on</a><form><input name=q aria-label=Q><button>Here</button></form>
        <form action=f><input name=q value=v><button>There</button></form>""",
    "x/soon": "<base href=/y/><meta http-equiv=refresh content='1;url=t'><p>wait",
    "y/t": "<p>t<p id=ü>place",
    "y/f?q=v": "<p>there",
    "x/based?q=": "<p>here",
    "sends": """<form action=mailto:x@y><input name=q aria-label=Mail><button>Write</button></form><form action=https://u:p@a.example/f><button>Secret</button></form>
        <form action=/t><input aria-label=One><input aria-label=Two></form><form action=/f><fieldset disabled><button>Off</button></fieldset><input aria-label=Folded></form>
        <form action=/f method=post><input aria-label=Posted></form><input aria-label=Alone><button>Lone</button><button formaction=/t formmethod=dialog>Box</button>""",
    "at-once": "<meta http-equiv=refresh content='0;url=/t'><p>wait",
    "t": "<p>t<p id=ü>place",
    "%C3%BC%20%C3%B6?b=%FF&%C3%A4=%C3%A9": "<p>other",
}


def test_chromium_does_the_same_with_awkward_links_and_forms(cache, page, chromium):
    cache.put_all(page(html, HOME + path) for path, html in AWKWARD.items())
    cache.put(page("<p>host", "https://faß.example/t"))
    ours = Session(lambda: CacheBrowser(cache))
    theirs = Session(lambda: ChromiumBrowser(cache, chromium))
    calls = [("goto", {"url": f"{HOME}at-once"}), ("wait", {"seconds": 1})]
    calls += [("goto", {"url": f"{HOME}x/soon"}), ("wait", {"seconds": 1})]
    for path, count in (("links", 12), ("form", 7), ("x/based", 5)):
        for ref in range(1, count + 1):
            calls += [("goto", {"url": HOME + path}), ("click", {"ref": ref})]
    calls += [
        ("goto", {"url": f"{HOME}form"}),
        ("type_role", {"role": "textbox", "name": "D", "text": "2024-02-30"}),
    ]
    calls += [("type_role", {"role": "textbox", "name": "D", "text": "2024-02-29"}), ("press", {"key": "Enter"})]  # fmt: skip
    for ref in range(1, 12):
        calls += [("goto", {"url": f"{HOME}sends"}), ("click", {"ref": ref})]
        calls += [("type", {"ref": ref, "text": "x"}), ("press", {"key": "Enter"})]
    try:
        for one in calls:
            assert (one, call(theirs, *one)) == (one, call(ours, *one))
        assert {f"{HOME}y/t", f"{HOME}x/based?q=", f"{HOME}y/f?q=v"} <= ours.visited.keys()
    finally:
        theirs.reset(None)


def test_chromium_turns_boxes_and_chooses_options_alike(forms, choosing, chromium):
    ours = Session(lambda: CacheBrowser(forms))
    theirs = Session(lambda: ChromiumBrowser(forms, chromium))
    try:
        for one in choosing:
            assert (one, call(theirs, *one)) == (one, call(ours, *one))
            if ours.screen is not None:
                assert theirs.screen.tree == ours.screen.tree, one
    finally:
        theirs.reset(None)


def test_chromium_records_what_scripts_left(server, cache, chromium, monkeypatch):
    server, pages = server
    monkeypatch.setitem(pages, "/b", (200, "Text/HTML; charset=UTF-8", pages["/b"][2]))
    found = record(
        cache, [f"{server}/b", f"{server}/file"], fetcher=BrowserFetcher(chromium), robots=False
    )
    assert found.recorded == [f"{server}/b"]
    snapshot = cache.get(f"{server}/b")
    assert (snapshot.source, "paragraph: made by a script" in snapshot.tree) == ("browser", True)
    assert tree_in(chromium, snapshot.url, snapshot.html) == snapshot.tree


def test_chromium_records_a_page_that_is_never_quiet(server, cache, chromium, monkeypatch):
    monkeypatch.setattr("orbiter_liveweb.fetching.QUIET_S", 1.5)
    server, _ = server
    record(cache, [f"{server}/polls"], fetcher=BrowserFetcher(chromium), robots=False)
    assert cache.get(f"{server}/polls").tree == "- paragraph: there"


def test_chromium_records_the_data_that_a_page_asked_for(server, cache, chromium):
    server, _ = server
    record(cache, [f"{server}/live", f"{server}/b"], fetcher=BrowserFetcher(chromium), robots=False)
    snapshot = cache.get(f"{server}/live")
    assert snapshot.tree == '- paragraph: "7"'
    assert snapshot.api_data == {f"{server}/data?a=1": {"n": 7, "of": [None, 1.5]}}
    assert cache.get(f"{server}/b").api_data is None


def test_a_browser_shows_a_hostile_row_and_does_nothing_else(evil, teacher, tmp_path, chromium):
    path, happened = tmp_path / "x.html", []
    for row in (evil, teacher.compose(seed=1).trajectory):
        path.write_text(render(row))
        tab = chromium.new_page(viewport={"width": 500, "height": 800})
        happened.clear()
        for event in ("dialog", "console", "pageerror", "request"):
            tab.on(event, lambda what, event=event: happened.append(event))
        tab.goto(path.as_uri())
        assert happened == ["request"]  # the page itself
        assert tab.evaluate("document.documentElement.scrollWidth") <= 500
        tab.close()
