"""A place in the tokens of an answer."""

from __future__ import annotations

from collections.abc import Callable, Sequence

from orbiter_math.tokens import END, Token
from orbiter_math.tree import BoundError, Tree, UnreadableError

MAX_DEPTH = 24
"""Deepest nesting of brackets, roots, fractions, exponents and signs."""


class Cursor:
    """Walks over tokens from the first to the last; what it cannot read raises UnreadableError."""

    def __init__(self, found: Sequence[Token]) -> None:
        self._tokens = found
        self._place = 0
        self._depth = 0

    def peek(self) -> Token:
        """Return the next token, or END."""
        return self._tokens[self._place] if self._place < len(self._tokens) else END

    def ahead(self, count: int) -> Sequence[Token]:
        """Return up to ``count`` of the next tokens."""
        return self._tokens[self._place : self._place + count]

    def skip(self, count: int) -> None:
        """Go on by ``count`` tokens, which may be negative."""
        self._place += count

    def next(self) -> Token:
        """Return the next token and go on."""
        token = self.peek()
        if token is END:
            raise self.stuck()
        self._place += 1
        return token

    def at(self, *signs: str) -> bool:
        """Return whether the next token is one of the signs."""
        token = self.peek()
        return token.kind == "sign" and token.text in signs

    def take(self, *signs: str) -> str:
        """Return the next token's text and go on if it is one of the signs, or return the empty string."""
        return self.next().text if self.at(*signs) else ""

    def need(self, *signs: str) -> str:
        """Return the next token's text, which must be one of the signs, and go on."""
        if not self.at(*signs):
            raise self.stuck()
        return self.next().text

    def until_brace(self) -> str:
        """Return the text of the tokens up to a closing brace, and go on after it."""
        parts = []
        while not self.take("}"):
            parts.append(self.next().text)
        return "".join(parts)

    def nested(self, read: Callable[[], Tree]) -> Tree:
        """Return what ``read`` returns, one level deeper.

        Raises:
            BoundError: That is too deep.
        """
        self._depth += 1
        if self._depth > MAX_DEPTH:
            raise BoundError("answer is too deeply nested")
        tree = read()
        self._depth -= 1
        return tree

    def stuck(self) -> UnreadableError:
        """Return the error that says that nothing can be read here."""
        return UnreadableError("answer is not readable")
