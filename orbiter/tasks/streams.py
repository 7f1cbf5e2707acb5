"""A random stream per item, derived by hashing what the item is.

Adding an index to a seed makes the streams of neighbouring seeds overlap; a hash does not.
"""

from __future__ import annotations

import hashlib
import random


def item_seed(*key: str | int) -> int:
    """Return a seed in [0, 2**63) that depends on every part of ``key`` and on their order."""
    text = "\x1f".join([f"{type(part).__name__}:{part}" for part in key])
    return int.from_bytes(hashlib.blake2b(text.encode(), digest_size=8).digest(), "big") >> 1


def item_stream(*key: str | int) -> random.Random:
    """Return a random stream of its own for the item that ``key`` names: (name, seed, index), say."""
    return random.Random(item_seed(*key))
