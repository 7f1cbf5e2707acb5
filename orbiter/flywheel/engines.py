"""The names of what generated an attempt, and for what."""

POLICY = "policy"
"""The policy, for training data."""

HELD_OUT = "held_out"
"""The policy, on held-out tasks, for a measurement."""
