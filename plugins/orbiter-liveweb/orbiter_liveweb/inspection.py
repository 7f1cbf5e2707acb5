"""One look at a page: roles, visibility, labels and the values of its form fields, each computed once."""

from __future__ import annotations

import re
from collections.abc import Mapping, Sequence

from orbiter_liveweb.dom import Element
from orbiter_liveweb.roles import input_type, is_disabled, role_of
from orbiter_liveweb.styles import Visibility, is_list_box


class Inspection:
    """What is asked of the elements of one page again and again.

    Args:
        root: The page.
        values: What stands in form fields that were typed into.
    """

    def __init__(self, root: Element, values: Mapping[Element, str] | None = None) -> None:
        self.root, self.values = root, values or {}
        self.is_hidden = Visibility().is_hidden
        self._roles: dict[Element, str | None] = {}
        self._ids: dict[str, Element] | None = None
        self._labels: dict[Element, list[Element]] | None = None

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
                    target = named[0] if named and _is_labelable(named[0]) else None
                else:
                    target = next((e for e in label.elements() if _is_labelable(e)), None)
                if target is not None:
                    self._labels.setdefault(target, []).append(label)
        return self._labels.get(control, ())

    def value(self, field: Element) -> str:
        """Return what stands in an input or a text area."""
        if field in self.values:
            return self.values[field]
        if field.tag == "textarea":
            return field.text
        value = field.attributes.get("value", "")
        if input_type(field) == "range":
            return _in_range(
                value, field.attributes.get("min", ""), field.attributes.get("max", "")
            )
        return value.replace("\n", "").replace("\r", "")

    def selected_options(self, select: Element) -> list[Element]:
        """Return the options of a select that are chosen."""
        options = select.find_all("option")
        chosen = [option for option in options if "selected" in option.attributes]
        if "multiple" in select.attributes:
            return chosen
        if not chosen and not is_list_box(select):
            chosen = [option for option in options if not is_disabled(option)][:1]
        return chosen[-1:]


def _in_range(value: str, low: str, high: str) -> str:
    """Return what a slider holds: its value within the bounds, or the middle of them."""

    def number(text: str, default: float) -> float:
        return float(text) if _FLOAT.fullmatch(text) else default

    least = number(low, 0.0)
    most = max(number(high, 100.0), least)
    return f"{min(max(number(value, (least + most) / 2), least), most):g}"


_FLOAT = re.compile(r"-?(?:[0-9]+(?:\.[0-9]+)?|\.[0-9]+)(?:[eE][-+]?[0-9]{1,2})?")


def _is_labelable(element: Element) -> bool:
    if element.tag == "input":
        return input_type(element) != "hidden"
    return element.tag in ("button", "meter", "output", "progress", "select", "textarea")
