"""What a rollout asks for, and what it gives."""

from __future__ import annotations

from collections import Counter
from collections.abc import Callable, Sequence

from attrs import define, field, frozen

from orbiter.errors import BudgetExceededError
from orbiter.flywheel.engines import POLICY
from orbiter.flywheel.waves import Waves
from orbiter.generate.policy import Sampling, Spending
from orbiter.ledger import AttemptKey
from orbiter.records import Message, Outcome, Task, Trajectory


@frozen(kw_only=True)
class RolloutPlan:
    """What a rollout asks for.

    Args:
        run: Name of the run.
        round: Round that the attempts belong to.
        engine: What generates the attempts, and for what: :mod:`orbiter.flywheel.engines`.
        tasks: The tasks, in order.
        waves: Which attempts at them are asked for, and when.
        seed: Seed of the run.
        sampling: How to sample.
        model: Name of the model for the rows; the same wherever the run's folder lies.
        max_invalid_rate: Share of the attempts that may be invalid before the rollout is given up.
        hint: What is asked instead of a task's prompt; the rows follow the prompt all the same. None asks the prompt.
    """

    run: str
    round: int
    engine: str
    tasks: Sequence[Task]
    waves: Waves
    seed: int
    sampling: Sampling
    model: str | None = None
    max_invalid_rate: float = 1.0
    hint: Callable[[Task], tuple[Message, ...]] | None = None

    def key(self, task: Task, attempt: int) -> AttemptKey:
        """Return the identity of one attempt."""
        return AttemptKey(self.round, self.engine, task.env, task.task_id, attempt)

    def check_invalid(self, reasons: Counter[str], *, of: int) -> None:
        """Raise if so many attempts are too many to be invalid.

        Args:
            reasons: Why they are invalid.
            of: How many attempts there are.

        Raises:
            BudgetExceededError: Their share is above ``max_invalid_rate``.
        """
        if reasons.total() > self.max_invalid_rate * of:
            often = "; ".join(f"{count} x {reason}" for reason, count in reasons.most_common(3))
            what = "attempts" if self.engine == POLICY else f"{self.engine} attempts"
            raise BudgetExceededError(
                f"invalid {what} of round {self.round} must be at most {self.max_invalid_rate:.1%}, "
                f"got {reasons.total()} of {of}: {often}",
                hint="mend the cause, or allow more with gates.max_invalid_rate=...; the run goes on from here",
            )


@define
class RolloutResult:
    """What a rollout gave: the judged trajectories in identity order, and where the time went.

    Args:
        judged: Attempts with their verdicts.
        unanswered: Attempts to which the policy gave no answer, so that nobody can judge them.
        spent: What the attempts took.
        timed_token_count: Those of its tokens that were generated in ``generate_s``, by this process.
        generate_s: Wall time with an answer under way, in seconds.
        verify_s: Wall time with a verdict under way, in seconds; it may overlap with generating.
        work_s: Wall time with either under way. What a stage takes beyond that is the framework's own.
    """

    # Not shown: asyncio takes the repr of a finished task, and this one would be millions of characters.
    judged: dict[AttemptKey, Trajectory] = field(factory=dict, repr=False)
    unanswered: set[AttemptKey] = field(factory=set, repr=False)
    spent: Spending = field(factory=Spending)
    timed_token_count: int = 0
    generate_s: float = 0.0
    verify_s: float = 0.0
    work_s: float = 0.0

    def outcomes(self, outcome: Outcome) -> int:
        """Return how many verdicts have this outcome."""
        return sum(1 for t in self.judged.values() if t.verdict and t.verdict.outcome is outcome)
