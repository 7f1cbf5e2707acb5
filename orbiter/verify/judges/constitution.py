"""The constitutional judge: a list of principles, each kept or broken."""

from __future__ import annotations

import re
from collections.abc import Mapping, Sequence
from typing import Any, ClassVar

import attrs
from attrs import field

from orbiter.convert import show
from orbiter.errors import ConfigError
from orbiter.records import Task, Verdict
from orbiter.verify.judges.judge import Evidence, Judge, check_text
from orbiter.verify.judges.prompt import CLOSE, FENCES, Sections, task_sections
from orbiter.verify.judges.reply import UnreadableError
from orbiter.verify.judges.votes import Votes

INSTRUCTIONS = """\
You judge one answer to a task by a list of principles, each on its own.

{fences}

The answer is in the section ANSWER.

Principles:
{principles}

{close}"""

_VOTES = {"kept": 1.0, "broken": 0.0, "unclear": None}
_NAME = re.compile(r"[A-Za-z][A-Za-z0-9_-]{0,39}")


def _named(given: object) -> dict[str, str]:
    """Return name to principle; a list is named P1, P2, ..."""
    if not given or isinstance(given, str) or not isinstance(given, Sequence | Mapping):
        raise ConfigError(f"principles must be a list or names with a text each, got {show(given)}")
    if not isinstance(given, Mapping):
        given = {f"P{number}": principle for number, principle in enumerate(given, 1)}
    for name, principle in given.items():
        if not isinstance(name, str) or not _NAME.fullmatch(name):
            raise ConfigError(
                f"name of a principle must be a letter, then letters, digits, '_' and '-', got {show(name)}"
            )
        check_text(f"principle {name!r}", principle)
    return {name: " ".join(principle.split()) for name, principle in given.items()}


@attrs.define(kw_only=True, eq=False, slots=False, repr=False)
class ConstitutionJudge(Judge):
    """Pass an answer that keeps every principle of a list.

    Each sample votes on each principle; the votes on one decide it by themselves. A broken principle fails the answer, the
    first of them is the reason, and an undecided one makes the verdict invalid unless another is broken. The score is 1 or 0;
    ``details["principles"]`` says of each whether it is kept, broken or undecided (null).

    Args:
        principles: What an answer must keep: a list of texts, or a name for each.
        refusals: Whether a mere refusal fails without asking; here it does not, since to decline may be what a principle wants.
    """

    principles: dict[str, str] = field(converter=_named)
    refusals: bool = False

    name = "constitution_judge"
    keys: ClassVar[tuple[str, ...]] = ("principles",)
    told: ClassVar[tuple[str, ...]] = ("principles",)

    @property
    def instructions(self) -> str:
        """The principles and the form of the reply."""
        form = ", ".join(f'"{name}": <verdict>' for name in self.principles)
        return INSTRUCTIONS.format(
            fences=FENCES,
            principles="\n".join(f"{name}: {text}" for name, text in self.principles.items()),
            close=CLOSE.format(form=f'{{"principles": {{{form}}}}}')
            + '\nEach verdict is "kept", "broken", or "unclear" if you cannot tell.',
        )

    def prompts(self, task: Task, answer: str) -> list[Sections] | Verdict:
        """Show the task and the answer."""
        return [[*task_sections(task), ("ANSWER", answer)]]

    def read(self, verdict: Mapping[str, Any]) -> dict[str, float | None]:
        """Return the vote on each principle."""
        said = verdict["principles"]
        if not isinstance(said, dict) or said.keys() != self.principles.keys():
            raise UnreadableError("verdict is not on the principles")
        if not all(isinstance(word, str) and word in _VOTES for word in said.values()):
            raise UnreadableError("verdict must be kept, broken or unclear")
        return {name: _VOTES[said[name]] for name in self.principles}

    def decide(self, evidence: Evidence) -> Verdict:
        """Fail if a principle is broken, else invalid if one is undecided, else pass."""
        (samples,) = evidence.samples
        decided = {
            name: Votes.of(
                None if sample.value is None else sample.value[name] for sample in samples
            ).decide(self.margin)
            for name in self.principles
        }
        words = {True: "kept", False: "broken", None: None}
        details = {
            **evidence.details,
            "principles": {name: words[kept] for name, kept in decided.items()},
        }
        broken = next((name for name, kept in decided.items() if kept is False), None)
        if broken is not None:
            return Verdict.failed(f"breaks {broken}", details=details)
        undecided = next((name for name, kept in decided.items() if kept is None), None)
        if undecided is not None:
            return Verdict.invalid(evidence.unknown(f"undecided on {undecided}"), details=details)
        return Verdict.passed(details=details)
