import json
import shutil

import pytest
from orbiter_liveweb.cache import Cache

from orbiter import jsonl
from orbiter.cli import main
from orbiter.records import Trajectory


def run(capsys, *arguments):
    code = main(["liveweb", *map(str, arguments)])
    out, err = capsys.readouterr()
    return code, out, err


def test_a_web_is_made_checked_and_taught_from(tmp_path, capsys):
    assert run(capsys, "synth", tmp_path / "web", "--seed", 4)[0] == 0
    assert run(capsys, "check", tmp_path / "web") == (0, "0 errors and 0 notes\n", "")
    code, out, err = run(
        capsys, "teach", tmp_path / "web", tmp_path / "rows.jsonl", "-n", 60, "--subtasks", 1, 3
    )
    assert (code, err) == (0, "")
    assert out.startswith("60 trajectories, 60 of them pass; near duplicates 0.0%\n")
    rows = list(jsonl.read(tmp_path / "rows.jsonl", Trajectory))
    assert [row.score for row in rows] == [1.0] * 60
    code, out, _ = run(capsys, "view", tmp_path / "rows.jsonl", "-n", 59)
    assert (code, out) == (0, f"{tmp_path / 'rows.59.html'}\n")
    assert rows[59].task_id in (tmp_path / "rows.59.html").read_text()
    assert sorted(p.name for p in tmp_path.iterdir()) == ["rows.59.html", "rows.jsonl", "web"]


def test_a_cache_goes_out_and_comes_in(forms, tmp_path, capsys):
    assert run(capsys, "export", forms.folder, tmp_path / "x.har")[0] == 0
    code, out, _ = run(capsys, "import", tmp_path / "x.har", "--cache", tmp_path / "again")
    assert (code, out.split(",")[0]) == (0, f"{len(forms.urls())} pages imported")
    assert run(capsys, "check", tmp_path / "again")[0] == 0


def test_a_corpus_of_poor_coverage_is_not_written(web, tmp_path, capsys):
    options = (
        "teach",
        web.folder,
        tmp_path / "rows.jsonl",
        "-n",
        5,
        "--templates",
        "league/nth_club",
    )
    code, _, err = run(capsys, *options)
    assert code == 1
    assert "coverage: action type is 0.0% of the calls" in err
    assert list(tmp_path.iterdir()) == []
    assert run(capsys, *options, "--no-gate")[0] == 0


WRONG = """
from orbiter_liveweb.sites.catalogue import Catalogue

class Wrong(Catalogue):
    name = "wrong"
    def templates(self):
        first = super().templates()[0]
        first.truth = lambda pages, variables: "7"
        return [first]
"""


def test_why_a_trajectory_does_not_pass_is_told(web, tmp_path, capsys):
    (tmp_path / "mine.py").write_text(WRONG)
    made = ("teach", web.folder, tmp_path / "rows.jsonl", "-n", 2, "--no-gate", "--subtasks", 1)
    code, out, _ = run(capsys, *made, "--plugins", f"{tmp_path}/mine.py:Wrong")
    assert code == 1
    assert out.startswith("2 trajectories, 0 of them pass")
    assert "\nnot passed: 2 x answer 1 is wrong, such as liveweb:wrong/" in out


def test_a_site_of_ones_own_that_raises_is_named(web, tmp_path, capsys):
    broken = WRONG.replace(
        "first.truth = lambda pages, variables", "first.draw = lambda web, stream"
    )
    (tmp_path / "mine.py").write_text(broken.replace('"7"', "web.nothing"))
    made = ("teach", web.folder, tmp_path / "rows.jsonl", "-n", 2, "--subtasks", 1)
    code, _, err = run(capsys, *made, "--plugins", f"{tmp_path}/mine.py:Wrong")
    assert code != 0
    assert "template 'wrong/item_fact' raised in draw: AttributeError" in err
    assert "Traceback" not in err


def test_a_row_that_is_not_there_cannot_be_viewed(tmp_path, capsys):
    (tmp_path / "rows.jsonl").write_text("")
    code, _, err = run(capsys, "view", tmp_path / "rows.jsonl")
    assert code == 2
    assert f"counted from 0, got 0; {tmp_path / 'rows.jsonl'} has 0 rows" in err


def test_the_coverage_of_a_corpus_is_shown(teacher, tmp_path, capsys):
    path = tmp_path / "rows.jsonl"
    one = {"num_subtasks": 1, "templates": ["league/nth_club"]}
    rows = [teacher.compose(seed=seed, **one) for seed in range(3)]
    rows.append(teacher.compose(seed=9, num_subtasks=2))
    jsonl.write(path, [row.trajectory for row in rows])
    code, out, err = run(capsys, "coverage", path)
    head, composite, league = (line.split() for line in out.splitlines()[1:])
    assert out.startswith("4 trajectories; near duplicates ")
    assert (head[:3], head[-1]) == (["goto", "click", "type"], "stop")
    assert (league[0], league[-1], composite[0], composite[-1]) == (
        "league/nth_club",
        "3",
        "composite",
        "1",
    )
    calls = sum(len(row.trajectory.messages) - 3 for row in rows) // 2
    assert sum(map(int, league[1:] + composite[1:])) == calls
    assert (code, "coverage: action press is " in err) == (1, True)


def test_a_fault_of_a_cache_is_named(forms, tmp_path, capsys):
    own_web = Cache(shutil.copytree(forms.folder, tmp_path / "web"))
    url = own_web.urls()[3]
    own_web.path_of(url).unlink()
    code, out, _ = run(capsys, "check", own_web.folder)
    assert code == 1
    assert f"ERROR  missing page: {url} was recorded, and its file is gone\n" in out
    code, out, _ = run(capsys, "check", own_web.folder, "--json")
    assert (code, json.loads(out)[0]["url"]) == (1, url)


def test_links_out_of_a_recording_do_not_hide_what_is_wrong(cache, page, capsys):
    links = "".join(f'<a href="/{n}">{n}</a> ' for n in range(100))
    cache.put(page(f"<title>t</title>{links}"))
    code, out, _ = run(capsys, "check", cache.folder)
    assert (code, len(out.splitlines())) == (0, 12)
    assert (
        "note   missing link: https://a.example/0 is not in the cache; 1 page links to it: https://a.example/\n"
        in out
    )
    assert out.endswith("note   missing link: 90 more; --all lists them\n0 errors and 100 notes\n")
    assert len(run(capsys, "check", cache.folder, "--all")[1].splitlines()) == 101
    assert len(json.loads(run(capsys, "check", cache.folder, "--json")[1])) == 100


def test_a_teacher_names_the_page_that_was_altered(web, tmp_path, capsys):
    cache = Cache(shutil.copytree(web.folder, tmp_path / "web"))
    for url in cache.urls():
        if url.startswith("https://league.example/club/"):
            path = cache.path_of(url)
            path.write_bytes(path.read_bytes().replace(b"Stadium", b"STADIUM"))
    options = (
        "teach",
        cache.folder,
        tmp_path / "x.jsonl",
        "--templates",
        "league/stadium_of_place",
    )
    code, _, err = run(capsys, *options)
    assert code == 2
    assert err.startswith("orbiter: error: page https://league.example/club/")
    assert err.splitlines()[0].endswith("was altered since it was recorded")
    assert sorted(p.name for p in tmp_path.iterdir()) == ["web"]


@pytest.mark.parametrize(
    ("arguments", "code", "said"),
    [
        (["check", "nowhere"], 2, "'nowhere' is no cache of web pages"),
        (["export", "nowhere", "x.har"], 2, "'nowhere' is no cache of web pages"),
        (["view", "nowhere.jsonl"], 2, "nowhere.jsonl: cannot be read: No such file"),
        (["teach", "nowhere", "x.jsonl"], 2, "'nowhere' is no cache of web pages"),
        (["teach", "WEB", "x.jsonl", "--plugins", "shop"], 2, "unknown site 'shop'"),
        (
            ["teach", "WEB", "x.jsonl", "--templates", "league/nth"],
            2,
            "unknown template 'league/nth'",
        ),
        (
            ["teach", "WEB", "x.jsonl", "--subtasks", "0"],
            2,
            "num_subtasks must be an integer in [1, 8], got 0",
        ),
        (["teach", "WEB", "x.jsonl", "-n", "0"], 2, "-n must be an integer >= 1, got 0"),
        (
            ["teach", "WEB", "x.jsonl", "--subtasks", "3", "1", "2"],
            2,
            "num_subtasks must be a number or two, the least and the most, got [3, 1, 2]",
        ),
        (["check", "WEB", "--max-age-days", "nan"], 2, "--max-age-days must be a number >= 0"),
        (["check", "WEB", "--max-age-days", "-3"], 2, "--max-age-days must be a number >= 0"),
        (["synth", "WEB", "--seed", "3"], 2, "holds pages that are not of this synthetic web"),
        (["synth", "w", "--size", "huge"], 2, "size must be one of small, full, got 'huge'"),
        (["import", "x.zip", "--cache", "c"], 2, "archive must be a .har, .warc or .warc.gz file"),
        (["import", "x.har", "--cache", "c"], 2, "'x.har': no such file or directory"),
        (["import", "BAD.har", "--cache", "c"], 2, "BAD.har: is no JSON"),
        (
            ["record", "ftp://x/", "--http", "--cache", "c"],
            2,
            "address must begin with http:// or https://",
        ),
        (["coverage", "BAD.har"], 2, "BAD.har line 1: "),
        (["view", "BAD.har"], 2, "BAD.har line 1: "),
        ([], 2, "the following arguments are required: ACTION"),
    ],
)
def test_bad_input_is_one_line_that_says_what_to_do(
    web, tmp_path, monkeypatch, capsys, arguments, code, said
):
    monkeypatch.chdir(tmp_path)
    (tmp_path / "BAD.har").write_text("<html>")
    given = [str(web.folder) if a == "WEB" else a for a in arguments]
    try:
        got = main(["liveweb", *given])
    except SystemExit as stop:
        got = stop.code
    out, err = capsys.readouterr()
    assert (got, out) == (code, "")
    assert said in err.splitlines()[0]
    assert err.startswith("orbiter: error: ")
    assert len(err.splitlines()) <= 2
    assert sorted(p.name for p in tmp_path.iterdir()) in (["BAD.har"], ["BAD.har", "c"])


def test_a_machine_without_chromium_is_told_what_to_install(tmp_path, monkeypatch, capsys):
    pytest.importorskip("playwright.sync_api", reason="playwright is not installed")
    monkeypatch.setenv("ORBITER_CHROMIUM", str(tmp_path / "no-chromium"))
    code, _, err = run(capsys, "record", "https://a.example/", "--cache", tmp_path / "c")
    assert code == 3
    assert "cannot be run\n  apt-get install chromium" in err
    assert not (tmp_path / "c").exists()


def test_an_import_that_brings_nothing_fails(capsys, tmp_path):
    (tmp_path / "x.har").write_text('{"log": {"entries": []}}')
    code, out, _ = run(capsys, "import", tmp_path / "x.har", "--cache", tmp_path / "c")
    assert (code, out.split(",")[0]) == (1, "0 pages imported")
