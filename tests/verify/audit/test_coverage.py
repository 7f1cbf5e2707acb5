"""Planted error rates are recovered within the intervals, as often as these say: over 1,000 seeds, through the audit itself."""

import math
import random

import pytest

from orbiter.flywheel.forecast import forecast
from orbiter.flywheel.odds import observed_yield, survivor_precision
from orbiter.records import Message, Task, Verdict
from orbiter.verify.answer import answered
from orbiter.verify.audit import LabelledAnswer, audit
from orbiter.verify.verifier import Verifier

SEEDS = 1_000
RIGHT, WRONG = 60, 80

_TASK = Task("e", "e:0", (Message("user", "?"),), answer="yes")
LABELLED = [LabelledAnswer(_TASK, answered(_TASK, "yes"), True)] * RIGHT
LABELLED += [LabelledAnswer(_TASK, answered(_TASK, "no"), False)] * WRONG


class Erring(Verifier):
    """Passes right and wrong answers with the planted rates, and cannot tell of some."""

    name = "erring"

    def __init__(self, tpr, fpr, invalid, seed):
        self.rates, self.invalid, self.stream = (
            {"yes": tpr, "no": fpr},
            invalid,
            random.Random(seed),
        )

    def verify(self, task, trajectory):
        if self.stream.random() < self.invalid:
            return Verdict.invalid("planted")
        passes = self.stream.random() < self.rates[trajectory.answer]
        return Verdict.passed() if passes else Verdict.failed("planted")


def least(level):
    """Return the coverage that 1,000 seeds fall below with a probability of 1 in 1,000 if the true one is ``level``."""
    return level - 3.1 * math.sqrt(level * (1 - level) / SEEDS)


@pytest.mark.parametrize(
    ("tpr", "fpr", "invalid", "confidence"),
    [(0.95, 0.05, 0.0, 0.95), (0.7, 0.3, 0.1, 0.9), (0.999, 0.01, 0.02, 0.95)],
    ids=str,
)
def test_planted_rates_are_recovered_at_nominal_coverage(tpr, fpr, invalid, confidence):
    pass_rate = 0.2
    observed = observed_yield(pass_rate, tpr=tpr, fpr=fpr)
    precision = survivor_precision(pass_rate, tpr=tpr, fpr=fpr)
    covered = dict.fromkeys(("tpr", "fpr", "fnr", "invalid", "g", "pass_rate", "precision"), 0)
    means = {"tpr": 0.0, "fpr": 0.0}
    for seed in range(SEEDS):
        found = audit(Erring(tpr, fpr, invalid, seed), LABELLED, confidence=confidence)
        ahead = forecast(found, observed)
        covered["tpr"] += tpr in found.tpr.interval
        covered["fpr"] += fpr in found.fpr.interval
        covered["fnr"] += 1 - tpr in found.fnr.interval
        covered["invalid"] += invalid in found.invalid_rate.interval
        covered["g"] += tpr / fpr in found.g.interval
        covered["pass_rate"] += pass_rate in ahead.pass_rate.interval
        covered["precision"] += precision in ahead.precision.interval
        means["tpr"] += found.tpr.value / SEEDS
        means["fpr"] += found.fpr.value / SEEDS
    assert {name: n / SEEDS for name, n in covered.items() if n / SEEDS < least(confidence)} == {}
    # The estimates themselves are unbiased, and the intervals no wider than they must be.
    assert means["tpr"] == pytest.approx(tpr, abs=4 * math.sqrt(tpr * (1 - tpr) / RIGHT / SEEDS))
    assert means["fpr"] == pytest.approx(fpr, abs=4 * math.sqrt(fpr * (1 - fpr) / WRONG / SEEDS))
    assert found.fpr.interval.width < 8 * math.sqrt(fpr * (1 - fpr) / WRONG) + 3 / WRONG
