"""Who judges: the Verifier ABC, the built-in verifiers, and the measured error rate of each."""

from orbiter.verify.verifier import Verifier, judge

__all__ = ["Verifier", "judge"]
