"""Broken, empty, clashing and missing plugins, seen from the command line."""

import json
import os
import subprocess
import sys
import textwrap

import pytest

from orbiter.plugin import plugin_manager

ADDS = """
    from orbiter import hookimpl

    @hookimpl
    def orbiter_register(registry):
        registry.add({!r}, {!r}, {!r})
"""
GOOD = ADDS.format("verifier", "polite", "orbiter.verify.exact:ExactVerifier")


@pytest.fixture
def site(tmp_path_factory, monkeypatch):
    """Return a function that installs distributions with one module and one entry point each, and enables them alone."""
    folder = tmp_path_factory.mktemp("site")
    monkeypatch.syspath_prepend(str(folder))
    monkeypatch.setenv("ORBITER_PLUGINS", "")
    plugin_manager.cache_clear()

    def install(**plugins):
        for name, code in plugins.items():
            (folder / f"{name}.py").write_text(textwrap.dedent(code))
            info = folder / f"{name}-1.2.dist-info"
            info.mkdir()
            (info / "METADATA").write_text(f"Metadata-Version: 2.1\nName: {name}\nVersion: 1.2\n")
            (info / "entry_points.txt").write_text(f"[orbiter]\n{name} = {name}\n")
        monkeypatch.setenv("ORBITER_PLUGINS", ",".join(plugins))
        return folder

    yield install
    plugin_manager.cache_clear()
    for name in [
        n for n, m in sys.modules.items() if str(folder) in (getattr(m, "__file__", 0) or "")
    ]:
        del sys.modules[name]


BROKEN = [
    ("import no_such_module\n", "ModuleNotFoundError: No module named 'no_such_module'"),
    ("1 / 0\n", "ZeroDivisionError: division by zero"),
    ("raise SystemExit(3)\n", "SystemExit: 3"),
    ("def broken(:\n", "SyntaxError: invalid syntax"),
    ("x = 1\n", "ConfigError: none of its functions is marked with @orbiter.hookimpl"),
    (
        "from orbiter import hookimpl\n@hookimpl\ndef orbiter_registr(registry): pass\n",
        "ConfigError: unknown hook 'orbiter_registr'; did you mean 'orbiter_register'?",
    ),
    (
        "from orbiter import hookimpl\n@hookimpl\ndef orbiter_register(names): pass\n",
        "PluginValidationError: ",
    ),
    (
        ADDS.format("verifer", "polite", "a:B"),
        "ConfigError: kind must be one of environment, verif",
    ),
    (ADDS.format("verifier", "Polite One", "a:B"), "ConfigError: name of a verifier must be lower"),
    (
        ADDS.format("verifier", "polite", "a.B"),
        "ConfigError: target of verifier 'polite' must look",
    ),
    (
        GOOD + '        registry.add("verifier", "polite", "a:B")\n',
        "NameClashError: verifier hasty/polite is registered twice: as ",
    ),
    (GOOD + "        raise ValueError('half\\nway')\n", "ValueError: half way"),
]
"""Modules of a plugin named ``hasty``, and why it does not load."""


@pytest.mark.parametrize(("code", "why"), BROKEN)
def test_broken_plugin_is_set_aside_with_a_one_line_warning(orbiter, site, code, why):
    site(hasty=code)
    said = orbiter("run", "small.yaml", "--no-report")
    assert said.code == 0, said
    (warning,) = said.err.splitlines()
    assert warning.startswith(f"orbiter: warning: plugin 'hasty' failed to load: {why}")
    listed = orbiter("plugins")
    assert (listed.code, listed.err) == (3, "")
    assert "hasty  (hasty 1.2)" in listed.out
    assert f"    failed to load: {why}" in listed.out


def test_name_that_a_broken_plugin_would_have_added(orbiter, site):
    site(hasty="import no_such_module\n")
    said = orbiter("run", "small.yaml", "verifier.name=polite")
    assert said.code == 2
    warning, error, hint = said.err.splitlines()
    assert warning.startswith("orbiter: warning: plugin 'hasty' failed to load: ")
    assert error == (
        "orbiter: error: unknown verifier 'polite'; plugin 'hasty' failed to load: "
        "ModuleNotFoundError: No module named 'no_such_module'"
    )
    assert hint.startswith("  known: ")


def test_plugin_that_is_not_installed_is_a_warning(orbiter, site, monkeypatch):
    site(hasty=GOOD)
    monkeypatch.setenv("ORBITER_PLUGINS", "hast")
    said = orbiter("run", "small.yaml", "--no-report")
    assert said.code == 0
    assert said.err == (
        "orbiter: warning: plugin 'hast' failed to load: no installed plugin has this name; "
        "did you mean 'hasty'?\n"
    )


def test_name_of_two_plugins_must_be_given_in_full(orbiter, refused, site):
    site(hasty=GOOD, kindly=GOOD)
    assert refused("run", "small.yaml", "verifier.name=polite") == (
        "verifier 'polite' has 2 providers: hasty/polite and kindly/polite",
        "use a full name",
    )
    assert orbiter("run", "small.yaml", "verifier.name=kindly/polite", "--no-report").code == 0


def test_two_plugins_of_one_name_keep_the_first(orbiter, site):
    watching = "\n    @hookimpl\n    def orbiter_on_round(event): print('hasty saw', event.round)\n"
    folder = site(hasty=GOOD + watching, kindly=GOOD)
    (folder / "kindly-1.2.dist-info" / "entry_points.txt").write_text("[orbiter]\nhasty = kindly\n")
    os.environ["ORBITER_PLUGINS"] = "hasty"  # the fixture's monkeypatch puts it back
    said = orbiter("run", "small.yaml", "verifier.name=polite", "--no-report")
    assert said.code == 0, said
    assert len(said.err.splitlines()) == 1
    assert "plugin 'hasty' failed to load: ValueError: " in said.err
    assert "hasty saw 1" in said.out


TARGETS = [
    ("no_such_module:X", 3, "verifier 'hasty/polite' cannot be imported from 'no_such_module:X': "),
    (
        "orbiter.verify.exact:Nothing",
        3,
        "verifier 'hasty/polite' points to 'orbiter.verify.exact:N",
    ),
    (
        "orbiter.tasks.sorting:Sorting",
        2,
        "verifier 'polite' must be a Verifier, got the class Sort",
    ),
    ("orbiter.records:Verdict", 2, "verifier 'polite' must be a Verifier, got the class Verdict"),
    ("orbiter.errors:did_you_mean", 2, "verifier 'polite' needs the option 'name'"),
    (
        "orbiter.verify.verifier:Verifier",
        2,
        "verifier 'polite' must define verify, got the class Ver",
    ),
]
"""What a plugin registers as the verifier ``polite``, the exit code of using it, and how the message begins."""


@pytest.mark.parametrize(("target", "code", "message"), TARGETS)
def test_target_that_is_no_verifier(refused, site, target, code, message):
    site(hasty=ADDS.format("verifier", "polite", target))
    what, _ = refused("run", "small.yaml", "verifier.name=polite", code=code)
    assert what.startswith(message)


def test_verifier_module_of_a_plugin_that_raises(refused, site):
    folder = site(hasty=ADDS.format("verifier", "polite", "hasty_judge:Judge"))
    (folder / "hasty_judge.py").write_text("class Judge: size = 1 / 0\n")
    what, _ = refused("run", "small.yaml", "verifier.name=polite", code=3)
    assert what.startswith("verifier 'hasty/polite' cannot be imported from 'hasty_judge:Judge': ")
    assert what.endswith("ZeroDivisionError: division by zero")


OBSERVER = """
    from orbiter import hookimpl

    @hookimpl
    def orbiter_on_round(event):
        raise ValueError("sulking\\nstill")
"""


def test_observer_that_raises_is_switched_off_and_the_run_goes_on(orbiter, site):
    site(hasty=OBSERVER)
    said = orbiter("run", "small.yaml", "--no-report")
    assert said.code == 0
    assert said.err == (
        "orbiter: warning: plugin 'hasty' is switched off: its orbiter_on_round raised "
        "ValueError: sulking still\n"
    )


MISSING = [
    (["model.id=m", "train.backend=trl"], "backend 'trl'", "orbiter-trl"),
    (["model.id=m", "teach.backend=trl"], "backend 'trl'", "orbiter-trl"),
    (["model.name=nano"], "model 'nano'", "orbiter-trl"),
    (["policy={name: transformers}"], "policy 'transformers'", "orbiter-trl"),
    (["environment={name: openspiel}"], "environment 'openspiel'", "orbiter-openspiel"),
    (["verifier={name: game_move}"], "verifier 'game_move'", "orbiter-openspiel"),
    (["verifier={name: gsm8k}"], "verifier 'gsm8k'", "orbiter-math"),
]
"""Overrides that name a part of a first-party plugin."""


@pytest.mark.parametrize(("overrides", "part", "plugin"), MISSING)
def test_missing_plugin_comes_with_its_install_line(
    refused, site, tmp_path, overrides, part, plugin
):
    assert refused("run", "small.yaml", *overrides, code=3) == (
        f"{part} needs the plugin {plugin}, which is not loaded",
        f"pip install {plugin}",
    )
    assert not (tmp_path / "runs").exists()


def test_what_is_known_of_first_party_plugins_is_what_they_add():
    from orbiter.registry import KNOWN_PLUGINS

    added = {
        (entry.kind, entry.name): info.dist
        for info in plugin_manager().plugins
        for entry in info.entries
    }
    installed = {dist for dist in added.values() if dist in KNOWN_PLUGINS.values()}
    known = {part: dist for part, dist in KNOWN_PLUGINS.items() if dist in installed}
    assert known == {part: dist for part, dist in added.items() if dist in installed}


def test_list_names_what_is_not_installed_and_what_only_watches(orbiter, site, monkeypatch):
    site(kindly=OBSERVER)
    monkeypatch.setenv("ORBITER_PLUGINS", "kindly,kindli")
    said = orbiter("plugins")
    assert (said.code, said.err) == (3, "")
    assert (
        "kindli  (not installed)\n    failed to load: no installed plugin has this name; did you mean 'kindly'?\n"
        in said.out
    )
    assert "kindly  (kindly 1.2)\n    hook         orbiter_on_round\n" in said.out
    rows = {row["name"]: row for row in json.loads(orbiter("plugins", "--json").out)}
    assert rows["kindly"]["hooks"] == ["orbiter_on_round"]
    assert rows["built-in"]["hooks"] == []


def test_list_as_json(orbiter, site):
    site(hasty="1 / 0\n", kindly=GOOD)
    said = orbiter("plugins", "--json")
    rows = {row["name"]: row for row in json.loads(said.out)}
    assert said.code == 3
    assert rows["hasty"]["error"] == "ZeroDivisionError: division by zero"
    assert (rows["kindly"]["error"], rows["kindly"]["adds"]) == (
        None,
        [{"kind": "verifier", "name": "kindly/polite"}],
    )


def test_observer_that_raises_in_a_real_process(orbiter, site):
    folder = site(hasty=OBSERVER)
    command = [sys.executable, "-m", "orbiter.cli", "run", "small.yaml", "--no-report"]
    env = os.environ | {"PYTHONPATH": str(folder)}
    done = subprocess.run(command, env=env, capture_output=True, text=True)
    assert done.returncode == 0
    (warning,) = done.stderr.splitlines()
    assert warning.startswith("orbiter: warning: plugin 'hasty' is switched off: ")


def test_real_process_without_plugins_exits_with_3(tmp_path):
    (tmp_path / "small.yaml").write_text(
        "name: small\nenvironment: {name: sorting}\npolicy: {name: scripted, answers: {}}\n"
        "model: {id: m}\ntrain: {backend: trl}\n"
    )
    command = [sys.executable, "-m", "orbiter.cli", "run", "small.yaml"]
    env = os.environ | {"ORBITER_PLUGINS": ""}
    done = subprocess.run(command, cwd=tmp_path, env=env, capture_output=True, text=True)
    assert (done.returncode, done.stdout) == (3, "")
    assert done.stderr == (
        "orbiter: error: backend 'trl' needs the plugin orbiter-trl, which is not loaded\n"
        "  pip install orbiter-trl\n"
    )
