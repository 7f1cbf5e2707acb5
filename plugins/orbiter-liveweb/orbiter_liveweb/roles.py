"""The ARIA role of an element, as Playwright computes it for its snapshots (roleUtils.ts), which follow HTML-AAM."""

from __future__ import annotations

from orbiter_liveweb.dom import Element
from orbiter_liveweb.styles import is_list_box

VALID_ROLES = frozenset(
    """alert alertdialog application article banner blockquote button caption cell checkbox code columnheader combobox
    complementary contentinfo definition deletion dialog directory document emphasis feed figure form generic grid gridcell
    group heading img insertion link list listbox listitem log main mark marquee math meter menu menubar menuitem
    menuitemcheckbox menuitemradio navigation none note option paragraph presentation progressbar radio radiogroup region
    row rowgroup rowheader scrollbar search searchbox separator slider spinbutton status strong subscript superscript
    switch tab table tablist tabpanel term textbox time timer toolbar tooltip tree treegrid treeitem""".split()
)

_BY_TAG = {
    "article": "article", "aside": "complementary", "blockquote": "blockquote", "button": "button",
    "caption": "caption", "code": "code", "datalist": "listbox", "dd": "definition", "del": "deletion",
    "details": "group", "dfn": "term", "dialog": "dialog", "dt": "term", "em": "emphasis",
    "fieldset": "group", "figure": "figure", "h1": "heading", "h2": "heading", "h3": "heading",
    "h4": "heading", "h5": "heading", "h6": "heading", "hr": "separator", "html": "document",
    "ins": "insertion", "li": "listitem", "main": "main", "mark": "mark", "math": "math",
    "menu": "list", "meter": "meter", "nav": "navigation", "ol": "list", "optgroup": "group",
    "option": "option", "output": "status", "p": "paragraph", "progress": "progressbar",
    "search": "search", "strong": "strong", "sub": "subscript", "sup": "superscript", "svg": "img",
    "table": "table", "tbody": "rowgroup", "textarea": "textbox", "tfoot": "rowgroup",
    "thead": "rowgroup", "time": "time", "tr": "row", "ul": "list",
}  # fmt: skip

_BY_INPUT_TYPE = {
    "button": "button", "checkbox": "checkbox", "image": "button", "number": "spinbutton", "radio": "radio",
    "range": "slider", "reset": "button", "submit": "button", "file": "button", "search": "searchbox",
}  # fmt: skip

INPUT_TYPES = frozenset(
    """hidden text search tel url email password date month week time datetime-local number range color checkbox radio
    file submit image reset button""".split()
)
"""Types of an input; any other is text."""

_GLOBAL_ATTRIBUTES = """aria-atomic aria-busy aria-controls aria-current aria-describedby aria-details aria-dropeffect
    aria-flowto aria-grabbed aria-hidden aria-keyshortcuts aria-live aria-owns aria-relevant""".split()
_UNNAMED = frozenset(
    """caption code deletion emphasis generic insertion paragraph presentation strong subscript superscript""".split()
)

_INHERITING = {
    "dd": ("dl", "div"), "div": ("dl",), "dt": ("dl", "div"), "li": ("ol", "ul"), "tbody": ("table",),
    "td": ("tr",), "tfoot": ("table",), "th": ("tr",), "thead": ("table",),
    "tr": ("thead", "tbody", "tfoot", "table"),
}  # fmt: skip
"""Elements that have no role of their own where the parent they belong to is presentational."""

_SECTIONING_TAGS = frozenset({"article", "aside", "main", "nav", "section"})
_SECTIONING_ROLES = frozenset({"article", "complementary", "main", "navigation", "region"})


def input_type(element: Element) -> str:
    """Return the type of an input as the DOM has it."""
    kind = element.attributes.get("type", "text").lower()
    return kind if kind in INPUT_TYPES else "text"


def role_of(element: Element) -> str | None:
    """Return the role, ``presentation`` or ``none`` among them, or None where the element has none."""
    explicit = explicit_role(element)
    if explicit is None:
        return _implicit_role(element)
    if explicit in ("none", "presentation"):
        implicit = _implicit_role(element)
        if _matters_anyway(element, implicit):
            return implicit
    return explicit


def explicit_role(element: Element) -> str | None:
    """Return the first role of the ``role`` attribute that exists."""
    given = element.attributes.get("role")
    if not given:
        return None
    return next((role for role in given.lower().split() if role in VALID_ROLES), None)


def has_own_name(element: Element) -> bool:
    """Return whether it is named by an ARIA attribute."""
    return "aria-label" in element.attributes or "aria-labelledby" in element.attributes


def is_disabled(element: Element) -> bool:
    """Return whether a form control is disabled, itself or by its fieldset or group."""
    if element.tag not in ("button", "input", "select", "textarea", "option", "optgroup"):
        return False
    if "disabled" in element.attributes:
        return True
    if element.tag == "option" and element.closest(
        lambda e: e.tag == "optgroup" and "disabled" in e.attributes
    ):
        return True
    fieldset = element.closest(lambda e: e.tag == "fieldset" and "disabled" in e.attributes)
    if fieldset is None:
        return False
    legend = next((e for e in fieldset.child_elements() if e.tag == "legend"), None)
    return legend is None or element.closest(lambda e: e is legend) is None


def _matters_anyway(element: Element, role: str | None) -> bool:
    """Return whether what is called presentational can be reached or is described, and so keeps its role."""
    attributes = element.attributes
    if any(name in attributes for name in _GLOBAL_ATTRIBUTES):
        return True
    if role not in _UNNAMED and has_own_name(element):
        return True
    if role != "generic" and "aria-roledescription" in attributes:
        return True
    return not is_disabled(element) and (_is_focusable(element) or _has_tab_index(element))


def _is_focusable(element: Element) -> bool:
    if element.tag in ("a", "area"):
        return "href" in element.attributes
    if element.tag == "input":
        return "hidden" not in element.attributes
    return element.tag in ("button", "details", "select", "textarea")


def _has_tab_index(element: Element) -> bool:
    given = element.attributes.get("tabindex")
    if given is None:
        return False
    try:
        float(given.strip() or "0")
    except ValueError:
        return False
    return True


def _implicit_role(element: Element) -> str | None:
    role = _own_implicit_role(element)
    if role is None:
        return None
    inner = element
    while (parent := inner.parent) is not None and parent.tag in _INHERITING.get(inner.tag, ()):
        explicit = explicit_role(parent)
        if explicit in ("none", "presentation") and not _matters_anyway(parent, explicit):
            return explicit
        inner = parent
    return role


def _own_implicit_role(element: Element) -> str | None:
    tag, attributes = element.tag, element.attributes
    role: str | None = _BY_TAG.get(tag)
    if role is not None:
        return role
    if tag in ("a", "area"):
        role = "link" if "href" in attributes else None
    elif tag in ("header", "footer"):
        inside = element.closest(_prevents_landmark)
        role = None if inside else {"header": "banner", "footer": "contentinfo"}[tag]
    elif tag in ("form", "section"):
        role = {"form": "form", "section": "region"}[tag] if has_own_name(element) else None
    elif tag == "img":
        plain = attributes.get("alt") == "" and not attributes.get("title")
        described = any(name in attributes for name in _GLOBAL_ATTRIBUTES) or has_own_name(element)
        decorative = plain and not described and not _has_tab_index(element)
        role = "presentation" if decorative else "img"
    elif tag == "input":
        role = _role_of_input(element)
    elif tag == "select":
        role = "listbox" if is_list_box(element) else "combobox"
    elif tag == "td":
        table = element.closest(lambda e: e.tag == "table")
        grid = table is not None and explicit_role(table) in ("grid", "treegrid")
        role = "gridcell" if grid else "cell"
    elif tag == "th":
        role = _role_of_header_cell(element)
    return role


def _prevents_landmark(element: Element) -> bool:
    if "role" in element.attributes:
        return element.attributes["role"] in _SECTIONING_ROLES
    return element.tag in _SECTIONING_TAGS


def _role_of_input(element: Element) -> str | None:
    kind = input_type(element)
    if kind == "hidden":
        return None
    if kind in ("email", "search", "tel", "text", "url"):
        wanted = element.attributes.get("list", "").split()
        first = element.root.find("*", id=wanted[0]) if wanted else None
        if first is not None and first.tag == "datalist":
            return "combobox"
    return _BY_INPUT_TYPE.get(kind, "textbox")


def _role_of_header_cell(element: Element) -> str | None:
    scope = element.attributes.get("scope")
    if scope in ("col", "colgroup"):
        return "columnheader"
    if scope in ("row", "rowgroup"):
        return "rowheader"
    siblings = element.siblings()
    at = next(i for i, e in enumerate(siblings) if e is element)
    before = siblings[at - 1] if at else None
    after = siblings[at + 1] if at + 1 < len(siblings) else None
    if before is None and after is None:
        row = element.parent
        table = row.closest(lambda e: e.tag == "table") if row and row.tag == "tr" else None
        one_row = table is not None and sum(1 for e in table.find_all("tr")) <= 1
        return None if one_row else "columnheader"
    if before is not None and before.tag == "th" and after is not None and after.tag == "th":
        return "columnheader"
    if _is_data(after) or _is_data(before):
        return "rowheader"
    return "columnheader"


def _is_data(element: Element | None) -> bool:
    if element is None or element.tag != "td":
        return False
    return bool(element.text.strip() or element.child_elements())
