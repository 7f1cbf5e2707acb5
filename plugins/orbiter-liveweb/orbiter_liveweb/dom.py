"""A page as a tree of elements, parsed as browsers parse it."""

from __future__ import annotations

import threading
from collections.abc import Callable, Iterator
from typing import Any

from selectolax.lexbor import LexborHTMLParser

MAX_DEPTH = 200
"""Deepest nesting that is kept: what stands deeper is hung on the last level, as in browsers at 512. A name takes three calls a level."""


class Element:
    """One element: its tag in lower case, its attributes, its children (elements and texts) and its parent.

    Its children are made when they are first asked for: much of a long page is never looked at.
    """

    __slots__ = ("_depth", "_node", "attributes", "children", "parent", "tag")

    attributes: dict[str, str]
    children: tuple[Element | str, ...]

    def __init__(self, node: Any, parent: Element | None, depth: int) -> None:
        self._node, self._depth, self.parent = node, depth, parent
        self.tag: str = node.tag.lower()
        self.attributes = _attributes(node)

    def __getattr__(self, name: str) -> Any:
        if name != "children":
            raise AttributeError(f"an element has no {name!r}")
        with _MAKING:  # two threads that make them would each go on with children of their own
            if self._node is not None:
                _make_children(self)
        return self.children

    def __repr__(self) -> str:
        return f"<{self.tag} {self.attributes}>"

    def get(self, name: str) -> str | None:
        """Return an attribute, or None where the element has none of that name."""
        return self.attributes.get(name)

    def elements(self) -> Iterator[Element]:
        """Yield the element and all below it, in document order."""
        waiting = [self]
        while waiting:
            element = waiting.pop()
            yield element
            waiting.extend([c for c in element.children[::-1] if type(c) is Element])

    def child_elements(self) -> list[Element]:
        """Return the children that are elements."""
        return [child for child in self.children if isinstance(child, Element)]

    def find_all(self, tag: str, **attributes: str) -> list[Element]:
        """Return the elements below with a tag and, if given, attributes (``class_`` for class: one of its words)."""
        found = [e for e in self.elements() if tag in ("*", e.tag) and e is not self]
        return [e for e in found if _fits(e, attributes)] if attributes else found

    def find(self, tag: str, **attributes: str) -> Element | None:
        """Return the first that :meth:`find_all` would return, or None."""
        for element in self.elements():
            if tag in ("*", element.tag) and element is not self and _fits(element, attributes):
                return element
        return None

    def closest(self, fits: Callable[[Element], bool]) -> Element | None:
        """Return the element itself or its nearest ancestor that fits, or None."""
        element: Element | None = self
        while element is not None and not fits(element):
            element = element.parent
        return element

    @property
    def root(self) -> Element:
        """The element that it stands in the tree of."""
        element = self
        while element.parent is not None:
            element = element.parent
        return element

    def siblings(self) -> list[Element]:
        """Return the elements under the same parent, itself included."""
        return [self] if self.parent is None else self.parent.child_elements()

    @property
    def text(self) -> str:
        """All text below, as it stands in the document."""
        parts: list[str] = []
        waiting: list[Element | str] = [self]
        while waiting:
            node = waiting.pop()
            if isinstance(node, str):
                parts.append(node)
            else:
                waiting.extend(reversed(node.children))
        return "".join(parts)

    @property
    def words(self) -> str:
        """The text with white space collapsed."""
        return " ".join(self.text.split())


def _fits(element: Element, attributes: dict[str, str]) -> bool:
    for name, value in attributes.items():
        if name == "class_":
            if value not in element.attributes.get("class", "").split():
                return False
        elif element.attributes.get(name) != value:
            return False
    return True


def parse(html: str) -> Element:
    """Return the root element of a page; every text is some page, as in a browser."""
    root = LexborHTMLParser(html).root
    if root is None:  # nothing but comments
        root = LexborHTMLParser("<html></html>").root
    return Element(root, None, 0)


_MAKING = threading.Lock()


def _make_children(element: Element) -> None:
    children = _below(element._node, element, element._depth + 1)
    if element._depth == MAX_DEPTH - 1:
        waiting = [child for child in children if isinstance(child, Element)]
        while waiting:
            deepest = waiting.pop()
            below = _below(deepest._node, element, MAX_DEPTH)
            deepest.children = tuple(text for text in below if isinstance(text, str))
            deepest._node = None
            hung = [child for child in below if isinstance(child, Element)]
            children += hung
            waiting += hung
    element.children = tuple(children)
    element._node = None  # what was parsed is let go with the last of its elements


def _below(node: Any, parent: Element, depth: int) -> list[Element | str]:
    found: list[Element | str] = []
    child = node.child
    while child is not None:
        if child.is_element_node:
            found.append(Element(child, parent, depth))
        elif child.is_text_node:
            found.append(child.text_content or "")
        child = child.next
    return found


def _attributes(node: Any) -> dict[str, str]:
    given: dict[str, str | None] = node.attributes
    return {name.lower(): value or "" for name, value in given.items()} if given else {}


def body_of(root: Element) -> Element:
    """Return the body of a page, or its root where it has none, as a page of frames."""
    return root.find("body") or root


def title_of(root: Element) -> str:
    """Return the page's title with white space collapsed, as ``document.title`` gives it."""
    titles = root.find_all("title")  # those of drawings are no titles of the page
    title = next((t for t in titles if t.closest(lambda e: e.tag == "svg") is None), None)
    return "" if title is None else title.words
