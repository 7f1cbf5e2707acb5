import pytest
from hypothesis import given
from hypothesis import strategies as st

from orbiter.errors import (
    ConfigError,
    MissingPluginError,
    NameClashError,
    PluginLoadError,
    UnknownNameError,
    UserCodeLoadError,
)
from orbiter.registry import KINDS, Registry


class Thing:
    def __init__(self, *, size=1, broken=False):
        if broken:
            raise RuntimeError("out of cheese")
        self.size = size


def make(*names, owner="acme", kind="verifier"):
    registry = Registry()
    with registry.owned_by(owner):
        for name in names:
            registry.add(kind, name, Thing)
    return registry


def test_bare_and_full_names_find_the_same_entry():
    registry = make("thing")
    assert registry.get("verifier", "thing") is Thing
    assert registry.get("verifier", "acme/thing") is Thing


def test_bare_name_of_two_owners_is_a_clash_that_lists_both():
    registry = make("thing")
    with registry.owned_by("zenith"):
        registry.add("verifier", "thing", Thing)
    with pytest.raises(NameClashError) as error:
        registry.get("verifier", "thing")
    assert str(error.value) == (
        "verifier 'thing' has 2 providers: acme/thing and zenith/thing\n  use a full name"
    )
    assert registry.get("verifier", "zenith/thing") is Thing


def test_same_owner_twice_is_a_clash():
    registry = make("thing")
    with pytest.raises(NameClashError, match="registered twice"), registry.owned_by("acme"):
        registry.add("verifier", "thing", Thing)


def test_unknown_name_suggests_the_nearest_and_names_broken_plugins():
    registry = make("static")
    registry.mark_broken("bad-plugin", "ImportError: no module")
    with pytest.raises(UnknownNameError) as error:
        registry.get("verifier", "statik")
    assert str(error.value) == (
        "unknown verifier 'statik'; did you mean 'static'?; plugin 'bad-plugin' failed to load: "
        "ImportError: no module\n  known: static; or give a file.py:Class"
    )


def test_name_of_a_first_party_plugin_that_is_missing_gives_its_install_line():
    with pytest.raises(MissingPluginError) as error:
        Registry().get("backend", "verl")
    assert error.value.hint == "pip install orbiter-verl"
    assert error.value.exit_code == 3


def test_names_added_by_a_block_that_raises_are_taken_back():
    registry = Registry()

    def fail_half_way():
        with registry.owned_by("acme"):
            registry.add("verifier", "thing", Thing)
            raise ZeroDivisionError

    with pytest.raises(ZeroDivisionError):
        fail_half_way()
    assert registry.entries() == []


@pytest.mark.parametrize(
    ("kind", "name", "target", "message"),
    [
        ("verifer", "x", Thing, "did you mean 'verifier'"),
        ("verifier", "Has Space", Thing, "lower-case letters"),
        ("verifier", "", Thing, "lower-case letters"),
        ("verifier", "a/b", Thing, "lower-case letters"),
        ("verifier", "x", "no colon", "module:attr"),
    ],
)
def test_malformed_registrations_are_refused(kind, name, target, message):
    with pytest.raises(ConfigError, match=message):
        Registry().add(kind, name, target)


def test_string_target_is_imported_on_first_use_and_says_what_is_missing():
    registry = Registry()
    registry.add("verifier", "good", "orbiter.records:Verdict")
    registry.add("verifier", "no-module", "no_such_module_at_all:X")
    registry.add("verifier", "no-attr", "orbiter.records:Nothing")
    assert registry.get("verifier", "good").__name__ == "Verdict"
    with pytest.raises(PluginLoadError, match="no_such_module_at_all"):
        registry.get("verifier", "no-module")
    with pytest.raises(PluginLoadError, match="has no 'Nothing'"):
        registry.get("verifier", "no-attr")


def test_create_checks_options_by_name():
    registry = make("thing", kind="model")
    assert registry.create("model", "thing", {"size": 3}).size == 3
    with pytest.raises(ConfigError, match="has no option 'sise'; did you mean 'size'"):
        registry.create("model", "thing", {"sise": 3})


def test_constructor_that_raises_is_named_as_user_code():
    with pytest.raises(UserCodeLoadError, match="RuntimeError: out of cheese"):
        make("thing", kind="model").create("model", "thing", {"broken": True})


def test_class_from_a_file(tmp_path):
    file = tmp_path / "mine.py"
    file.write_text("class Mine:\n    def __init__(self, size): self.size = size\n")
    registry = Registry()
    made = registry.create("model", "mine.py:Mine", {"size": 2}, base_dir=tmp_path)
    assert made.size == 2
    assert type(made) is registry.get("model", "mine.py:Mine", base_dir=tmp_path)
    with pytest.raises(ConfigError, match="needs the option 'size'"):
        registry.create("model", "mine.py:Mine", {}, base_dir=tmp_path)


@given(
    st.lists(
        st.tuples(st.sampled_from(KINDS), st.from_regex(r"[a-z]{1,8}", fullmatch=True)), unique=True
    )
)
def test_every_added_name_is_found_again(names):
    registry = Registry()
    for kind, name in names:
        registry.add(kind, name, Thing)
    assert [(e.kind, e.name) for e in registry.entries()] == sorted(names)
    for kind, name in names:
        assert registry.find(kind, name).full_name == f"user/{name}"
