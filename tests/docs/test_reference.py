"""The reference pages say what the code says: every field, hook, command, public name and error."""

import collections.abc
import importlib
import inspect
import json
import re
import tomllib
import types
import typing
from pathlib import Path

import attrs
import pytest

from orbiter import errors, hookspecs, records
from orbiter.builtins import NAMES
from orbiter.cli import COMMANDS
from orbiter.flywheel import sections
from orbiter.flywheel.recipe import Recipe, Stage
from orbiter.generate.multi_turn import PERSONAS
from orbiter.generate.policy import Sampling
from orbiter.ledger import Fate
from orbiter.plugin import registry
from orbiter.registry import KINDS
from orbiter.train.config import LoraConfig, TrainConfig

REFERENCE = Path(__file__).parents[2] / "docs" / "reference"
RECIPE_CLASSES = {
    "Top level": Recipe,
    "Component": sections.Component,
    "policy": sections.PolicySpec,
    "model": sections.ModelSpec,
    "teach": sections.Teach,
    "generate": sections.Generate,
    "verify": sections.Verify,
    "curate": sections.Curate,
    "train": sections.Train,
    "train.lora": LoraConfig,
    "evaluate": sections.Evaluate,
    "gates": sections.Gates,
    "stages": Stage,
    "demonstrate": sections.Demonstrate,
    "revise": sections.Revise,
    "synthesise": sections.Synthesise,
    "rewards": sections.Reward,
}
INHERITED = {
    sections.PolicySpec: None,
    sections.Train: None,
    sections.Teach: sections.Train,
}
"""Classes whose table leaves out what the named class has; None: the table has everything."""
RECORD_CLASSES = (
    records.Trajectory,
    records.Message,
    records.Task,
    records.Verdict,
    records.Pair,
    records.TrajectoryItem,
)
PLAIN = {
    str: "text",
    int: "integer",
    float: "number",
    bool: "true or false",
    type(None): "null",
    typing.Any: "anything",
}


def type_in_words(cls) -> str:
    """Return how the pages write a type."""
    if cls in PLAIN:
        return PLAIN[cls]
    origin, args = typing.get_origin(cls), typing.get_args(cls)
    if origin in (typing.Union, types.UnionType):
        return " or ".join(type_in_words(arg) for arg in args)
    if origin in (tuple, list):
        return "list" if args[0] is typing.Any else f"list of {type_in_words(args[0])}"
    if origin is collections.abc.Mapping or cls is dict:
        return "object"
    return cls.__name__


def default_in_words(attribute) -> str:
    default = attribute.default
    if default is attrs.NOTHING:
        return "required"
    if isinstance(default, attrs.Factory):
        made = default.factory()
        return "{}" if made == {} else "its defaults"
    if default is None or isinstance(default, bool):
        return {None: "null", True: "true", False: "false"}[default]
    if default == ():
        return "[]"
    return '""' if default == "" else f"{default:g}" if type(default) is float else str(default)


def fields_of(cls, *, without=None) -> dict[str, tuple[str, str]]:
    left_out = {a.name for a in attrs.fields(without)} if without else set()
    return {
        a.name: (type_in_words(a.type), default_in_words(a))
        for a in attrs.fields(attrs.resolve_types(cls))
        if a.name != "extra" and a.name not in left_out
    }


def sections_of(page: str) -> dict[str, str]:
    text = (REFERENCE / page).read_text()
    parts = re.split(r"^#{2,3} (.+)$", text, flags=re.MULTILINE)
    return {title.strip("`"): body for title, body in zip(parts[1::2], parts[2::2])}


def table_of(body: str) -> dict[str, list[str]]:
    """Return the rows of the first table by their first cell, which stands in backticks."""
    lines = re.search(r"(?:^\|.*\n)+", body, re.MULTILINE)
    rows = [line.strip("|").split(" | ") for line in lines[0].splitlines()[2:]] if lines else []
    return {row[0].strip(" `"): [cell.strip() for cell in row[1:]] for row in rows}


@pytest.mark.parametrize("title", RECIPE_CLASSES)
def test_every_field_of_a_recipe_is_listed(title):
    cls = RECIPE_CLASSES[title]
    table = table_of(sections_of("recipe.md")[title])
    assert {k: tuple(row[:2]) for k, row in table.items()} == fields_of(
        cls, without=INHERITED.get(cls)
    )
    assert all(row[2] for row in table.values())


def test_the_fields_of_sampling_and_training_are_those_of_their_classes():
    assert fields_of(Sampling).keys() < table_of(sections_of("recipe.md")["policy"]).keys()
    assert fields_of(TrainConfig).keys() < table_of(sections_of("recipe.md")["train"]).keys()


@pytest.mark.parametrize("cls", RECORD_CLASSES, ids=lambda cls: cls.__name__)
def test_every_field_of_a_record_is_listed(cls):
    table = table_of(sections_of("records.md")[cls.__name__])
    assert {k: tuple(row[:2]) for k, row in table.items()} == fields_of(cls)
    assert all(row[2] for row in table.values())


def test_the_decisions_are_listed():
    assert tuple(table_of(sections_of("records.md")["Decisions"])) == tuple(Fate)


def default_of(parameter) -> str:
    if parameter.default is parameter.empty:
        return "required"
    default = list(parameter.default) if type(parameter.default) is tuple else parameter.default
    return json.dumps(default)


@pytest.mark.parametrize("name", NAMES["verifier"])
def test_every_option_of_a_verifier_is_listed(name):
    sections = sections_of("verifiers.md")
    listed = {option: row[0].strip("`") for option, row in table_of(sections[name]).items()}
    parameters = inspect.signature(registry().get("verifier", name)).parameters
    if name.endswith("_judge"):
        shared = table_of(sections["Judges"])
        assert shared.keys() < parameters.keys()
        listed |= {option: row[0] for option, row in shared.items()}
        if name == "constitution_judge":
            listed["refusals"] = "false"
    assert listed == {option: default_of(one) for option, one in parameters.items()}
    overview = (REFERENCE / "verifiers.md").read_text().partition("## The answer")[0]
    assert f"[{name}](#{name})" in overview


@pytest.mark.parametrize("name", sorted(NAMES["synthesiser"].keys() - {"template"}))
def test_every_option_of_an_engine_is_listed(name):
    sections = sections_of("synthesisers.md")
    shared, own = (table_of(sections[title]) for title in ("What all take", name))
    listed = {option: row[0].strip("`") for option, row in (shared | own).items()}
    if name == "multi_turn":
        listed["personas"] = json.dumps(list(PERSONAS))
    parameters = inspect.signature(registry().get("synthesiser", name)).parameters
    assert listed == {option: default_of(one) for option, one in parameters.items()}
    overview = (REFERENCE / "synthesisers.md").read_text().partition("## What all take")[0]
    assert f"[{name}](#{name})" in overview


def test_every_hook_has_a_heading_with_its_signature():
    hooks = {
        name: f"{name}{inspect.signature(hook)}".replace("'", "")
        for name, hook in vars(hookspecs).items()
        if name.startswith("orbiter_")
    }
    headings = [title for title in sections_of("hooks.md") if title.startswith("orbiter_")]
    assert headings == list(hooks.values())


@pytest.mark.parametrize(
    "cls",
    [
        hookspecs.StateEvent,
        hookspecs.RoundEvent,
        hookspecs.VerdictsEvent,
        hookspecs.MetricsEvent,
    ],
    ids=lambda cls: cls.__name__,
)
def test_every_field_of_an_event_is_listed(cls):
    (section,) = (
        body for title, body in sections_of("hooks.md").items() if f"event: {cls.__name__}" in title
    )
    assert list(table_of(section)) == [a.name for a in attrs.fields(cls)]


def test_every_command_has_a_heading_and_its_help():
    sections = sections_of("cli.md")
    commands = [title for title in sections if title.startswith("orbiter ")]
    assert commands == [f"orbiter {name}" for name in COMMANDS]
    for name in COMMANDS:
        assert f"console exact\n$ orbiter {name} --help\n" in sections[f"orbiter {name}"]


def test_every_kind_of_name_is_listed():
    page = (REFERENCE.parent / "how-to/write_a_plugin.md").read_text()
    body = page.partition("## Kinds of names")[2]
    assert set(table_of(body)) == set(KINDS)


def public_names() -> dict[str, list[str]]:
    rows = re.findall(
        r"^\| `(orbiter[\w.]*)` \| (.+?) \|", (REFERENCE / "public_api.md").read_text(), re.M
    )
    return {module: re.findall(r"`(\w+)`", cell) for module, cell in rows}


@pytest.mark.parametrize(("module", "names"), public_names().items())
def test_every_public_name_exists(module, names):
    assert names
    found = importlib.import_module(module)
    assert [name for name in names if not hasattr(found, name)] == []


@pytest.mark.parametrize(
    "module",
    [
        f"orbiter.{room}"
        for room in "jsonl tasks verify generate ledger curate train flywheel testing".split()
    ],
)
def test_every_name_that_a_room_offers_is_listed(module):
    offered = set(importlib.import_module(module).__all__)
    if module == "orbiter.train":
        page = (REFERENCE / "public_api.md").read_text() + (REFERENCE / "train_api.md").read_text()
        assert {name for name in offered if not re.search(rf"\b{name}\b", page)} == set()
    else:
        assert offered == set(public_names()[module])


def test_every_error_is_listed_with_its_exit_code():
    table = table_of(sections_of("errors_and_exit_codes.md")["Errors"])
    classes = {
        name: cls
        for name, cls in vars(errors).items()
        if inspect.isclass(cls) and issubclass(cls, errors.OrbiterError)
    }
    listed = {name: (row[0], int(row[1])) for name, row in table.items()}
    assert listed == {name: (bases_in_words(cls), cls.exit_code) for name, cls in classes.items()}
    assert all(row[2] for row in table.values())


def bases_in_words(cls) -> str:
    return ", ".join(f"`{base.__name__}`" for base in cls.__bases__)


def test_every_warning_is_listed():
    table = table_of(sections_of("errors_and_exit_codes.md")["Warnings"])
    classes = {
        name
        for name, cls in vars(errors).items()
        if inspect.isclass(cls) and issubclass(cls, Warning)
    }
    assert set(table) == classes


def test_the_rooms_stand_in_the_order_that_the_contract_holds():
    root = REFERENCE.parents[1]
    contracts = tomllib.loads((root / "pyproject.toml").read_text())["tool"]["importlinter"]
    layers = [layer.removeprefix("orbiter.") for layer in contracts["contracts"][0]["layers"]]
    page = (root / "docs/explanation/design.md").read_text()
    (chain,) = (block for block in re.findall(r"```text\n(.*?)```", page, re.S) if " < " in block)
    assert re.findall(r"\w+", chain) == layers[::-1]
