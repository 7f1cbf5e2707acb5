"""Near-duplicate texts: MinHash proposes, the exact Jaccard similarity decides.

Two texts are as similar as their sets of character 5-grams (spaces collapsed, case kept): |A & B| / |A | B|. The sketches
only find candidates, so no text is called a duplicate by an estimate; a true duplicate is missed with probability < 0.001.
Thresholds from about 0.6 up are fast; below, ever more pairs are candidates.
"""

from __future__ import annotations

import functools
import math
from collections.abc import Sequence, Set

from rensa import RMinHash, RMinHashLSH

from orbiter.errors import ConfigError

SHINGLE_SIZE = 5
"""Characters per shingle."""

SKETCH_SIZE = 128
"""Hash values per text."""


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
    if not 0 < threshold <= 1:
        raise ConfigError(f"threshold must be in (0, 1], got {threshold!r}")
    # Texts are long and candidates few: shingles of kept texts are made again when needed, not held.
    shingles_of = functools.lru_cache(maxsize=256)(lambda i: shingles(texts[i]))
    index = RMinHashLSH(threshold=threshold, num_perm=SKETCH_SIZE, num_bands=_band_count(threshold))
    floor = threshold - 5 * math.sqrt(threshold * (1 - threshold) / SKETCH_SIZE)
    sketches: dict[int, RMinHash] = {}
    seen: dict[str, int] = {}
    found: list[int | None] = []
    for i, text in enumerate(texts):
        if text not in seen:
            sketch = RMinHash(num_perm=SKETCH_SIZE, seed=seed)
            # As bytes: a text may hold a lone surrogate, which has no UTF-8.
            sketch.update([s.encode("utf-8", "surrogatepass") for s in shingles_of(i)])
            near = (
                k
                for k in sorted(index.query(sketch))
                # The estimate has the standard deviation of a share of hash values; at five of them it is sure.
                if sketch.jaccard(sketches[k]) >= floor
                and jaccard(shingles_of(i), shingles_of(k)) >= threshold
            )
            seen[text] = next(near, i)
            if seen[text] == i:
                index.insert(i, sketch)
                sketches[i] = sketch
        found.append(seen[text] if seen[text] != i else None)
    return found


def _band_count(threshold: float) -> int:
    """Return the fewest bands that find a pair at the threshold with probability > 0.999.

    With b bands of r rows, a pair of similarity s meets in one of them with probability 1 - (1 - s^r)^b
    (Leskovec et al., Mining of Massive Datasets, 3.4.2).
    """
    bands = 1
    while bands < SKETCH_SIZE and (1 - threshold ** (SKETCH_SIZE // bands)) ** bands >= 0.001:
        bands *= 2
    return bands
