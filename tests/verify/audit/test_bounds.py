import pytest

from orbiter.errors import ConfigError
from orbiter.intervals import clopper_pearson
from orbiter.verify.audit import Audit, Confusion
from orbiter.verify.audit.bounds import check_bound


def audited(**families):
    """Return an audit of families, each given as (passed, failed) wrong answers."""
    confusions = {
        n: Confusion(false_positives=p, true_negatives=f) for n, (p, f) in families.items()
    }
    return Audit(
        verifier="v",
        version="1",
        families=confusions,
        false_positives=sum(p for p, _ in families.values()),
        true_negatives=sum(f for _, f in families.values()),
    )


def test_a_bound_is_kept_only_if_the_upper_end_is_within_it():
    high = clopper_pearson(0, 100).high
    assert 0.036 < high < 0.037
    few = audited(empty=(0, 100))
    assert not check_bound(few, "fpr", 0.036).kept
    assert check_bound(few, "fpr", 0.0365).kept
    bound = check_bound(few, "fpr", high)
    assert (bound.shown, bound.kept, bound.families) == (True, True, ())
    assert bound.estimate.interval.high == high


def test_a_family_is_named_however_many_others_dilute_it():
    diluted = audited(empty=(0, 3000), echo=(0, 3000), twice=(40, 10))
    bound = check_bound(diluted, "fpr", 0.05)
    assert (bound.shown, bound.kept, bound.families) == (True, False, ("twice",))
    assert check_bound(diluted, "fpr", 0.9).kept


def test_a_family_is_not_accused_of_what_chance_does():
    """One of 20 families of 30 answers with 4 passes: above 2 % at 95 % alone, not among twenty."""
    families = {f"f{n}": (0, 30) for n in range(19)} | {"odd": (4, 26)}
    assert clopper_pearson(4, 30).low > 0.02 + 0.01
    assert clopper_pearson(4, 30, confidence=1 - 0.05 / 20).low < 0.02
    assert check_bound(audited(**families), "fpr", 0.02).families == ()
    assert check_bound(audited(odd=(4, 26)), "fpr", 0.02).families == ("odd",)


def test_chance_accuses_seldom():
    """With a true FPR at the bound, the families of 1,000 audits are accused in at most 5 %."""
    import random

    stream, accused = random.Random(1), 0
    for _ in range(1000):
        passes = [sum(stream.random() < 0.1 for _ in range(40)) for _ in range(6)]
        found = audited(**{f"f{n}": (p, 40 - p) for n, p in enumerate(passes)})
        accused += bool(check_bound(found, "fpr", 0.1).families)
    assert accused / 1000 <= 0.05


def test_fnr_is_of_the_right_answers():
    found = Audit(
        verifier="v",
        version="1",
        true_positives=90,
        false_negatives=10,
        families={"gold": Confusion(true_positives=90), "variant": Confusion(false_negatives=10)},
    )
    bound = check_bound(found, "fnr", 0.2)
    assert bound.estimate == found.fnr
    assert (bound.shown, bound.families) == (True, ("variant",))


def test_what_nothing_measures_is_missed():
    bound = check_bound(audited(), "fpr", 1.0)
    assert (bound.shown, bound.kept, bound.estimate.value) == (False, False, None)
    invalid = Audit(verifier="v", version="1", invalid_wrong=100)
    assert not check_bound(invalid, "fpr", 0.5).kept


@pytest.mark.parametrize(
    ("rate", "limit", "message"),
    [
        ("tpr", 0.1, "rate must be one of fpr, fnr, got 'tpr'"),
        ("fpr", 1.1, "limit of the fpr must be a number in [0, 1], got 1.1"),
        ("fpr", True, "limit of the fpr must be a number in [0, 1], got True"),
        ("fnr", float("nan"), "limit of the fnr must be a number in [0, 1], got nan"),
    ],
)
def test_arguments_out_of_range(rate, limit, message):
    with pytest.raises(ConfigError) as caught:
        check_bound(audited(), rate, limit)
    assert caught.value.message == message
