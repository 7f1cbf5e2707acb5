from collections import Counter

import pytest
from hypothesis import given
from hypothesis import strategies as st

from orbiter.curate import mixed_batches
from orbiter.errors import ConfigError


def rows_of(**sizes):
    return [(name, i) for name, size in sizes.items() for i in range(size)]


def mix(rows, shares, **options):
    return mixed_batches(rows, shares, domain=lambda row: row[0], **options)


def test_every_batch_has_its_shares():
    found = mix(rows_of(math=6, chat=9), {"math": 1, "chat": 2}, batch_size=3)
    assert [Counter(name for name, _ in batch) for batch in found.batches] == [
        {"math": 1, "chat": 2}
    ] * 4
    assert found.left_over == {"chat": 1, "math": 2}
    assert found.repeated == {"chat": 0, "math": 0}


domains = st.dictionaries(
    st.sampled_from("abcdef"), st.tuples(st.integers(1, 40), st.floats(0.1, 5)), min_size=1
)


@given(domains, st.integers(1, 8), st.integers(0, 3), st.integers(0, 2))
def test_shares_hold_after_any_number_of_batches_and_no_row_is_lost(domains, size, seed, repeats):
    rows = rows_of(**{name: count for name, (count, _) in domains.items()})
    shares = {name: share for name, (_, share) in domains.items()}
    found = mix(rows, shares, batch_size=size, seed=seed, max_repeats=repeats)
    scale, so_far = sum(shares.values()), Counter()
    for number, batch in enumerate(found.batches, 1):
        assert len(batch) == size
        so_far.update(name for name, _ in batch)
        for name, share in shares.items():
            surplus = so_far[name] - share / scale * size * number
            assert 1 - len(shares) - 1e-6 < surplus < 1 + 1e-6
    times = Counter(row for batch in found.batches for row in batch)
    for name, (count, _) in domains.items():
        mine = [times[row] for row in rows if row[0] == name]
        assert sum(mine) + found.left_over[name] - found.repeated[name] == count
        assert max(mine) <= repeats + 1
        assert max(mine) - min(mine) <= 1  # none comes again before all have come
    assert found == mix(rows, shares, batch_size=size, seed=seed, max_repeats=repeats)


def test_many_small_shares_fill_a_batch_and_no_more():
    shares = {"a": 30, "b": 30, **dict.fromkeys("cdefghij", 1)}
    found = mix(rows_of(**dict.fromkeys(shares, 60)), shares, batch_size=3)
    assert len(found.batches) > 20
    assert {len(batch) for batch in found.batches} == {3}


def test_a_small_share_gets_its_turn():
    found = mix(rows_of(a=90, b=10), {"a": 9, "b": 1}, batch_size=4)
    counts = [sum(name == "b" for name, _ in batch) for batch in found.batches]
    assert len(counts) == 25
    assert sum(counts) == 10
    assert max(counts) == 1


def test_a_small_domain_may_come_again():
    rows = rows_of(a=8, b=2)
    assert len(mix(rows, {"a": 1, "b": 1}, batch_size=2).batches) == 2
    found = mix(rows, {"a": 1, "b": 1}, batch_size=2, max_repeats=2)
    assert len(found.batches) == 6
    assert found.repeated == {"a": 0, "b": 4}
    seen = [row for batch in found.batches for row in batch if row[0] == "b"]
    assert [set(seen[i : i + 2]) for i in (0, 2, 4)] == [{("b", 0), ("b", 1)}] * 3


def test_a_domain_comes_again_in_another_order():
    found = mix(rows_of(a=20, b=10), {"a": 1, "b": 1}, batch_size=2, max_repeats=1)
    seen = [row for batch in found.batches for row in batch if row[0] == "b"]
    assert seen[:10] != seen[10:]
    assert sorted(seen[:10]) == sorted(seen[10:])


def test_seed_makes_another_order():
    rows = rows_of(a=20)
    assert mix(rows, {"a": 1}, batch_size=4) != mix(rows, {"a": 1}, batch_size=4, seed=1)


def test_domain_of_a_record_is_its_environment(make_pair):
    pairs = [make_pair(env=env, task_id=str(i)) for i, env in enumerate("abab")]
    found = mixed_batches(pairs, {"a": 1, "b": 1}, batch_size=2)
    assert [{p.env for p in batch} for batch in found.batches] == [{"a", "b"}] * 2


@pytest.mark.parametrize(
    ("rows", "shares", "options", "message"),
    [
        (rows_of(a=1, b=1), {"a": 1}, {}, "shares must name the domain of every row, got none"),
        (rows_of(a=1), {"a": 1, "b": 1}, {}, "rows must hold some of domain 'b'"),
        ([], {}, {}, "shares must name a domain, got none"),
        (rows_of(a=1), {"a": 0}, {}, "share of 'a' must be a number > 0, got 0"),
        (rows_of(a=1), {"a": 1}, {"batch_size": 0}, "batch_size must be an integer >= 1, got 0"),
        (rows_of(a=1), {"a": 1}, {"max_repeats": -1}, "max_repeats must be an integer >= 0"),
    ],
)
def test_a_mixture_that_cannot_be_is_refused(rows, shares, options, message):
    with pytest.raises(ConfigError, match=message):
        mix(rows, shares, **{"batch_size": 1, **options})
