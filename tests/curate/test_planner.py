import pytest

from orbiter.curate import RowRange, plan_samples
from orbiter.errors import ConfigError


@pytest.mark.parametrize(
    ("parameters", "sft", "pairs", "great", "extrapolated"),
    [
        (8e9, (2_000, 5_000), (5_000, 10_000), (20_000, 30_000), False),
        (13e9, (3_000, 8_000), (8_000, 15_000), (25_000, 40_000), False),
        (32e9, (5_000, 10_000), (10_000, 30_000), (40_000, 80_000), False),
        (1e8, (2_000, 5_000), (5_000, 10_000), (20_000, 30_000), True),
        (12e9, (3_000, 8_000), (8_000, 15_000), (25_000, 40_000), True),
        (70e9, (5_000, 10_000), (10_000, 30_000), (40_000, 80_000), True),
    ],
)
def test_the_nearest_size_decides(parameters, sft, pairs, great, extrapolated):
    plan = plan_samples(parameters)
    assert plan.sft == RowRange(*sft)
    assert plan.pairs == RowRange(*pairs)
    assert plan.great == RowRange(*great)
    assert plan.extrapolated == extrapolated
    assert plan.rule_of_thumb


def test_labels_for_kto_are_more():
    assert plan_samples(8e9).unary == RowRange(7_500, 20_000)
    assert str(plan_samples(8e9).unary) == "7,500 to 20,000"


def test_a_model_has_weights():
    with pytest.raises(ConfigError, match="parameters must be a number > 0, got 0"):
        plan_samples(0)
