"""The API key, which a server may send back: found in what it says, however it is escaped there."""

from __future__ import annotations

import re

MIN_SECRET_SIZE = 12
"""Shorter keys are no secrets, such as the EMPTY that a server of one's own takes; an answer may well hold that word."""

_SLASHED = '/"\\'


class Secret:
    r"""A key that is to be shown nowhere.

    Which characters of a text JSON escapes is the writer's choice: some escape ``/``, some ``+``, ``=`` and ``&`` as
    ``\u00..``, and JSON that stands in JSON is escaped twice.

    Args:
        key: The key; None if there is none.
    """

    def __init__(self, key: str | None) -> None:
        self._key = key or ""
        first, rest = self._key[:1], self._key[1:]
        # Begun in the middle of a run of backslashes, the search would walk to its end from each of them.
        begun = "".join(_written(one, before=r"(?<!\\)") for one in first)
        self._pattern = re.compile(begun + "".join(map(_written, rest)))
        # Of characters that a key may have, that is: not of a letter with an accent.
        self._signs = [b"\\u00%d" % high for high in range(2, 8)]
        if any(one in _SLASHED for one in self._key):
            self._signs += [b"\\/", b'\\"', b"\\\\"]

    def is_in(self, data: bytes) -> bool:
        """Return whether an answer shows the key, if that is long enough not to stand there by chance."""
        if len(self._key) < MIN_SECRET_SIZE:
            return False
        if self._key.encode() in data:
            return True
        # Most answers hold none of these, and a pattern takes as long as all the rest.
        if not any(sign in data for sign in self._signs):
            return False
        return self._pattern.search(data.decode(errors="replace")) is not None

    def redacted(self, text: str) -> str:
        """Return ``text`` without the key."""
        return self._pattern.sub("[key]", text) if self._key else text


def _written(one: str, *, before: str = "") -> str:
    """Return a pattern of one character, as it is or escaped; ``before`` must hold where its backslashes begin."""
    slashes = rf"{before}\\*" if one in _SLASHED else ""
    return rf"(?:{slashes}{re.escape(one)}|{before}\\+u00(?i:{ord(one):02x}))"
