"""The names of what generated an attempt, and for what."""

POLICY = "policy"
"""The policy, for training data."""

HINTED = "hinted"
"""The policy, for training data, with the right answer in sight."""

HELD_OUT = "held_out"
"""The policy, on held-out tasks, for a measurement."""

SYNTHESISED = "synthesised"
"""An engine of a stage's section ``synthesise``, for training data."""

FOR_TRAINING = (POLICY, HINTED, SYNTHESISED)
"""Those whose attempts are curated: what a round keeps and pairs."""
