"""One look at a page: roles, visibility, labels and the values of its form fields, each computed once."""

from __future__ import annotations

import re
from collections.abc import Sequence
from datetime import date

from attrs import Factory, define

from orbiter_liveweb.dom import Element
from orbiter_liveweb.roles import input_type, is_disabled, role_of
from orbiter_liveweb.styles import Visibility, is_list_box


@define
class Edits:
    """What was done to the form controls of a page.

    Args:
        texts: What stands in fields that were typed into.
        checked: Whether check boxes and radio buttons that were clicked, or that such a click turned off, are on.
        chosen: The option that was chosen of a select.
    """

    texts: dict[Element, str] = Factory(dict)
    checked: dict[Element, bool] = Factory(dict)
    chosen: dict[Element, Element] = Factory(dict)

    def __bool__(self) -> bool:
        return bool(self.texts or self.checked or self.chosen)


class Inspection:
    """What is asked of the elements of one page again and again.

    Args:
        root: The page.
        edits: What was done to its form controls.
    """

    def __init__(self, root: Element, edits: Edits | None = None) -> None:
        self.root, self.edits = root, edits or Edits()
        self.is_hidden = Visibility().is_hidden
        self._roles: dict[Element, str | None] = {}
        self._ids: dict[str, Element] | None = None
        self._labels: dict[Element, list[Element]] | None = None
        self._selected: dict[Element, list[Element]] = {}

    def role(self, element: Element) -> str | None:
        """Return the role of an element."""
        try:
            return self._roles[element]
        except KeyError:
            role = self._roles[element] = role_of(element)
            return role

    def ids_in(self, given: str | None) -> list[Element]:
        """Return the elements whose ids an attribute lists, each once."""
        if not given:
            return []
        if self._ids is None:
            self._ids = {}
            for element in self.root.elements():
                if (name := element.attributes.get("id")) is not None:
                    self._ids.setdefault(name, element)
        found = (self._ids.get(name) for name in given.split())
        return list(dict.fromkeys(element for element in found if element is not None))

    def labels(self, control: Element) -> Sequence[Element]:
        """Return the labels of a form control, in document order."""
        if self._labels is None:
            self._labels = {}
            for label in self.root.find_all("label"):
                if "for" in label.attributes:
                    named = self.ids_in(label.attributes["for"])
                    target = named[0] if named and is_labelable(named[0]) else None
                else:
                    target = next((e for e in label.elements() if is_labelable(e)), None)
                if target is not None:
                    self._labels.setdefault(target, []).append(label)
        return self._labels.get(control, ())

    def value(self, field: Element) -> str:
        """Return what stands in an input or a text area."""
        if field in self.edits.texts:
            return self.edits.texts[field]
        if field.tag == "textarea":
            return field.text
        value, kind = field.attributes.get("value", ""), input_type(field)
        if kind == "range":
            return _in_range(
                value, field.attributes.get("min", ""), field.attributes.get("max", "")
            )
        if kind == "datetime-local":
            value = _NO_SECONDS.sub("", value.replace(" ", "T", 1))
        if not takes(kind, value):
            return "#000000" if kind == "color" else ""
        if kind == "color":
            return value.lower()
        value = value.replace("\n", "").replace("\r", "")
        if kind == "email" and "multiple" in field.attributes:
            return ",".join(part.strip() for part in value.split(","))
        return value

    def radio_group(self, radio: Element) -> list[Element]:
        """Return the radio buttons of which one at a time is on, in document order, the given one among them."""
        name = radio.attributes.get("name")
        if not name:
            return [radio]
        form = form_of(radio)
        return [
            one
            for one in self.root.find_all("input", name=name)
            if input_type(one) == "radio" and form_of(one) is form
        ]

    def is_checked(self, box: Element) -> bool:
        """Return whether a check box or radio button is on."""
        if box in self.edits.checked:
            return self.edits.checked[box]
        if "checked" not in box.attributes or input_type(box) == "checkbox":
            return "checked" in box.attributes
        # Each that is written as on turns off those before it.
        return [one for one in self.radio_group(box) if "checked" in one.attributes][-1] is box

    def selected_options(self, select: Element) -> list[Element]:
        """Return the options of a select that are chosen."""
        if select not in self._selected:
            self._selected[select] = self._find_selected(select)
        return self._selected[select]

    def _find_selected(self, select: Element) -> list[Element]:
        if select in self.edits.chosen:
            return [self.edits.chosen[select]]
        options = select.find_all("option")
        chosen = [option for option in options if "selected" in option.attributes]
        if "multiple" in select.attributes:
            return chosen
        if not chosen and not is_list_box(select):
            chosen = [option for option in options if not is_disabled(option)][:1]
        return chosen[-1:]


def form_of(control: Element) -> Element | None:
    """Return the form that a control belongs to, or None."""
    if wanted := control.attributes.get("form"):
        return control.root.find("form", id=wanted)
    return control.closest(lambda element: element.tag == "form")


def _in_range(value: str, low: str, high: str) -> str:
    """Return what a slider holds: its value within the bounds, or the middle of them."""

    def number(text: str, default: float) -> float:
        return float(text) if _FLOAT.fullmatch(text) else default

    least = number(low, 0.0)
    most = max(number(high, 100.0), least)
    return f"{min(max(number(value, (least + most) / 2), least), most):g}"


_FLOAT = re.compile(r"-?(?:[0-9]+(?:\.[0-9]+)?|\.[0-9]+)(?:[eE][-+]?[0-9]{1,2})?")
_MINUTE = "(?:[01][0-9]|2[0-3]):[0-5][0-9]"
_DAY = "[0-9]{4}-[0-9]{2}-[0-9]{2}"
_NO_SECONDS = re.compile("(?<=:[0-5][0-9]):00$")
_FORMS = {
    "number": _FLOAT,
    "color": re.compile("#[0-9a-f]{6}", re.IGNORECASE),
    "month": re.compile("[0-9]{4}-(?:0[1-9]|1[0-2])"),
    "week": re.compile("[0-9]{4}-W[0-9]{2}"),
    "date": re.compile(_DAY),
    "time": re.compile(rf"{_MINUTE}(?::[0-5][0-9](?:\.[0-9]{{1,3}})?)?"),
    "datetime-local": re.compile(f"{_DAY}T{_MINUTE}(?::(?!00)[0-5][0-9])?"),
}


def takes(kind: str, text: str) -> bool:
    """Return whether an input of a type can hold a text, as a number's and a date's cannot hold any."""
    form = _FORMS.get(kind)
    if form is not None and form.fullmatch(text) is None:
        return False
    try:
        if kind in ("date", "datetime-local"):
            date.fromisoformat(text[:10])
        elif kind == "week":
            date.fromisocalendar(int(text[:4]), int(text[6:]), 1)
    except ValueError:
        return False
    return True


def is_labelable(element: Element) -> bool:
    """Return whether a label can be of it."""
    if element.tag == "input":
        return input_type(element) != "hidden"
    return element.tag in ("button", "meter", "output", "progress", "select", "textarea")
