"""Fence untrusted text into a prompt, so that nothing in it can end its section or look like one.

Each section stands between two lines that carry a nonce, and each line inside begins with ``| ``:

    [[BEGIN ANSWER 5f0c1d2e3a4b5c6d]]
    | 42
    [[END ANSWER 5f0c1d2e3a4b5c6d]]

The margin alone settles it: no line of the text starts where a fence line starts. The nonce is a hash of the text that it
encloses, so a text cannot hold its own.
"""

from __future__ import annotations

import re
import unicodedata
from collections.abc import Sequence

from orbiter.records import content_hash
from orbiter.verify.invisible import FILLERS

MARGIN = "| "
"""What every line of untrusted text begins with in a prompt."""

_CONTROL_TOKEN = re.compile(
    r"<(?=[|｜][^<>\n]{1,40}[|｜]>"  # <|im_end|> and its like
    r"|/?s>|/?(?:bos|eos|pad|unk)>|(?:start|end)_of_turn>|</?SYS>>)"
    r"|\[(?=/?INST\])",
)
"""Where a token begins that ends a turn in some chat template; some servers read it as one even inside a message."""

_JOINERS = "\u200c\u200d\ufe0e\ufe0f"
"""Invisible, and needed to write Persian, Hindi and emoji."""


def plain(text: str) -> str:
    r"""Return ``text`` with nothing in it that a reader cannot see or that a chat template could take for its own.

    Control characters other than tab and newline, invisible and direction-changing ones, line separators, halves of
    characters, private and unassigned ones become visible escapes such as ``\u202e``; the tokens that part the turns of a chat get a
    space after their first character.
    """
    text = text.replace("\r\n", "\n")
    if not text.isascii() or not text.replace("\n", "").replace("\t", "").isprintable():
        text = "".join(map(_visible, text))
    return _CONTROL_TOKEN.sub(lambda found: f"{found[0]} ", text)


def _visible(char: str) -> str:
    if char in "\n\t" + _JOINERS or unicodedata.category(char) == "Zs":
        return char
    if char.isprintable() and not FILLERS.match(char):
        return char
    return f"\\u{ord(char):04x}" if ord(char) <= 0xFFFF else f"\\U{ord(char):08x}"


def fenced(sections: Sequence[tuple[str, str]]) -> str:
    """Return the sections as fenced text; the same sections always give the same.

    Args:
        sections: Title and untrusted text; a title is capital letters, digits and spaces, and is ours.
    """
    shown = [(title, plain(text)) for title, text in sections]
    nonce = content_hash(shown)
    while any(nonce in text for _, text in shown):
        nonce = content_hash([nonce, shown])
    return "\n".join(_section(title, text, nonce) for title, text in shown)


def _section(title: str, text: str, nonce: str) -> str:
    lines = "\n".join(MARGIN + line for line in text.split("\n"))
    return f"[[BEGIN {title} {nonce}]]\n{lines}\n[[END {title} {nonce}]]"
