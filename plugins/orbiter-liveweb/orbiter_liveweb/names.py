"""The accessible name of an element, as Playwright computes it (roleUtils.ts), which follows the accname specification.

Left out is what pages without style sheets, scripts and shadow trees do not have: contents of ``::before`` and ``::after``, slots.
"""

from __future__ import annotations

from attrs import evolve, frozen

from orbiter_liveweb.dom import Element
from orbiter_liveweb.inspection import Inspection, is_labelable
from orbiter_liveweb.roles import input_type
from orbiter_liveweb.styles import display, is_ignored
from orbiter_liveweb.whitespace import strip

_NEVER_NAMED = frozenset(
    """caption code definition deletion emphasis generic insertion mark paragraph presentation strong subscript suggestion
    superscript term time""".split()
)
_FROM_CONTENT = frozenset(
    """button cell checkbox columnheader gridcell heading link menuitem menuitemcheckbox menuitemradio option radio row
    rowheader switch tab tooltip treeitem""".split()
)
_FROM_CONTENT_INSIDE = frozenset(
    """caption code contentinfo definition deletion emphasis insertion list listitem mark none paragraph presentation region
    row rowgroup section strong subscript superscript table term time""".split()
) | {""}
_WITH_PLACEHOLDER = frozenset("text password number search tel email url".split())


@frozen
class _Way:
    """How the name of the target led to an element."""

    target: str = ""  # "self", "descendant" or not inside the target
    labelled_by: bool = False
    label: bool = False
    native: bool = False
    hidden: bool = False  # reached by a reference to something hidden, whose hidden text counts

    def down(self) -> _Way:
        return evolve(self, target="descendant") if self.target == "self" else self


_TARGET = _Way(target="self")
_BELOW_TARGET = _Way(target="descendant")


def accessible_name(element: Element, page: Inspection) -> str:
    """Return the name of an element, white space as it stands; empty where it has none or may have none."""
    if (page.role(element) or "") in _NEVER_NAMED:
        return ""
    return _text(element, page, _TARGET, set())


def _text(element: Element, page: Inspection, way: _Way, visited: set[Element]) -> str:
    if element in visited:
        return ""
    if is_ignored(element) or (not way.hidden and page.is_hidden(element)):
        visited.add(element)
        return ""
    attributes, tag = element.attributes, element.tag
    by = page.ids_in(attributes.get("aria-labelledby"))
    if not way.labelled_by and by:
        parts = [
            _text(ref, page, _Way(labelled_by=True, hidden=page.is_hidden(ref)), visited)
            for ref in by
        ]
        if named := " ".join(parts):
            return named
    role = page.role(element) or ""
    if (way.label or way.labelled_by or way.target == "descendant") and element not in by:
        value = _value(element, page, role, way, visited)
        if value is not None:
            return value
    label = attributes.get("aria-label", "")
    if strip(label):
        visited.add(element)
        return label
    presentational = role in ("presentation", "none")
    if not presentational:
        native = _native(element, page, way, visited, unnamed=not by)
        if native is not None:
            return native
    if (
        role in _FROM_CONTENT
        or (way.target == "descendant" and role in _FROM_CONTENT_INSIDE)
        or (tag == "summary" and not presentational)
        or way.labelled_by
        or way.label
        or way.native
    ):
        visited.add(element)
        content = _content(element, page, _BELOW_TARGET if way is _TARGET else way.down(), visited)
        if strip(content) if way.target == "self" else content:
            return content
    visited.add(element)
    if not presentational or tag in ("iframe", "frame"):
        title = attributes.get("title", "")
        if strip(title):
            return title
    return ""


def _content(element: Element, page: Inspection, way: _Way, visited: set[Element]) -> str:
    parts: list[str] = []
    closed = element.tag == "details" and "open" not in element.attributes and not way.hidden
    for child in [*element.children, *page.ids_in(element.attributes.get("aria-owns"))]:
        if isinstance(child, str):
            if not closed:
                parts.append(child)
            continue
        text = _text(child, page, way, visited)
        parts.append(text if display(child) == "inline" and child.tag != "br" else f" {text} ")
    return "".join(parts)


def _value(
    element: Element, page: Inspection, role: str, way: _Way, visited: set[Element]
) -> str | None:
    """Return what a control inside a name stands for: what it holds; None of what is no such control."""
    attributes, tag = element.attributes, element.tag
    if role in ("textbox", "searchbox"):
        visited.add(element)
        return page.value(element) if tag in ("input", "textarea") else element.text
    if role in ("combobox", "listbox"):
        visited.add(element)
        if tag == "select":
            chosen = page.selected_options(element) or element.find_all("option")[:1]
            return " ".join(_text(option, page, way.down(), visited) for option in chosen)
        return page.value(element) if tag == "input" else ""
    if role in ("progressbar", "scrollbar", "slider", "spinbutton", "meter"):
        visited.add(element)
        for name in ("aria-valuetext", "aria-valuenow", "value"):
            if name in attributes:
                return attributes[name]
        return ""
    if role == "menu":
        visited.add(element)
        return ""
    return None


def _native(
    element: Element, page: Inspection, way: _Way, visited: set[Element], *, unnamed: bool
) -> str | None:
    """Return the name that HTML itself gives the element, or None where it is of no such kind."""
    attributes, tag = element.attributes, element.tag
    title = attributes.get("title", "")
    kind = input_type(element) if tag == "input" else ""
    if is_labelable(element) and kind not in ("button", "submit", "reset"):
        labels = () if way.labelled_by and kind in ("file", "image") else page.labels(element)
        if labels and (unnamed or kind in ("file", "image")):
            visited.add(element)
            parts = (
                _text(one, page, _Way(label=True, hidden=page.is_hidden(one)), visited)
                for one in labels
            )
            return " ".join(part for part in parts if part)
    text: str | None = None
    if kind in ("button", "submit", "reset"):
        defaults = {"submit": "Submit", "reset": "Reset", "button": title}
        text = attributes.get("value", "")
        text = text if strip(text) else defaults[kind]
    elif kind == "file":
        text = "Choose File"
    elif kind == "image":
        given = (attributes.get("alt", ""), title, "Submit")
        text = next(one for one in given if strip(one))
    elif unnamed and tag == "output":
        text = title
    elif unnamed and tag in ("textarea", "select", "input", "meter", "progress"):
        shows = tag == "textarea" or kind in _WITH_PLACEHOLDER
        text = attributes.get("placeholder", "") if shows and not title else title
    elif unnamed and tag in ("fieldset", "figure"):
        text = _named_by_child(element, page, way, visited, _CAPTIONS[tag])
        text = title if text is None else text
    elif tag in ("img", "area"):
        text = attributes.get("alt", "")
        text = text if strip(text) else title
    elif tag == "table":
        text = _named_by_child(element, page, way, visited, "caption")
        text = attributes.get("summary") or None if text is None else text
    elif tag == "svg" or element.closest(lambda e: e.tag == "svg"):
        text = _named_by_child(element, page, way, visited, "title")
    if text is not None:
        visited.add(element)
    return text


_CAPTIONS = {"fieldset": "legend", "figure": "figcaption"}


def _named_by_child(
    element: Element, page: Inspection, way: _Way, visited: set[Element], tag: str
) -> str | None:
    """Return the text of the first child of a kind, or None where there is none."""
    child = next((e for e in element.child_elements() if e.tag == tag), None)
    if child is None:
        return None
    visited.add(element)
    hidden = way.hidden or page.is_hidden(child)
    return _text(child, page, evolve(way.down(), native=True, hidden=hidden), visited)
