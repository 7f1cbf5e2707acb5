"""The API key, which a server may send back: found in what it says, however it is written there."""

from __future__ import annotations

import base64
import re
from collections.abc import Collection, Iterator

MIN_SECRET_SIZE = 12
"""Shorter keys are no secrets, such as the EMPTY that a server of one's own takes; an answer may well hold that word."""

_SLASHED = '/"\\'
_ENTITIES = {"&": "amp", "<": "lt", ">": "gt", '"': "quot", "'": "apos"}


class Secret:
    r"""A key that is to be shown nowhere.

    Which characters of a text JSON escapes is the writer's choice: some escape ``/``, some ``+``, ``=`` and ``&`` as
    ``\u00..``, and JSON that stands in JSON is escaped twice. Addresses write ``%2F`` and pages ``&amp;``, and a header that is kept whole
    may be in base64.

    Args:
        key: The key; None if there is none.
    """

    def __init__(self, key: str | None) -> None:
        self._key = key or ""
        self._is_long = len(self._key) >= MIN_SECRET_SIZE
        forms = [self._key, *(sorted(set(_in_base64(self._key))) if self._is_long else ())]
        self._pattern = re.compile("|".join(map(_text_pattern, forms)))
        self._plain = [form.encode() for form in forms]
        self._signs = _signs({one for form in forms for one in form})

    def is_in(self, data: bytes) -> bool:
        """Return whether an answer shows the key, if that is long enough not to stand there by chance."""
        if not self._is_long:
            return False
        if any(form in data for form in self._plain):
            return True
        # Most answers hold none of these, and a pattern takes many times as long as all the rest.
        if not any(
            begin in data and any(sign in data for sign in signs)
            for begin, signs in self._signs.items()
        ):
            return False
        return self._pattern.search(data.decode(errors="replace")) is not None

    def redacted(self, text: str) -> str:
        """Return ``text`` without the key."""
        return self._pattern.sub("[key]", text) if self._key else text


def _signs(characters: Collection[str]) -> dict[bytes, list[bytes]]:
    """Return what is in every text that holds one of these characters escaped, by how that begins."""
    signs: dict[bytes, list[bytes]] = {
        # Of characters that a key may have, that is: not of a letter with an accent.
        b"\\u00": [b"\\u00%d" % high for high in range(2, 8)],
        b"\\": [b"\\%c" % ord(one) for one in characters if one in _SLASHED],
    }
    # No address and no page writes these otherwise.
    special = [one for one in characters if not one.isalnum() and one not in "-_.~"]
    signs[b"%"] = [b"%25"] if special else []
    signs[b"&"] = [f"&{_ENTITIES[one]};".encode() for one in special if one in _ENTITIES]
    for code in map(ord, special):
        signs[b"%"] += [b"%%%02x" % code, b"%%%02X" % code]
        signs[b"&"] += [b"&#%d;" % code, b"&#x%x;" % code, b"&#x%X;" % code]
    return signs


def _in_base64(key: str) -> Iterator[str]:
    """Yield what base64 of any text that holds the key shows of it, which depends on how many bytes come before it, modulo 3."""
    for before in range(3):
        text = base64.b64encode(b"\0" * before + key.encode()).decode()
        # Six bits a character: those that also hold bits of what comes before or after are another text's.
        shown = text[(before * 8 + 5) // 6 : (before + len(key)) * 8 // 6]
        yield shown
        yield shown.translate(str.maketrans("+/", "-_"))


def _text_pattern(text: str) -> str:
    # Begun in the middle of a run of backslashes, the search would walk to its end from each of them.
    return "".join(_written(one, before=r"(?<!\\)" * (not n)) for n, one in enumerate(text))


def _written(one: str, *, before: str = "") -> str:
    """Return a pattern of one character, as it is or escaped; ``before`` must hold where its backslashes begin."""
    slashes = rf"{before}\\*" if one in _SLASHED else ""
    code = f"(?i:{ord(one):02x})"
    named = f"|{_ENTITIES[one]}" if one in _ENTITIES else ""
    entity = f"&(?:#0*{ord(one)}|#[xX]0*{code}{named});"
    return rf"(?:{slashes}{re.escape(one)}|{before}\\+u00{code}|%(?:25)*{code}|{entity})"
