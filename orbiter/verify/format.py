"""Sections in tags: the verifier of the form ``<think>...</think><answer>...</answer>``, and the judge of one section."""

from __future__ import annotations

import re
from collections.abc import Sequence

import attrs

from orbiter.checks import check_bool
from orbiter.errors import ConfigError
from orbiter.records import Task, Trajectory, Verdict
from orbiter.tasks.component import Spec
from orbiter.verify.answer import final_answer
from orbiter.verify.component import make_verifier
from orbiter.verify.invisible import shows_nothing
from orbiter.verify.verifier import Verifier, judge, version_of

_NAME = re.compile(r"[A-Za-z][A-Za-z0-9_-]{0,30}")
# The bound keeps the search linear in the length of the text.
_TAG = re.compile(r"<([^<>]{1,60})>")


class FormatVerifier(Verifier):
    """Check that the last turn is these sections in this order, each once and not empty, and nothing else.

    Tags are written exactly: ``<Think>``, ``< think >`` or ``<think id="1">`` break the form, wherever they stand. White space
    between sections does not count.

    Args:
        sections: Names of the tags.
        opened: The chat template has written the first opening tag in the prompt, so that the text begins inside it.
        tail: Text follows the last section, and must; as in ``<think>...</think> 42``.
    """

    name = "format"

    def __init__(
        self,
        sections: Sequence[str] = ("think", "answer"),
        *,
        opened: bool = False,
        tail: bool = False,
    ) -> None:
        if isinstance(sections, str) or not isinstance(sections, Sequence) or not sections:
            raise ConfigError(f"sections must be a list of at least one name, got {sections!r}")
        for name in sections:
            _check_name("sections", name)
        if len({name.casefold() for name in sections}) < len(sections):
            raise ConfigError(f"sections must have names of their own, got {list(sections)!r}")
        for name, value in (("opened", opened), ("tail", tail)):
            check_bool(name, value)
        self.sections, self.opened, self.tail = tuple(sections), opened, tail
        self.version = version_of(self, "2")

    def verify(self, task: Task, trajectory: Trajectory) -> Verdict:  # noqa: ARG002
        """Pass if the last turn has the form."""
        text = final_answer(trajectory, thoughts=True)
        if text is None or not text.strip():
            return Verdict.failed("no answer")
        if self.opened:
            text = f"<{self.sections[0]}>{text}"
        tags = _tags(text, self.sections)
        found = [tag.group() for tag in tags]
        wanted = [mark for name in self.sections for mark in (f"<{name}>", f"</{name}>")]
        if any(mark not in wanted for mark in found):
            return Verdict.failed("a tag is misspelt")
        if any(mark not in found for mark in wanted):
            return Verdict.failed("a section is missing")
        if len(found) > len(wanted):
            return Verdict.failed("a section occurs twice")
        if found != wanted:
            return Verdict.failed("sections are in the wrong order")
        ends = [0, *(end for tag in tags for end in tag.span()), len(text)]
        between = [text[a:b].strip() for a, b in zip(ends[::2], ends[1::2])]
        outside, inside = between[::2], between[1::2]
        if any(outside[:-1]) or (outside[-1] and not self.tail):
            return Verdict.failed("text outside the sections")
        needed = [*inside, outside[-1]] if self.tail else inside
        if not all(map(_is_seen, needed)):
            return Verdict.failed("a section is empty")
        return Verdict.passed()


class SectionVerifier(Verifier):
    """Let another verifier judge what stands between two tags of the final answer, as if it were the whole of it.

        {"name": "gate", "gate": "format", "verifier": {"name": "section", "verifier": "exact"}}

    Args:
        verifier: A verifier, its name, or its name with options beside it.
        tag: Name of the tag; it must occur once, outside the thoughts.
    """

    name = "section"

    def __init__(self, verifier: Verifier | Spec, *, tag: str = "answer") -> None:
        _check_name("tag", tag)
        self.verifier = make_verifier(verifier)
        self.tag = tag
        self.version = version_of(self, "1")

    def verify(self, task: Task, trajectory: Trajectory) -> Verdict:
        """Return the other verifier's verdict on the section; fail if there is not exactly one."""
        text = final_answer(trajectory)
        if text is None:
            return Verdict.failed("no answer")
        tags = _tags(text, [self.tag])
        if not tags:
            return Verdict.failed("a section is missing")
        if [tag.group() for tag in tags] != [f"<{self.tag}>", f"</{self.tag}>"]:
            return Verdict.failed("not one section")
        inside = text[tags[0].end() : tags[1].start()]
        last = attrs.evolve(trajectory.messages[-1], content=inside)
        messages = (*trajectory.messages[:-1], last)
        return judge(self.verifier, task, attrs.evolve(trajectory, messages=messages))


def _is_seen(text: str) -> bool:
    return any(char.isprintable() and not (char.isspace() or shows_nothing(char)) for char in text)


def _check_name(option: str, name: object) -> None:
    if not isinstance(name, str) or not _NAME.fullmatch(name):
        raise ConfigError(f"{option} must be letters, digits, '_' and '-', got {name!r}")


def _tags(text: str, names: Sequence[str]) -> list[re.Match[str]]:
    """Return the tags with one of these names, closed or not, however they are written."""
    known = {name.casefold() for name in names}
    return [tag for tag in _TAG.finditer(text) if _name_in(tag[1]) in known]


def _name_in(inside: str) -> str:
    words = inside.replace("/", " ").split()
    return words[0].casefold() if words else ""
