"""The report: what it says of a run, and that nothing a model wrote can do anything in it."""

import os
from html.parser import HTMLParser
from pathlib import Path
from unicodedata import bidirectional, category

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from orbiter.errors import LedgerError
from orbiter.flywheel import Flywheel, load_recipe
from orbiter.flywheel.page import page, show
from orbiter.flywheel.report import _table, write_report

HOSTILE = (
    "<script>alert(1)</script>",
    "</pre></div><img src=x onerror=alert(2)>",
    "<a href='javascript:alert(3)'>here</a>",
    "'\"><svg onload=alert(4)>",
    "<style>*{display:none}</style><meta http-equiv=refresh content='0;url=http://example.com'>",
    "<iframe src=http://example.com></iframe><base href=http://example.com>",
    "]]><!-- --!> <!DOCTYPE x><!-- ",
    "&lt;script&gt;alert(5)&lt;/script&gt; &#60;b&#62;",
    "\x1b[2J\x1b]0;owned\x07 \x00 \x85 \r\b",
    "\u202eright to left\u202c \u2066isolated \u200f",
    "{{7*7}} ${7*7} <%= 7 %>",
    "long " * 100_000,
)
PARTS = """
from orbiter.generate import Completion, Policy
from orbiter.records import Message, Verdict
from orbiter.tasks import Environment
from orbiter.verify import Verifier

HOSTILE = {hostile!r}

class Worst(Environment):
    name = "worst"
    def task(self, index, *, seed):
        text = HOSTILE[index % len(HOSTILE)]
        return self.make_task(f"{{text[:400]}} {{index}}", f"{{text}} {{index}}", answer=text)

class Echo(Policy):
    name, batch_size = "echo <b>", 5
    async def complete(self, requests, sampling):
        return [self.answer(r) for r in requests]
    def answer(self, request):
        text = request.messages[-1].text
        call = {{"type": "function", "function": {{"name": text[:200], "arguments": text[:200]}}}}
        message = Message("assistant", text, tool_calls=(call,))
        return Completion(messages=(message,) * (21 if len(text) < 300 else 1), model=text[:100])

class Reasons(Verifier):
    name, version = "reasons", "<i>1</i>"
    def verify(self, task, trajectory):
        text = str(task.answer)[:500]
        if "script" in text:
            return Verdict.passed(reason=text)
        if "img" in text or "svg" in text:
            raise ValueError(text)
        return Verdict.failed(reason=text)
"""
RECIPE = """\
name: hostile
rounds: 2
environment: {name: parts.py:Worst}
policy: {name: parts.py:Echo}
verifier: {name: parts.py:Reasons}
generate: {tasks: 24, samples: 2}
evaluate: {tasks: 6, audit: 0, share: 0.2}
verify: {workers: 0}
curate: {decontaminate: null}
gates: {max_invalid_rate: 1}
"""
SMALL = """\
name: small
description: sort five digits
rounds: 3
environment: {name: sorting, length: 5}
policy: {name: scripted, accuracy: 0.5, environment: {name: sorting, length: 5}}
generate: {tasks: 12, samples: 4}
evaluate: {tasks: 10, audit: 20}
verify: {workers: 0}
"""
TAGS = set(
    "html head meta title style body h1 h2 h3 p div span b figure figcaption svg line text polygon polyline circle rect "
    "title ul li table thead tbody tr th td small pre".split()
)
VOID = {"meta"}


class Reading(HTMLParser):
    """Every tag, attribute and text of a page; raises where tags do not fit together."""

    def __init__(self, html: str) -> None:
        super().__init__()
        self.tags, self.attributes, self.texts, self._open = [], [], [], []
        self.feed(html)
        self.close()
        assert self._open == []

    def handle_starttag(self, tag, attrs):
        self.tags.append(tag)
        self.attributes += attrs
        if tag not in VOID and not (self.get_starttag_text() or "").endswith("/>"):
            self._open.append(tag)

    def handle_startendtag(self, tag, attrs):
        self.tags.append(tag)
        self.attributes += attrs

    def handle_endtag(self, tag):
        assert self._open.pop() == tag

    def handle_data(self, data):
        self.texts.append(data)


def run(folder: Path, recipe: str) -> Path:
    (folder / "parts.py").write_text(PARTS.format(hostile=HOSTILE))
    (folder / "recipe.yaml").write_text(recipe)
    wheel = Flywheel(load_recipe(folder / "recipe.yaml"), runs_dir=folder, base_dir=folder)
    return wheel.run().path


@pytest.fixture(scope="module")
def hostile(tmp_path_factory) -> Path:
    """The report of a run in which every text is an attack."""
    recipe = RECIPE + f"description: {HOSTILE[1]!r}\n"
    return write_report(run(tmp_path_factory.mktemp("hostile"), recipe))


@pytest.fixture(scope="module")
def small(tmp_path_factory) -> Path:
    """The report of a plain run."""
    return write_report(run(tmp_path_factory.mktemp("small"), SMALL))


def test_nothing_that_a_model_wrote_becomes_markup(hostile):
    seen = Reading(hostile.read_text())
    assert set(seen.tags) <= TAGS
    allowed = {
        "class",
        "style",
        "lang",
        "charset",
        "http-equiv",
        "content",
        "name",
        "scope",
        "role",
    }
    drawing = {
        "aria-label",
        "viewbox",
        "points",
        "fill",
        "opacity",
        "stroke",
        "stroke-width",
        "cx",
        "cy",
        "r",
    }
    drawing |= {
        "stroke-dasharray",
        "x",
        "y",
        "x1",
        "x2",
        "y1",
        "y2",
        "width",
        "height",
        "text-anchor",
    }
    assert {name for name, _ in seen.attributes} <= allowed | drawing
    policies = [value for name, value in seen.attributes if name == "content"]
    assert policies[0].startswith("default-src 'none'")


def test_what_a_model_wrote_is_shown_as_it_is(hostile):
    texts = "".join(Reading(hostile.read_text()).texts)
    for attack in HOSTILE[:6]:
        assert attack in texts
    assert "&lt;script&gt;alert(5)" in texts
    assert r"\x1b[2J\x1b]0;owned\x07 \x00 \x85 \r\x08" in texts
    assert r"\u202eright to left\u202c \u2066isolated \u200f" in texts
    assert "ValueError" in texts


def test_huge_texts_are_cut_with_their_length(hostile):
    page = hostile.read_text()
    assert len(page) < 400_000
    assert "characters)" in page
    assert "... 10 messages ..." in page


REORDERING = {"LRE", "RLE", "LRO", "RLO", "PDF", "LRI", "RLI", "FSI", "PDI"}


@given(st.text(st.characters(), max_size=60))
@settings(max_examples=200, deadline=None)
def test_any_text_is_shown_without_markup_or_unseen_characters(text):
    html = show(text)
    assert not set(html) & set("<>\"'")
    html.encode()
    seen = Reading(page(text, subtitle=text, body=f"<p>{html}</p>"))
    assert set(seen.tags) <= TAGS
    assert not [c for c in html if category(c) in ("Cc", "Cs", "Zl", "Zp") and c not in "\n\t"]
    assert not [c for c in html if bidirectional(c) in REORDERING]


def test_halves_of_characters_are_spelled_out():
    assert show("a\ud800b\udfff") == r"a\ud800b\udfff"


def test_long_text_is_cut_before_it_is_escaped():
    assert show("<" * 10, limit=3) == "&lt;&lt;&lt; ... (10 characters)"


def test_the_report_says_what_the_rounds_did(small):
    text = " ".join(Reading(small.read_text()).texts)
    assert "sort five digits · finished" in text
    assert "Why answers of round 3 did not pass" in text
    assert "0.0% of wrong ones" in text
    for heading in ("Rounds", "Cost", "Samples", "Round 1", "Round 3", "Provenance"):
        assert heading in text


def test_a_round_that_sampled_nothing_has_blanks_and_not_zeros(small):
    rows = small.read_text().split("<tbody>")[1].split("</tr>")
    assert rows[0].startswith("<tr><td>0</td><td></td><td></td><td></td><td></td><td>")
    assert rows[1].startswith("<tr><td>1</td><td>0.")


def test_a_round_of_a_graph_names_its_stage():
    rows = [{"round": 0}, {"round": 1, "name": "<first>"}]
    rows = [
        {**row, "seconds": 1, "generate_s": 0, "verify_s": 0, "train_s": 0, "own_s": 1}
        for row in rows
    ]
    table = _table(rows)
    assert '<th scope="col">stage</th>' in table
    assert "<td>&lt;first&gt;</td>" in table
    assert "stage" not in _table(rows[:1])


def test_a_folder_without_a_run_has_no_report(tmp_path):
    with pytest.raises(LedgerError, match="holds no run"):
        write_report(tmp_path)


def test_an_unfinished_run_has_a_report(tmp_path, monkeypatch):
    monkeypatch.setattr("orbiter.flywheel.stages.generate", _interrupt)
    with pytest.raises(KeyboardInterrupt):
        run(tmp_path, SMALL)
    text = write_report(tmp_path / "small").read_text()
    assert "unfinished" in text
    assert "nothing was sampled" in text


def _interrupt(*_):
    raise KeyboardInterrupt


@pytest.fixture(scope="module")
def browser():
    """A headless Chromium of this machine."""
    playwright = pytest.importorskip("playwright.sync_api", reason="playwright is not installed")
    path = next(
        (
            p
            for p in ("/usr/bin/chromium", "/usr/bin/chromium-browser", "/usr/bin/google-chrome")
            if os.access(p, os.X_OK)
        ),
        None,
    )
    if path is None:
        pytest.skip("no Chromium on this machine")
    with playwright.sync_playwright() as started:
        opened = started.chromium.launch(executable_path=path, args=["--no-sandbox"])
        yield opened
        opened.close()


@pytest.fixture
def look(browser):
    """Load a page, and return it with everything that happened on it."""

    def load(path: Path, *, width: int = 1300):
        tab = browser.new_page(viewport={"width": width, "height": 900})
        happened = []
        tab.on("dialog", lambda dialog: (happened.append(dialog.message), dialog.dismiss()))
        tab.on("console", lambda message: happened.append(message.text))
        tab.on("pageerror", lambda error: happened.append(str(error)))
        tab.on("request", lambda request: happened.append(request.url))
        tab.goto(path.as_uri())
        assert happened.pop(0) == path.as_uri()
        return tab, happened

    return load


@pytest.mark.slow
@pytest.mark.xdist_group("browser")
@pytest.mark.parametrize("width", [1300, 400])
def test_a_browser_shows_it_and_does_nothing_else(hostile, small, look, width):
    for path in (hostile, small):
        tab, happened = look(path, width=width)
        tab.mouse.wheel(0, 3000)
        assert happened == []
        assert tab.evaluate("document.documentElement.scrollWidth") == width
        assert tab.locator("a, img, script, iframe, form, input").count() == 0
        assert tab.locator("svg").count() == 4
        assert len(tab.screenshot()) > 10_000
        tab.close()


@pytest.mark.slow
@pytest.mark.xdist_group("browser")
def test_a_browser_draws_every_round(small, look):
    tab, _ = look(small)
    pass_rate, funnel, odds, time = (tab.locator("svg").nth(n) for n in range(4))
    # Held-out of rounds 0 to 3, yield of 1 to 3.
    assert pass_rate.locator("circle").count() == 4 + 3
    assert pass_rate.locator("polygon").count() == 2
    assert odds.locator("circle").count() == 4
    assert funnel.locator("rect").count() >= 3 * 2
    assert time.locator("rect").count() >= 4
    bottom = funnel.evaluate("e => e.getBoundingClientRect().bottom")
    for n in range(funnel.locator("rect").count()):
        box = funnel.locator("rect").nth(n).bounding_box()
        assert box["height"] > 0
        assert box["y"] + box["height"] <= bottom
    assert tab.locator(".sample").count() > 10
    tab.close()
