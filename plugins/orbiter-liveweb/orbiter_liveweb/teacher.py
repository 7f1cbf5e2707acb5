"""The teacher: trajectories that are right by construction, from no model, and scored by replay all the same."""

from __future__ import annotations

import warnings
from collections import Counter
from collections.abc import Sequence
from pathlib import Path
from typing import Any

import attrs
from attrs import frozen

from orbiter.checks import check_seed
from orbiter.errors import ConfigError, OrbiterError, OrbiterWarning
from orbiter.generate.synthesiser import DataSynthesiser
from orbiter.records import Message, Task, Trajectory, Verdict
from orbiter.tasks.streams import item_seed, item_stream
from orbiter.verify.verifier import judge
from orbiter_liveweb.answers import numbered
from orbiter_liveweb.browser import CacheBrowser
from orbiter_liveweb.cache import Cache
from orbiter_liveweb.composing import ENV, Composer, task_of
from orbiter_liveweb.guide import Guide, TeacherError
from orbiter_liveweb.session import Session
from orbiter_liveweb.topology import Question, Site
from orbiter_liveweb.verifier import LiveWebVerifier

_TURNS = 50
"""How often a task is drawn again when its trajectory crosses the split."""


@frozen
class CompositeTrajectory:
    """One trajectory of the teacher, with its verdict.

    Args:
        task: What was asked.
        trajectory: What the teacher did, scored by the verifier.
        verdict: What the verifier says.
    """

    task: Task
    trajectory: Trajectory
    verdict: Verdict

    @property
    def records(self) -> list[dict[str, Any]]:
        """The rows as they stand in JSONL: one, whose score is the verifier's."""
        return [self.trajectory.to_row()]


class TeacherGenerator(DataSynthesiser):
    """Makes trajectories over a cached web: the teacher knows where each answer stands, acts, reads and answers.

        generator = TeacherGenerator(cache_dir="web", include_plugins=["catalogue", "weather"])
        result = await generator.generate_composite_trajectory(seed=1, num_subtasks=2)
        for record in result.records:
            print(record["score"])

    Every record is judged by :class:`LiveWebVerifier`, which acts it out again; there is no default score. Trajectory number n of
    :meth:`generate` depends on the options, the cache, the seed and n alone.

    Args:
        cache_dir: Folder of the cache, or the cache.
        include_plugins: Sites; see :func:`orbiter_liveweb.sites.topology_of`.
        seed: Selects what :meth:`generate` makes.
        num_subtasks: Questions per task of :meth:`generate`: a number, or two: the least and the most.
        templates: Templates of :meth:`generate`, by full name or site; None: all.
        split: ``train`` or ``held_out``: neither question nor visited page is about an entity of the other side. None: no split.
        held_out_share: Share of the entities that are held out, in (0, 1).
    """

    def __init__(
        self,
        cache_dir: str | Path | Cache,
        include_plugins: Sequence[str | Site] | None = None,
        *,
        seed: int = 0,
        num_subtasks: int | Sequence[int] = (1, 3),
        templates: Sequence[str] | None = None,
        split: str | None = None,
        held_out_share: float = 0.1,
    ) -> None:
        self.verifier = LiveWebVerifier(cache_dir=cache_dir, include_plugins=include_plugins)
        self.cache = self.verifier.cache
        self.composer = Composer(
            self.verifier.topology,
            num_subtasks=num_subtasks,
            templates=templates,
            split=split,
            held_out_share=held_out_share,
        )
        self.templates = self.composer.templates
        self.seed = check_seed(seed)

    async def generate_composite_trajectory(
        self, *, seed: int, num_subtasks: int = 2, templates: Sequence[str] | None = None
    ) -> CompositeTrajectory:
        """Return the trajectory of a task of several questions, scored by replay.

        Args:
            seed: Selects the task and the way that the teacher takes.
            num_subtasks: How many questions.
            templates: Templates by full name or site; None: those of the generator.

        Raises:
            ConfigError: The web has not enough questions.
            TeacherError: The web is not what a template takes it for.
        """
        return self.compose(seed=seed, num_subtasks=num_subtasks, templates=templates)

    def compose(
        self,
        *,
        seed: int,
        num_subtasks: int = 2,
        templates: Sequence[str] | None = None,
        first: str | None = None,
    ) -> CompositeTrajectory:
        """Return what :meth:`generate_composite_trajectory` returns, without a loop of events; ``first`` as in ``Composer.draw``."""
        for turn in range(_TURNS):
            questions = self.composer.draw(
                seed=seed,
                num_subtasks=num_subtasks,
                templates=templates,
                turn=turn,
                first=first,
            )
            guide = self.act(questions, seed=seed)
            about = self.verifier.topology.entities_of_pages(guide.session.visited)
            if self.composer.fits(about):
                return self._scored(questions, guide, seed=seed)
        raise ConfigError(
            f"every task that seed {seed} gives visits pages of the other side of the split",
            hint="take more templates or a larger cache, or fewer subtasks",
        )

    def act(self, questions: Sequence[Question], *, seed: int) -> Guide:
        """Answer questions and return the guide that did, with all messages up to the answer.

        Raises:
            TeacherError: The web is not what a template takes it for.
        """
        names = "+".join(question.id for question in questions)
        stream = item_stream(ENV, "acts", seed, names)
        guide = Guide(Session(lambda: CacheBrowser(self.cache)), stream)
        answers: list[str] = []
        for question in questions:
            template = self.verifier.topology.template_of(question)
            try:
                answers.append(template.teach(guide, question.variables))
            except OrbiterError:
                raise
            except (LookupError, ValueError, TypeError, AttributeError) as error:
                raise TeacherError(
                    f"template {question.template_name} does not understand {guide.url}: {type(error).__name__}: {error}"
                ) from error
        answer = numbered(answers)
        guide.do("stop", answer=answer)
        guide.messages.append(Message("assistant", answer))
        return guide

    def _scored(
        self, questions: Sequence[Question], guide: Guide, *, seed: int
    ) -> CompositeTrajectory:
        task = task_of(self.verifier.topology, questions)
        trajectory = Trajectory.following(task, *guide.messages, generator="liveweb", seed=seed)
        verdict = judge(self.verifier, task, trajectory)
        metadata = {
            "subtasks": list(task.metadata["subtasks"]),
            "templates": [question.template_name for question in questions],
            "actions": dict(sorted(Counter(m.name for m in guide.messages if m.name).items())),
            "score": verdict.score,
        }
        done = attrs.evolve(trajectory, score=verdict.score, verdict=verdict, metadata=metadata)
        return CompositeTrajectory(task, done, verdict)

    async def generate(self, count: int) -> list[Trajectory]:
        """Return the first ``count`` trajectories, all different; fewer, with a warning, when the web has no more."""
        rows: dict[str, Trajectory] = {}
        order = sorted(self.templates, key=lambda name: item_seed(ENV, "turn", self.seed, name))
        for index in range(4 * count):
            if len(rows) == count:
                break
            seed, size = self.composer.lot(index, seed=self.seed)
            # In turn, so that a small corpus has its share of each.
            first = order[index % len(order)]
            row = self.compose(seed=seed, num_subtasks=size, first=first).trajectory
            rows.setdefault(row.task_id, row)
        if len(rows) < count:
            warnings.warn(
                f"the web gives {len(rows)} different trajectories of {count} asked for",
                OrbiterWarning,
                stacklevel=2,
            )
        return list(rows.values())
