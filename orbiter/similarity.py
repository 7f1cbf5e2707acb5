"""Near-duplicate texts: MinHash proposes, the exact Jaccard similarity decides.

Two texts are as similar as their sets of character 5-grams (spaces collapsed, case kept): |A & B| / |A | B|. The sketches
only find candidates, so no text is called a duplicate by an estimate; a pair at or above the threshold is missed with
probability < 0.001.

The time grows with the number of pairs that are candidates. Texts that share much without reaching the threshold, such as a
long preamble, are nearly all candidates for each other below 0.6: a microsecond per pair, some 10 s for 5,000 of them.
"""

from __future__ import annotations

import functools
import math
from collections.abc import Sequence, Set

from rensa import RMinHash, RMinHashLSH

from orbiter.checks import check_number

SHINGLE_SIZE = 5
"""Characters per shingle."""

SKETCH_SIZES = (128, 1024)
"""Hash values per text: for thresholds from about 0.7 up, and below."""

MIN_ROWS = 4
"""Hash values that a pair must share to be a candidate, if the largest sketch allows it."""

MISS_RATE = 0.0004
"""Bound on the probability that a pair at the threshold gets lost, for each of the two steps before the exact comparison."""


def shingles(text: str) -> frozenset[str]:
    """Return the character 5-grams of a text, spaces collapsed; of a shorter text, the text itself."""
    text = " ".join(text.split())
    count = max(1, len(text) - SHINGLE_SIZE + 1)
    return frozenset(text[i : i + SHINGLE_SIZE] for i in range(count))


def jaccard(a: Set[str], b: Set[str]) -> float:
    """Return |a & b| / |a | b| in [0, 1]; two empty sets are equal, so 1."""
    shared = len(a & b)
    total = len(a) + len(b) - shared
    return shared / total if total else 1.0


def near_duplicates(texts: Sequence[str], *, threshold: float, seed: int = 0) -> list[int | None]:
    """Return for each text the index of the earliest kept text that it nearly repeats, or None if it is kept itself.

    A text is kept unless its similarity to an earlier kept text is >= ``threshold``, so the order of the texts matters and
    the first of a kind stays.

    Args:
        texts: The texts, in order of preference.
        threshold: Jaccard similarity in (0, 1].
        seed: Seed of the hash functions that propose candidates.

    Raises:
        ConfigError: The threshold is out of range.
    """
    check_number("threshold", threshold, "(0, 1]")
    # Texts are long and candidates few: shingles of kept texts are made again when needed, not held.
    shingles_of = functools.lru_cache(maxsize=256)(lambda i: shingles(texts[i]))
    bands, rows = band_plan(threshold)
    size = bands * rows
    index = RMinHashLSH(threshold=threshold, num_perm=size, num_bands=bands)
    floor = estimate_floor(threshold, size=size)
    sketches: dict[int, RMinHash] = {}
    seen: dict[str, int] = {}
    found: list[int | None] = []
    for i, text in enumerate(texts):
        if text not in seen:
            sketch = RMinHash(num_perm=size, seed=seed)
            # As bytes: a text may hold a lone surrogate, which has no UTF-8.
            sketch.update([s.encode("utf-8", "surrogatepass") for s in shingles_of(i)])
            near = (
                k
                for k in sorted(index.query(sketch))
                # The estimate costs a hundredth of the exact comparison.
                if sketch.jaccard(sketches[k]) >= floor
                and jaccard(shingles_of(i), shingles_of(k)) >= threshold
            )
            seen[text] = next(near, i)
            if seen[text] == i:
                index.insert(i, sketch)
                sketches[i] = sketch
        found.append(seen[text] if seen[text] != i else None)
    return found


def band_plan(threshold: float) -> tuple[int, int]:
    """Return how many bands of how many hash values find a pair at the threshold, but for MISS_RATE.

    With b bands of r rows, a pair of similarity s meets in one of them with probability 1 - (1 - s^r)^b (Leskovec et al.,
    Mining of Massive Datasets, 3.4.2). More rows keep more of the pairs below the threshold apart, and need more bands, so the
    sketch is the smallest that has room for MIN_ROWS, and the rows are the most that it has room for.
    """
    for size in SKETCH_SIZES:
        rows = _most_rows(threshold, size=size)
        if rows >= MIN_ROWS:
            break
    rows = max(rows, 1)
    return max(size // rows, _least_bands(threshold, rows)), rows


def _most_rows(threshold: float, *, size: int) -> int:
    rows = 0
    while rows < size and _least_bands(threshold, rows + 1) * (rows + 1) <= size:
        rows += 1
    return rows


def _least_bands(threshold: float, rows: int) -> int:
    meets = threshold**rows
    return 1 if meets >= 1 - MISS_RATE else math.ceil(math.log(MISS_RATE) / math.log1p(-meets))


def estimate_floor(threshold: float, *, size: int) -> float:
    """Return a bound that the estimate for a pair at the threshold falls below with probability at most MISS_RATE.

    The estimate is the share of ``size`` hash values that agree, each with the probability s of the pair's similarity, and by
    Chernoff's bound P(estimate <= q) <= exp(-size * KL(q || s)) for q < s.
    """
    low, high = 0.0, threshold
    for _ in range(50):
        middle = (low + high) / 2
        if math.exp(-size * _divergence(middle, threshold)) <= MISS_RATE:
            low = middle
        else:
            high = middle
    return low


def _divergence(q: float, p: float) -> float:
    """Return KL(q || p) in nats, of a coin that shows heads with probability q from one with p."""
    return sum(a * math.log(a / b) if b else math.inf for a, b in ((q, p), (1 - q, 1 - p)) if a)
