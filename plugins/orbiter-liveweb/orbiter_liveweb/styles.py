"""What a browser's own style sheet says: which elements are blocks, and which are not shown.

Pages are looked at without their style sheets and scripts, here and in the browser, so that a page looks the same wherever it is
replayed. What counts beside the defaults is the ``style`` attribute: display, visibility, float and position.
"""

from __future__ import annotations

import re

from orbiter_liveweb.dom import Element

_BLOCKS = frozenset(
    """address article aside blockquote body center dd details dialog dir div dl dt fieldset figcaption figure footer
    form frameset h1 h2 h3 h4 h5 h6 header hgroup hr html legend li listing main menu nav ol optgroup option p plaintext
    pre search section summary ul xmp table caption colgroup col thead tbody tfoot tr td th input button select textarea
    meter progress marquee math ruby rt slot""".split()
)
"""Elements that are not ``display: inline``, whatever else they are."""

_NOT_SHOWN = frozenset(
    "area base basefont datalist head link meta noembed noframes param rp script style template title".split()
)

_IGNORED = frozenset({"style", "script", "noscript", "template"})
_DECLARATION = re.compile(r"\s*([a-z-]+)\s*:\s*([^;]*)", re.IGNORECASE)


def _declared(element: Element) -> dict[str, str]:
    style = element.attributes.get("style")
    if not style:
        return {}
    found: dict[str, str] = {}
    for part in style.split(";"):
        if match := _DECLARATION.match(part):
            found[match[1].lower()] = match[2].replace("!important", "").strip().lower()
    return found


def display(element: Element) -> str:
    """Return ``inline``, ``none``, or ``block`` for every other way of display."""
    attributes, tag = element.attributes, element.tag
    style = _declared(element)
    if "display" in style and style["display"] in ("none", "inline"):
        shown = style["display"]
    elif "display" in style and style["display"] not in ("inherit", "initial", "unset", ""):
        shown = "block"
    elif (
        tag in _NOT_SHOWN
        or "hidden" in attributes
        or (tag == "dialog" and "open" not in attributes)
        or (tag == "audio" and "controls" not in attributes)
        or (tag == "input" and attributes.get("type", "").lower() == "hidden")
    ):
        shown = "none"
    else:
        shown = "block" if tag in _BLOCKS else "inline"
    if shown == "inline" and (
        style.get("float", "none") in ("left", "right")
        or style.get("position", "static") in ("absolute", "fixed")
        or (tag in ("img", "iframe") and attributes.get("align", "").lower() in ("left", "right"))
    ):
        return "block"
    return shown


def is_ignored(element: Element) -> bool:
    """Return whether accessibility never sees it."""
    return element.tag in _IGNORED


def is_list_box(select: Element) -> bool:
    """Return whether a select shows several options at once."""
    size = select.attributes.get("size", "")
    return "multiple" in select.attributes or (size.isascii() and size.isdigit() and int(size) > 1)


class Visibility:
    """Which elements of one page are hidden, remembered."""

    def __init__(self) -> None:
        self._hidden: dict[Element, bool] = {}
        self._selects: dict[Element, Element | None] = {}
        self._invisible: dict[Element, bool] = {}

    def is_hidden(self, element: Element) -> bool:
        """Return whether the element, for its own sake or an ancestor's, is hidden from the accessibility tree."""
        if element.tag in _IGNORED:
            return True
        select = self._select_around(element.parent)
        if select and element.tag != "option" and not is_list_box(select):
            return True  # a drop-down list draws its options alone
        is_option = select is not None and element.tag == "option"
        return self._is_removed(element) or (not is_option and self._is_invisible(element))

    def _select_around(self, element: Element | None) -> Element | None:
        """Return the nearest select that an element is or stands in, or None."""
        if element is None:
            return None
        if element in self._selects:
            return self._selects[element]
        found = element if element.tag == "select" else self._select_around(element.parent)
        self._selects[element] = found
        return found

    def _is_removed(self, element: Element) -> bool:
        known = self._hidden.get(element)
        if known is None:
            parent = element.parent
            known = (
                element.attributes.get("aria-hidden", "").lower() == "true"
                or display(element) == "none"
                or (parent is not None and (_is_folded(element) or self._is_removed(parent)))
            )
            self._hidden[element] = known
        return known

    def _is_invisible(self, element: Element) -> bool:
        """Return whether ``visibility``, which is inherited, is not ``visible``."""
        known = self._invisible.get(element)
        if known is None:
            own = _declared(element).get("visibility", "inherit")
            if own == "inherit":
                known = element.parent is not None and self._is_invisible(element.parent)
            else:
                known = own != "visible"
            self._invisible[element] = known
        return known


def _is_folded(element: Element) -> bool:
    """Return whether it stands in details that are closed, and is not their summary."""
    parent = element.parent
    if parent is None or parent.tag != "details" or "open" in parent.attributes:
        return False
    summary = next((e for e in parent.child_elements() if e.tag == "summary"), None)
    return element is not summary
