"""Packages that import their names on first use."""

import ast
import importlib
import subprocess
import sys
from pathlib import Path

import pytest

import orbiter.flywheel
import orbiter.train
from orbiter.lazy import homes, lazy_names

LAZY = pytest.mark.parametrize(
    "package", [orbiter.train, orbiter.flywheel], ids=lambda p: p.__name__
)


def modules_after(code):
    """Return the modules that a new interpreter has loaded after this code."""
    done = subprocess.run(
        [sys.executable, "-c", f"{code}\nimport sys; print(*sys.modules)"],
        capture_output=True,
        text=True,
        check=True,
    )
    return set(done.stdout.split())


@LAZY
def test_the_names_for_type_checkers_are_the_names(package):
    tree = ast.parse(Path(package.__file__).read_text(encoding="utf-8"))
    imports = [node for node in ast.walk(tree) if isinstance(node, ast.ImportFrom)]
    found = {a.asname: node.module for node in imports for a in node.names if a.asname}
    assert found == package.HOMES
    assert package.__all__ == sorted(found)
    assert set(package.__all__) <= set(dir(package))


@LAZY
def test_a_name_is_the_object_at_its_home(package):
    for name, module in package.HOMES.items():
        assert getattr(package, name) is getattr(importlib.import_module(module), name)


@LAZY
def test_an_unknown_name_is_an_attribute_error(package):
    expected = f"module {package.__name__!r} has no attribute 'Wheelfly'"
    with pytest.raises(AttributeError) as caught:
        _ = package.Wheelfly
    assert str(caught.value) == expected


def test_a_submodule_is_no_name_and_can_be_imported_still():
    from orbiter.flywheel import stages

    assert stages.__name__ == "orbiter.flywheel.stages"


def test_a_name_is_looked_up_once(monkeypatch):
    module = type(sys)("made_up")
    monkeypatch.setitem(sys.modules, "made_up", module)
    get, names = lazy_names("made_up", homes({"math": "pi tau"}))
    assert "pi" in names()
    assert "pi" not in vars(module)
    assert get("pi") == module.pi == 3.141592653589793
    assert "tau" not in vars(module)


@pytest.mark.parametrize(
    ("code", "unwanted"),
    [
        ("import orbiter.train, orbiter.flywheel", {"numpy", "rensa", "aiohttp", "asyncio"}),
        (
            "from orbiter.train import EvolutionPipeline",
            {"numpy", "rensa", "aiohttp", "orbiter.flywheel.flywheel", "orbiter.flywheel.recipe"},
        ),
        ("from orbiter.flywheel import load_recipe", {"orbiter.flywheel.flywheel"}),
    ],
)
def test_what_is_not_used_is_not_imported(code, unwanted):
    assert unwanted & modules_after(code) == set()
