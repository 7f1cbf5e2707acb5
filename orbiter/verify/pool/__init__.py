"""Judging in processes that can be killed, and remembering what they said.

VerifierPool  ->  Slot, a thread  ->  Worker  ->  guard.py  ->  judging.py, the verifier's process
"""

from orbiter.verify.pool.cache import VerdictCache
from orbiter.verify.pool.pool import MIN_MEMORY_MB, VerifierPool

__all__ = ["MIN_MEMORY_MB", "VerdictCache", "VerifierPool"]
