"""The command line: ``orbiter COMMAND ...``. One file per command; each does nothing that a script could not.

Exit codes: 0 ok, 1 the run failed, 2 wrong usage or input, 3 the environment lacks something, 130 interrupted, 143 terminated.
"""

from __future__ import annotations

import argparse
import atexit
import gc
import importlib
import logging
import os
import sys
import traceback
import warnings
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from typing import Any, NoReturn, TextIO

from orbiter.cli.stopping import stop_code
from orbiter.cli.text import one_line
from orbiter.errors import OrbiterError, OrbiterWarning, UserCodeError, did_you_mean

COMMANDS = {
    "run": "turn the loop that a recipe describes, or go on with it",
    "compare": "run recipes from one start on one budget, and say which comes how far",
    "plan": "say what a recipe will cost, from a short timed probe",
    "preview": "show a few tasks, answers and verdicts before spending anything",
    "verify": "judge the rows of a file, or the stored attempts of a run again",
    "audit": "measure how often a verifier is wrong, and say what that means",
    "train": "train a model once with a backend",
    "yield": "print the account of a run",
    "report": "write the report of a run as one HTML page",
    "export": "write the data of a run in another tool's format",
    "explain": "trace a checkpoint to its rows, or a row to all it came from and taught",
    "doctor": "attack the sandboxes of this machine, and look at what backends and policies need of it",
    "plugins": "list plugins, what they add, and why one failed to load",
}
"""Command to what it does; the module is ``orbiter.cli.<command>_command``."""


_WRONG_PATHS = (FileNotFoundError, FileExistsError, IsADirectoryError, NotADirectoryError)
"""What the system says when a path is wrong; whatever else it refuses, it lacks something."""


class _Parser(argparse.ArgumentParser):
    """Says what is wrong in one line, where to read on in a second, and exits with 2."""

    def error(self, message: str) -> NoReturn:
        _complain(message, hint=f"see {self.prog} --help")
        sys.exit(2)


def main(argv: Sequence[str] | None = None) -> int:
    """Run one command and return its exit code."""
    try:
        return _main(list(sys.argv[1:] if argv is None else argv))
    except KeyboardInterrupt as stop:
        print("\norbiter: interrupted", file=sys.stderr)
        return stop_code(stop)


def _main(arguments: list[str]) -> int:
    parser = _Parser(
        prog="orbiter",
        description="The loop of LLM post-training: generate, verify, account, curate, train, again.",
        epilog="orbiter COMMAND --help tells more. Plugins add commands: orbiter plugins lists them.",
    )
    parser.add_argument("--version", action="store_true", help="print the version and stop")
    commands = parser.add_subparsers(dest="command", metavar="COMMAND", parser_class=_Parser)
    name = next((a for a in arguments if not a.startswith("-")), None)
    known = dict(COMMANDS)
    chosen: Any = None  # the module of a built-in command, or the Command of a plugin
    if name in COMMANDS:
        chosen = importlib.import_module(f"orbiter.cli.{name}_command")
    elif name is not None:
        try:
            with _our_warnings():
                chosen = _added(name, parser)
        except OrbiterError as error:
            _complain(error.message, hint=error.hint)
            return error.exit_code
        known[name] = chosen.what
    for command, what in known.items():
        sub = commands.add_parser(
            command, help=what, description=what[0].upper() + what[1:] + ".", allow_abbrev=False
        )
        if command == name:
            chosen.add_arguments(sub)
    options, rest = parser.parse_known_args(arguments)
    _take_rest(commands.choices.get(options.command, parser), options, rest)
    if options.version:
        import orbiter

        print(f"orbiter {orbiter.__version__}")
        return 0
    if options.command is None:
        parser.print_help()
        return 2
    # What is left at the end is the system's to clear away: a walk through the objects of torch takes a second.
    atexit.register(gc.freeze)
    # What is logged is for programs that use orbiter as a library; here the warning beside it is enough. Stamina logs each
    # request that is made again, and what becomes of those is in the account.
    for name_of_logger in ("orbiter", "stamina"):
        logging.getLogger(name_of_logger).addHandler(logging.NullHandler())
    with _our_warnings():
        return _guarded(chosen, options)


@contextmanager
def _our_warnings() -> Iterator[None]:
    """Print what orbiter warns of as one line each."""
    with warnings.catch_warnings():
        warnings.simplefilter("always", OrbiterWarning)
        warnings.showwarning = _show_warning
        yield


def _added(name: str, parser: argparse.ArgumentParser) -> Any:
    """Return the command of this name that a plugin adds."""
    from orbiter.plugin import registry
    from orbiter.registry import KNOWN_PLUGINS

    names = [entry.name for entry in registry().entries("command")]
    if name not in names and ("command", name) not in KNOWN_PLUGINS:
        near = did_you_mean(name, [*COMMANDS, *names])
        parser.error(f"unknown command {name!r}{near}; known: {', '.join(COMMANDS)}")
    return registry().create("command", name)


def _take_rest(
    parser: argparse.ArgumentParser, options: argparse.Namespace, rest: list[str]
) -> None:
    """Take field=value arguments that stand after a flag, where argparse does not look for them."""
    flags = [flag for action in parser._actions for flag in action.option_strings]
    for argument in rest:
        if argument.startswith("-") or not hasattr(options, "overrides"):
            parser.error(f"unknown argument {argument!r}{did_you_mean(argument, flags)}")
        options.overrides.append(argument)


def _complain(message: str, *, hint: str | None = None, kind: str = "error") -> None:
    """Print one line that says what is wrong and where, and one that says what to do."""
    print(f"orbiter: {kind}: {one_line(message)}", file=sys.stderr)
    if hint:
        print(f"  {one_line(hint)}", file=sys.stderr)


def _guarded(command: Any, options: argparse.Namespace) -> int:
    """Run the command; every foreseen failure is one line that says what, where and what to do."""
    try:
        return int(command.main(options))
    except OrbiterError as error:
        _complain(error.message, hint=error.hint)
        if isinstance(error, UserCodeError) and error.__cause__ is not None:
            print(f"  raised at {_place(error.__cause__)}", file=sys.stderr)
        if os.environ.get("ORBITER_TRACEBACK"):
            traceback.print_exc()
        return error.exit_code
    except BrokenPipeError:
        # The reader of our output went away (| head); that is no failure, but Python would complain at exit.
        os.dup2(os.open(os.devnull, os.O_WRONLY), sys.stdout.fileno())
        return 0
    except OSError as error:
        path = error.filename2 or error.filename  # of a renaming, the place that was wanted
        what = f"{str(path)!r}: " if path is not None else ""
        wrong_path = isinstance(error, _WRONG_PATHS)
        hint = "give another path" if wrong_path else "once it is mended, the same command goes on"
        _complain(f"{what}{(error.strerror or str(error)).lower()}", hint=hint)
        return 2 if wrong_path else 3


def _place(error: BaseException) -> str:
    """Return the file and line where an error was raised."""
    if isinstance(error, SyntaxError) and error.filename:
        return f"{error.filename}:{error.lineno}"
    frames = traceback.extract_tb(error.__traceback__)
    return f"{frames[-1].filename}:{frames[-1].lineno}" if frames else "an unknown place"


def _show_warning(
    message: Warning | str,
    category: type[Warning],
    filename: str,
    lineno: int,
    file: TextIO | None = None,  # noqa: ARG001  # the signature is that of warnings.showwarning
    line: str | None = None,
) -> None:
    """Print our own warnings as one line; leave other libraries' out unless asked for."""
    if issubclass(category, OrbiterWarning):
        _complain(str(message), kind="warning")
    elif os.environ.get("ORBITER_TRACEBACK"):
        print(warnings.formatwarning(message, category, filename, lineno, line), file=sys.stderr)
