"""Tasks: one question, or several in one task, as they are drawn, named and asked."""

from __future__ import annotations

import hashlib
from collections.abc import Sequence

from orbiter.checks import check_number, check_seed, check_whole_number
from orbiter.errors import ConfigError, did_you_mean
from orbiter.records import Message, Task
from orbiter.tasks.streams import item_seed, item_stream
from orbiter_liveweb.answers import numbered
from orbiter_liveweb.session import tool_schemas
from orbiter_liveweb.topology import Question, Topology

ENV = "liveweb"

MAX_SUBTASKS = 8

SYSTEM = (
    "You answer questions by using a web browser. Each tool call shows the page as it is then: its address, its title, and a "
    "window on its accessibility tree. Elements that can be acted on have a number, [ref=N]. Take every fact from a page that "
    "you have visited. When you know the answer, call stop with it and nothing else."
)

SPLITS = ("train", "held_out")

_DRAWS = 200
"""How often a question is drawn until one fits the split."""

_PATIENCE = 20
"""How often one template is drawn from before it counts as having no question on this side of the split."""


class Composer:
    """Draws the questions of tasks.

    Args:
        topology: The questions that there are.
        num_subtasks: Questions per task: a number, or two: the least and the most.
        templates: Templates, by full name or site; None: all.
        split: ``train`` or ``held_out``: only questions all of whose entities are on that side; None: every question.
        held_out_share: Share of the entities that are held out, in (0, 1).
    """

    def __init__(
        self,
        topology: Topology,
        *,
        num_subtasks: int | Sequence[int] = 1,
        templates: Sequence[str] | None = None,
        split: str | None = None,
        held_out_share: float = 0.1,
    ) -> None:
        if split is not None and split not in SPLITS:
            raise ConfigError(f"split must be one of {', '.join(SPLITS)}, got {split!r}")
        check_number("held_out_share", held_out_share, "(0, 1)")
        if not topology.templates:
            names = " and ".join(site.name for site in topology.sites)
            needed = {n for site in topology.sites for one in site.templates() for n in one.needs}
            raise ConfigError(
                f"there is no question about {names} alone",
                hint=f"its templates need: {', '.join(sorted(needed)) or 'to be at least one'}",
            )
        self.topology, self.split, self.held_out_share = topology, split, held_out_share
        self.num_subtasks = _range_of(num_subtasks)
        self.templates = list(topology.templates) if templates is None else self._named(templates)

    def is_held_out(self, entity: str) -> bool:
        """Return whether an entity is for evaluation: a hash of its name decides, for ever."""
        digest = hashlib.blake2b(f"liveweb split {entity}".encode(), digest_size=8).digest()
        return int.from_bytes(digest, "big") < self.held_out_share * 2**64

    def fits(self, entities: Sequence[str]) -> bool:
        """Return whether entities are all on the side of the split."""
        if self.split is None:
            return True
        return all(self.is_held_out(entity) == (self.split == "held_out") for entity in entities)

    def _named(self, templates: Sequence[str]) -> list[str]:
        """Return the full names of templates that are named, in full or by the site alone."""
        known = self.topology.templates
        if isinstance(templates, str) or not templates:
            raise ConfigError(f"templates must be a list of names, got {templates!r}")
        chosen: list[str] = []
        for name in templates:
            found = [full for full in known if name in (full, full.partition("/")[0])]
            if not found:
                raise ConfigError(
                    f"unknown template {name!r}{did_you_mean(str(name), known)}",
                    hint=f"known: {', '.join(known) or 'none'}",
                )
            chosen += found
        return list(dict.fromkeys(chosen))

    def lot(self, index: int, *, seed: int) -> tuple[int, int]:
        """Return the seed and the number of questions of the task at a place in an endless row of tasks."""
        low, high = self.num_subtasks
        size = low + item_seed(ENV, "size", seed, index) % (high - low + 1)
        return item_seed(ENV, "trajectory", seed, index), size

    def draw(
        self,
        *,
        seed: int,
        num_subtasks: int = 1,
        templates: Sequence[str] | None = None,
        turn: int = 0,
        first: str | None = None,
    ) -> tuple[Question, ...]:
        """Return the questions of a task.

        Every template has its own stream, and the one with the highest draw is taken: another template takes the tasks that it is
        drawn for and leaves the others as they are.

        Args:
            seed: Selects the task.
            num_subtasks: How many questions, all different.
            templates: Names of templates; None: those of the composer.
            turn: Which draw of this task; another where the first did not do.
            first: Full name of the template that the first question shall be of, if it has any on this side of the split.

        Raises:
            ConfigError: A name is of no template, or the web has not enough questions on this side of the split.
        """
        check_seed(seed)
        check_whole_number("num_subtasks", num_subtasks, low=1, high=MAX_SUBTASKS)
        names = self.templates if templates is None else self._named(templates)
        found: dict[str, Question] = {}
        for attempt in range(_DRAWS):
            slot = (len(found), attempt, turn)
            if first is not None and not found and attempt < _PATIENCE:
                name = first
            else:
                draws = {one: item_seed(ENV, "template", seed, *slot, one) for one in names}
                name = max(names, key=draws.__getitem__)
            question = self.topology.draw(name, item_stream(ENV, "question", seed, *slot, name))
            if question is not None and self.fits(self.topology.entities(question)):
                found.setdefault(question.id, question)
            if len(found) == num_subtasks:
                return tuple(found.values())
        side = f" of split {self.split!r}" if self.split else ""
        raise ConfigError(
            f"found {len(found)} of {num_subtasks} questions{side} in {_DRAWS} draws from {', '.join(names)}",
            hint="take more templates or a larger cache, or fewer subtasks (--subtasks 1)",
        )


def _range_of(num_subtasks: int | Sequence[int]) -> tuple[int, int]:
    if not isinstance(num_subtasks, int) and len(num_subtasks) != 2:
        raise ConfigError(
            f"num_subtasks must be a number or two, the least and the most, got {list(num_subtasks)}"
        )
    low, high = (num_subtasks, num_subtasks) if isinstance(num_subtasks, int) else num_subtasks
    check_whole_number("num_subtasks", low, low=1, high=MAX_SUBTASKS)
    check_whole_number("num_subtasks", high, low=low, high=MAX_SUBTASKS)
    return low, high


def task_of(topology: Topology, questions: Sequence[Question]) -> Task:
    """Return the task of questions; its id names them, so that the same questions are the same task for ever."""
    texts = [topology.ask(question) for question in questions]
    prompt = numbered(texts)
    if len(texts) > 1:
        prompt = (
            f"Answer these {len(texts)} questions.\n{prompt}\n"
            "The answer has a line for each, in this order, such as: 1. Oxford"
        )
    ids = [question.id for question in questions]
    return Task(
        env=ENV,
        task_id=f"{ENV}:{'+'.join(ids)}",
        messages=(Message("system", SYSTEM), Message("user", prompt)),
        tools=tuple(tool_schemas()),
        metadata={"subtasks": ids},
    )


def questions_of(task_id: str) -> tuple[Question, ...]:
    """Return the questions that the id of a task names.

    Raises:
        ConfigError: It is no id of such a task.
    """
    env, colon, names = task_id.partition(":")
    if env != ENV or not colon or len(parts := names.split("+")) > MAX_SUBTASKS:
        raise ConfigError(
            f"task id must look like {ENV}:site/template/variables, got {task_id[:200]!r}"
        )
    return tuple(Question.from_id(part) for part in parts)
