"""Checks that plugin authors run on their own classes.

Each takes a function that makes a fresh instance and raises AssertionError, naming the broken clause of the contract; any test
runner will do. Hypothesis strategies for the records are in :mod:`orbiter.testing.strategies`.

    from orbiter.testing import check_environment

    def test_doubling():
        check_environment(Doubling)
"""

from orbiter.testing.backend import check_backend
from orbiter.testing.chat_server import ChatServer, Reply, chat
from orbiter.testing.environment import check_environment
from orbiter.testing.evolution import check_evolution
from orbiter.testing.exporter import check_exporter
from orbiter.testing.judge_model import check_judge_model
from orbiter.testing.policy import check_policy
from orbiter.testing.synthesiser import check_synthesiser
from orbiter.testing.trainer import check_trainer
from orbiter.testing.trajectory_strategy import check_strategy
from orbiter.testing.verifier import check_verifier

__all__ = [
    "ChatServer",
    "Reply",
    "chat",
    "check_backend",
    "check_environment",
    "check_evolution",
    "check_exporter",
    "check_judge_model",
    "check_policy",
    "check_strategy",
    "check_synthesiser",
    "check_trainer",
    "check_verifier",
]
