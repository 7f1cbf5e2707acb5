"""The language of a text, as far as its script shows it."""

from __future__ import annotations

from collections.abc import Iterable, Sequence

import regex

from orbiter.checks import check_bool, check_number
from orbiter.errors import ConfigError, did_you_mean
from orbiter.records import Task, Trajectory, Verdict
from orbiter.verify.answer import written
from orbiter.verify.verifier import Verifier, version_of

LANGUAGES = {
    **dict.fromkeys(
        "ca cs da de en es et fi fr hr hu id is it lt lv ms nl no pl pt ro sk sl sv sw tl tr vi".split(),
        ("Latin",),
    ),
    **dict.fromkeys("be bg kk mk mn ru uk".split(), ("Cyrillic",)),
    "sr": ("Cyrillic", "Latin"),
    **dict.fromkeys("ar fa ur".split(), ("Arabic",)),
    **dict.fromkeys("hi mr ne".split(), ("Devanagari",)),
    "am": ("Ethiopic",),
    "bn": ("Bengali",),
    "el": ("Greek",),
    "gu": ("Gujarati",),
    "he": ("Hebrew",),
    "hy": ("Armenian",),
    "ja": ("Han", "Hiragana", "Katakana"),
    "ka": ("Georgian",),
    "km": ("Khmer",),
    "kn": ("Kannada",),
    "ko": ("Hangul", "Han"),
    "ml": ("Malayalam",),
    "my": ("Myanmar",),
    "pa": ("Gurmukhi",),
    "ta": ("Tamil",),
    "te": ("Telugu",),
    "th": ("Thai",),
    "zh": ("Han", "Bopomofo"),
}
"""ISO 639-1 code to the Unicode scripts in which the language is written."""

_SCRIPTS = tuple(sorted({script for scripts in LANGUAGES.values() for script in scripts}))
# Each pattern is linear in the length of the text: what opens and never closes is scanned once.
_NO_PROSE = regex.compile(
    r"```.*?(?:```|\Z)|`[^`\n]*`"
    r"|\$\$[^$]*+\$\$|\$[^$\n]{1,200}\$|\\\((?:[^\\]|\\(?![()]))*+\\\)|\\\[(?:[^\\]|\\(?![\[\]]))*+\\\]|\\[A-Za-z]+"
    r"|</?\w{1,30}>|https?://\S+",
    regex.DOTALL,
)
_SPACELESS = r"\p{Han}\p{Hiragana}\p{Katakana}\p{Thai}\p{Khmer}\p{Myanmar}"
# A letter of a script without spaces counts as a word; so does a run of other letters. A single one, as in 3x, is a sign.
_WORD = regex.compile(
    rf"(?V1)[{_SPACELESS}]|[\p{{L}}--[{_SPACELESS}]][[\p{{L}}\p{{M}}]--[{_SPACELESS}]]+"
)


class LanguageVerifier(Verifier):
    """Pass a text whose words are written in the scripts of given languages, or of the task's prompt.

    The score is the share of such words (the language-consistency reward of DeepSeek-R1 is the share of words in the target language,
    DeepSeek-AI 2025, section 2.3.2). Languages that share a script are not told apart. Code, formulas, tags, addresses and
    single letters are left out. A word with letters of two scripts counts only if both are right, so Latin words with Cyrillic look-alikes
    do not. A text without words passes.

    Args:
        languages: ISO 639-1 codes; None takes the scripts of the last user message, and abstains (invalid) where that has no words.
        min_share: Least share of such words, in (0, 1], that passes.
        thoughts: Look at all that the assistant wrote after the prompt; if not, at the final answer alone.
    """

    name = "language"

    def __init__(
        self,
        languages: Sequence[str] | None = None,
        *,
        min_share: float = 0.9,
        thoughts: bool = True,
    ) -> None:
        if languages is not None:
            if isinstance(languages, str) or not isinstance(languages, Sequence) or not languages:
                raise ConfigError(f"languages must be a list of codes, got {languages!r}")
            for code in languages:
                if code not in LANGUAGES:
                    near = did_you_mean(str(code), LANGUAGES)
                    raise ConfigError(f"languages must be known codes, got {code!r}{near}")
            languages = tuple(languages)
        check_number("min_share", min_share, "(0, 1]")
        check_bool("thoughts", thoughts)
        self.languages, self.min_share, self.thoughts = languages, min_share, thoughts
        self.version = version_of(self, "1")

    def verify(self, task: Task, trajectory: Trajectory) -> Verdict:
        """Pass if enough of the words are in the scripts."""
        text = written(task, trajectory, thoughts=self.thoughts)
        if text is None:
            return Verdict.failed("no answer")
        if self.languages is None:
            asked = " ".join(_words(task.prompt))
            scripts = [name for name in _SCRIPTS if regex.search(rf"\p{{{name}}}", asked)]
            if not scripts:
                return Verdict.invalid("the prompt has no words")
        else:
            scripts = [script for code in self.languages for script in LANGUAGES[code]]
        right = _written_in(scripts)
        words = _words(text)
        share = (
            sum(right.fullmatch(word) is not None for word in words) / len(words) if words else 1.0
        )
        details = {"share": share, "scripts": sorted(set(scripts))}
        if share < self.min_share:
            return Verdict.failed("other language", score=share, details=details)
        return Verdict.passed(score=share, details=details)


def _words(text: str) -> list[str]:
    found: list[str] = _WORD.findall(_NO_PROSE.sub(" ", text))
    return found


def _written_in(scripts: Iterable[str]) -> regex.Pattern[str]:
    """Return what matches a word in these scripts; a mark that belongs to no script fits all."""
    return regex.compile("[" + "".join(rf"\p{{{s}}}" for s in scripts) + r"\p{M}\p{Lm}]+")
