"""Adaptive rejection sampling: which task to sample next, when enough survivors of each are enough.

Uniform sampling gives every task k samples, though an easy one had its survivors after two and a hard one could use
twenty. The planner here gives each task the same first k attempts, but stops it at c survivors; what that saves goes to the
tasks that still lack survivors, where another pass is likeliest.

Guarantee, for every possible table of outcomes by (task, attempt), not just on average: the cost is at most tasks x k
samples, and every task ends with at least min(c, passes among its first k attempts) survivors, which is what uniform sampling
keeps of it. So it never costs more than uniform sampling and never keeps less. (The outcome of an attempt must not depend on
when it is asked for, which holds when each attempt has its own seed. If attempts are merely independent, the same is true of
the distributions of the two.)

The order in which savings are spent is a heuristic: an empirical-Bayes posterior mean, greedily. No optimality is claimed.
A task whose first k attempts were all invalid gets no savings.
"""

from __future__ import annotations

import heapq
import math
from collections import Counter
from collections.abc import Iterable, Mapping

import numpy as np
from attrs import frozen

from orbiter.checks import check_number, check_whole_number
from orbiter.errors import ConfigError, LifecycleError
from orbiter.records import Outcome

_GRID = 15
_REFINEMENTS = 6


@frozen
class BetaPrior:
    """How pass rates are spread over tasks: a Beta distribution.

    Args:
        passes: First parameter, > 0.
        failures: Second parameter, > 0.
    """

    passes: float = 1.0
    failures: float = 1.0

    @property
    def mean(self) -> float:
        """The mean pass rate."""
        return self.passes / (self.passes + self.failures)


class Allocator:
    """Plans attempts in waves; deterministic, and the same whatever the order of results inside a wave.

        allocator = Allocator(tasks=len(tasks), samples_per_task=8, target_survivors=2)
        while wave := allocator.next_wave():
            for task_index, attempt in wave:
                allocator.record(task_index, attempt, outcome_of(task_index, attempt))

    Args:
        tasks: Number of tasks, >= 0.
        samples_per_task: k: samples that uniform sampling would give each task; the budget is tasks x k.
        target_survivors: c: a task with this many passes is done.
        wave_size: Most attempts in a wave; None for no bound. Smaller waves adapt better and keep a generator less busy.
        need_rate: An attempt is asked for ahead of a task's results only while the probability that it is still needed
            is above this, in [0, 1]; 1 asks for no attempt ahead, 0 fills every wave.
        max_samples_per_task: Most attempts of one task; None for no bound but the budget; equal to ``samples_per_task``
            to keep the savings instead of spending them.

    Raises:
        ConfigError: An argument is out of range.
    """

    def __init__(
        self,
        *,
        tasks: int,
        samples_per_task: int,
        target_survivors: int = 1,
        wave_size: int | None = None,
        need_rate: float = 0.5,
        max_samples_per_task: int | None = None,
    ) -> None:
        check_whole_number("tasks", tasks, low=0)
        check_whole_number("samples_per_task", samples_per_task, low=1)
        check_whole_number("target_survivors", target_survivors, low=1)
        if wave_size is not None:
            check_whole_number("wave_size", wave_size, low=1)
        if max_samples_per_task is not None:
            check_whole_number("max_samples_per_task", max_samples_per_task, low=samples_per_task)
        check_number("need_rate", need_rate, "[0, 1]")
        self.tasks = tasks
        self.samples_per_task = samples_per_task
        self.target_survivors = target_survivors
        self.wave_size = wave_size
        self.need_rate = need_rate
        self.max_samples_per_task = max_samples_per_task
        self._asked = [0] * tasks
        self._passed = [0] * tasks
        self._failed = [0] * tasks
        self._invalid = [0] * tasks
        self._pending: set[tuple[int, int]] = set()

    @property
    def budget(self) -> int:
        """What uniform sampling costs: tasks x samples_per_task."""
        return self.tasks * self.samples_per_task

    @property
    def spent(self) -> int:
        """Attempts asked for so far; at most the budget."""
        return sum(self._asked)

    @property
    def passes(self) -> tuple[int, ...]:
        """Passes recorded so far, by task."""
        return tuple(self._passed)

    @property
    def survivors(self) -> int:
        """Passes recorded so far, at most ``target_survivors`` of each task counted."""
        return sum(min(self.target_survivors, passed) for passed in self._passed)

    @property
    def pending(self) -> list[tuple[int, int]]:
        """Attempts of the current wave without an outcome yet, in order."""
        return sorted(self._pending)

    @property
    def prior(self) -> BetaPrior:
        """How pass rates are spread over tasks, by the results so far."""
        return fit_prior(zip(self._passed, self._failed, strict=True))

    def next_wave(self) -> list[tuple[int, int]]:
        """Return the next (task index, attempt number) pairs, in order; empty when the sampling is over.

        The first wave of a task is attempt 0, and its attempts are asked for without gaps.

        Raises:
            LifecycleError: Outcomes of the wave before are missing.
        """
        if self._pending:
            raise LifecycleError(
                f"every attempt of a wave must have an outcome before the next wave, "
                f"got {len(self._pending)} without one",
                hint=f"record them first; the first is {min(self._pending)!r}",
            )
        prior = self.prior
        wave = self._first_attempts(prior) or self._further_attempts(prior)
        for task, _ in wave:
            self._asked[task] += 1
        self._pending = set(wave)
        return sorted(wave)

    def record(self, task_index: int, attempt: int, outcome: Outcome) -> None:
        """Take the outcome of one attempt of the current wave; an invalid one is neither a pass nor a failure.

        Raises:
            ConfigError: The attempt is not awaited: never planned, or recorded before; or the outcome is not one.
        """
        if (task_index, attempt) not in self._pending:
            raise ConfigError(
                f"attempt must be one of the current wave without an outcome, got {(task_index, attempt)!r}"
            )
        if not isinstance(outcome, Outcome):
            raise ConfigError(f"outcome must be an Outcome, got {outcome!r}")
        self._pending.remove((task_index, attempt))
        counts = {
            Outcome.PASS: self._passed,
            Outcome.FAIL: self._failed,
            Outcome.INVALID: self._invalid,
        }
        counts[outcome][task_index] += 1

    def replay(self, outcomes: Mapping[tuple[int, int], Outcome]) -> list[tuple[int, int]]:
        """Take what is known of an interrupted sampling and return the attempts that are still to be made.

        Call it on a fresh allocator with the same arguments, instead of the first ``next_wave``. Empty when all is done.

        Raises:
            LifecycleError: The allocator is not fresh.
            ConfigError: ``outcomes`` holds an attempt that this plan does not ask for, given the others.
        """
        if self.spent:
            raise LifecycleError(
                f"replay must come before the first wave, got {self.spent} attempts planned"
            )
        known = dict(outcomes)
        while wave := self.next_wave():
            for key in wave:
                if key in known:
                    self.record(*key, known.pop(key))
            if self._pending:
                break
        if known:
            raise ConfigError(
                f"outcomes must be of planned attempts, got {min(known)!r} and {len(known) - 1} more",
                hint="were the arguments of the allocator different when the sampling began?",
            )
        return self.pending

    def _need(self, task: int) -> int:
        return self.target_survivors - self._passed[task]

    def _open(self, *, below: int | None) -> list[int]:
        return [
            task
            for task in range(self.tasks)
            if self._need(task) > 0 and (below is None or self._asked[task] < below)
        ]

    def _first_attempts(self, prior: BetaPrior) -> list[tuple[int, int]]:
        """Attempts below k, evenly: those of the tasks that have had fewest come first."""
        heap = [(self._asked[task], 0, task) for task in self._open(below=self.samples_per_task)]
        heapq.heapify(heap)
        wave: list[tuple[int, int]] = []
        while heap and (self.wave_size is None or len(wave) < self.wave_size):
            attempt, ahead, task = heapq.heappop(heap)
            wave.append((task, attempt))
            if attempt + 1 < self.samples_per_task and self._wanted(task, ahead + 1, prior):
                heapq.heappush(heap, (attempt + 1, ahead + 1, task))
        return wave

    def _further_attempts(self, prior: BetaPrior) -> list[tuple[int, int]]:
        """Attempts from k on, paid for by what the others saved: those likeliest to give a needed pass come first."""
        room = self.budget - self.spent
        if self.wave_size is not None:
            room = min(room, self.wave_size)
        heap = [
            (-self._usefulness(task, 0, prior), task, 0)
            for task in self._open(below=self.max_samples_per_task)
            # What was never judged validly is broken rather than hard: more samples would not mend it.
            if self._passed[task] + self._failed[task] > 0
        ]
        heapq.heapify(heap)
        wave: list[tuple[int, int]] = []
        while heap and len(wave) < room:
            _, task, ahead = heapq.heappop(heap)
            attempt = self._asked[task] + ahead
            wave.append((task, attempt))
            below = self.max_samples_per_task
            if (below is None or attempt + 1 < below) and self._wanted(task, ahead + 1, prior):
                heapq.heappush(heap, (-self._usefulness(task, ahead + 1, prior), task, ahead + 1))
        return wave

    def _wanted(self, task: int, ahead: int, prior: BetaPrior) -> bool:
        """Say whether one more attempt is worth asking for, with ``ahead`` of the task already in the wave."""
        if ahead < self._need(task):
            return True
        return self._still_needed(task, ahead, prior, extra_passes=0) > self.need_rate

    def _usefulness(self, task: int, ahead: int, prior: BetaPrior) -> float:
        """Posterior probability that one more attempt is valid, passes, and is needed."""
        passes = prior.passes + self._passed[task]
        failures = prior.failures + self._failed[task]
        rate = passes / (passes + failures)
        valid = self._passed[task] + self._failed[task]
        validity = valid / (valid + self._invalid[task])
        return validity * rate * self._still_needed(task, ahead, prior, extra_passes=1)

    def _still_needed(self, task: int, ahead: int, prior: BetaPrior, *, extra_passes: int) -> float:
        """P(fewer passes than needed among ``ahead`` attempts), beta-binomial; given one more pass if asked."""
        need = self._need(task)
        if ahead < need:
            return 1.0
        a = prior.passes + self._passed[task] + extra_passes
        b = prior.failures + self._failed[task]
        return math.fsum(_beta_binomial(y, ahead, a, b) for y in range(need))


def _beta_binomial(successes: int, count: int, a: float, b: float) -> float:
    log_choose = -math.log(count + 1) - _log_beta(successes + 1, count - successes + 1)
    return math.exp(log_choose + _log_beta(successes + a, count - successes + b) - _log_beta(a, b))


def _log_beta(a: float, b: float) -> float:
    return math.lgamma(a) + math.lgamma(b) - math.lgamma(a + b)


def fit_prior(counts: Iterable[tuple[int, int]]) -> BetaPrior:
    """Return the Beta prior under which the (passes, failures) of all tasks are likeliest.

    Maximises sum log B(a + s, b + f) / B(a, b) over a grid of the mean a / (a + b) and the strength a + b that is refined
    around its best point. Stopping a task at its last needed pass does not bias it, since the likelihood of a sequence does not
    depend on why it ended. Two imagined tasks, one pass and one failure, keep the mean inside (0, 1), and a weak log-normal
    preference for a strength of 2 settles it where the results cannot. Without results it is Beta(1, 1).
    """
    from scipy.special import betaln  # scipy costs a tenth of a second to import

    tally = Counter(pair for pair in counts if pair != (0, 0))
    if not tally:
        return BetaPrior()
    tally.update([(1, 0), (0, 1)])
    rows = np.array([(s, f, tasks) for (s, f), tasks in tally.items()], dtype=float)
    logit, log_strength = 0.0, math.log(2)
    reach_logit, reach_strength = 9.0, 6.0
    for _ in range(_REFINEMENTS):
        logits = np.linspace(logit - reach_logit, logit + reach_logit, _GRID)[:, None, None]
        logs = np.linspace(log_strength - reach_strength, log_strength + reach_strength, _GRID)
        strengths = np.exp(np.clip(logs, -4.0, 9.0))[None, :, None]
        means = 1 / (1 + np.exp(-np.clip(logits, -12.0, 12.0)))
        a, b = means * strengths, (1 - means) * strengths
        terms = betaln(a + rows[:, 0], b + rows[:, 1]) - betaln(a, b)
        score = terms @ rows[:, 2] - np.square((np.log(strengths[..., 0]) - math.log(2)) / 4)
        i, j = np.unravel_index(int(np.argmax(score)), score.shape)
        logit, log_strength = float(logits[i, 0, 0]), float(logs[j])
        # The best point lies within one step of the grid; the next grid spans two to each side.
        reach_logit, reach_strength = 4 * reach_logit / _GRID, 4 * reach_strength / _GRID
    mean = 1 / (1 + math.exp(-min(12.0, max(-12.0, logit))))
    strength = math.exp(min(9.0, max(-4.0, log_strength)))
    return BetaPrior(mean * strength, (1 - mean) * strength)
