"""One small synthetic web for all tests, and the Chromium of this machine."""

from __future__ import annotations

import json
import shutil
import threading
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer

import pytest
from orbiter_liveweb.cache import Cache
from orbiter_liveweb.snapshot import Snapshot
from orbiter_liveweb.synthetic import build
from orbiter_liveweb.teacher import TeacherGenerator

from orbiter.records import Message, Trajectory


@pytest.fixture(scope="session")
def web(tmp_path_factory) -> Cache:
    """The small synthetic web; not to be changed."""
    return build(tmp_path_factory.mktemp("liveweb") / "web")


@pytest.fixture(scope="session")
def teacher(web) -> TeacherGenerator:
    """A teacher of the synthetic web."""
    return TeacherGenerator(web)


@pytest.fixture
def own_web(web, tmp_path) -> Cache:
    """A copy of the synthetic web, to be damaged."""
    shutil.copytree(web.folder, tmp_path / "web")
    return Cache(tmp_path / "web")


@pytest.fixture(scope="module")
def chromium():
    """A headless Chromium. Only test_chromium.py asks for it: while it is open, its thread can run no other event loop."""
    pytest.importorskip("playwright.sync_api", reason="playwright is not installed")
    from orbiter_liveweb.chromium import chromium_path, launched

    from orbiter.errors import MissingPluginError

    try:
        chromium_path()
    except MissingPluginError as error:
        pytest.skip(error.message)
    with launched() as browser:
        yield browser


@pytest.fixture
def cache(tmp_path) -> Cache:
    """An empty cache."""
    return Cache(tmp_path / "cache", create=True)


HOME = "https://a.example/"
WHEN = {"fetched_at": "2024-05-01T12:00:00Z", "source": "http"}


def snapshot(html="<title>T</title><p>text", url=HOME, **more) -> Snapshot:
    return Snapshot.of_page(url, html, **WHEN, **more)


@pytest.fixture(scope="session")
def page():
    """Makes the snapshot of a page: ``page(html, url)``."""
    return snapshot


PAGES = {
    "": """<title>Home</title><a href="/long#there">Long</a><a href="/long#there">Long</a><a href="mailto:x@y">Mail</a><a href="/gone">Gone</a>
        <a href="#low">Low</a><a href="moved">Moved</a>
        <form action="/find"><label>Word <input name=q></label><input type=hidden name=k value="v w"><input type=checkbox name=c checked>
        <select name=s><option value=1>one<option value=2 selected>two</select><button name=b value=go>Find</button></form>
        <form action="/find" method=post><input aria-label="Secret" name=p><button>Send</button></form><button type=button>Idle</button>
        <textarea aria-label="Area"></textarea><input aria-label="Fixed" readonly><input aria-label="Off" disabled><h2 id=low>Low</h2>""",
    "long": "<title>Long</title>" + "".join(f"<p id=p{n}>line {n}</p>" for n in range(100)) + "<h2 id=there>there</h2><p>end",
    "find?q=x+y&k=v+w&c=on&s=2&b=go": "<title>Found</title><p>found",
    "find?q=x&k=v+w&c=on&s=2&b=go": "<title>Found less</title><p>found",
    "controls": """<title>Controls</title><form action="/found"><label><input type=checkbox name=new> New</label>
        <label><input type=checkbox name=old value=1 checked> Old</label><input type=checkbox name=off aria-label="Off" disabled>
        <label><input type=radio name=size value=s checked> Small</label><label><input type=radio name=size value=m checked> Medium</label>
        <label><input type=radio name=size value=l> Large</label><label><input type=radio name=else value=e checked> Else</label>
        <label><input type=radio> Alone</label><label>Lamp <input type=checkbox role=switch name=lamp></label>
        <label>Order <select name=order><option value=up>By price<option value=down disabled>By age<optgroup label=More disabled><option>By  fame
        </optgroup><option label="By name" value=name>N</select></label><label>Maker <select name=maker multiple><option selected>Ames<option>Bell</select></label>
        <label>Word <input name=q list=dl></label><datalist id=dl><option>x</datalist><div role=checkbox tabindex=0>Script</div>
        <div role=combobox tabindex=0 aria-label=Script>Script</div><button>Show</button></form>"""
    + "<p>end</p>" * 60,
    "found?old=1&size=m&else=e&order=up&maker=Ames&q=": "<title>As it was</title><p>found",
    "found?new=on&size=l&else=e&lamp=on&order=name&maker=Bell&q=x": "<title>As it was chosen</title><p>found",
    "slow": '<title>Slow</title><meta http-equiv="refresh" content="5; url=/done"><p>wait',
    "done": "<title>Done</title><p>done",
}  # fmt: skip


@pytest.fixture(scope="session")
def forms(tmp_path_factory) -> Cache:
    """Pages with every kind of form, link and refresh; the first is https://a.example/."""
    made = Cache(tmp_path_factory.mktemp("pages"), create=True)
    made.put_all(snapshot(html, HOME + path) for path, html in PAGES.items())
    made.put(Snapshot.of_redirect(f"{HOME}moved", f"{HOME}done", **WHEN))
    return made


@pytest.fixture
def choosing() -> list[tuple[str, dict[str, str]]]:
    """Calls that turn boxes on and off and choose options, and some that cannot."""
    return [
        ("goto", {"url": f"{HOME}controls"}),
        ("click_role", {"role": "button", "name": "Show"}),
        ("goto", {"url": f"{HOME}controls"}),
        ("click_role", {"role": "checkbox", "name": "New"}),
        ("click_role", {"role": "checkbox", "name": "Old"}),
        ("click_role", {"role": "checkbox", "name": "Old"}),
        ("click_role", {"role": "checkbox", "name": "Old"}),
        ("scroll", {"direction": "down"}),
        ("click_role", {"role": "radio", "name": "Large"}),
        ("click_role", {"role": "radio", "name": "Large"}),
        ("click_role", {"role": "radio", "name": "Alone"}),
        ("click_role", {"role": "switch", "name": "Lamp"}),
        ("type_role", {"role": "combobox", "name": "Order", "text": "By name"}),
        ("type_role", {"role": "listbox", "name": "Maker", "text": "Bell"}),
        ("type_role", {"role": "combobox", "name": "Word", "text": "xy"}),
        ("press", {"key": "Backspace"}),
        ("type_role", {"role": "combobox", "name": "Order", "text": "By colour"}),
        ("type_role", {"role": "combobox", "name": "Order", "text": "By age"}),
        ("type_role", {"role": "combobox", "name": "Order", "text": "By fame"}),
        ("type_role", {"role": "combobox", "name": "Script", "text": "x"}),
        ("click_role", {"role": "checkbox", "name": "Off"}),
        ("click_role", {"role": "checkbox", "name": "Script"}),
        ("view_more", {}),
        ("click_role", {"role": "button", "name": "Show"}),
    ]


HTML = "text/html; charset=utf-8"
SERVED = {
    "/": (200, HTML, b"<title>Home</title><p>home <a href='/b?utm_source=x'>b</a> <a href='/c'>c</a> <a href='/private/d'>d</a> <a href='http://other.example/'>o</a>"),
    "/b": (200, HTML, b"<title>B</title><p>b <a href='/'>home</a><p id=x></p><script>document.getElementById('x').textContent = 'made by a script'</script>"),
    "/c": (200, HTML, b"<title>Just a moment...</title><p>Checking"),
    "/live": (200, HTML, b"<title>L</title><p id=x>wait</p><script>fetch('/data?a=1').then(r => r.json()).then(d => "
        b"{ document.getElementById('x').textContent = d.n }); fetch('/odd')</script>"),
    "/polls": (200, HTML, b"<title>P</title><p id=x>wait</p><script>setInterval(() => fetch('/data').then(() => "
        b"{ document.getElementById('x').textContent = 'there' }), 50)</script>"),
    "/data": (200, "application/json; charset=utf-8", b'{"n": 7, "of": [null, 1.5]}'),
    "/odd": (200, "application/json", b"{no json"),
    "/file": (200, "application/pdf", b"%PDF"),
    "/gone": (404, HTML, b"<p>not here"),
    "/robots.txt": (200, "text/plain", b"User-agent: *\nDisallow: /private/\n"),
    "/private/d": (200, HTML, b"<p>private"),
}  # fmt: skip


@pytest.fixture(scope="session")
def server():
    """A site on loopback: its address, and its pages by path, each a status, a type and a body."""
    pages = dict(SERVED)

    class Handler(BaseHTTPRequestHandler):
        def do_GET(self):
            if self.path == "/moved":
                self.send_response(301)
                self.send_header("Location", "/b")
                self.end_headers()
                return
            status, kind, body = pages.get(self.path.split("?")[0], pages["/gone"])
            self.send_response(status)
            self.send_header("Content-Type", kind)
            self.send_header("Content-Length", str(len(body)))
            self.end_headers()
            self.wfile.write(body)

        def log_message(self, *_):
            pass

    server = ThreadingHTTPServer(("127.0.0.1", 0), Handler)
    thread = threading.Thread(target=server.serve_forever, daemon=True)
    thread.start()
    yield f"http://127.0.0.1:{server.server_port}", pages
    server.shutdown()
    server.server_close()
    thread.join()


EVIL = "</pre><script>alert(1)</script><img src=x onerror=alert(2)> \u202e [ref=1]"


@pytest.fixture
def evil() -> Trajectory:
    """A row each text of which tries to be markup."""
    made = {
        "id": EVIL,
        "type": "function",
        "function": {"name": EVIL, "arguments": json.dumps({EVIL: EVIL})},
    }
    odd = (
        {"id": "x"},
        {"id": ["x"]},
        3,
        {"id": "y", "function": {"name": "goto", "arguments": "{"}},
    )
    messages = (
        Message("system", EVIL), Message("user", EVIL), Message("assistant", EVIL, tool_calls=(made, *odd)),
        Message("tool", f"URL: {EVIL}\nTitle: {EVIL}\n\n- link \"{EVIL}\":\n  - /url: {EVIL}\n{EVIL}", tool_call_id=EVIL), Message("assistant", EVIL),
    )  # fmt: skip
    return Trajectory(messages, EVIL, EVIL, 0.5, generator=EVIL, model=EVIL)
