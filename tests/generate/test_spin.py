"""SPIN rows: the truth against own answers that fail."""

from orbiter.curate import best_of_n_pairs
from orbiter.generate.policy import Completion
from orbiter.generate.spin import SpinRows
from orbiter.verify.exact import ExactVerifier


def test_spin_sets_the_truth_against_own_answers_that_fail(run, saying, task):
    policy = saying(lambda request: ("5", "4", "5", Completion.failed("down"))[request.attempt])
    engine = SpinRows(policy=policy, verifier=ExactVerifier(), samples=4)
    rows = run(engine, task("2+2=", "4"))
    assert [(row.answer, row.metadata["role"], row.score) for row in rows] == [
        ("4", "chosen", 1.0),
        ("5", "rejected", 0.0),
    ]
    assert engine.report.dropped == {
        "same as the right answer": 1,
        "repeats another answer": 1,
        "no answer: down": 1,
    }
    (pair,) = best_of_n_pairs(rows)
    assert (pair.chosen[0].text, pair.rejected[0].text) == ("4", "5")


def test_an_own_answer_that_is_as_good_as_the_truth_is_not_rejected(run, saying, last_number, task):
    engine = SpinRows(policy=saying(lambda _: "it is 4"), verifier=last_number)
    (row,) = run(engine, task("2+2=", "4"))
    assert row.metadata["role"] == "chosen"
    assert engine.report.dropped == {"meant to be rejected, and passed": 1}
