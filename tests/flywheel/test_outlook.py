"""What the rounds of a run say of those to come."""

import pytest

from orbiter.flywheel.outlook import Way, outlook, told, why_slower
from orbiter.flywheel.page import show
from orbiter.flywheel.report import _outlook
from orbiter.flywheel.summary import summarise_round

AUDIT = {"tpr": 1.0, "fpr": 0.0, "fpr_high": 0.02, "g_low": 45.0, "g": None}


def rounds(*held_out, count=1000, audited=None, **more):
    rows = []
    for number, passed in enumerate(held_out):
        facts = {"passed": passed, "failed": count - passed}
        if audited is not None:
            facts |= {"audited_passed": audited[number], "audited_valid": count}
        stages = {"evaluate": facts}
        if number:
            made = {
                "sampled": 400,
                "samples": 400,
                "passed": passed,
                "failed": count - passed,
                "seconds": 2.0,
            }
            stages["generate"] = made | {
                name: v[number] for name, v in more.items() if name in ("tasks", "solved_tasks")
            }
            stages["curate"] = {
                "decisions": {"duplicate": more.get("duplicates", [0] * 9)[number]},
                "rows": 10 * number,
            }
            stages["train"] = {"loss": more.get("losses", [0.1] * 9)[number], "seconds": 1.0}
        rows.append(summarise_round(number, stages, before=rows[-1] if rows else None, audit=AUDIT))
    return rows


def test_the_way_to_a_target_follows_from_the_odds():
    found = outlook(rounds(100, 500, 800), AUDIT, target=0.97)
    assert found.rate == 0.8
    assert found.measured == Way(multiplier=pytest.approx(4.0), rounds=2, samples=800, seconds=6.0)
    assert found.least.multiplier < 4 < found.forecast.multiplier == 45.0
    assert found.least.rounds == 2
    assert found.forecast.rounds == 1
    assert told(found)[0] == (
        "to a held-out pass rate of 0.97 at the g of the last round, 4.00: 2 rounds, 800 samples, 6 s"
    )


def test_a_run_that_falls_never_gets_there_and_one_that_is_there_needs_no_way():
    falling = outlook(rounds(500, 300), AUDIT)
    assert (falling.measured.rounds, falling.measured.samples) == (None, None)
    assert any(line.endswith(": never") for line in told(falling))
    there = outlook(rounds(500, 950), AUDIT)
    assert there.measured.rounds == 0
    assert told(there) == ["the held-out pass rate of 0.950 has reached 0.9"]


def test_from_no_pass_at_all_no_multiplier_leads_anywhere():
    assert told(outlook(rounds(0, 0), AUDIT)) == [
        "to a held-out pass rate of 0.9: no answer passed, and odds of 0 grow by no factor"
    ]


def test_nothing_measured_is_no_outlook():
    assert told(outlook([summarise_round(0, {}, before=None, audit={})], {})) == []


@pytest.mark.parametrize(
    ("more", "reason"),
    [
        ({"tasks": [0, 50, 50], "solved_tasks": [0, 5, 30]}, "saturated tasks: every answer to 30 of 50 tasks passed"),
        ({"duplicates": [0, 10, 700]}, "duplicates: 700 of 900 passing answers repeat another"),
        ({"losses": [0, 0.1, 0.2]}, "capacity: the loss rose from 0.1000 to 0.2000 on 20 rows instead of 10"),
    ],
)  # fmt: skip
def test_a_smaller_gain_has_its_reason(more, reason):
    found = outlook(rounds(100, 800, 900, **more), AUDIT)
    (why,) = found.slower.values()
    assert [one for one in why if one.startswith(reason)]
    assert not any(
        one.startswith(reason) for one in outlook(rounds(100, 800, 900), AUDIT).slower[2]
    )


def test_the_errors_of_the_verifier_are_a_reason_where_they_are_as_many_as_the_models():
    before, row = rounds(100, 985, 992)[1:]
    noisy = AUDIT | {"fpr": 0.1, "fpr_high": 0.6}
    (reason,) = [r for r in why_slower(row, before, noisy) if r.startswith("the verifier's errors")]
    assert "may be wrong" in reason
    assert not [r for r in why_slower(row, before, AUDIT) if r.startswith("the verifier's errors")]
    blind = AUDIT | {"fpr": 0.9, "fpr_high": 1.0}
    assert any("right and wrong alike" in r for r in why_slower(row, before, blind))


def test_chance_is_said_first_where_the_intervals_overlap():
    few = rounds(10, 20, 25, count=50)
    assert outlook(few, AUDIT).slower[2][0].startswith("perhaps chance: g is ")
    many = rounds(1000, 8000, 8200, count=10_000)
    assert (
        not outlook(many, AUDIT).slower[2][0:1] or "chance" not in outlook(many, AUDIT).slower[2][0]
    )


def test_a_gamed_verifier_is_told():
    found = outlook(rounds(200, 500, 800, audited=(200, 150, 100)), AUDIT)
    assert "the visible pass rate rose" in found.goodhart
    assert told(found)[-1].startswith("the verifier may be gamed: the visible pass rate rose")
    assert outlook(rounds(200, 500, 800, audited=(200, 500, 800)), AUDIT).goodhart is None


def test_the_report_cuts_no_sentence_short():
    rows = rounds(
        100, 800, 900, tasks=[0, 50, 50], solved_tasks=[0, 5, 30], duplicates=[0, 10, 700], losses=[0, 0.1, 0.2]
    )  # fmt: skip
    sentence = max(told(outlook(rows, AUDIT)), key=len)
    assert len(sentence) > 300
    assert show(sentence, limit=len(sentence)) in _outlook(rows, AUDIT)
    assert " characters)" not in _outlook(rows, AUDIT)
