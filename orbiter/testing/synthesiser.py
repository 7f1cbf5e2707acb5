"""The check of a DataSynthesiser."""

from __future__ import annotations

import asyncio
import copy
import warnings
from collections.abc import Callable, Sequence
from typing import TYPE_CHECKING, Any

from orbiter.errors import ConfigError
from orbiter.generate.synthesiser import DataSynthesiser
from orbiter.testing.contract import Contract, shown

if TYPE_CHECKING:
    from orbiter.generate.pipeline import SynthesisConfig


def check_synthesiser(
    make: Callable[[], DataSynthesiser],
    *,
    count: int = 8,
    source: Sequence[Any] = (),
    config: SynthesisConfig | None = None,
) -> None:
    """Check that a synthesiser keeps its contract.

    The clauses: ``generate`` returns a list of at most ``count`` items, warns when they are fewer, returns none for none, and
    refuses by a ConfigError if it is not implemented; ``synthesise`` returns a list and leaves its source as it is; with the
    same seed the same call gives the same items in the same order, in a fresh instance too.

        def test_shout():
            check_synthesiser(Shout, source=["a", "b"])

    Args:
        make: Makes a fresh instance, always with the same seed.
        count: Items to generate.
        source: Items to synthesise from.
        config: Given to ``synthesise``; default: ``SynthesisConfig(target_size=len(source) + count)``.

    Raises:
        AssertionError: A clause is broken; the message names it.
    """
    asyncio.run(_check(make, count, list(source), config))


async def _check(
    make: Callable[[], DataSynthesiser],
    count: int,
    source: list[Any],
    config: SynthesisConfig | None,
) -> None:
    from orbiter.generate.pipeline import SynthesisConfig

    synthesiser = make()
    contract = Contract("synthesiser", type(synthesiser).__name__)
    if type(synthesiser).generate is DataSynthesiser.generate:
        with contract.refusal("generate", "generate(), which is not implemented,", ConfigError):
            await synthesiser.generate(1)
    else:
        await _check_generate(contract, make, count)
    if config is None:
        config = SynthesisConfig(target_size=len(source) + count)
    await _check_synthesise(contract, make, source, config)


async def _check_generate(
    contract: Contract, make: Callable[[], DataSynthesiser], count: int
) -> None:
    synthesiser = make()
    items = await _generate(contract, synthesiser, count)
    for again, whose in ((synthesiser, "the same"), (make(), "a fresh")):
        other = await _generate(contract, again, count)
        contract.clause(
            "same items again",
            other == items,
            f"generate({count}) of {whose} instance must give the same items in the same order, "
            f"got {shown(other)} after {shown(items)}",
        )
    none = await _generate(contract, make(), 0)
    contract.clause("count", none == [], f"generate(0) must give no items, got {shown(none)}")


async def _generate(contract: Contract, synthesiser: DataSynthesiser, count: int) -> list[Any]:
    with warnings.catch_warnings(record=True) as warned:
        warnings.simplefilter("always")
        with contract.without_error("generate", f"generate({count})"):
            items = await synthesiser.generate(count)
    contract.clause(
        "generate", isinstance(items, list), f"generate() must return a list, got {shown(items)}"
    )
    contract.clause(
        "count",
        len(items) <= count,
        f"generate({count}) must give at most as many items, got {len(items)}",
    )
    contract.clause(
        "count",
        len(items) == count or warned,
        f"generate({count}) must warn when it gives fewer items, got {len(items)} without a warning",
    )
    return items


async def _check_synthesise(
    contract: Contract,
    make: Callable[[], DataSynthesiser],
    source: list[Any],
    config: SynthesisConfig,
) -> None:
    synthesiser, before = make(), copy.deepcopy(source)
    items = await _synthesise(contract, synthesiser, source, config)
    contract.clause(
        "source is left alone",
        source == before,
        f"synthesise() must not change its source, got {shown(source)} after {shown(before)}",
    )
    for again, whose in ((synthesiser, "the same"), (make(), "a fresh")):
        other = await _synthesise(contract, again, copy.deepcopy(before), config)
        contract.clause(
            "same items again",
            other == items,
            f"synthesise() of {whose} instance must give the same items in the same order, "
            f"got {shown(other)} after {shown(items)}",
        )


async def _synthesise(
    contract: Contract, synthesiser: DataSynthesiser, source: list[Any], config: SynthesisConfig
) -> list[Any]:
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")
        with contract.without_error("synthesise", "synthesise()"):
            items = await synthesiser.synthesise(source, config)
    contract.clause(
        "synthesise",
        isinstance(items, list),
        f"synthesise() must return a list, got {shown(items)}",
    )
    return copy.copy(items)
