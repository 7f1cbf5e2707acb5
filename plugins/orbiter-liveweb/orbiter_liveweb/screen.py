"""What a page shows: the lines of its accessibility tree, with a number on each element that can be acted on.

Made from the text of the tree alone, so that it is the same whether a browser or the extractor here wrote the tree.
"""

from __future__ import annotations

import json
import re

from attrs import field, frozen

WINDOW_SIZE = 60
"""Lines that are shown at once."""

CLICKABLE = ("link", "button", "checkbox", "radio", "switch")
TYPABLE = ("textbox", "searchbox", "combobox", "listbox")

_ELEMENT = re.compile(
    rf"""( *)- ('?)({"|".join((*CLICKABLE, *TYPABLE))})(?: ("(?:[^"\\]|\\.)*"))?((?: \[[^\]]*\])*)('?)(:.*)?"""
)
_MAY_BE_ELEMENT = re.compile(rf"^ *- '?(?:{'|'.join((*CLICKABLE, *TYPABLE))})\b", re.MULTILINE)


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

    def __str__(self) -> str:
        return f"{self.role} {self.name!r}"


@frozen
class Screen:
    """The lines of a page and where the window stands.

    Args:
        url: Address of the page.
        title: Its title.
        tree: Its accessibility tree, as YAML.

    Attributes:
        lines: The lines of the tree, each element that can be acted on with its number.
        targets: What can be acted on, in order.
    """

    url: str
    title: str
    tree: str
    lines: list[str] = field(init=False, eq=False, repr=False)
    targets: list[Target] = field(init=False, eq=False, repr=False)

    def __attrs_post_init__(self) -> None:
        lines, targets = _number(self.tree)
        object.__setattr__(self, "lines", lines)
        object.__setattr__(self, "targets", targets)

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


def _number(tree: str) -> tuple[list[str], list[Target]]:
    """Return the lines of a tree, those of what can be acted on with their numbers, and what can be acted on."""
    lines = tree.split("\n") if tree else []
    targets: list[Target] = []
    counts = dict.fromkeys((*CLICKABLE, *TYPABLE), 0)
    number = at = 0
    for found in _MAY_BE_ELEMENT.finditer(tree):
        number += tree.count("\n", at, found.start())
        at = found.start()
        match = _ELEMENT.fullmatch(lines[number])
        if match is None:
            continue
        indent, quote, role, quoted, states, _, rest = match.groups()
        url = None
        if role == "link" and number + 1 < len(lines):
            marker = f"{indent}  - /url: "
            if lines[number + 1].startswith(marker):
                url = unquoted(lines[number + 1][len(marker) :])
        name = quoted or ""
        if quote:
            name = name.replace("''", "'")
        if "\\" in name:
            name = json.loads(name)
        else:
            name = name[1:-1]
        ref = len(targets) + 1
        targets.append(Target(ref, role, name, counts[role], number, url, "[disabled]" in states))
        counts[role] += 1
        named = f" {quoted}" if quoted else ""
        lines[number] = f"{indent}- {quote}{role}{named}{states} [ref={ref}]{quote}{rest or ''}"
    return lines, targets
