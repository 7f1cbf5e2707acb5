"""The README and the pages of docs: every block runs, in the order of its page, in an empty folder with the examples beside it.

``python``: run, in one namespace per page; a line ``print(...)  # text`` must print that text.
``console``: ``$ orbiter ...`` is run and must succeed, or exit with the code that a comment ``# exit code N`` says; ``$ make demo``
runs what the Makefile runs. The output is compared where the fence says ``console exact``.
``yaml``, ``toml``, ``json``: must parse. A block that begins with ``# name.ext`` is saved under that name first.
``text``: is left alone.

The recipes that train are cut down to seconds; they train a real model all the same.
"""

import json
import re
import shlex
import shutil
import tomllib
import warnings
from pathlib import Path

import pytest
import yaml
from attrs import frozen

from orbiter import jsonl
from orbiter.cli import main
from orbiter.plugin import plugin_manager
from orbiter.records import Trajectory

ROOT = Path(__file__).parents[2]
PAGES = [ROOT / "README.md", *sorted((ROOT / "docs").rglob("*.md"))]
ELSEWHERE = {"docs/reference/train_api.md"}  # tests/train/test_seed_contract.py runs it
LANGUAGES = {"python", "console", "yaml", "toml", "json", "text"}
SMALL = {
    "environment": {"length": 2, "high": 5},
    "rounds": 2,
    "teach": {"max_steps": 40, "batch_size": 16, "demonstrations": 16},
    "train": {"max_steps": 4, "batch_size": 16},
    "generate": {"tasks": 12, "samples": 4},
    "evaluate": {"tasks": 3, "audit": 20},
}
"""What the training recipes are cut down to."""


@frozen
class Block:
    language: str
    mark: str
    text: str
    line: int

    @property
    def file(self) -> str | None:
        found = re.match(r"# ([\w-]+\.(?:py|yaml|toml))\n", self.text)
        return found[1] if found else None


def blocks_of(page: Path) -> list[Block]:
    text = page.read_text()
    fence = re.compile(r"^```(\w*)([^\n]*)\n(.*?)^```$", re.MULTILINE | re.DOTALL)
    return [
        Block(m[1], m[2].strip(), m[3], text.count("\n", 0, m.start()) + 2)
        for m in fence.finditer(text)
    ]


def name_of(page: Path) -> str:
    return page.relative_to(ROOT).as_posix()


@pytest.fixture(scope="session")
def examples(tmp_path_factory):
    """The examples, with small recipes."""
    folder = tmp_path_factory.mktemp("small") / "examples"
    shutil.copytree(ROOT / "examples", folder)
    for file in (folder / "recipes").glob("*.yaml"):
        recipe = yaml.safe_load(file.read_text())
        if "teach" in recipe:
            file.write_text(yaml.safe_dump(cut_down(recipe)))
    return folder


@pytest.fixture
def workplace(examples, tmp_path, monkeypatch):
    """Work in an empty folder with a copy of the examples, and with a plugin manager of one's own."""
    shutil.copytree(examples, tmp_path / "examples")
    monkeypatch.chdir(tmp_path)
    monkeypatch.setenv("COLUMNS", "80")
    monkeypatch.setattr(warnings, "showwarning", warnings.showwarning)
    plugin_manager.cache_clear()
    yield tmp_path
    plugin_manager.cache_clear()


def cut_down(recipe):
    for section, small in SMALL.items():
        if section == "environment" and recipe["environment"]["name"] != "sorting":
            continue
        if section == "rounds" and "stages" in recipe:
            continue
        recipe[section] = {**recipe.get(section, {}), **small} if type(small) is dict else small
    for stage in recipe.get("stages", {}).values():
        stage["rounds"] = 1
        if "train" in stage:
            stage["train"].pop("max_steps", None)
    return recipe


@pytest.mark.slow
@pytest.mark.parametrize("page", [p for p in PAGES if name_of(p) not in ELSEWHERE], ids=name_of)
def test_blocks_run(page, workplace, capsys):
    namespace = {"__name__": "page"}
    for block in blocks_of(page):
        where = f"{name_of(page)} line {block.line}"
        if block.file is not None:
            (workplace / block.file).write_text(block.text)
        try:
            run_block(block, namespace, capsys, where)
        except (Exception, SystemExit) as error:
            raise AssertionError(f"{where}: {type(error).__name__}: {error}") from error


def run_block(block, namespace, capsys, where):
    if block.language == "python":
        exec(compile(block.text, where, "exec"), namespace)
        check_printed(block.text, capsys.readouterr().out.splitlines())
    elif block.language == "console":
        run_console(block, capsys)
    elif block.language == "yaml":
        assert yaml.safe_load(block.text) is not None
    elif block.language == "toml":
        assert tomllib.loads(block.text)
    elif block.language == "json":
        for line in block.text.splitlines():
            json.loads(line)


def check_printed(code, lines):
    """Each ``print(...)  # text`` printed that text, in this order."""
    printed = iter(lines)
    for wanted in re.findall(r"^ *print\(.*\)  # (.+)$", code, re.MULTILINE):
        assert wanted in printed, f"nothing printed {wanted!r}; printed: {lines}"


def run_console(block, capsys):
    parts = re.split(r"^\$ ", block.text, flags=re.MULTILINE)[1:]
    assert parts, "a console block must hold a command"
    for part in parts:
        command, _, shown = part.partition("\n")
        words = shlex.split(command, comments=True)
        if words[:2] == ["make", "demo"]:
            words = shlex.split(recipe_of_make("demo"))
        if words[0] == "orbiter":
            wanted = re.search(r"# exit code (\d+)", command)
            assert run_orbiter(words[1:]) == int(wanted[1] if wanted else 0), command
            said = capsys.readouterr()
            if block.mark == "exact":
                assert shown.strip() == (said.out + said.err).strip()
        elif words[0] == "make":
            recipe_of_make(words[1])
        else:
            assert words[0] in ("pip", "git", "cd"), f"unknown command {words[0]!r}"


def run_orbiter(words):
    try:
        return main([real_id(word) for word in words])
    except SystemExit as error:
        return error.code


def real_id(word):
    """Turn a row's id, which is another in every run, into that of a row that was kept here."""
    if not re.fullmatch(r"[0-9a-f]{16}", word):
        return word
    return next(jsonl.read("runs/sorting/data/round-1-kept.jsonl", Trajectory)).id


def recipe_of_make(target):
    text = (ROOT / "Makefile").read_text()
    found = re.search(rf"^{target}:.*\n\t(.*)$", text, re.MULTILINE)
    assert found, f"the Makefile has no target {target!r}"
    return found[1].replace("$(BIN)/", "")


@pytest.mark.parametrize("page", PAGES, ids=name_of)
def test_every_block_says_what_it_is(page):
    text = page.read_text()
    assert text.count("\n```") == 2 * len(blocks_of(page))
    if name_of(page) not in ELSEWHERE:
        assert {b.language for b in blocks_of(page)} <= LANGUAGES
        assert {b.mark for b in blocks_of(page)} <= {"", "exact"}


@pytest.mark.parametrize("page", PAGES, ids=name_of)
def test_links_lead_somewhere(page):
    text = re.sub(r"^```.*?^```$", "", page.read_text(), flags=re.MULTILINE | re.DOTALL)
    for target in re.findall(r"\]\(([^)\s]+)\)", text):
        if "://" in target:
            continue
        file, _, anchor = target.partition("#")
        there = (page.parent / file).resolve() if file else page
        assert there.exists(), target
        if anchor:
            assert anchor in anchors_of(there), target


def anchors_of(page: Path) -> set[str]:
    """Return the anchors of a page's headings, as GitHub makes them."""
    headings = re.findall(r"^#+ (.+)$", page.read_text(), re.MULTILINE)
    return {re.sub(r"[^\w\- ]", "", h.lower()).replace(" ", "-") for h in headings}


def test_every_page_is_reached_from_the_index():
    linked = {
        (ROOT / "docs" / target.partition("#")[0]).resolve()
        for target in re.findall(r"\]\(([^)\s]+)\)", (ROOT / "docs/index.md").read_text())
    }
    assert {p for p in PAGES if p.parent != ROOT and p.name != "index.md"} <= linked
