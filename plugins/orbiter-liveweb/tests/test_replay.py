"""What the teacher did is done again in a real Chromium, which gets the pages of the cache and nothing else."""

import functools
import http.server
import threading
from pathlib import Path

import pytest
from orbiter_liveweb.cache import Cache
from orbiter_liveweb.checking import check_cache
from orbiter_liveweb.chromium import ChromiumBrowser, tree_in
from orbiter_liveweb.record import HttpFetcher, record
from orbiter_liveweb.teacher import TeacherGenerator
from orbiter_liveweb.verifier import replay

from orbiter.records import Outcome
from orbiter.verify.calls import read_calls

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


@pytest.mark.xdist_group("browser")
@pytest.mark.parametrize("seed", [0, 1])
def test_the_synthetic_web_in_chromium(teacher, web, chromium, seed):
    made = teacher.compose(seed=seed, num_subtasks=2, templates=["catalogue", "weather", "league"])
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


@pytest.mark.xdist_group("browser")
def test_a_real_site_in_chromium(python_docs, chromium):
    made = TeacherGenerator(python_docs).compose(
        seed=1, num_subtasks=1, templates=["python_docs/module_source"]
    )
    blocked = assert_same_in_chromium(made, python_docs, chromium)
    assert any(
        url.endswith(".svg") for url in blocked
    )  # what is no page of the cache gets no answer
    for name in ("fnmatch", "text"):
        url = next(u for u in python_docs.urls() if u.endswith(f"/{name}.html"))
        snapshot = python_docs.get(url)
        assert tree_in(chromium, url, snapshot.html) == snapshot.tree
