"""A session: ten actions on a browser that serves one cache, and what a model is shown after each.

The session is also the toolbox that a trainer gives to a model: its public methods are the tools.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping
from functools import lru_cache
from typing import Any, Literal

import orjson

from orbiter.errors import ConfigError
from orbiter.records import Task
from orbiter.tasks.toolbox import Toolbox
from orbiter_liveweb.browser import Browser, BrowserError
from orbiter_liveweb.screen import CLICKABLE, TYPABLE, WINDOW_SIZE, Screen, Target

LONGEST_TEXT = 2_000
"""Characters of an argument that are taken."""

LONGEST_WAIT_S = 30.0


class Session(Toolbox):
    """What one model sees and does, from the first page to its answer.

    Args:
        make_browser: Makes the browser, with no page open.

    Attributes:
        visited: The addresses of the pages that were shown, in order of the first time.
        answer: What ``stop`` was given, or None before that.
    """

    def __init__(self, make_browser: Callable[[], Browser]) -> None:
        self._make_browser = make_browser
        self._begin()

    def _begin(self) -> None:
        self._browser = self._make_browser()
        self.visited: dict[str, None] = {}
        self.answer: str | None = None
        self._start = self._stop = 0

    def reset(self, task: Task) -> None:  # noqa: ARG002  # every task begins with no page open
        """Begin anew, with no page open."""
        self._browser.close()
        self._begin()

    def goto(self, url: str) -> str:
        """Open the page at an address.

        Args:
            url: The address, beginning with http:// or https://.
        """
        return self._act(lambda: self._browser.open(_text("url", url)), moves=True)

    def click(self, ref: int) -> str:
        """Follow a link, press a button, or turn a check box or radio button on or off, by its number.

        Args:
            ref: The number of the element, shown as [ref=N].
        """
        return self._act(lambda: self._click(self._by_ref(ref)))

    def type(self, ref: int, text: str) -> str:
        """Type a text into a field by its number, in the place of what it holds; of a list of options, choose the one of this text.

        Args:
            ref: The number of the field, shown as [ref=N].
            text: The text, or the name of an option.
        """
        return self._act(lambda: self._fill(self._by_ref(ref), text), moves=False)

    def press(self, key: Literal["Enter", "Backspace"]) -> str:
        """Press a key in the field that was typed into: Enter sends its form.

        Args:
            key: Enter or Backspace.
        """
        if key not in ("Enter", "Backspace"):
            return "Error: key must be Enter or Backspace"
        return self._act(lambda: self._browser.press(key))

    def scroll(self, direction: Literal["down", "up"]) -> str:
        """Move the window by half its height.

        Args:
            direction: down or up.
        """
        if direction not in ("down", "up"):
            return "Error: direction must be down or up"
        half = WINDOW_SIZE // 2
        return self._act(
            lambda: self._move(self._start + (half if direction == "down" else -half)), moves=False
        )

    def view_more(self) -> str:
        """Show the lines of the page that follow those that are shown."""
        return self._act(lambda: self._move(self._stop), moves=False)

    def wait(self, seconds: float) -> str:
        """Wait, for a page that is not ready yet.

        Args:
            seconds: How long, at most 30.
        """
        if (
            isinstance(seconds, bool)
            or not isinstance(seconds, int | float)
            or not 0 <= seconds <= LONGEST_WAIT_S
        ):
            return f"Error: seconds must be a number from 0 to {LONGEST_WAIT_S:g}"
        return self._act(lambda: self._browser.wait(seconds))

    def click_role(
        self, role: Literal["link", "button", "checkbox", "radio", "switch"], name: str
    ) -> str:
        """Follow a link, press a button, or turn a check box or radio button on or off, by its role and name.

        Args:
            role: link, button, checkbox, radio or switch.
            name: The name, as it is shown in quotation marks.
        """
        return self._act(lambda: self._click(self._by_role(role, name, CLICKABLE)))

    def type_role(
        self,
        role: Literal["textbox", "searchbox", "combobox", "listbox"],
        name: str,
        text: str,
    ) -> str:
        """Type a text into a field by its role and name, in the place of what it holds; of a list of options, choose the one of this text.

        Args:
            role: textbox, searchbox, combobox or listbox.
            name: The name, as it is shown in quotation marks.
            text: The text, or the name of an option.
        """
        return self._act(lambda: self._fill(self._by_role(role, name, TYPABLE), text), moves=False)

    def stop(self, answer: str) -> str:
        """Give the answer and end.

        Args:
            answer: The answer to the task.
        """
        if self.answer is not None:
            return "Error: the answer was given already"
        try:
            self.answer = _text("answer", answer)
        except BrowserError as error:
            return f"Error: {error}"
        return "The answer was taken."

    def _act(self, do: Callable[[], object], *, moves: bool | None = None) -> str:
        """Do something and return what is shown then.

        The window goes to where the page begins if ``moves`` says so or, without it, what is done returns whether another page came.
        """
        if self.answer is not None:
            return "Error: the answer was given already"
        try:
            came = do()
            screen = self._browser.shown()
        except (BrowserError, ConfigError) as error:
            return f"Error: {error if isinstance(error, BrowserError) else error.message}"
        if came if moves is None else moves:
            self._move(self._browser.anchor)
        self.visited[screen.url] = None
        return screen.shown(self._start, self._stop)

    @property
    def screen(self) -> Screen | None:
        """What the browser holds, or None before the first page."""
        return self._browser.screen

    def _move(self, start: int) -> None:
        size = len(self._browser.shown().lines)
        self._start = max(0, min(start, size - 1))
        self._stop = min(self._start + WINDOW_SIZE, size)

    def _by_ref(self, ref: int) -> Target:
        targets = self._browser.shown().targets
        if isinstance(ref, bool) or not isinstance(ref, int) or not 1 <= ref <= len(targets):
            raise BrowserError(
                f"ref must be the number of an element of this page, 1 to {len(targets)}"
            )
        return targets[ref - 1]

    def _by_role(self, role: str, name: str, roles: tuple[str, ...]) -> Target:
        if role not in roles:
            raise BrowserError(f"role must be {' or '.join(roles)}")
        name = _text("name", name)
        found = [t for t in self._browser.shown().targets if t.role == role and t.name == name]
        if not found:
            raise BrowserError(f"there is no {role} with this name")
        if len(found) > 1:
            refs = ", ".join(str(target.ref) for target in found[:10])
            raise BrowserError(f"{len(found)} elements have this role and name: refs {refs}")
        return found[0]

    def _click(self, target: Target) -> bool:
        if target.role not in CLICKABLE:
            raise BrowserError(f"a {target.role} cannot be clicked")
        if target.is_disabled:
            raise BrowserError(f"the {target.role} is disabled")
        return self._browser.click(target)

    def _fill(self, target: Target, text: str) -> None:
        if target.role not in TYPABLE or target.is_disabled:
            raise BrowserError("nothing can be typed into this element")
        self._browser.fill(target, _text("text", text))


def _text(name: str, value: object) -> str:
    if not isinstance(value, str) or len(value) > LONGEST_TEXT:
        raise BrowserError(f"{name} must be a text of at most {LONGEST_TEXT} characters")
    if not value.isprintable() and name != "answer":
        raise BrowserError(f"{name} must be one line of printable characters")
    return value.encode(errors="replace").decode()


def call(session: Session, name: str, arguments: Mapping[str, Any]) -> str:
    """Return what a session shows after a tool call that a model wrote; a wrong one is told what is wrong."""
    if name not in ACTIONS:
        return f"Error: there is no tool {name[:50]!r}; there are {', '.join(ACTIONS)}"
    if arguments.keys() != ACTIONS[name].keys():
        return f"Error: {name} takes {', '.join(ACTIONS[name]) or 'no arguments'}"
    return str(getattr(session, name)(**arguments))


_TEXT: Mapping[str, Any] = {"type": "string"}
_REF: Mapping[str, Any] = {"type": "integer", "minimum": 1}

ACTIONS: Mapping[str, Mapping[str, Any]] = {
    "goto": {"url": _TEXT},
    "click": {"ref": _REF},
    "type": {"ref": _REF, "text": _TEXT},
    "press": {"key": {"type": "string", "enum": ["Enter", "Backspace"]}},
    "scroll": {"direction": {"type": "string", "enum": ["down", "up"]}},
    "view_more": {},
    "wait": {"seconds": {"type": "number", "minimum": 0, "maximum": LONGEST_WAIT_S}},
    "click_role": {"role": {"type": "string", "enum": list(CLICKABLE)}, "name": _TEXT},
    "type_role": {"role": {"type": "string", "enum": list(TYPABLE)}, "name": _TEXT, "text": _TEXT},
    "stop": {"answer": _TEXT},
}
"""The ten actions, with the JSON schema of each argument."""


def tool_schemas() -> list[dict[str, Any]]:
    """Return the actions as tools in the OpenAI shape; what they say is what their docstrings say."""
    made: list[dict[str, Any]] = orjson.loads(_written_schemas())  # each caller's own
    return made


@lru_cache(maxsize=1)
def _written_schemas() -> bytes:
    return orjson.dumps([_schema(name, arguments) for name, arguments in ACTIONS.items()])


def _schema(name: str, arguments: Mapping[str, Any]) -> dict[str, Any]:
    what, _, rest = (getattr(Session, name).__doc__ or "").partition("\n")
    told = dict(line.strip().split(": ", 1) for line in rest.splitlines() if ": " in line)
    properties = {key: {**schema, "description": told[key]} for key, schema in arguments.items()}
    parameters = {
        "type": "object",
        "properties": properties,
        "required": list(arguments),
        "additionalProperties": False,
    }
    return {
        "type": "function",
        "function": {"name": name, "description": what, "parameters": parameters},
    }
