r"""Reads a mathematical answer into a tree, with bounds on everything. Nothing is evaluated here.

It reads what answers are made of: numbers, symbols, fractions, roots, powers, elementary functions, lists, sets, tuples, intervals
and their unions, matrices, equations, inequalities and plain words, in LaTeX or as plain text. What else there is in LaTeX (sums,
integrals, limits, operators) is no closed form and is not read.
"""

from __future__ import annotations

import itertools
from collections.abc import Callable, Sequence
from fractions import Fraction

from orbiter_math.commands import COMMANDS
from orbiter_math.cursor import Cursor
from orbiter_math.literals import is_proper_fraction, is_whole, multiplies, number
from orbiter_math.relations import is_name, scaled, together
from orbiter_math.signs import signed, signs_chosen
from orbiter_math.tokens import END, HEDGE, MAX_TOKENS, Token, tokens
from orbiter_math.tree import (
    FUNCTIONS,
    About,
    Apply,
    Based,
    Group,
    Number,
    Relation,
    Symbol,
    Tree,
    UnreadableError,
    UnsupportedError,
    Words,
)
from orbiter_math.words import words_of

_CONSTANTS = {"pi": "pi", "infty": "infinity", "infinity": "infinity", "inf": "infinity"}
_GREEK = frozenset(
    "alpha beta gamma delta epsilon varepsilon zeta eta theta vartheta iota kappa lambda mu nu xi omicron rho sigma tau upsilon "
    "phi varphi chi psi omega Gamma Delta Theta Lambda Xi Pi Sigma Phi Psi Omega ell".split()
)
_RELATIONS = ("=", "<", ">", "<=", ">=", "!=")
_BETWEEN = (",", ";", "and", "or")
_CLOSING = {"(": ")", "[": "]", "\\{": "\\}", "{": "}", "\\langle": "\\rangle"}
_EVENT = frozenset({*_RELATIONS, "\\cap", "\\cup", "\\in", "|"})
"""Signs that make of ``P(...)`` a probability, and not a product."""


def parse(text: str) -> Tree:
    """Return the tree of a cleaned answer.

    Raises:
        BoundError: It is too long, too deep or has too long a number.
        UnsupportedError: It holds a command that is not known here.
        UnreadableError: It says nothing clear.
    """
    found = tokens(text)
    return words_of(text) or Parser(found).parse()


class Parser(Cursor):
    """Recursive descent over the tokens; every level of nesting is counted."""

    def __init__(self, found: Sequence[Token]) -> None:
        super().__init__(found)
        self._bars = 0
        self._between: set[str] = set()

    def parse(self) -> Tree:
        """Return the tree of all tokens."""
        items = signs_chosen(self._items(()))
        if self.peek() is not END:
            raise self.stuck()
        if len(items) == 1:
            return items[0]
        return together(items, self._between) or Group("list", tuple(items))

    def stuck(self) -> UnreadableError:
        """Return why nothing can be read here: a command that is not known, or what has no meaning."""
        token = self.peek()
        command = token.kind == "sign" and token.text[0] == "\\" and token.text[1:].isalpha()
        if command and token.text[1:] not in _KNOWN:
            return UnsupportedError("answer is not readable")
        return super().stuck()

    # From the outside in: items, relations, unions, ratios, sums, products, powers, atoms

    def _items(self, closing: tuple[str, ...]) -> list[Tree]:
        items = [self._item()]
        while sign := self.take(*_BETWEEN):
            while sign:  # "1, and 2"
                if not closing:
                    self._between.add(sign)
                sign = self.take(*_BETWEEN)
            if self.at(*closing) or self.peek() is END:
                break
            items.append(self._item())
        return items

    def _item(self) -> Tree:
        if self.take("\\approx"):
            return About(self._union())
        sides = [self._union()]
        signs: list[str] = []
        while True:
            if self.take("\\in"):  # of "x in S", S is the answer
                if signs or not isinstance(sides[0], Symbol):
                    raise self.stuck()
                return self._union()
            if self.take("\\approx"):  # what is exact counts, what is about equal to it does not
                about = self._union()
                if not signs and is_name(sides[0]):
                    sides[0] = About(about)
            elif sign := self.take(*_RELATIONS):
                signs.append(sign)
                sides.append(self._union())
            else:
                return Relation(tuple(signs), tuple(sides)) if signs else sides[0]

    def _union(self) -> Tree:
        return self._joined("\\cup", "union", self._difference)

    def _difference(self) -> Tree:
        return self._joined("\\setminus", "without", self._ratio)

    def _ratio(self) -> Tree:
        return self._joined(":", "ratio", self.expression)

    def _joined(self, sign: str, kind: str, read: Callable[[], Tree]) -> Tree:
        parts = [read()]
        while self.take(sign):
            parts.append(read())
        return parts[0] if len(parts) == 1 else Group(kind, tuple(parts))

    def expression(self) -> Tree:
        """Read a sum, which may be of one term."""
        terms = [self._term() if self.at("+", "-", "\\pm", "\\mp") else self._product()]
        while self.at("+", "-", "\\pm", "\\mp"):
            terms.append(self._term())
        return terms[0] if len(terms) == 1 else Apply("+", tuple(terms))

    def _term(self) -> Tree:
        sign = self.next().text
        again = self.at("+", "-")
        term = self.nested(self._term) if again else self._product()
        if sign == "-" and isinstance(term, Group) and term.kind == "matrix":
            return scaled(Number(Fraction(-1)), term) or term
        return signed(sign, term)

    def _product(self) -> Tree:
        factors = [self._power()]
        while True:
            if sign := self.take("*", "/"):
                minus = self.take("-", "+")
                factor = signed(minus, self._power())
                if sign == "/" or not self._scales(factors, factor):
                    factors.append(Apply("inv", (factor,)) if sign == "/" else factor)
            elif self._begins_factor():
                self._juxtaposed(factors)
            else:
                return factors[0] if len(factors) == 1 else Apply("*", tuple(factors))

    def _begins_factor(self) -> bool:
        token = self.peek()
        if token.kind != "sign":
            return token is not END
        if token.text == "|":
            return not self._bars
        name = token.text[1:] if token.text[0] == "\\" else ""
        known = name in FUNCTIONS or name in _CONSTANTS or name in _GREEK or name in COMMANDS
        return known or token.text in _CLOSING

    def _juxtaposed(self, factors: list[Tree]) -> None:
        """Read what stands beside the last factor: another, the fraction of a mixed number, or a unit, which is left out."""
        before, token = factors[-1], self.peek()
        if token.kind == "text" and not isinstance(before, Words):
            if HEDGE.search(self.next().text):
                raise self.stuck()
            if self.take("^"):
                self.argument()
        elif token.kind == "number" and not multiplies(before):
            factors[-1] = Apply("+", (before, self._plain_fraction(before)))
        else:
            bare = self.at("\\frac")
            factor = self._power()
            # Two and a half is written 2 1/2, but 2 (1/2) is one.
            if bare and is_whole(before) and is_proper_fraction(factor):
                factors[-1] = Apply("+", (before, factor))
                return
            if isinstance(before, Symbol) and isinstance(factor, Group):  # f(x, y)
                raise UnsupportedError("answer is not readable")
            if self._scales(factors, factor):
                return
            if isinstance(before, Words) or isinstance(factor, Words | Group):
                raise self.stuck()
            factors.append(factor)

    def _scales(self, factors: list[Tree], factor: Tree) -> bool:
        """Put a matrix times the rational factors before it in their place, if it is one and they are."""
        if not isinstance(factor, Group) or factor.kind != "matrix":
            return False
        if any(isinstance(one, Group | Words) for one in factors):
            return False
        product = scaled(Apply("*", tuple(factors)), factor)
        if product is not None:
            factors[:] = [product]
        return product is not None

    def _plain_fraction(self, before: Tree) -> Tree:
        """Read ``1/2`` after a whole number; any other number beside a number says nothing clear."""
        top, *rest = self.ahead(3)
        if not is_whole(before) or [one.kind for one in rest] != ["sign", "number"]:
            raise UnreadableError("two numbers stand beside each other")
        slash, bottom = rest
        if slash.text != "/":
            raise UnreadableError("two numbers stand beside each other")
        fraction = Apply("frac", (number(top.text), number(bottom.text)))
        if not is_proper_fraction(fraction):
            raise UnreadableError("two numbers stand beside each other")
        self.skip(3)
        return fraction

    def _power(self) -> Tree:
        base = self._postfix(self._base())
        if not self.take("^"):
            return base
        if self._degrees():
            return Apply("degrees", (base,))
        if isinstance(base, Group | Words):
            raise self.stuck()
        return self._postfix(Apply("^", (base, self.nested(self._exponent))))

    def _degrees(self) -> bool:
        for shape in (["\\circ"], ["{", "\\circ", "}"]):
            ahead = self.ahead(len(shape))
            if [token.text for token in ahead] == shape:
                self.skip(len(shape))
                return True
        return False

    def _exponent(self) -> Tree:
        sign = self.take("-", "+")
        return signed(sign, self.argument() if self.at("{") else self._power())

    def _postfix(self, tree: Tree) -> Tree:
        while True:
            if self.take("!"):
                tree = Apply("factorial", (tree,))
            elif self.take("%", "\\%"):
                tree = Apply("percent", (tree,))
            else:
                return tree

    def _base(self) -> Tree:
        token = self.peek()
        if token.kind == "sign" and token.text in _CLOSING:
            return self.nested(self._brackets)
        self.next()
        if token.kind == "number":
            return self._numeral(token.text)
        if token.kind == "letter":
            return self._symbol(token.text)
        if token.kind == "text":
            return self._phrase(token.text)
        if token.text == "|":
            return self.nested(self._absolute)
        if token.text[0] == "\\":
            return self.nested(lambda: self._command(token.text[1:]))
        raise self.stuck()

    # Atoms

    def _numeral(self, text: str) -> Tree:
        if self.at("\\overline") and "." in text:
            return self._repeating(text)
        if not self.take("_"):
            return number(text)
        base = self.argument()
        if not isinstance(base, Number) or not text.isdigit() or not 2 <= base.value <= 36:
            raise self.stuck()
        return Based(text.lstrip("0") or "0", int(base.value))

    def _repeating(self, text: str) -> Tree:
        """Read the digits under a bar, which repeat for ever."""
        self.need("\\overline")
        self.need("{")
        block = self.until_brace()
        if not block.isdigit():
            raise self.stuck()
        places = len(text.partition(".")[2])
        repeated = Fraction(int(block), (10 ** len(block) - 1) * 10**places)
        return Number(number(text).value + repeated)

    def _symbol(self, letter: str) -> Tree:
        if letter == "P" and (event := self._event()):
            return Symbol(f"P({event})")
        name = letter
        while self.take("'"):
            name += "'"
        if self.take("_"):
            name += "_" + (self.until_brace() if self.take("{") else self.next().text)
        return Symbol(name)

    def _event(self) -> str:
        r"""Read the event of a probability, ``(A \cap B)`` or ``(X = 2)``, and return its text, which is empty if this is none."""
        texts = [token.text for token in self.ahead(MAX_TOKENS)]
        depths = itertools.accumulate((text == "(") - (text == ")") for text in texts)
        end = next((place for place, depth in enumerate(depths) if depth == 0), 0)
        if _EVENT.isdisjoint(texts[1:end]):
            return ""
        self.skip(end + 1)
        return "".join(texts[1:end])

    def _phrase(self, text: str) -> Tree:
        parts = [text]
        while self.peek().kind == "text":
            parts.append(self.next().text)
        return Words(" ".join(parts))

    def _brackets(self) -> Tree:
        opening = self.next().text
        bars, self._bars = self._bars, 0
        closings = (")", "]") if opening in "([" else (_CLOSING[opening],)
        items = [] if opening == "\\{" and self.at("\\}") else self._items(closings)
        closing = self.need(*closings)
        self._bars = bars
        if opening == "\\{" or len(items) > 1:
            items = signs_chosen(items)
        if opening == "\\{":
            return Group("set", tuple(items))
        if len(items) == 1 and _CLOSING[opening] == closing:
            return items[0]
        if opening == "{":
            return Group("list", tuple(items))
        kind = "()" if opening == "\\langle" else opening + closing
        if len(items) != 2 and kind in ("[)", "(]"):
            raise self.stuck()
        return Group(kind, tuple(items))

    def _absolute(self) -> Tree:
        self._bars += 1
        inside = self.expression()
        self.need("|")
        self._bars -= 1
        return Apply("abs", (inside,))

    def argument(self) -> Tree:
        """Read ``{...}``, or one number, letter or command."""
        return self.nested(self._base)

    def _command(self, name: str) -> Tree:
        if name in _CONSTANTS:
            return Apply(_CONSTANTS[name], ())
        if name in _GREEK:
            return self._symbol(name)
        if name in FUNCTIONS:
            return self._function(name)
        if name in COMMANDS:
            return COMMANDS[name](self)
        self.skip(-1)
        raise self.stuck()

    def _function(self, name: str) -> Tree:
        base = self.argument() if name == "log" and self.take("_") else None
        exponent = self.nested(self._exponent) if self.take("^") else None
        argument = self._postfix(self._base()) if self.at("(", "[", "{") else self._bare_argument()
        if exponent is None and self.take("^"):  # sin(x)^2
            exponent = self.nested(self._exponent)
        if exponent == Apply("neg", (Number(Fraction(1)),)) and "arc" + name in FUNCTIONS:
            name, exponent = "arc" + name, None
        value = Apply(name, (argument,) if base is None else (argument, base))
        return value if exponent is None else Apply("^", (value, exponent))

    def _bare_argument(self) -> Tree:
        """Read what a function without brackets applies to: in ``sin 2x cos x`` that is ``2x``."""
        factors = [self._power()]
        while self._begins_factor() and not self.at(*("\\" + name for name in FUNCTIONS), "("):
            self._juxtaposed(factors)
        return factors[0] if len(factors) == 1 else Apply("*", tuple(factors))


_KNOWN = (
    FUNCTIONS
    | _CONSTANTS.keys()
    | _GREEK
    | COMMANDS.keys()
    | {"cup", "setminus", "in", "approx", "pm", "mp"}
)
