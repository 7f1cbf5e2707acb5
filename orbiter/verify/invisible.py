"""Characters that show nothing, and so say nothing to whoever reads an answer."""

from __future__ import annotations

import re
import unicodedata

FILLERS = re.compile(
    "[\u034f\u115f\u1160\u17b4\u17b5\u180b-\u180f\u3164\ufe00-\ufe0f\uffa0\U000e0100-\U000e01ef]"
)
"""Letters and marks that show nothing: fillers, and variation selectors, of which a row can spell a whole text."""


def shows_nothing(char: str) -> bool:
    """Return whether a reader certainly sees nothing of a character: a control, a filler, the blank of braille."""
    control = unicodedata.category(char) in ("Cc", "Cf")
    return control or char == "\u2800" or FILLERS.match(char) is not None
