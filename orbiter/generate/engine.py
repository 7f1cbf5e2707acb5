"""PolicySynthesiser: an engine that makes rows with a policy, and keeps none that something else than the policy has not confirmed."""

from __future__ import annotations

import math
import warnings
from abc import abstractmethod
from collections import Counter
from collections.abc import Awaitable, Callable, Mapping, Sequence
from typing import TYPE_CHECKING, Any, ClassVar

import attrs
from attrs import field
from attrs.converters import optional

from orbiter.checks import check_whole_number
from orbiter.convert import show
from orbiter.errors import ConfigError, OrbiterWarning, UserCodeError, user_code
from orbiter.generate.item import at_item, task_of
from orbiter.generate.policy import Completion, Policy, Request, Sampling, Spending, ask_all
from orbiter.generate.proposals import (
    Dropped,
    EngineReport,
    Proposal,
    Proposed,
    sorted_out,
    unmarked,
)
from orbiter.generate.synthesiser import DataSynthesiser
from orbiter.records import Message, Task, Trajectory, content_hash
from orbiter.tasks.component import make_component, make_environment
from orbiter.tasks.environment import Environment, demonstration_of
from orbiter.tasks.streams import item_seed
from orbiter.verify.component import make_verifier
from orbiter.verify.verifier import Verifier, judge_batch

if TYPE_CHECKING:
    from orbiter.generate.pipeline import SynthesisConfig


def make_policy(given: object) -> Policy | None:
    """Return ``given`` if it is a policy or None, or the policy that it names."""
    return None if given is None else make_component("policy", given, Policy)  # type: ignore[type-abstract]


Asking = Callable[[Policy, Sequence[Request], Sampling], Awaitable[list[Completion]]]

REACH = 64
"""Tasks of an environment that are looked at, per task wanted, where some are not to be answered."""

BATCH = 64
"""Verdicts made at once by a verifier that takes several, in this process."""


def _nothing(task: Task) -> str | None:  # noqa: ARG001
    """Return None: there is nothing against any prompt."""
    return None


@attrs.define(kw_only=True, eq=False, slots=False, repr=False)
class PolicySynthesiser(DataSynthesiser):
    """Make rows of tasks with a policy; a verifier says which of them are kept.

    A small complete subclass:

        @attrs.define(kw_only=True, eq=False, slots=False, repr=False)
        class Twice(PolicySynthesiser):
            name = "twice"

            async def propose(self, tasks):
                asked = [self.request(task, number=n) for task in tasks for n in range(2)]
                answers = await self.ask(asked)
                return Proposed(proposals=tuple(map(Proposal, [t for t in tasks for _ in range(2)], answers)))

    ``generate`` takes tasks of the environment, ``synthesise`` those that it is given: tasks, trajectories, dicts with an input and an
    output, or texts. Both return judged trajectories: those that passed, and of engines that set answers against each other the
    rejected ones too, which must have failed; :func:`orbiter.curate.best_of_n_pairs` makes pairs of them. ``report`` says what became of
    the rest. In a recipe a stage names the engine in its section ``synthesise`` and gives it the run's policy and environment; there the
    run's verifier judges, and the ledger has every attempt.

    Contract: ``propose`` depends on the tasks, the options and what the policies answer alone; it draws from streams that the seed and the
    task's id select.

    Args:
        policy: What answers, or its name, or its name with options beside it.
        environment: Where ``generate`` takes tasks from, and who knows right answers.
        verifier: What judges; default: the environment's own.
        seed: Every random choice derives from it.
        temperature: That of the policy's answers.
        max_new_tokens: Bound on each of them.
        report: (attribute) The account of the last call.
        forbidden: (attribute) Says why a prompt is not to be answered, or None; a run sets it, so that nothing is spent on prompts that are
            held out.
        asking: (attribute) What asks policies; a run sets it, so that an answer that was paid for is not asked for again.
    """

    policy: Policy | None = field(default=None, converter=make_policy)
    environment: Environment | None = field(default=None, converter=optional(make_environment))
    verifier: Verifier | None = field(default=None, converter=optional(make_verifier))
    seed: int = 0
    temperature: float = 1.0
    max_new_tokens: int = 512
    report: EngineReport = field(factory=EngineReport, init=False)
    forbidden: Callable[[Task], str | None] = field(default=_nothing, init=False)
    asking: Asking = field(default=ask_all, init=False)
    _spent: Spending = field(factory=Spending, init=False)

    name: ClassVar[str]
    """Name of the engine, written into every row as its generator."""

    def __attrs_post_init__(self) -> None:
        check_whole_number("seed", self.seed, low=0)
        self.sampling = Sampling(temperature=self.temperature, max_new_tokens=self.max_new_tokens)

    @property
    def per_task(self) -> int:
        """How many rows a task gives at most."""
        return 1

    @property
    def answers_per_task(self) -> int:
        """How many answers of any policy a task takes at most."""
        return self.per_task

    @abstractmethod
    async def propose(self, tasks: Sequence[Task]) -> Proposed:
        """Return what is made of the tasks, unjudged."""

    async def proposed(self, tasks: Sequence[Task]) -> Proposed:
        """Return what is made of the tasks, with an account of what was spent; whoever calls an engine calls it through this.

        Raises:
            UserCodeError: The engine proposes something else.
        """
        self._spent = Spending()
        found = await self.propose(tasks)
        if not isinstance(found, Proposed):
            raise UserCodeError(f"{self.name} must propose a Proposed, got {found!r:.200}")
        own = Spending.of(proposal.completion for proposal in found.proposals)
        return attrs.evolve(found, beside=self._spent.beside(own))

    async def generate(self, count: int) -> list[Any]:
        """Return up to ``count`` rows made of the environment's first tasks, as many as give that many rows if all are kept.

        Raises:
            ConfigError: There is no environment.
        """
        check_whole_number("count", count, low=0)
        if self.environment is None:
            raise ConfigError(
                f"{self.name} must have an environment to take tasks from, got none",
                hint="give it one, or source data: synthesise(source, config)",
            )
        tasks = self._own_tasks(math.ceil(count / self.per_task))
        rows = await self._rows(tasks, at_most=count)
        if len(rows) < count:
            warnings.warn(
                f"{self.name} made {len(rows)} rows of {len(tasks)} tasks, fewer than the {count} asked for: "
                f"{dict(self.report.dropped.most_common(5))}",
                OrbiterWarning,
                stacklevel=2,
            )
        return rows

    def _own_tasks(self, count: int) -> list[Task]:
        """Return so many of the environment's first tasks, without those that are not to be answered."""
        environment, found, looked_at = self.environment, list[Task](), 0
        assert environment is not None  # noqa: S101  # the caller has looked
        while len(found) < count and looked_at < REACH * count:
            if environment.size is not None and looked_at >= environment.size:
                break
            with user_code(f"environment {environment.name!r}", "task"):
                task = environment.task(looked_at, seed=self.seed)
            looked_at += 1
            if self.forbidden(task) is None:
                found.append(task)
        return found

    async def synthesise(self, source: Sequence[Any], config: SynthesisConfig) -> list[Any]:  # noqa: ARG002
        """Return the rows made of the source; what is in it twice is taken once.

        Raises:
            ConfigError: The source is one text or dict, and no list of them.
            RecordError: An item of the source is no task; names it.
        """
        if isinstance(source, str | Mapping):
            raise ConfigError(f"source must be a list of items, got {show(source)}")
        return await self._rows([at_item(n, task_of, item) for n, item in enumerate(source)])

    async def aclose(self, *, keep: Policy | None = None) -> None:
        """Release what its policies hold, all but one that goes on to be used elsewhere."""
        held = {id(value): value for value in vars(self).values() if isinstance(value, Policy)}
        for policy in held.values():
            if policy is not keep:
                await policy.aclose()

    # --- for subclasses

    def request(self, task: Task, *more: Message, number: int = 0, step: str = "answer") -> Request:
        """Return the request of a task's prompt and what follows it; ``number`` and ``step`` select its seed."""
        return Request(
            messages=(*task.messages, *more),
            env=task.env,
            task_id=task.task_id,
            attempt=number,
            seed=item_seed(self.name, self.seed, task.env, task.task_id, step, number),
            tools=task.tools,
        )

    def order(self, task: Task, text: str, *, number: int = 0, step: str) -> Request:
        """Return a request that shows a text alone, for a task that it is about."""
        return attrs.evolve(
            self.request(task, number=number, step=step),
            messages=(Message("user", text),),
            tools=(),
        )

    async def ask(
        self,
        requests: Sequence[Request],
        *,
        who: Policy | None = None,
        sampling: Sampling | None = None,
    ) -> list[Completion]:
        """Return what a policy answers, in batches that it bears; default: the one that answers, sampled as the options say."""
        policy = who or self.policy
        if policy is None:
            if not requests:
                return []
            raise ConfigError(f"{self.name} must have a policy, got none", hint="policy=...")
        answers = await self.asking(policy, requests, sampling or self.sampling)
        self._spent += Spending.of(answers)
        return [unmarked(answer) for answer in answers]

    def right_answer(self, task: Task) -> str | None:
        """Return the answer that the environment demonstrates, or without one the task's reference; None where neither has words."""
        if self.environment is not None:
            answer = demonstration_of(self.environment, task)
        else:
            answer = task.answer if isinstance(task.answer, str) else None
        return answer if answer and not answer.isspace() else None

    def answerable(
        self, tasks: Sequence[Task], *, otherwise: str
    ) -> tuple[list[tuple[Task, str]], list[Dropped]]:
        """Return the tasks with a right answer, each beside it, and the others, given up for the reason ``otherwise``."""
        rights = [(task, self.right_answer(task)) for task in tasks]
        known = [(task, right) for task, right in rights if right is not None]
        dropped = [Dropped(otherwise, task.task_id) for task, right in rights if right is None]
        return known, dropped

    # --- verdicts

    async def _rows(self, tasks: Sequence[Task], *, at_most: int | None = None) -> list[Trajectory]:
        # An environment may ask the same twice; the same answer would come of it.
        distinct = {(t.env, t.task_id, content_hash(t.messages)): t for t in tasks}
        proposed = await self.proposed(list(distinct.values()))
        verifier = self._verifier()
        rows = [self._row(proposal) for proposal in proposed.proposals]
        asked = [n for n, p in enumerate(proposed.proposals) if p.completion.error is None]
        for start in range(0, len(asked), BATCH):
            batch = asked[start : start + BATCH]
            pairs = [(proposed.proposals[n].task, rows[n]) for n in batch]
            for n, verdict in zip(batch, judge_batch(verifier, pairs)):
                rows[n] = attrs.evolve(rows[n], score=verdict.score, verdict=verdict)
        fit, reasons = sorted_out(rows)
        kept = fit[:at_most]
        surplus = Counter({"more than were asked for": len(fit) - len(kept)})
        self.report = EngineReport(
            tried=len(rows) + len(proposed.dropped),
            kept=len(kept),
            # Added up, what is 0 is left out.
            dropped=Counter(item.reason for item in proposed.dropped) + reasons + surplus,
            spent=self._spent,
        )
        return kept

    def _verifier(self) -> Verifier:
        if self.verifier is None:
            if self.environment is None:
                raise ConfigError(
                    f"{self.name} must have a verifier, got none",
                    hint="nothing is kept without a verdict: give it verifier=..., or an environment that has one",
                )
            self.verifier = make_verifier(self.environment.verifier())
        return self.verifier

    def _row(self, proposal: Proposal) -> Trajectory:
        said = proposal.completion
        extra = {"finish_reason": said.finish_reason}
        return Trajectory.following(
            proposal.task,
            *said.messages,
            metadata=said.metadata,
            generator=self.name,
            model=said.model or (self.policy.model if self.policy is not None else None),
            seed=self.seed,
            extra=extra if said.error is None else extra | {"error": said.error},
        )
