"""How fast and how right the maths verifier is, beside bare math-verify on the same worked solutions.

    python benchmarks/verify_math.py [--rounds 7] [--count 200]

Each round draws new labelled solutions, so that nothing is judged twice and no cache helps either side; the two sides take turns.
Bar: at least 5 times the verdicts per second (median of the rounds' ratios), at no worse an accuracy, over the drawn solutions
and over the hand-written ones of the plugin's tests.
"""

from __future__ import annotations

import argparse
import logging
import os
import platform
import statistics
import sys
import time
from collections.abc import Callable, Sequence
from importlib.metadata import version
from pathlib import Path

import yaml
from orbiter_math import symbolic
from orbiter_math.cases import Case, cases
from orbiter_math.math_verifier import MathVerifier

from orbiter.records import Outcome
from orbiter.verify.verifier import judge

BAR = 5.0
HAND = Path(__file__).parent.parent / "plugins" / "orbiter-math" / "tests" / "cases.yaml"
Side = Callable[[Case], bool]


def bare(case: Case) -> bool:
    """Judge by math-verify alone, as its documentation has it."""
    from math_verify import parse, verify

    return verify(parse(f"${case.reference}$"), parse(case.labelled.answer))


def ours(case: Case) -> bool:
    """Judge by the plugin's verifier."""
    labelled = case.labelled
    return judge(VERIFIER, labelled.task, labelled.trajectory).outcome is Outcome.PASS


VERIFIER = MathVerifier()


def hand() -> list[Case]:
    """Return the hand-written cases."""
    return [
        Case(family, row["reference"], answer, right, row.get("prompt", "Solve it."))
        for family, rows in yaml.safe_load(HAND.read_text()).items()
        for row in rows
        for right, answers in ((True, row["right"]), (False, row["wrong"]))
        for answer in answers
    ]


def run(side: Side, chosen: Sequence[Case]) -> tuple[float, int, int]:
    """Return seconds, and how many right answers failed and wrong ones passed."""
    start = time.perf_counter()
    said = [side(case) for case in chosen]
    seconds = time.perf_counter() - start
    false_negatives = sum(case.right and not passed for case, passed in zip(chosen, said))
    false_positives = sum(passed and not case.right for case, passed in zip(chosen, said))
    return seconds, false_negatives, false_positives


def main() -> None:
    """Run and print."""
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--rounds", type=int, default=7)
    parser.add_argument("--count", type=int, default=200)
    options = parser.parse_args()
    logging.disable(logging.WARNING)
    names = ("math-verify", "latex2sympy2_extended", "sympy", "antlr4-python3-runtime", "mpmath")
    print(f"python {platform.python_version()}, " + ", ".join(f"{n} {version(n)}" for n in names))
    print(f"load {os.getloadavg()[0]:.2f} on {os.cpu_count()} cores")
    asked = 0
    slow_path = symbolic.same

    def counted(reference: str, answer: str) -> bool:
        nonlocal asked
        asked += 1
        return slow_path(reference, answer)

    symbolic.same = counted
    for side in (bare, ours):  # imports and the first use of the grammar
        run(side, cases(50, seed=0))
    ratios, times = [], {bare: [], ours: []}
    errors = {bare: [0, 0], ours: [0, 0]}
    for number in range(1, options.rounds + 1):
        chosen = cases(options.count, seed=number)
        for side in (bare, ours) if number % 2 else (ours, bare):
            seconds, negatives, positives = run(side, chosen)
            times[side].append(seconds / options.count)
            errors[side][0] += negatives
            errors[side][1] += positives
        ratios.append(times[bare][-1] / times[ours][-1])
        print(
            f"round {number}: math-verify {times[bare][-1] * 1e3:.2f} ms, ours "
            f"{times[ours][-1] * 1e3:.3f} ms a verdict: {ratios[-1]:.1f} times as fast"
        )
    total = options.rounds * options.count
    print(f"ours asked math-verify for {asked} of {total + 50} answers")
    ratio = statistics.median(ratios)
    print(f"ratio: median {ratio:.1f}, lowest {min(ratios):.1f}; bar {BAR:.0f}")
    worse = _report("drawn", total, errors)
    errors = {side: list(run(side, hand())[1:]) for side in (bare, ours)}
    worse |= _report("by hand", len(hand()), errors)
    print("holds" if ratio >= BAR and not worse else "missed")
    print(f"load {os.getloadavg()[0]:.2f}")
    sys.exit(0 if ratio >= BAR and not worse else 1)


def _report(what: str, total: int, errors: dict[Side, list[int]]) -> bool:
    """Print how often each side was wrong; return whether ours was wrong more often."""
    for side, name in ((bare, "math-verify"), (ours, "ours")):
        negatives, positives = errors[side]
        print(
            f"{what}: {name} wrong on {negatives + positives} of {total}: {negatives} right ones "
            f"failed, {positives} wrong ones passed"
        )
    return sum(errors[ours]) > sum(errors[bare])


if __name__ == "__main__":
    main()
