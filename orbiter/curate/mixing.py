"""Mixed batches: rows of several domains in every batch, in given shares."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from typing import Any, Generic, TypeVar

from attrs import frozen

from orbiter.checks import check_number, check_whole_number
from orbiter.errors import ConfigError
from orbiter.tasks.streams import item_stream

T = TypeVar("T")


@frozen(kw_only=True)
class MixedBatches(Generic[T]):
    """Batches, and what did not fit into them.

    Args:
        batches: Full batches; the rows of a domain in random order.
        left_over: Rows of each domain that no batch holds.
        repeated: How many times a row of each domain was given again.
    """

    batches: tuple[tuple[T, ...], ...]
    left_over: Mapping[str, int]
    repeated: Mapping[str, int]


def env_of(row: Any) -> str:
    """Return the environment of a record: the domain that rows have by default."""
    return str(row.env)


def mixed_batches(
    rows: Sequence[T],
    shares: Mapping[str, float],
    *,
    batch_size: int,
    seed: int = 0,
    max_repeats: int = 0,
    domain: Callable[[T], str] = env_of,
) -> MixedBatches[T]:
    """Return batches in which each domain has its share, until one domain has no more rows.

    Where shares times batch size are whole numbers, every batch has exactly those. Else the remainders go over to the next batch, and
    after any number of batches no domain is a whole row above its share. A small domain may start again, reshuffled, when all its
    rows were given.

    Args:
        rows: Records of all domains.
        shares: Weight of each domain, > 0; their scale does not matter.
        batch_size: >= 1
        seed: Seed of the orders.
        max_repeats: How often the rows of a domain may be given again; past 3 or 4 they are learnt by heart.
        domain: Domain of a row.

    Raises:
        ConfigError: A row's domain has no share, a domain with a share has no row, or a number is out of range.
    """
    check_whole_number("batch_size", batch_size, low=1)
    check_whole_number("max_repeats", max_repeats, low=0)
    for name, share in shares.items():
        check_number(f"share of {name!r}", share, "(0, inf)")
    supply = _by_domain(rows, shares, domain)
    scale = sum(shares.values())
    queues = {
        name: [
            row
            for again in range(max_repeats + 1)
            for row in _shuffled(supply[name], "mixed_batches", seed, name, again)
        ]
        for name in sorted(shares)
    }
    taken = dict.fromkeys(queues, 0)
    batches: list[tuple[T, ...]] = []
    while True:
        wanted = {name: shares[name] / scale * batch_size * (len(batches) + 1) for name in queues}
        quota = _quota(wanted, taken, batch_size)
        if any(taken[name] + quota[name] > len(queues[name]) for name in queues):
            break
        batch = [
            row
            for name, queue in queues.items()
            for row in queue[taken[name] : taken[name] + quota[name]]
        ]
        batches.append(tuple(_shuffled(batch, "mixed_batches", seed, len(batches))))
        taken = {name: taken[name] + quota[name] for name in queues}
    return MixedBatches(
        batches=tuple(batches),
        left_over={name: max(0, len(supply[name]) - taken[name]) for name in queues},
        repeated={name: max(0, taken[name] - len(supply[name])) for name in queues},
    )


def _by_domain(
    rows: Sequence[T], shares: Mapping[str, float], domain: Callable[[T], str]
) -> dict[str, list[T]]:
    supply: dict[str, list[T]] = {name: [] for name in shares}
    for row in rows:
        name = domain(row)
        if name not in supply:
            raise ConfigError(
                f"shares must name the domain of every row, got none for {name!r}",
                hint="give it a share, or leave its rows out",
            )
        supply[name].append(row)
    if not supply:
        raise ConfigError("shares must name a domain, got none")
    for name, some in supply.items():
        if not some:
            raise ConfigError(
                f"rows must hold some of domain {name!r}, which has a share; got none"
            )
    return supply


def _quota(wanted: Mapping[str, float], taken: Mapping[str, int], size: int) -> dict[str, int]:
    """Return how many rows of each domain the next batch gets: each place goes to the domain that is owed most."""
    quota = dict.fromkeys(wanted, 0)
    for _ in range(size):
        quota[max(wanted, key=lambda name: wanted[name] - taken[name] - quota[name])] += 1
    return quota


def _shuffled(rows: Sequence[T], *key: str | int) -> list[T]:
    return item_stream(*key).sample(list(rows), len(rows))
