"""The Command ABC: a command that a plugin adds to ``orbiter``."""

from __future__ import annotations

import argparse
from abc import ABC, abstractmethod


class Command(ABC):
    """What ``orbiter NAME ...`` does; a plugin registers it under the kind ``command``.

    A small complete subclass:

        class Hello(Command):
            what = "say hello"

            def add_arguments(self, parser):
                parser.add_argument("name")

            def main(self, options):
                print(f"hello {options.name}")
                return 0

    Contract: nothing is imported, read or done before ``main`` but what ``add_arguments`` needs. A foreseen failure is an OrbiterError,
    which is printed as one line and decides the exit code.
    """

    what: str
    """What it does, in a few words; the help shows it."""

    @abstractmethod
    def add_arguments(self, parser: argparse.ArgumentParser) -> None:
        """Add the command's options."""

    @abstractmethod
    def main(self, options: argparse.Namespace) -> int:
        """Do it and return the exit code."""
