"""Who answers: policies, data synthesisers, and the pipelines that drive them."""

from orbiter.generate.policy import Completion, Policy, Request, Sampling
from orbiter.generate.synthesiser import DataSynthesiser

__all__ = ["Completion", "DataSynthesiser", "Policy", "Request", "Sampling"]
