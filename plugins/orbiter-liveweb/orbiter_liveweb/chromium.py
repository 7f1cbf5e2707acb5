"""The same sessions in a real headless Chromium, which is given the pages of the cache and nothing else.

Playwright drives a Chromium that the system installed; nothing is downloaded. Scripts of pages do not run, and every request that is
not for a page of the cache gets no answer.
"""

from __future__ import annotations

import os
import re
import shutil
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from typing import Any

from orbiter.errors import MissingPluginError
from orbiter_liveweb.browser import (
    MARK,
    Browser,
    BrowserError,
    option_at,
    served,
)
from orbiter_liveweb.cache import Cache
from orbiter_liveweb.forms import ENTER_TYPES
from orbiter_liveweb.inspection import takes
from orbiter_liveweb.screen import Screen, Target
from orbiter_liveweb.snapshot import Snapshot
from orbiter_liveweb.urls import fragment_of, normalise, resolve

_NAMES = ("chromium", "chromium-browser", "google-chrome", "google-chrome-stable")

TIMEOUT_MS = 30_000

_CONTEXT = {
    "java_script_enabled": False,
    "bypass_csp": True,  # a page may forbid itself its own style attributes
    "service_workers": "block",
    "accept_downloads": False,
}

_TOP = "body, html:has(frameset)"
"""The body, or the whole of a page of frames."""

_PLAIN = """() => {
    for (const sheet of document.styleSheets) sheet.disabled = true;
    for (const e of document.querySelectorAll('a, area, base, form, button, input'))
        for (const name of ['target', 'formtarget', 'download']) e.removeAttribute(name);
    for (const form of document.forms) form.noValidate = true;
}"""
"""Makes a page one as the extractor sees it: without style sheets, all in one tab, and its forms sent as they are."""


_FORM = """(e, types) => {
    if (!e.form) return null;
    const all = [...document.querySelectorAll('button, input')].filter(x => x.form === e.form);
    const submits = all.filter(x => ['submit', 'image'].includes(x.type));
    const button = submits.includes(e) ? e : submits[0];
    const said = name => button?.getAttribute('form' + name) || e.form.getAttribute(name) || '';
    let action = said('action');
    try { action = new URL(action || document.URL, action ? e.baseURI : document.URL).href } catch { action = '' }
    return {
        action, method: said('method').toLowerCase(), disabled: !!button?.matches(':disabled'),
        ignores: !button && all.filter(x => x.tagName === 'INPUT' && types.includes(x.type)).length > 1,
    };
}"""
"""What is known of the form of a button or field before it is sent; null where there is none."""

_MARKED = """([name, ...given]) => {
    const e = document.getElementById(name) || document.querySelector(`a[name="${CSS.escape(name)}"]`);
    return e && ['role', 'aria-label'].map((key, n) => {
        const old = e.getAttribute(key);
        given[n] === null ? e.removeAttribute(key) : e.setAttribute(key, given[n]);
        return old;
    });
}"""
"""Gives the element that a fragment names another role and label, and returns those that it had; null where there is none."""


def line_of_mark(lines: list[str]) -> int:
    """Return the line that begins with the mark, or 0."""
    start = f'- note "{MARK}"'
    return next((n for n, line in enumerate(lines) if line.lstrip().startswith(start)), 0)


def chromium_path() -> str:
    """Return the Chromium of this machine: that of ``ORBITER_CHROMIUM``, or the first that the system has.

    Raises:
        MissingPluginError: There is none.
    """
    wanted = os.environ.get("ORBITER_CHROMIUM")
    found = (shutil.which(name) for name in ((wanted,) if wanted else _NAMES))
    path = next((one for one in found if one), None)
    if path is None:
        raise MissingPluginError(
            f"no Chromium on this machine: {wanted or ', '.join(_NAMES)} cannot be run",
            hint="apt-get install chromium, or set ORBITER_CHROMIUM to where one is",
        )
    return path


@contextmanager
def launched() -> Iterator[Any]:
    """Start Chromium for the block and give Playwright's browser.

    Raises:
        MissingPluginError: Playwright or Chromium is missing.
    """
    try:
        from playwright.sync_api import sync_playwright
    except ImportError as error:
        raise MissingPluginError(
            "a browser needs playwright, which is not installed",
            hint="pip install 'orbiter-liveweb[browser]'",
        ) from error
    path = chromium_path()
    # Chromium's sandbox does not start as root.
    arguments = ["--no-sandbox"] if os.geteuid() == 0 else []
    with sync_playwright() as started:
        browser = started.chromium.launch(executable_path=path, args=arguments)
        try:
            yield browser
        finally:
            browser.close()


class ChromiumBrowser(Browser):
    """Shows the pages of a cache in Chromium.

    Args:
        cache: Where the pages are.
        chromium: From :func:`launched`.

    Attributes:
        blocked: Addresses of the requests that got no answer.
    """

    def __init__(self, cache: Cache, chromium: Any) -> None:
        self.cache = cache
        self._context = chromium.new_context(**_CONTEXT)
        self._context.set_default_timeout(TIMEOUT_MS)
        self._context.route("**/*", self._serve)
        self._tab = self._context.new_page()
        self._focus: Any = None
        self._tab.on("framenavigated", self._arrive)
        self._expecting = self._arrived = False
        self._outcome: Snapshot | BrowserError | None = None
        self._asked = ""
        self.blocked: list[str] = []

    def close(self) -> None:
        """Close the tab."""
        self._context.close()

    def _serve(self, route: Any) -> None:
        """Answer a request: with a page, if an action asked for one, else not at all."""
        request = route.request
        if not (request.is_navigation_request() and request.frame == self._tab.main_frame):
            self.blocked.append(request.url)
            route.abort()
            return
        if not self._expecting:
            # A page that refreshes itself: it has to wait for the model to wait.
            route.fulfill(status=204)
            return
        self._asked = request.url
        try:
            self._outcome = served(self.cache, normalise(request.url))
        except BrowserError as error:
            self._outcome = error
            route.fulfill(status=204)  # no content: the tab stays where it is
            return
        if normalise(request.url) == self._outcome.url:
            self._expecting = False  # one that refreshes itself at once has to wait too
            route.fulfill(
                body=without_shadows(self._outcome.html), content_type="text/html; charset=utf-8"
            )
        else:  # a redirect, which is followed by the address that it leads to
            route.fulfill(status=204)

    def _arrive(self, frame: Any) -> None:
        self._arrived = self._arrived or frame == self._tab.main_frame

    def _navigate(self, start: Any) -> None:
        """Do what makes the tab ask for a page, and wait for that page."""
        self._expecting, self._arrived, self._outcome = True, False, None
        try:
            start()
            self._until(lambda: self._outcome is not None)
            if isinstance(self._outcome, BrowserError):
                raise self._outcome
            snapshot: Any = self._outcome
            self._snapshot, self._focus = snapshot, None
            if not self._arrived and normalise(self._asked) != snapshot.url:
                self._outcome = None
                self._tab.goto(snapshot.url)
            self._until(lambda: self._arrived)
            self._tab.wait_for_load_state("load")
            self._tab.evaluate(_PLAIN)
        finally:
            self._expecting = False

    def _until(self, holds: Callable[[], bool]) -> None:
        """Let the browser work until something holds."""
        deadline = time.monotonic() + TIMEOUT_MS / 1000
        while not holds():
            if time.monotonic() > deadline:
                raise BrowserError("the browser did not come to a page in time")
            self._tab.wait_for_timeout(2)

    def open(self, url: str) -> None:
        """Show the page of an address."""
        # An address that differs by its fragment alone would not be asked for again.
        wanted = served(self.cache, normalise(url))
        self._tab.goto("about:blank")
        self._navigate(lambda: self._tab.goto(wanted.url))
        self._look(fragment_of(url))

    def click(self, target: Target) -> bool:
        """Follow a link, press a button, or turn a box on or off."""
        element = self._locate(target)
        if target.role == "link":
            href = element.evaluate(
                "e => { try { return new URL(e.getAttribute('href'), e.baseURI).href } catch { return '' } }"
            )
            here = self.shown().url
            url = resolve(here, href) if href else None
            if url is None:
                raise BrowserError(f"{target} leads to no web page")
            if url == here and "#" in (target.url or ""):
                self.anchor = self._line_of(fragment_of(href))
                return True
            self._navigate(lambda: element.dispatch_event("click"))
            self._look(fragment_of(href))
            return True
        kind = element.evaluate("e => [e.tagName, e.type]")
        if kind[0] == "INPUT" and kind[1] in ("checkbox", "radio"):
            element.dispatch_event("click")
            self._look_again()
            return False
        if kind[0] not in ("BUTTON", "INPUT") or kind[1] not in ("submit", "image"):
            raise BrowserError(f"nothing happens when {target} is pressed")
        self._send(element, lambda: element.evaluate("e => e.form.requestSubmit(e)"))
        return True

    def fill(self, target: Target, text: str) -> None:
        """Put a text in the place of what a field holds, or choose an option."""
        field = self._locate(target)
        options = field.evaluate(
            "e => e.tagName === 'SELECT' ? [...e.options].map(o => [o.label, o.matches(':disabled')]) : null"
        )
        if options is not None:
            field.select_option(index=option_at(options, text))
            self._look_again()
            return
        kind = field.evaluate("e => ['INPUT', 'TEXTAREA'].includes(e.tagName) ? e.type : null")
        if kind is None or not field.is_editable():
            raise BrowserError(f"nothing can be typed into {target}")
        if not takes(kind, text):
            raise BrowserError(f"{target} takes no {text!r}")
        field.fill(text)
        self._focus = field
        self._look_again()

    def press(self, key: str) -> bool:
        """Press a key in the field that has the cursor."""
        field = self._focus
        if field is None:
            raise BrowserError("no field has the cursor: type into one first")
        if key == "Backspace" or field.evaluate("e => e.tagName === 'TEXTAREA'"):
            field.press(key)
            self._look_again()
            return False
        self._send(field, lambda: field.press(key, no_wait_after=True))
        return True

    def _send(self, control: Any, start: Callable[[], object]) -> None:
        """Do what sends the form of a button, or of a field that Enter is pressed in."""
        form = control.evaluate(_FORM, list(ENTER_TYPES))
        if form is None:
            raise BrowserError("the field or button belongs to no form")
        if form["ignores"]:
            raise BrowserError("nothing happens when Enter is pressed: the form has no button")
        if form["disabled"]:
            raise BrowserError("the button of the form is disabled")
        if form["method"] in ("post", "dialog"):
            raise BrowserError("the form would change something at the site, which a cache cannot")
        if resolve(self.shown().url, form["action"]) is None:
            raise BrowserError("the form leads to no web page")
        self._navigate(start)
        self._look("")

    def _look(self, fragment: str) -> None:
        """Take in the page that the tab shows."""
        self._look_again()
        self.anchor = self._line_of(fragment) if fragment else 0

    def _look_again(self) -> None:
        self.screen = Screen(
            normalise(self._tab.url), " ".join(self._tab.title().split()), self._tree()
        )

    def _tree(self) -> str:
        return str(self._tab.locator(_TOP).aria_snapshot())

    def _line_of(self, fragment: str) -> int:
        """Return the line at which the element begins that a fragment names; see :func:`orbiter_liveweb.browser.anchor_line`."""
        old = self._tab.evaluate(_MARKED, [fragment, "note", MARK]) if fragment else None
        if old is None:
            return 0
        line = line_of_mark(self._tree().split("\n"))
        self._tab.evaluate(_MARKED, [fragment, *old])
        return line

    def _locate(self, target: Target) -> Any:
        """Return the element of a target: the one of its role that has as many before it."""
        found = self._tab.get_by_role(target.role).nth(target.nth)
        if found.count() != 1:
            raise BrowserError(f"there is no {target}")
        return found


_SHADOW = re.compile(r"(<template\b[^<>]*?\s)shadowrootmode\b", re.IGNORECASE)


def without_shadows(html: str) -> str:
    """Return a page whose templates stay templates: a browser that records a page leaves shadow trees out too."""
    return _SHADOW.sub(r"\1data-shadowrootmode", html)


def tree_in(chromium: Any, url: str, html: str) -> str:
    """Return the accessibility tree that Chromium gives a page, without style sheets and scripts."""
    context = chromium.new_context(**_CONTEXT)
    try:
        context.route(
            "**/*",
            lambda route: (
                route.fulfill(body=without_shadows(html), content_type="text/html; charset=utf-8")
                if route.request.is_navigation_request() and route.request.url == url
                else route.abort()
            ),
        )
        tab = context.new_page()
        tab.goto(url)
        tab.evaluate(_PLAIN)
        return str(tab.locator(_TOP).aria_snapshot())
    finally:
        context.close()
