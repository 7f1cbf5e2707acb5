"""What a page shows: the lines of its accessibility tree, with a number on each element that can be acted on.

Made from the text of the tree alone, so that it is the same whether a browser or the extractor here wrote the tree.
"""

from __future__ import annotations

import json
import re
from collections.abc import Sequence
from functools import cached_property

from attrs import field, frozen

WINDOW_SIZE = 60
"""Lines that are shown at once."""

CLICKABLE = ("link", "button", "checkbox", "radio", "switch")
TYPABLE = ("textbox", "searchbox", "combobox", "listbox")

_ELEMENT = re.compile(
    r"""( *)- ('?)([a-z]+)(?: ("(?:[^"\\]|\\.)*"))?((?: \[[^\]]*\])*)('?)(:.*)?"""
)


@frozen
class Target:
    """An element that can be acted on.

    Args:
        ref: Its number on the page, from 1.
        role: Its role.
        name: Its accessible name, empty where it has none or too long a one.
        nth: How many elements of this role come before it.
        line: Number of its line, from 0.
        url: Where a link leads, as it is written in the page; None for anything else.
        is_disabled: Whether it refuses to be acted on.
    """

    ref: int
    role: str
    name: str
    nth: int
    line: int
    url: str | None = None
    is_disabled: bool = False


@frozen
class Screen:
    """The lines of a page and where the window stands.

    Args:
        url: Address of the page.
        title: Its title.
        tree: Its accessibility tree, as YAML.
    """

    url: str
    title: str
    tree: str
    _numbered: list[tuple[str, Target | None]] = field(init=False, eq=False, repr=False)

    def __attrs_post_init__(self) -> None:
        object.__setattr__(self, "_numbered", _number(self.tree.split("\n") if self.tree else []))

    @cached_property
    def lines(self) -> list[str]:
        """The lines, each element that can be acted on with its number."""
        return [line for line, _ in self._numbered]

    @cached_property
    def targets(self) -> list[Target]:
        """What can be acted on, in order."""
        return [target for _, target in self._numbered if target is not None]

    def shown(self, start: int, stop: int) -> str:
        """Return what is shown of the lines from ``start`` up to ``stop``."""
        size = len(self.lines)
        stop = min(stop, size)
        head = [f"URL: {self.url}", f"Title: {self.title}"]
        if start > 0 or stop < size:
            head.append(f"Lines {start + 1}-{stop} of {size}")
        return "\n".join([*head, "", *self.lines[start:stop]])


def unquoted(value: str) -> str:
    """Return the text that a YAML value of a tree stands for."""
    if value.startswith('"'):
        # YAML's \xNN is JSON's \u00NN; the other escapes are the same.
        return str(json.loads(re.sub(r"(?<!\\)((?:\\\\)*)\\x", r"\1\\u00", value), strict=False))
    return value


def _number(lines: Sequence[str]) -> list[tuple[str, Target | None]]:
    found: list[tuple[str, Target | None]] = []
    counts = dict.fromkeys((*CLICKABLE, *TYPABLE), 0)
    ref = 0
    for number, line in enumerate(lines):
        match = _ELEMENT.fullmatch(line)
        role = match[3] if match else ""
        if match is None or role not in counts:
            found.append((line, None))
            continue
        ref += 1
        url = None
        if role == "link" and number + 1 < len(lines):
            marker = f"{match[1]}  - /url: "
            if lines[number + 1].startswith(marker):
                url = unquoted(lines[number + 1][len(marker) :])
        name = match[4] or ""
        if match[2]:
            name = name.replace("''", "'")
        target = Target(
            ref,
            role,
            json.loads(name) if name else "",
            counts[role],
            number,
            url,
            "[disabled]" in match[5],
        )
        counts[role] += 1
        quote = match[2]
        named = f" {match[4]}" if match[4] else ""
        text = f"{match[1]}- {quote}{role}{named}{match[5]} [ref={ref}]{quote}{match[7] or ''}"
        found.append((text, target))
    return found
