r"""One spelling for the many ways in which LaTeX and plain text write the same mathematics.

``clean`` changes how an answer is written, never what it says: ``\dfrac`` to ``\frac``, full-width digits to digits, spacing and
delimiters away, ``\leq`` and ``≤`` to ``<=``. Two answers with one cleaned text are the same answer.
"""

from __future__ import annotations

import re
import unicodedata

from orbiter_math.scales import scaled, scaled_money

_SIGNS = {
    "\u2212": "-",
    "×": "*",
    "·": "*",
    "⋅": "*",
    "∙": "*",
    "÷": "/",
    "∕": "/",
    "⁄": "/",
    "π": r"\pi ",
    "∞": r"\infty ",
    "√": r"\sqrt ",
    "≤": "<=",
    "≥": ">=",
    "≠": "!=",
    "≈": r"\approx ",
    "±": r"\pm ",
    "∪": r"\cup ",
    "∩": r"\cap ",
    "∈": r"\in ",
    "°": r"^\circ ",
    "∅": r"\emptyset ",
    "ℝ": r"\mathbb{R}",
    "’": "'",
    "′": "'",
    "″": "''",
    "–": "-",
    "⟨": r"\langle ",
    "⟩": r"\rangle ",
}
# A run of small characters is one exponent or index: 2¹⁰ is no power of 2¹.
_SMALL = [
    chr(code)
    for start, stop in (
        (0xB2, 0xB4),
        (0xB9, 0xBA),
        (0x2B0, 0x300),
        (0x1D2C, 0x1DC0),
        (0x2070, 0x20A0),
    )
    for code in range(start, stop)
]
_RAISED, _LOWERED = (
    "".join(char for char in _SMALL if unicodedata.decomposition(char).startswith(tag))
    for tag in ("<super>", "<sub>")
)
_RUN = re.compile(f"(?P<raised>[{_RAISED}]+)|[{_LOWERED}]+")
_GREEK = {
    chr(code): f"\\{name} "
    for code, name in zip(
        (*range(0x3B1, 0x3C0), 0x3C1, *range(0x3C3, 0x3CA)),
        "alpha beta gamma delta epsilon zeta eta theta iota kappa lambda mu nu xi omicron "
        "rho sigma tau upsilon phi chi psi omega".split(),
    )
}

_COMMANDS = {
    **dict.fromkeys(("dfrac", "tfrac", "cfrac"), r"\frac"),
    **dict.fromkeys(("dbinom", "tbinom"), r"\binom"),
    **dict.fromkeys(("cdot", "times", "ast", "bullet"), "*"),
    **dict.fromkeys(("div", "slash"), "/"),
    **dict.fromkeys(("le", "leq", "leqslant", "leqq"), "<="),
    **dict.fromkeys(("ge", "geq", "geqslant", "geqq"), ">="),
    **dict.fromkeys(("ne", "neq"), "!="),
    **dict.fromkeys(("lt",), "<"),
    **dict.fromkeys(("gt",), ">"),
    **dict.fromkeys(("lvert", "rvert", "vert", "mid"), "|"),
    **dict.fromkeys(("lbrace",), r"\{"),
    **dict.fromkeys(("rbrace",), r"\}"),
    **dict.fromkeys(("lbrack",), "["),
    **dict.fromkeys(("rbrack",), "]"),
    **dict.fromkeys(("lparen",), "("),
    **dict.fromkeys(("rparen",), ")"),
    **dict.fromkeys(("colon",), ":"),
    **dict.fromkeys(("degree", "degrees"), r"^\circ"),
    **dict.fromkeys(("smallsetminus", "backslash"), r"\setminus"),
    **dict.fromkeys(("varnothing",), r"\emptyset"),
    **dict.fromkeys(("thickapprox", "simeq"), r"\approx"),
    **dict.fromkeys(("lor", "vee"), r"\text{or}"),
    **dict.fromkeys(("land", "wedge"), r"\text{and}"),
    **dict.fromkeys(("to", "rightarrow"), r"\to"),
    **dict.fromkeys(("Pr",), "P"),
    **dict.fromkeys(("ldots", "dots", "cdots"), "..."),
    # Says how it looks, not what it is.
    **dict.fromkeys("left right big Big bigg Bigg bigl bigr Bigl Bigr biggl biggr".split(), ""),
    **dict.fromkeys(
        "displaystyle textstyle limits nolimits "
        "quad qquad thinspace hspace boldsymbol bf rm it bm boxed fbox mathstrut underline".split(),
        " ",
    ),
}
_COMMAND = re.compile(r"\\([A-Za-z]+)(\*?)")
_SPACING = re.compile(r"(?<!\\)\\[!;:, ]|~|\\{1,2}(?=\s*$)")
_ROOT = re.compile(r"√\s*([0-9.]+)")
_THOUSANDS = re.compile(r"(?<=[0-9])(?:\s*\{\s*,\s*\}|\\,|\\!,|,\\!|\\ |\s)(?=[0-9]{3}(?![0-9]))")
_TEXT = re.compile(
    r"\\(?:text(?:bf|it|rm|normal|sf|tt)?|mathrm|mathit|mathsf|mathbf|mbox|hbox|operatorname)\s*\{([^{}]*)\}"
)
_NUMBER_END = re.compile(r"(?:[0-9})]|\\pi)\s*\Z")
_DELIMITERS = re.compile(r"(?<!\\)\\[()\[\]]|\$")
_WORDS = re.compile(r"(?!(?:and|or)\b)(?<![A-Za-z])[A-Za-z]{2}|[A-Za-z]\.[A-Za-z]|^(?:and|or|,)$")
_UNIT = re.compile(r"[^\W\d_]+(?:/[A-Za-z]+)?")
_COUNTED = re.compile(r"([-+]?[0-9][0-9,.]*)\s+([A-Za-z][^0-9]*)")
_DOLLARS = re.compile(r"\\\$\s*([0-9][0-9,.]*+)(?!\s*(?:\\text\{\s*)?(?:thousand|[a-z]*illion))")
_MONEY = re.compile(r"\\\$|[€£¥₹]|(?<![A-Za-z])(?:USD|US\$|Rs\.?)(?=\s*[0-9])")
_PERCENT = re.compile(r"\s*(?:\\text\{percent\}|\bpercent\b)")
_BARE_ARGUMENT = re.compile(r"\\(frac|sqrt|binom)\s*([0-9A-Za-z])(?:\s*([0-9A-Za-z]))?")
_DESCRIBED = re.compile(
    r"\\\{ ?[A-Za-z](?: ?\\in ?\\mathbb\{R\})? ?[:|] ?([^{}]*[<>][^{}]*?) ?\\\}"
)
# ]a,b[ is how (a,b) is written in France: a bracket that looks away leaves its end out.
_FRENCH = re.compile(
    r"(?:(?<=^)|(?<=\\cup)|(?<=\\setminus)|(?<=\\in)|(?<==))(\s*)([\[\]])([^\[\],;]*[,;][^\[\]]*)([\[\]])(?=\s*(?:$|\\cup|\\setminus))"
)
_COLON = re.compile(r"(?:\\math(?:bin|rel|ord|punct) ?)?\{ ?: ?\}")
_HALF_DAY = re.compile(r"(?<=:[0-9]{2}) ?([AaPp])\.? ?([Mm])\b\.?")
_PRIMED = re.compile(r"\^ ?(?:\\prime|\{ ?(?:\\prime ?){1,3}\})")
_PROBABILITY = re.compile(
    r"(?:\\mathbb ?\{ ?P ?\}|\\text\{Pr(?:ob)?\}|(?<![A-Za-z\\])Pr(?:ob)?) ?(?=\()"
)
_STARTS = " \t\n,;:*_`"


def clean(text: str) -> str:
    r"""Return ``text`` in one spelling, without delimiters, spacing commands, currency signs and closing punctuation."""
    if not text.isascii():
        text = _RUN.sub(_full_size, _ROOT.sub(r"\\sqrt{\1}", text))
        text = "".join(map(_ascii, text))
    if "$" in text or not text.isascii():
        text = scaled_money(text)
    if "\\" in text or "$" in text:
        text = _DOLLARS.sub(_dollars, _THOUSANDS.sub("", text))
        text = _MONEY.sub("", text)
        text = _SPACING.sub(" ", text)
        text = _TEXT.sub(_plain_text, text)
        text = _DELIMITERS.sub(" ", text)
        text = _COMMAND.sub(_spelling, text)
        text = _BARE_ARGUMENT.sub(_braced, text)
    else:
        text = _THOUSANDS.sub("", _MONEY.sub("", text))
    if "percent" in text:
        text = _PERCENT.sub("%", text)
    text = " ".join(scaled(text).split()).lstrip(_STARTS).rstrip(_STARTS + ".")
    if ":" in text:
        text = _HALF_DAY.sub(r" \1\2", _COLON.sub(":", text))
    if "prime" in text:
        text = _PRIMED.sub(lambda match: "'" * match[0].count("prime"), text)
    if "(" in text and ("Pr" in text or "mathbb" in text):
        text = _PROBABILITY.sub("P", text)
    if "]" in text or "[" in text:
        text = _FRENCH.sub(_facing, text)
    described = _DESCRIBED.fullmatch(text)
    return described[1] if described else text


def squeezed(text: str) -> str:
    """Return a cleaned text without the spaces that never matter: those that part no letters and digits."""
    return re.sub(r"(?<![A-Za-z0-9.]) | (?![A-Za-z0-9.])", "", text)


def _full_size(match: re.Match[str]) -> str:
    sign, inside = "^" if match["raised"] else "_", unicodedata.normalize("NFKC", match[0])
    alone = len(inside) == 1 and not match.string[match.end() : match.end() + 1].isalnum()
    return sign + (inside if alone else f"{{{inside}}}")


def _ascii(char: str) -> str:
    if char.isascii():
        return char
    if char in _SIGNS:
        return _SIGNS[char]
    if char in _GREEK:
        return _GREEK[char]
    if (digit := unicodedata.decimal(char, None)) is not None:
        return str(digit)
    plain = unicodedata.normalize("NFKC", char)
    if "⁄" in plain:  # one of the fractions such as ½
        top, _, bottom = plain.partition("⁄")
        return rf"\frac{{{top}}}{{{bottom}}}"
    return plain if len(plain) == 1 else char


def _dollars(match: re.Match[str]) -> str:
    amount = match[1].rstrip(",.")
    return rf"{amount}\text{{dollars}}{match[1][len(amount) :]}"


def _facing(match: re.Match[str]) -> str:
    space, opening, inside, closing = match.groups()
    return f"{space}{'[' if opening == '[' else '('}{inside}{']' if closing == ']' else ')'}"


def _plain_text(match: re.Match[str]) -> str:
    inside = match[1].strip()
    if _WORDS.search(inside):
        if counted := _COUNTED.fullmatch(inside):
            return rf" {counted[1]} \text{{{counted[2]}}}"
        return rf"\text{{{inside}}}"
    after_number = _NUMBER_END.search(match.string, 0, match.start())
    is_unit = _UNIT.fullmatch(inside) and inside not in ("i", "e") and after_number
    return rf"\text{{{inside}}}" if is_unit else f" {inside} "


def _spelling(match: re.Match[str]) -> str:
    replacement = _COMMANDS.get(match[1])
    return match[0] if replacement is None else replacement + match[2]


def _braced(match: re.Match[str]) -> str:
    name, first, second = match.groups()
    if name == "sqrt":
        return rf"\sqrt{{{first}}}{second or ''}"
    return rf"\{name}{{{first}}}{{{second}}}" if second else match[0]
