"""What a browser's own style sheet says: which elements are blocks, and which are not shown.

Pages are looked at without their style sheets and scripts, here and in the browser, so that a page looks the same wherever it is
replayed. What counts beside the defaults is the ``style`` attribute: display, visibility, float and position.
"""

from __future__ import annotations

import re

from orbiter_liveweb.dom import Element
from orbiter_liveweb.whitespace import strip

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

_REPLACED = frozenset(
    """audio br canvas embed frame frameset iframe img input math meter object progress select svg textarea video
    wbr""".split()
)
"""Elements that ``display: contents`` takes away."""

_FOREIGN = frozenset({"math", "svg"})
"""Elements that are not HTML, whose ``hidden`` is an attribute like any other."""

_DRAWN_WHOLE = frozenset({"audio", "meter", "option", "progress", "video"})
"""Elements of which a browser draws something else than the elements in them."""

_IGNORED = frozenset({"style", "script", "noscript", "template"})
_MATHML = frozenset(
    """annotation annotation-xml maction merror mfrac mi mmultiscripts mn mo mover mpadded mphantom mprescripts mroot mrow ms
    mspace msqrt mstyle msub msubsup msup mtable mtd mtext mtr munder munderover semantics""".split()
)
"""Elements that are blocks inside of ``math``."""

_DISPLAYS = frozenset(
    """block contents flex flow flow-root grid initial inline inline-block inline-flex inline-grid inline-table list-item math none
    ruby ruby-text unset -webkit-box -webkit-flex -webkit-inline-box -webkit-inline-flex table table-caption table-cell table-column table-column-group table-footer-group table-header-group table-row
    table-row-group""".split()
)
_COMMENT = re.compile(r"/\*.*?(?:\*/|\Z)", re.DOTALL)


def _declared(element: Element) -> dict[str, str]:
    """Return what the ``style`` attribute declares: of several, the last that is important, or else the last."""
    style = element.attributes.get("style")
    if not style:
        return {}
    found: dict[str, str] = {}
    important: dict[str, str] = {}
    for part in _COMMENT.sub(" ", style.lower()).split(";"):
        name, _, value = (text.strip() for text in part.partition(":"))
        before, mark, last = value.rpartition("!")
        is_important = bool(mark) and last.strip() == "important"
        value = before.rstrip() if is_important else value
        if value and (name != "display" or _DISPLAYS.issuperset(value.split())):
            (important if is_important else found)[name] = value
    return found | important


def display(element: Element) -> str:
    """Return ``inline``, ``none``, or ``block`` for every other way of display."""
    attributes, tag = element.attributes, element.tag
    style = _declared(element)
    if given := style.get("display"):
        given = "inline" if given in ("initial", "unset") else given
        shown = given if given in ("none", "inline") else "block"
        if given == "contents" and tag in _REPLACED:
            shown = "none"
    elif (
        tag in _NOT_SHOWN
        or (tag not in _FOREIGN and _is_put_away(element))
        or (tag == "audio" and "controls" not in attributes)
        or (tag == "input" and attributes.get("type", "").lower() == "hidden")
    ):
        shown = "none"
    elif tag in _MATHML and element.closest(lambda e: e.tag == "math"):
        shown = "none" if tag.startswith("annotation") else "block"
    else:
        shown = "block" if tag in _BLOCKS else "inline"
    if shown == "inline" and (
        style.get("float", "none") in ("left", "right")
        or style.get("position", "static") in ("absolute", "fixed")
        or (tag in ("img", "iframe") and attributes.get("align", "").lower() in ("left", "right"))
    ):
        return "block"
    return shown


def has_no_box(element: Element) -> bool:
    """Return whether only its children are displayed: ``display: contents``."""
    return _declared(element).get("display") == "contents" and element.tag not in _REPLACED


def _is_put_away(element: Element) -> bool:
    """Return whether an attribute hides it: ``hidden``, ``popover``, or a dialog without ``open``."""
    is_open = element.tag == "dialog" and "open" in element.attributes
    return (
        ("hidden" in element.attributes and not _is_until_found(element))
        or ("popover" in element.attributes and not is_open)
        or (element.tag == "dialog" and not is_open)
    )


def _is_until_found(element: Element) -> bool:
    return element.attributes.get("hidden", "").lower() == "until-found"


def _hides_elements(element: Element) -> bool:
    """Return whether the elements in it are not drawn, though it is."""
    if element.tag in _DRAWN_WHOLE:
        return True
    skipped = _is_until_found(element) or _declared(element).get("content-visibility") == "hidden"
    return skipped and display(element) == "block" and not has_no_box(element)


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
        if is_ignored(element):
            return True
        if has_no_box(element):
            texts = [child for child in element.children if isinstance(child, str)]
            children = [child for child in element.children if isinstance(child, Element)]
            return not any(map(strip, texts)) and all(map(self.is_hidden, children))
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
                or (
                    parent is not None
                    and (_is_folded(element) or _hides_elements(parent) or self._is_removed(parent))
                )
            )
            self._hidden[element] = known
        return known

    def _is_invisible(self, element: Element) -> bool:
        """Return whether ``visibility``, which is inherited, is not ``visible``."""
        known = self._invisible.get(element)
        if known is None:
            own = _declared(element).get("visibility", "inherit")
            if own in ("visible", "initial"):
                known = False
            elif own in ("hidden", "collapse"):
                known = True
            else:
                known = element.parent is not None and self._is_invisible(element.parent)
            self._invisible[element] = known
        return known


def _is_folded(element: Element) -> bool:
    """Return whether it stands in details that are closed, and is not their summary."""
    parent = element.parent
    if parent is None or parent.tag != "details" or "open" in parent.attributes:
        return False
    summary = next((e for e in parent.child_elements() if e.tag == "summary"), None)
    return element is not summary
