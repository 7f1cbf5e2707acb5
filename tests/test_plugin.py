import os
import subprocess
import sys
import textwrap
from pathlib import Path

import pytest

from orbiter import hookimpl, jsonl
from orbiter.errors import ConfigError, PluginLoadError, PluginWarning, UnknownNameError
from orbiter.hookspecs import RoundEvent
from orbiter.plugin import PluginManager, load_records, plugin_manager
from orbiter.records import Trajectory

HELLO = Path(__file__).parent.parent / "examples" / "orbiter-hello"


def install(folder: Path, name: str, code: str) -> None:
    """Put a distribution with one module and an entry point on a path, as pip would."""
    module = name.replace("-", "_")
    (folder / f"{module}.py").write_text(textwrap.dedent(code))
    info = folder / f"{module}-1.2.dist-info"
    info.mkdir()
    (info / "METADATA").write_text(f"Metadata-Version: 2.1\nName: {name}\nVersion: 1.2\n")
    (info / "entry_points.txt").write_text(f"[orbiter]\n{name} = {module}\n")


GOOD = """
    from orbiter import hookimpl, jsonl
    @hookimpl
    def orbiter_register(registry):
        registry.add("verifier", "polite", "orbiter.records:Verdict")
"""
HALF = """
    from orbiter import hookimpl, jsonl
    @hookimpl
    def orbiter_register(registry):
        registry.add("verifier", "half", "orbiter.records:Verdict")
        raise RuntimeError("half way")
"""


@pytest.fixture
def site(tmp_path, monkeypatch):
    monkeypatch.syspath_prepend(str(tmp_path))
    monkeypatch.setenv("ORBITER_PLUGINS", "polite-plugin,broken-plugin,half-plugin")
    return tmp_path


def test_installed_plugin_adds_its_names(site):
    install(site, "polite-plugin", GOOD)
    with pytest.warns(PluginWarning):  # the two others are not installed
        manager = PluginManager()
    assert manager.registry.get("verifier", "polite-plugin/polite").__name__ == "Verdict"
    info = next(p for p in manager.plugins if p.name == "polite-plugin")
    assert (info.dist, info.version, info.error) == ("polite-plugin", "1.2", None)
    assert [e.name for e in info.entries] == ["polite"]


def test_broken_plugins_are_set_aside_and_named_later(site, monkeypatch):
    monkeypatch.setenv("ORBITER_PLUGINS", "polite-plugin,broken-plugin,half-plugin")
    install(site, "polite-plugin", GOOD)
    install(site, "broken-plugin", "import no_such_module_here")
    install(site, "half-plugin", HALF)
    with pytest.warns(PluginWarning) as warned:
        manager = PluginManager()
    assert sorted(str(w.message).split("'")[1] for w in warned) == ["broken-plugin", "half-plugin"]
    assert manager.registry.find("verifier", "polite").owner == "polite-plugin"
    # What it added before it failed is gone.
    with pytest.raises(UnknownNameError, match="half way"):
        manager.registry.find("verifier", "half")


def test_strict_raises_for_a_broken_plugin(site, monkeypatch):
    monkeypatch.setenv("ORBITER_PLUGINS", "broken-plugin")
    install(site, "broken-plugin", "import no_such_module_here")
    with pytest.raises(PluginLoadError, match="broken-plugin"):
        PluginManager(strict=True)


def test_empty_variable_means_no_plugins_but_the_built_ins(site, monkeypatch):
    monkeypatch.setenv("ORBITER_PLUGINS", "")
    install(site, "polite-plugin", GOOD)
    manager = PluginManager()
    assert [p.name for p in manager.plugins if p.enabled] == ["built-in"]
    assert manager.registry.find("environment", "sorting").owner == "orbiter"
    with pytest.raises(UnknownNameError):
        manager.registry.find("verifier", "polite")


def test_unknown_name_in_the_variable_is_suggested(site, monkeypatch):
    monkeypatch.setenv("ORBITER_PLUGINS", "polite-plugn")
    install(site, "polite-plugin", GOOD)
    with pytest.warns(PluginWarning, match="did you mean 'polite-plugin'"):
        PluginManager()


class Listener:
    def __init__(self, *, fails=False):
        self.seen, self.fails = [], fails

    @hookimpl
    def orbiter_on_round(self, event):
        self.seen.append(event.round)
        if self.fails:
            raise ValueError("sulking")


def test_observer_that_raises_is_switched_off_and_the_others_go_on(monkeypatch):
    monkeypatch.setenv("ORBITER_PLUGINS", "")
    manager = PluginManager()
    good, bad = Listener(), Listener(fails=True)
    manager.register(good)
    manager.register(bad)
    with pytest.warns(PluginWarning, match="orbiter_on_round raised ValueError: sulking"):
        manager.notify("orbiter_on_round", RoundEvent(run="r", round=1))
    manager.notify("orbiter_on_round", RoundEvent(run="r", round=2))
    assert (good.seen, bad.seen) == ([1, 2], [1])


class Tape:
    @hookimpl
    def orbiter_load_records(self, source):
        if not source.startswith("tape:"):
            return None
        row = {
            "messages": [{"role": "user", "content": "hi"}],
            "env": "e",
            "task_id": "1",
            "score": None,
        }
        return [Trajectory.from_row(row)] * int(source.removeprefix("tape:"))


def test_records_come_from_a_file_or_from_the_first_plugin_that_reads_the_source(tmp_path):
    tape = Tape()
    plugin_manager().register(tape)
    try:
        rows = list(load_records("tape:2"))
        jsonl.write(tmp_path / "rows.jsonl", rows)
        assert list(load_records(tmp_path / "rows.jsonl")) == rows
        with pytest.raises(ConfigError, match="a plugin reads, got 'disk:2'"):
            load_records("disk:2")
    finally:
        plugin_manager().unregister(tape)


@pytest.mark.slow
def test_smallest_third_party_plugin_is_built_installed_and_seen(tmp_path):
    subprocess.run(
        [
            *(sys.executable, "-m", "pip", "install", "-q", "--no-deps", "--no-build-isolation"),
            *("--target", str(tmp_path), str(HELLO)),
        ],
        check=True,
    )
    script = (
        "from orbiter.plugin import registry\n"
        "entry = registry().find('verifier', 'greeting')\n"
        "print(entry.full_name, entry.load().__module__)\n"
    )
    env = os.environ | {"PYTHONPATH": str(tmp_path), "ORBITER_PLUGINS": "hello"}
    run = [sys.executable, "-c", script]
    shown = subprocess.run(run, env=env, check=True, capture_output=True, text=True).stdout
    assert shown == "hello/greeting orbiter_hello\n"
    listed = subprocess.run(
        [sys.executable, "-m", "orbiter.cli", "plugins"],
        env=env,
        check=True,
        capture_output=True,
        text=True,
    ).stdout
    assert "hello  (orbiter-hello 0.1.0)\n    verifier     greeting\n" in listed
