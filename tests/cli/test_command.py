"""A command that a plugin adds."""

import pytest

from orbiter import hookimpl
from orbiter.cli import main
from orbiter.cli.command import Command
from orbiter.errors import ConfigError
from orbiter.plugin import plugin_manager


class Greet(Command):
    what = "greet somebody"

    def add_arguments(self, parser):
        parser.add_argument("name")
        parser.add_argument("--times", type=int, default=1)

    def main(self, options):
        if options.times < 1:
            raise ConfigError(f"--times must be >= 1, got {options.times}", hint="leave it out")
        print(f"hello {options.name}\n" * options.times, end="")
        return 7


class Greeting:
    @hookimpl
    def orbiter_register(self, registry):
        registry.add("command", "greet", Greet)
        registry.add("command", "not-one", dict)


@pytest.fixture(autouse=True)
def greeting(monkeypatch):
    manager = plugin_manager()
    before = dict(manager.registry._entries)
    manager.register(plugin := Greeting(), owner="greeting")
    yield
    manager.unregister(plugin)
    manager.registry._entries = before


def test_it_takes_its_options_and_decides_the_exit_code(capsys):
    assert main(["greet", "you", "--times", "2"]) == 7
    assert capsys.readouterr().out == "hello you\nhello you\n"


def test_its_errors_are_one_line_with_what_to_do(capsys):
    assert main(["greet", "you", "--times", "0"]) == 2
    assert (
        capsys.readouterr().err == "orbiter: error: --times must be >= 1, got 0\n  leave it out\n"
    )


def test_its_help_is_its_own(capsys):
    with pytest.raises(SystemExit) as stop:
        main(["greet", "--help"])
    assert stop.value.code == 0
    assert "Greet somebody." in capsys.readouterr().out


def test_a_slip_of_the_pen_finds_it(capsys):
    with pytest.raises(SystemExit) as stop:
        main(["gret"])
    assert stop.value.code == 2
    assert "unknown command 'gret'; did you mean 'greet'?" in capsys.readouterr().err


def test_what_is_no_command_is_refused(capsys):
    assert main(["not-one"]) == 2
    assert "command 'not-one' must be a Command, got the class dict" in capsys.readouterr().err
