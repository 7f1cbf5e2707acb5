"""What a form sends: the fields that are filled in, to the address that it names."""

from __future__ import annotations

import re
from urllib.parse import urljoin

from orbiter_liveweb.dom import Element
from orbiter_liveweb.inspection import Inspection, form_of
from orbiter_liveweb.roles import input_type, is_disabled
from orbiter_liveweb.urls import with_query

ENTER_TYPES = (
    "text", "search", "tel", "url", "email", "password", "date", "month", "week", "time", "datetime-local", "number",
)  # fmt: skip
"""Types of the inputs that count where a form without a button is sent by Enter: it may have one of them."""


def is_submit(control: Element) -> bool:
    """Return whether a press on the control sends its form."""
    if control.tag == "button":
        return control.attributes.get("type", "submit").lower() not in ("button", "reset")
    return control.tag == "input" and input_type(control) in ("submit", "image")


def controls_of(form: Element, root: Element) -> list[Element]:
    """Return the controls of a form in document order."""
    tags = ("input", "select", "textarea", "button")
    return [e for e in root.elements() if e.tag in tags and form_of(e) is form]


def default_button(form: Element, root: Element) -> Element | None:
    """Return the button that Enter in a field presses: the first that sends the form."""
    return next((control for control in controls_of(form, root) if is_submit(control)), None)


def ignores_enter(form: Element, root: Element) -> bool:
    """Return whether Enter in a field does not send the form: one of several fields, and without a button."""
    controls = controls_of(form, root)
    fields = [c for c in controls if c.tag == "input" and input_type(c) in ENTER_TYPES]
    return len(fields) > 1 and not any(is_submit(control) for control in controls)


def is_get(form: Element, button: Element | None) -> bool:
    """Return whether the form asks for an address; one that posts changes something, and no cache holds that."""
    method = (button.attributes.get("formmethod") if button else None) or form.attributes.get(
        "method", ""
    )
    return method.lower() not in ("post", "dialog")


def request_of(
    form: Element, button: Element | None, page: Inspection, *, url: str, base: str
) -> str:
    """Return the address that a form asks for.

    Args:
        form: The form.
        button: The button that was pressed, or None.
        page: The page, with what was typed.
        url: Address of the page, to which a form without an action goes.
        base: What addresses in the page are relative to.
    """
    action = (button.attributes.get("formaction") if button else None) or form.attributes.get(
        "action", ""
    )
    fields: list[tuple[str, str]] = []
    for control in controls_of(form, page.root):
        if is_disabled(control):
            continue
        name = control.attributes.get("name", "")
        if control is button and button.tag == "input" and input_type(button) == "image":
            prefix = f"{name}." if name else ""
            fields += [(f"{prefix}x", "0"), (f"{prefix}y", "0")]  # as Enter presses it
        elif name:
            fields += [(name, _LINE_END.sub("\r\n", v)) for v in _values(control, button, page)]
    return with_query(urljoin(base, action) if action else url, fields)


_LINE_END = re.compile("\r\n|\r|\n")


def _values(control: Element, button: Element | None, page: Inspection) -> list[str]:
    kind = input_type(control) if control.tag == "input" else control.tag
    if kind in ("submit", "button", "image", "reset"):
        return [control.attributes.get("value", "")] if control is button else []
    if kind in ("checkbox", "radio"):
        return [control.attributes.get("value", "on")] if page.is_checked(control) else []
    if kind == "select":
        options = [o for o in page.selected_options(control) if not is_disabled(o)]
        return [o.attributes.get("value", o.words) for o in options]
    if kind == "hidden" and control.attributes["name"].lower() == "_charset_":
        return ["UTF-8"]
    return [""] if kind == "file" else [page.value(control)]
