"""Browsers: what holds a page, follows its links and sends its forms. Here the one that needs no browser program."""

from __future__ import annotations

from abc import ABC, abstractmethod
from collections.abc import Sequence
from functools import lru_cache

from orbiter_liveweb.aria import aria_lines, aria_tree, place_of
from orbiter_liveweb.cache import MAX_REDIRECTS, Cache
from orbiter_liveweb.dom import Element, parse
from orbiter_liveweb.forms import default_button, ignores_enter, is_get, is_submit, request_of
from orbiter_liveweb.inspection import Edits, Inspection, form_of, takes
from orbiter_liveweb.links import base_of, refresh_of, says
from orbiter_liveweb.roles import input_type, is_disabled
from orbiter_liveweb.screen import CLICKABLE, TYPABLE, Screen, Target
from orbiter_liveweb.snapshot import Snapshot
from orbiter_liveweb.urls import fragment_of, normalise, resolve
from orbiter_liveweb.whitespace import collapse

MARK = "orbiter-fragment-mark"
"""Name that the target of a fragment is given for a moment, to find its line."""


class BrowserError(Exception):
    """The page did not do what was asked; the text tells the model why."""


class Browser(ABC):
    """A tab that can show the pages of a cache and nothing else.

    ``screen`` is what it shows, None before the first page; ``anchor`` the line that a fragment led to, or 0. Each method raises
    BrowserError and stays where it is when the page cannot do that; :class:`orbiter_liveweb.session.Session` calls them. Those that
    return a bool tell whether another page or place came.
    """

    screen: Screen | None = None
    anchor: int = 0

    _snapshot: Snapshot | None = None

    @abstractmethod
    def open(self, url: str) -> None:
        """Show the page of an address."""

    @abstractmethod
    def click(self, target: Target) -> bool:
        """Follow a link, press a button, or turn a box on or off."""

    @abstractmethod
    def fill(self, target: Target, text: str) -> None:
        """Put a text in the place of what a field holds, and the cursor in the field; of a select, choose the option of this text."""

    @abstractmethod
    def press(self, key: str) -> bool:
        """Press ``Enter`` or ``Backspace`` in the field that has the cursor."""

    def wait(self, seconds: float) -> bool:
        """Let time pass: a page that refreshes itself within ``seconds`` gives way to another."""
        refresh = None if self._snapshot is None else refresh_of(self._snapshot)
        if refresh is None or seconds < refresh[0]:
            return False
        self.open(refresh[1])
        return True

    def close(self) -> None:  # noqa: B027  # optional: most hold nothing open
        """Release what it holds."""

    def shown(self) -> Screen:
        """Return what it shows.

        Raises:
            BrowserError: No page is open.
        """
        if self.screen is None:
            raise BrowserError("no page is open: go to one first")
        return self.screen


def option_at(options: Sequence[tuple[str, bool]], text: str) -> int:
    """Return the place of the first option of a text among the labels of a select's options and whether they are disabled.

    Raises:
        BrowserError: There is none, or it is disabled.
    """
    for place, (label, disabled) in enumerate(options):
        if collapse(label) == collapse(text):
            if disabled:
                raise BrowserError(f"option {text!r} is disabled")
            return place
    known = ", ".join(repr(label) for label, _ in options[:20])
    raise BrowserError(f"there is no option {text!r}; there are {known or 'none'}")


def served(cache: Cache, url: str) -> Snapshot:
    """Return the snapshot that an address leads to, over its redirects.

    Raises:
        BrowserError: The cache has none.
    """
    for _ in range(MAX_REDIRECTS):
        snapshot = cache.get(url)
        if snapshot is None:
            raise BrowserError(f"the cache has no page {url}")
        if snapshot.redirect_to is None:
            return snapshot
        url = snapshot.redirect_to
    raise BrowserError(f"too many redirects to {url}")


class CacheBrowser(Browser):
    """Shows pages by reading their HTML: no scripts, no style sheets, no network.

    Args:
        cache: Where the pages are.
    """

    def __init__(self, cache: Cache) -> None:
        self.cache = cache
        self._html = ""
        self._root: Element | None = None
        self._edits = Edits()
        self._focus: Element | None = None

    def open(self, url: str) -> None:
        """Show the page of an address."""
        snapshot = served(self.cache, normalise(url))
        self._show(snapshot, fragment_of(url))

    def _show(self, snapshot: Snapshot, fragment: str) -> None:
        if snapshot is not self._snapshot or self._edits:
            self._root, self._edits = None, Edits()
            self.screen = snapshot.screen
        self._snapshot, self._html, self._focus = snapshot, snapshot.html, None
        self.anchor = anchor_line(snapshot.html, fragment) if fragment else 0

    def click(self, target: Target) -> bool:
        """Follow a link, press a button, or turn a box on or off."""
        if target.role == "link":
            self._follow(target)
            return True
        pressed = self._element(target)
        if pressed.tag == "input" and input_type(pressed) in ("checkbox", "radio"):
            self._turn(pressed)
            return False
        if not is_submit(pressed):
            raise BrowserError(f"nothing happens when {target} is pressed")
        self._submit(form_of(pressed), pressed)
        return True

    def fill(self, target: Target, text: str) -> None:
        """Put a text in the place of what a field holds, or choose an option."""
        field = self._element(target)
        if field.tag == "select":
            options = field.find_all("option")
            labels = [(o.attributes.get("label") or o.words, is_disabled(o)) for o in options]
            self._edits.chosen[field] = options[option_at(labels, text)]
            self._redraw()
            return
        if "readonly" in field.attributes or field.tag not in ("input", "textarea"):
            raise BrowserError(f"nothing can be typed into {target}")
        if field.tag == "input" and not takes(input_type(field), text):
            raise BrowserError(f"{target} takes no {text!r}")
        self._focus = field
        self._set(field, text if field.tag == "textarea" else text.replace("\n", ""))

    def press(self, key: str) -> bool:
        """Press a key in the field that has the cursor."""
        field = self._focus
        if field is None:
            raise BrowserError("no field has the cursor: type into one first")
        if key == "Backspace":
            self._set(field, self._page().value(field)[:-1])
            return False
        if field.tag == "textarea":
            self._set(field, self._page().value(field) + "\n")
            return False
        form, root = form_of(field), self._page().root
        if form is not None and ignores_enter(form, root):
            raise BrowserError("nothing happens when Enter is pressed: the form has no button")
        self._submit(form, None if form is None else default_button(form, root))
        return True

    def _follow(self, target: Target) -> None:
        href = target.url or ""
        url = resolve(self._base(), href)
        if url is None:
            raise BrowserError(f"{target} leads to no web page")
        if url == self.shown().url and "#" in href:
            fragment = fragment_of(href)
            self.anchor = anchor_line(self._html, fragment) if fragment else 0
            return
        self._show(served(self.cache, url), fragment_of(href))

    def _submit(self, form: Element | None, button: Element | None) -> None:
        if form is None:
            raise BrowserError("the field or button belongs to no form")
        if button is not None and is_disabled(button):
            raise BrowserError("the button of the form is disabled")
        if not is_get(form, button):
            raise BrowserError("the form would change something at the site, which a cache cannot")
        here = self.shown().url
        url = resolve(here, request_of(form, button, self._page(), url=here, base=self._base()))
        if url is None:
            raise BrowserError("the form leads to no web page")
        self._show(served(self.cache, url), "")

    def _base(self) -> str:
        url = self.shown().url
        return base_of(self._page().root, url) if says(self._html, "<base") else url

    def _page(self) -> Inspection:
        if self._root is None:
            # Another session may hold the same; nobody changes it.
            self._root = self.cache.root(self.shown().url) or parse(self._html)
        return Inspection(self._root, self._edits)

    def _element(self, target: Target) -> Element:
        """Return the element of a target: the one of its role that has as many before it."""
        found = _acted_on(self._page().root).get(target.role, ())
        if target.nth >= len(found):
            raise BrowserError(f"there is no {target}")
        return found[target.nth]

    def _set(self, field: Element, text: str) -> None:
        self._edits.texts[field] = text
        self._redraw()

    def _turn(self, box: Element) -> None:
        page = self._page()
        if input_type(box) == "checkbox":
            self._edits.checked[box] = not page.is_checked(box)
        else:
            self._edits.checked.update({one: one is box for one in page.radio_group(box)})
        self._redraw()

    def _redraw(self) -> None:
        """Show the page with what was done to its form controls."""
        screen = self.shown()
        lines = aria_lines(aria_tree(self._page().root, self._edits))
        self.screen = Screen(screen.url, screen.title, "\n".join(line for line, _ in lines))


@lru_cache(maxsize=256)
def _acted_on(root: Element) -> dict[str, list[Element]]:
    """Return the elements of a page that can be acted on, by role, in the order of the tree, which no typing changes."""
    found: dict[str, list[Element]] = {}
    for _, node in aria_lines(aria_tree(root)):
        if node is not None and node.element is not None and node.role in (*CLICKABLE, *TYPABLE):
            found.setdefault(node.role, []).append(node.element)
    return found


@lru_cache(maxsize=1024)
def anchor_line(html: str, fragment: str) -> int:
    """Return the line of the tree at which the element that a fragment names begins, or 0 where nothing has that name.

    The element is given a role and a name of its own for a moment, and the line looked for, as it can be done in a browser too.
    """
    root = parse(html)
    element = root.find("*", id=fragment) or root.find("a", name=fragment)
    if element is None:
        return 0
    element.attributes.update({"role": "note", "aria-label": MARK})
    found = place_of(aria_tree(root, until=element), element)
    return found[0] if found and (found[1].role, found[1].name) == ("note", MARK) else 0
