"""What is to be solved: environments give tasks, splits keep held-out tasks apart."""

from orbiter.tasks.environment import Environment

__all__ = ["Environment"]
