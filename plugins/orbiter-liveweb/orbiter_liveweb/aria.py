"""The accessibility tree of a page as text, the same that Playwright's ``locator("body").aria_snapshot()`` gives in a browser.

Ported from Playwright's ariaSnapshot.ts and ariaSnapshotRenderer.ts (Apache-2.0), for pages without style sheets and scripts. One
line per node, YAML::

    - heading "Kettles" [level=1]
    - list:
      - listitem:
        - link "Brass kettle":
          - /url: /item/brass-kettle
        - text: 12.50
"""

from __future__ import annotations

import json
import re

from attrs import Factory, define

from orbiter.errors import ConfigError
from orbiter_liveweb.dom import Element, body_of
from orbiter_liveweb.inspection import Edits, Inspection
from orbiter_liveweb.names import accessible_name
from orbiter_liveweb.roles import input_type, is_disabled
from orbiter_liveweb.styles import display
from orbiter_liveweb.whitespace import SPACES, collapse

LONGEST_NAME = 900
"""Names of more UTF-16 units are left out: they repeat the contents."""


@define(eq=False)
class Node:
    """A node of the tree; children are nodes and texts. Its name is found when it is asked for: that takes the longest."""

    role: str
    page: Inspection
    children: list[Node | str] = Factory(list)
    properties: dict[str, str] = Factory(dict)
    states: list[str] = Factory(list)
    element: Element | None = None
    _name: str | None = None

    @property
    def name(self) -> str:
        """Its accessible name, empty where it has none."""
        if self._name is None:
            element = None if self.role == "iframe" else self.element
            self._name = "" if element is None else collapse(accessible_name(element, self.page))
        return self._name

    def only_repeats_name(self) -> bool:
        """Return whether a single text is all that it holds, and is its name."""
        return (
            len(self.children) == 1
            and isinstance(self.children[0], str)
            and self.children[0] == self.name
        )


def aria_tree(root: Element, edits: Edits | None = None, *, until: Element | None = None) -> Node:
    """Return the accessibility tree of a page's body.

    Args:
        root: The page, from :func:`orbiter_liveweb.dom.parse`.
        edits: What was done to its form controls.
        until: The element with which the tree ends: what stands in or behind it is left out. None: the whole page.
    """
    top = Node("fragment", Inspection(root, edits))
    _visit(top, body_of(root), set(), until)
    _merge(top)
    return top


def aria_snapshot(root: Element, edits: Edits | None = None) -> str:
    """Return the accessibility tree of a page's body as YAML.

    Raises:
        ConfigError: The page is one that no tree can be made of.
    """
    try:
        return "\n".join(line for line, _ in aria_lines(aria_tree(root, edits)))
    except RecursionError:  # no depth bounds a chain of aria-owns
        raise ConfigError("is nested too deep") from None


def _visit(parent: Node, element: Element, visited: set[Element], until: Element | None) -> None:
    page = parent.page
    if element in visited or until in visited:
        return
    visited.add(element)
    if page.is_hidden(element):
        return
    made = _node(element, page)
    if made is not None:
        parent.children.append(made)
    node = made or parent
    block = display(element) != "inline" or element.tag == "br"
    if block:
        node.children.append(" ")
    folded = element.tag == "details" and "open" not in element.attributes
    for child in element.children:
        if until in visited:
            break
        if isinstance(child, Element):
            _visit(node, child, visited, until)
        elif node.role != "textbox" and child and not folded:
            node.children.append(child)
    for owned in page.ids_in(element.attributes.get("aria-owns")):
        _visit(node, owned, visited, until)
    if block:
        node.children.append(" ")
    if node.only_repeats_name():
        node.children = []
    if node.role == "link" and "href" in element.attributes:
        url = element.attributes["href"]
        data, comma, _ = url.partition(",")
        node.properties["url"] = f"{data},…" if comma and url.startswith("data:") else url
    placeholder = element.attributes.get("placeholder")
    if node.role == "textbox" and placeholder is not None and placeholder != node.name:
        node.properties["placeholder"] = placeholder


def _node(element: Element, page: Inspection) -> Node | None:
    if element.tag in ("iframe", "frame"):
        return Node("iframe", page, element=element)
    role = page.role(element)
    if role is None or role in ("presentation", "none"):
        return None
    if (
        role == "generic"
        and [type(child) for child in element.children] == [str]
        and display(element) == "inline"
    ):
        return None
    node = Node(role, page, element=element)
    node.states = list(_states(element, role, page))
    kind = input_type(element) if element.tag == "input" else ""
    if element.tag == "textarea" or (kind and kind not in ("checkbox", "radio", "file")):
        node.children = [page.value(element)]
    return node


_CHECKED = frozenset("checkbox menuitemcheckbox option radio switch menuitemradio treeitem".split())
_DISABLED = frozenset(
    """application button composite gridcell group input link menuitem scrollbar separator tab checkbox columnheader
    combobox grid listbox menu menubar menuitemcheckbox menuitemradio option radio radiogroup row rowheader searchbox select
    slider spinbutton switch tablist textbox toolbar tree treegrid treeitem""".split()
)
_EXPANDED = frozenset(
    """application button checkbox combobox gridcell link listbox menuitem row rowheader tab treeitem columnheader
    menuitemcheckbox menuitemradio switch""".split()
)
_INVALID = frozenset(
    """application checkbox columnheader combobox gridcell listbox radiogroup rowheader searchbox slider spinbutton switch
    textbox tree""".split()
)
_LEVEL = frozenset("heading listitem row treeitem".split())
_SELECTED = frozenset("gridcell option row tab rowheader columnheader treeitem".split())


def _states(element: Element, role: str, page: Inspection) -> list[str]:
    """Return the states in the order in which they are written."""
    attributes, tag, found = element.attributes, element.tag, []

    def given(name: str) -> str:
        return attributes.get(name, "").lower()

    if role in _CHECKED:
        is_box = tag == "input" and input_type(element) in ("checkbox", "radio")
        checked = ("true" if page.is_checked(element) else "") if is_box else given("aria-checked")
        found += {"true": ["checked"], "mixed": ["checked=mixed"]}.get(checked, [])
    if role in _DISABLED and (is_disabled(element) or _is_aria_disabled(element)):
        found.append("disabled")
    if role in _EXPANDED and (
        "open" in attributes if tag == "details" else given("aria-expanded") == "true"
    ):
        found.append("expanded")
    if role in _INVALID:
        invalid = given("aria-invalid")
        if invalid in ("grammar", "spelling"):
            found.append(f"invalid={invalid}")
        elif invalid.strip() and invalid != "false":
            found.append("invalid")
    if role in _LEVEL:
        level = _level(element)
        if level:
            found.append(f"level={level}")
    if role == "button":
        pressed = given("aria-pressed")
        found += {"true": ["pressed"], "mixed": ["pressed=mixed"]}.get(pressed, [])
    if role in _SELECTED:
        if tag == "option":
            select = element.closest(lambda e: e.tag == "select")
            selected = (
                element in page.selected_options(select) if select else "selected" in attributes
            )
        else:
            selected = given("aria-selected") == "true"
        if selected:
            found.append("selected")
    return found


def _is_aria_disabled(element: Element) -> bool:
    said = element.closest(
        lambda e: e.attributes.get("aria-disabled", "").lower() in ("true", "false")
    )
    return said is not None and said.attributes["aria-disabled"].lower() == "true"


def _level(element: Element) -> int:
    if re.fullmatch("h[1-6]", element.tag):
        return int(element.tag[1])
    given = element.attributes.get("aria-level", "")
    return int(given) if re.fullmatch(r"[0-9]{1,6}", given) else 0


def _merge(node: Node) -> None:
    """Join neighbouring texts, drop what is white space alone, and a text that only repeats the name."""
    children: list[Node | str] = []
    texts: list[str] = []
    for child in [*node.children, None]:
        if isinstance(child, str):
            texts.append(child)
            continue
        if child is not None:
            _merge(child)
            if child.role == "generic" and not child.children and not child.name:
                continue
        if texts and (text := collapse("".join(texts))):
            children.append(text)
        texts.clear()
        if child is not None:
            children.append(child)
    node.children = children
    if node.only_repeats_name():
        node.children = []


def place_of(top: Node, element: Element) -> tuple[int, Node] | None:
    """Return the number of the line of :func:`aria_lines`, from 0, that an element begins, and its node; None where it has none."""
    line = 0
    waiting: list[tuple[Node | str, bool]] = [(child, False) for child in top.children[::-1]]
    while waiting:
        node, inline = waiting.pop()
        if isinstance(node, str):
            line += not inline
            continue
        if node.element is element:
            return line, node
        line += 1 + len(node.properties)
        # A text that is all there is stands on the line of its node.
        inline = len(node.children) == 1 and not node.properties
        waiting += [(child, inline) for child in node.children[::-1]]
    return None


def aria_lines(top: Node) -> list[tuple[str, Node | None]]:
    """Return the lines of a tree, each with the node that it begins, or None where it holds a text or property."""
    lines: list[tuple[str, Node | None]] = []

    def write(node: Node, depth: int) -> None:
        start = "  " * depth + "- "
        key = start + _quoted_key(_key(node))
        only = node.children[0] if len(node.children) == 1 else None
        if not node.children and not node.properties:
            lines.append((key, node))
        elif isinstance(only, str) and not node.properties:
            lines.append((f"{key}: {quoted(only)}", node))
        else:
            lines.append((f"{key}:", node))
            for name, value in node.properties.items():
                lines.append((f"  {start}/{name}: {quoted(value)}", None))
            for child in node.children:
                if isinstance(child, str):
                    lines.append((f"  {start}text: {quoted(child)}", None))
                else:
                    write(child, depth + 1)

    for child in top.children:
        if isinstance(child, str):
            lines.append((f"- text: {quoted(child)}", None))
        else:
            write(child, 0)
    return lines


def _key(node: Node) -> str:
    key = node.role
    if node.name and len(node.name.encode("utf-16-le", "surrogatepass")) <= 2 * LONGEST_NAME:
        key += " " + json.dumps(node.name, ensure_ascii=False)
    return key + "".join(f" [{state}]" for state in node.states)


_UNSAFE = re.compile(
    f"""^[{SPACES}] | [{SPACES}]$ | [\\x00-\\x08\\x0b\\x0c\\x0e-\\x1f\\x7f-\\x9f] | ^- | [\\n:](?:[{SPACES}]|$)
    | [{SPACES}]\\# | [\\n\\r] | ^[&*\\],?!>|@"'\\#%] | [{{}}`] | ^\\[ | ^[-+]?\\.(?:[iI][nN][fF]|[nN][aA][nN])$""",
    re.VERBOSE,
)
_NUMBER = re.compile(
    r"[-+]?(?:Infinity|(?:[0-9]+\.?[0-9]*|\.[0-9]+)(?:[eE][-+]?[0-9]+)?)|0[xX][0-9a-fA-F]+|0[oO][0-7]+|0[bB][01]+"
)
_WORDS = frozenset("y n yes no true false on off null ~".split())
_CONTROL = re.compile(r'[\\"\x00-\x1f\x7f-\x9f]')
_ESCAPES = {
    "\\": "\\\\",
    '"': '\\"',
    "\b": "\\b",
    "\f": "\\f",
    "\n": "\\n",
    "\r": "\\r",
    "\t": "\\t",
}


def _needs_quotes(text: str) -> bool:
    return (
        not text
        or _UNSAFE.search(text) is not None
        or _NUMBER.fullmatch(text) is not None
        or text.lower() in _WORDS
    )


def _quoted_key(text: str) -> str:
    return "'" + text.replace("'", "''") + "'" if _needs_quotes(text) else text


def quoted(text: str) -> str:
    """Return a text as it stands in YAML: plain where that is unambiguous, else in double quotes."""
    if not _needs_quotes(text):
        return text

    def escape(match: re.Match[str]) -> str:
        return _ESCAPES.get(match[0]) or f"\\x{ord(match[0]):02x}"

    return '"' + _CONTROL.sub(escape, text) + '"'
