"""The hands of the teacher: acts in a session, keeps what it did as messages, and reads what was shown and nothing else."""

from __future__ import annotations

import json
import re
from random import Random
from typing import Any

import orjson

from orbiter.errors import OrbiterError
from orbiter.records import Message
from orbiter_liveweb.screen import Target
from orbiter_liveweb.session import Session, call
from orbiter_liveweb.urls import normalise, resolve

_WINDOW = re.compile(r"Lines ([0-9]+)-([0-9]+) of ([0-9]+)")
_CELL = re.compile(
    r""" *- ('?)(row|cell|gridcell|columnheader|rowheader)\b(?: ("(?:[^"\\]|\\.)*"))?"""
)


class TeacherError(OrbiterError, RuntimeError):
    """The teacher did not find what must be there: the web or the template is wrong, and no record is made."""


class Guide:
    """Acts and reads for a template.

    Where there are several ways to do the same, such as by number or by role and name, one is drawn.

    Args:
        session: A session with no page open.
        stream: What is drawn from.

    Attributes:
        messages: What was called and shown, in order.
    """

    def __init__(self, session: Session, stream: Random) -> None:
        self.session, self.stream = session, stream
        self.messages: list[Message] = []
        self.url = ""
        self._seen: dict[int, str] = {}
        self._size = 0
        self._stop = 0

    def do(self, action: str, **arguments: Any) -> None:
        """Use an action and take in what is shown.

        Raises:
            TeacherError: It went wrong.
        """
        shown = call(self.session, action, arguments)
        text = orjson.dumps(arguments).decode()
        function = {"name": action, "arguments": text}
        call_id = f"call_{len(self.messages) // 2 + 1}"
        made = {"id": call_id, "type": "function", "function": function}
        self.messages += (
            Message("assistant", "", tool_calls=(made,)),
            Message("tool", shown, tool_call_id=call_id, name=action),
        )
        if shown.startswith("Error:"):
            raise TeacherError(f"{action} with {text} on {self.url or 'no page'}: {shown}")
        if action != "stop":
            self._take_in(shown, same=action in ("scroll", "view_more"))

    def _take_in(self, shown: str, *, same: bool) -> None:
        head, _, body = shown.partition("\n\n")
        self.url = head.split("\n", 1)[0].removeprefix("URL: ")
        lines = body.split("\n")
        window = _WINDOW.search(head)
        start, size = (int(window[1]) - 1, int(window[3])) if window else (0, len(lines))
        if not same:
            self._seen = {}
        self._seen.update(enumerate(lines, start=start))
        self._stop, self._size = start + len(lines), size

    @property
    def lines(self) -> list[str]:
        """The lines of the page that were shown so far, in order."""
        return [self._seen[n] for n in sorted(self._seen)]

    def more(self) -> bool:
        """Show more of the page; return whether there was more."""
        if self._stop >= self._size:
            return False
        if self.stream.random() < 0.5:
            self.do("view_more")
        else:
            self.do("scroll", direction="down")
        return True

    def open(self, url: str) -> None:
        """Go to a page: by a link that is shown, if there is one and the draw says so, else by its address."""
        # A link to a place in the page would show it from there on.
        wanted = normalise(url)
        targets = [
            t
            for t in self._targets()
            if t.url is not None and "#" not in t.url and resolve(self.url, t.url) == wanted
        ]
        if targets and self.stream.random() < 0.7:
            self._click(targets[0])
        else:
            self.do("goto", url=url)

    def read_on(self) -> None:
        """Show the page to its end."""
        while self.more():
            pass

    def look_for(self, *, name: str | None = None, ends: str | None = None) -> Target | None:
        """Return the first link or button that fits, showing more of the page until there is one; None where the page has none.

        Args:
            name: The accessible name that it has.
            ends: How the address of the link ends, as the page writes it.
        """
        while True:
            for target in self._targets():
                fits_name = name is None or target.name == name
                fits_url = ends is None or (target.url is not None and target.url.endswith(ends))
                if fits_name and fits_url:
                    return target
            if not self.more():
                return None

    def follow(self, *, name: str | None = None, ends: str | None = None) -> None:
        """Follow the link, or press the button, that :meth:`look_for` finds.

        Raises:
            TeacherError: There is none.
        """
        target = self.look_for(name=name, ends=ends)
        if target is None:
            raise TeacherError(f"{self.url} has no link {name or ends!r}")
        self._click(target)

    def link_names(self, begins: str = "") -> list[str]:
        """Return the names of the links that are shown and whose addresses begin so, as the page writes them."""
        return [t.name for t in self._targets() if t.url is not None and t.url.startswith(begins)]

    def nth_of_list(self, place: int, *, begins: str) -> str:
        """Return the name of the link at a place, from 1, in a list that goes on over the links to its next pages.

        Args:
            place: Which link.
            begins: How the addresses of the list's links begin.
        """
        names: list[str] = []
        while True:
            self.read_on()
            names += self.link_names(begins)
            if len(names) >= place:
                return names[place - 1]
            self.follow(name="Next page")

    def search(self, field: str, text: str, *, button: str) -> None:
        """Type a text into the field of this name and send the form.

        Args:
            field: Accessible name of the field.
            text: What to look for.
            button: Accessible name of the button.
        """
        target = next(
            (t for t in self._targets() if t.name == field and t.role in ("textbox", "searchbox")),
            None,
        )
        if target is None:
            raise TeacherError(f"{self.url} has no field {field!r}")
        slips = self.stream.random() < 0.1
        typed = text + self.stream.choice("aeiou") if slips else text
        if self.stream.random() < 0.5:
            self.do("type", ref=target.ref, text=typed)
        else:
            self.do("type_role", role=target.role, name=field, text=typed)
        if slips:
            self.do("press", key="Backspace")
        if self.stream.random() < 0.5:
            self.do("press", key="Enter")
        else:
            self.follow(name=button)

    def find(self, pattern: str) -> re.Match[str]:
        """Return the first match of a pattern in a line, showing more of the page until there is one.

        Raises:
            TeacherError: The page has none.
        """
        fits = re.compile(pattern)
        while True:
            match = next((m for line in self.lines if (m := fits.search(line))), None)
            if match:
                return match
            if not self.more():
                raise TeacherError(f"{self.url} has no line like {pattern!r}")

    def row(self, head: str, *, column: int = 0) -> list[str]:
        """Return the cells of the first table row whose cell in a column is ``head``, showing more of the page until it is whole.

        Raises:
            TeacherError: The page has none.
        """
        while True:
            rows = self.rows()
            for n, row in enumerate(rows):
                # The last row may go on below the window.
                whole = (
                    n + 1 < len(rows) or self._stop >= self._size or len(row) == len(rows[0]) > 2
                )
                if whole and len(row) > column and row[column] == head:
                    return row
            if not self.more():
                raise TeacherError(f"{self.url} has no table row {head!r}")

    def rows(self) -> list[list[str]]:
        """Return the cells of the table rows that were shown."""
        found: list[list[str]] = []
        for line in self.lines:
            match = _CELL.match(line)
            if match is None:
                continue
            if match[2] == "row":
                found.append([])
            elif found:
                # A line in single quotes doubles those in it.
                name = (match[3] or '""').replace("''", "'" if match[1] else "''")
                found[-1].append(json.loads(name))
        return found

    def _targets(self) -> list[Target]:
        """Return what can be acted on among the lines that were shown."""
        screen = self.session.screen
        if screen is None:
            return []
        # A link is known by its address, which stands on the line below it.
        return [
            t
            for t in screen.targets
            if t.line in self._seen and (t.url is None or t.line + 1 in self._seen)
        ]

    def _click(self, target: Target) -> None:
        screen = self.session.screen
        alike = (
            [t for t in screen.targets if (t.role, t.name) == (target.role, target.name)]
            if screen
            else []
        )
        if target.name and len(alike) == 1 and self.stream.random() < 0.5:
            self.do("click_role", role=target.role, name=target.name)
        else:
            self.do("click", ref=target.ref)
